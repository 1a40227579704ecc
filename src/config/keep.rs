//! What is kept for later, and where: the disk cache and indexes of files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::size::Size;
use super::{ConfigError, place};
use crate::cache::disk::DiskSettings;
use crate::model::location::Bucket;
use crate::store::Access;

/// Help of `--index-dir`.
pub const INDEX_DIR: &str = "Folder, or URL of a bucket's folder, with indexes of files that `h5mount index` wrote";
/// Heading of these flags in `--help`.
const KEEP: &str = "Kept for later";

/// What is kept for later.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeepOptions {
    /// Directory on local disk in which what was fetched is kept for the next mount (default: none; as a service: the
    /// service's cache directory)
    #[arg(long, help_heading = KEEP, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Bytes that it may take, like 512M or 2T; 0 keeps nothing (default: 16G)
    #[arg(long, help_heading = KEEP, value_name = "SIZE")]
    pub cache_size: Option<Size>,
    /// Where indexes of files lie.
    #[arg(long, help_heading = KEEP, value_name = "DIR|URL", help = INDEX_DIR)]
    pub index_dir: Option<String>,
}

/// Where indexes lie that are not beside their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexPlace {
    /// A directory of this machine.
    Folder(PathBuf),
    /// A store: the URL of its root.
    Store(Bucket),
}

impl KeepOptions {
    /// These where they say something, else `other`.
    pub fn or(self, other: KeepOptions) -> KeepOptions {
        KeepOptions {
            cache_dir: self.cache_dir.or(other.cache_dir),
            cache_size: self.cache_size.or(other.cache_size),
            index_dir: self.index_dir.or(other.index_dir),
        }
    }

    /// The disk cache of a mount at `mountpoint`; `None` where there is none. `service`: the cache directory that a
    /// service manager made for this service ([`service_directory`]). `access`: where stores of each kind are asked for.
    pub fn disk(
        &self,
        mountpoint: &Path,
        service: Option<OsString>,
        access: &Access,
    ) -> Result<Option<DiskSettings>, ConfigError> {
        let bytes = self.cache_size.map_or(DiskSettings::BYTES, |Size(bytes)| bytes);
        // Several are joined by `:`; the first is the one that was asked for first.
        let service = || {
            let text = service.and_then(|text| text.into_string().ok());
            text.and_then(|text| text.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from))
        };
        let directory = self.cache_dir.clone().or_else(service);
        if directory.is_none()
            && let Some(Size(bytes @ 1..)) = self.cache_size
        {
            return Err(ConfigError::Value {
                name: "--cache-size".to_owned(),
                value: bytes.to_string(),
                reason: "there is no disk cache that it could be the size of: name its folder with --cache-dir"
                    .to_owned(),
            });
        }
        let Some(directory) = directory.filter(|_| bytes > 0) else { return Ok(None) };
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        if directory.starts_with(mountpoint) {
            return Err(ConfigError::Value {
                name: "--cache-dir".to_owned(),
                value: directory.display().to_string(),
                reason: "it lies in the mount itself".to_owned(),
            });
        }
        // The names of web servers and directories say themselves where they are.
        let kinds = [("s3", &access.s3), ("az", &access.azure), ("gs", &access.google)];
        let origins = kinds.into_iter().filter_map(|(scheme, reach)| Some((scheme, reach.endpoint.clone()?))).collect();
        Ok(Some(DiskSettings { directory, bytes, origins }))
    }

    /// Where indexes lie.
    pub fn index(&self) -> Result<Option<IndexPlace>, ConfigError> {
        self.index_dir.as_deref().map(index_place).transpose()
    }
}

/// What `--index-dir` means. A folder need not be there yet.
pub fn index_place(text: &str) -> Result<IndexPlace, ConfigError> {
    match text.strip_prefix("file://") {
        None if text.contains("://") => {
            let place = place(text, None)?;
            Ok(IndexPlace::Store(match place.path.as_str() {
                "" => place.bucket,
                path => Bucket::new(format!("{}/{path}", place.bucket.as_str())),
            }))
        }
        path => {
            let path = Path::new(path.unwrap_or(text));
            Ok(IndexPlace::Folder(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())))
        }
    }
}

/// The directory that systemd makes for a unit with `CacheDirectory=`.
pub fn service_directory() -> Option<OsString> {
    std::env::var_os("CACHE_DIRECTORY")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(options: &KeepOptions, service: Option<&str>) -> Option<PathBuf> {
        let found = options.disk(Path::new("/mnt"), service.map(OsString::from), &Access::default());
        found.unwrap().map(|disk| disk.directory)
    }

    #[test]
    fn there_is_a_disk_cache_where_it_is_asked_for_and_in_a_service() {
        let none = KeepOptions::default();
        let named = KeepOptions { cache_dir: Some("/var/tmp/c".into()), ..none.clone() };
        assert_eq!(disk(&none, None), None);
        assert_eq!(disk(&none, Some("")), None);
        assert_eq!(disk(&none, Some("/var/cache/a:/var/cache/b")), Some("/var/cache/a".into()));
        assert_eq!(disk(&named, Some("/var/cache/a")), Some("/var/tmp/c".into()));
        let off = KeepOptions { cache_size: Some(Size(0)), ..named };
        assert_eq!(disk(&off, Some("/var/cache/a")), None);
        let size = |bytes| KeepOptions { cache_size: Some(Size(bytes)), ..none.clone() };
        let alone = size(1 << 30).disk(Path::new("/mnt"), None, &Access::default()).unwrap_err().to_string();
        assert!(alone.contains("--cache-dir"), "{alone}");
        assert_eq!(disk(&size(0), None), None);
        assert_eq!(disk(&size(1 << 30), Some("/var/cache/a")), Some("/var/cache/a".into()));
        let inside = KeepOptions { cache_dir: Some("/mnt/x".into()), ..none };
        assert!(inside.disk(Path::new("/mnt"), None, &Access::default()).is_err());
    }

    #[test]
    fn what_is_kept_is_of_the_service_of_each_kind_of_store() {
        use crate::store::access::Reach;
        let at = |url: &str| Reach { endpoint: Some(url.to_owned()), ..Reach::default() };
        let access = Access { s3: at("http://one"), azure: at("http://two"), ..Access::default() };
        let named = KeepOptions { cache_dir: Some("/c".into()), ..KeepOptions::default() };
        let disk = named.disk(Path::new("/mnt"), None, &access).unwrap().unwrap();
        let wanted = [("s3", "http://one".to_owned()), ("az", "http://two".to_owned())];
        assert_eq!(disk.origins, wanted.into());
    }

    #[test]
    fn indexes_lie_in_a_folder_or_a_bucket() {
        let place = |text: &str| index_place(text).unwrap();
        assert_eq!(place("/a/b"), IndexPlace::Folder("/a/b".into()));
        assert_eq!(place("file:///a"), IndexPlace::Folder("/a".into()));
        assert_eq!(place("s3://b/x/y/"), IndexPlace::Store(Bucket::new("s3://b/x/y")));
        assert_eq!(place("gs://b"), IndexPlace::Store(Bucket::new("gs://b")));
        assert!(index_place("ftp://b").is_err());
    }
}
