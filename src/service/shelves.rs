//! Shelves for descriptions of files: in the disk cache, in a folder, and in a store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::cache::disk::{DiskCache, Place, Record};
use crate::config::IndexPlace;
use crate::model::location::{ETag, Key, Location};
use crate::source::hsds::held::Shelves;
use crate::source::shelf::Shelf;
use crate::store::{Put, Store, StoreError, StoreSettings};

/// Largest description that is read: 100 MB are a million objects.
const LARGEST: u64 = 256 << 20;
/// What names of descriptions end with, where they lie by themselves.
const END: &str = ".h5mount-index";
/// Last segment of the key of the object that names a file.
const DOMAIN: &str = "/.domain.json";

/// The shelves of a house whose home store is asked with `settings`.
///
/// # Errors
/// A bucket of indexes that cannot be opened.
pub async fn of(
    disk: Option<&Arc<DiskCache>>,
    given: Option<&IndexPlace>,
    settings: StoreSettings,
) -> Result<Shelves, StoreError> {
    let own = disk.map(|disk| Arc::new(Disk(Arc::clone(disk))) as Arc<dyn Shelf>);
    let given: Option<Arc<dyn Shelf>> = match given {
        None => None,
        Some(IndexPlace::Folder(folder)) => Some(Arc::new(Folder::at(folder.clone()))),
        Some(IndexPlace::Store(bucket)) => Some(Arc::new(Stored(Store::open_with(bucket, settings).await?))),
    };
    Ok(Shelves { own, given })
}

/// Puts an object in place of the one that is there, and of no other.
///
/// # Errors
/// As [`Store::put`]; [`StoreError::Changed`] or [`StoreError::Exists`] where somebody else did so meanwhile.
pub async fn replace(store: &Store, key: &Key, bytes: Bytes) -> Result<(), StoreError> {
    let put = match store.head(key).await {
        _ if !store.capabilities().conditional_put => Put::Overwrite,
        Ok(meta) => meta.etag.map_or(Put::Overwrite, Put::IfMatch),
        Err(error) if error.is_not_found() => Put::IfAbsent,
        Err(error) => return Err(error),
    };
    store.put(key, bytes, put).await.map(drop)
}

/// The disk cache.
#[derive(Debug)]
struct Disk(Arc<DiskCache>);

#[async_trait]
impl Shelf for Disk {
    fn is_near(&self) -> bool {
        true
    }

    async fn get(&self, domain: &Location) -> Option<Bytes> {
        self.0.get(&Place::description(domain)).await.map(|record| record.body)
    }

    async fn put(&self, domain: &Location, description: Bytes) -> Result<(), String> {
        // What it was made of, it says itself.
        let (etag, modified) = (ETag::new(""), SystemTime::UNIX_EPOCH);
        let record = Record { etag, modified, size: description.len() as u64, body: description };
        self.0.put(Place::description(domain), record);
        Ok(())
    }
}

/// Where the description of a file lies in a folder of them: `s3/BUCKET/home/x.h5.h5mount-index`. `None` where no such
/// path can be.
fn path_of(domain: &Location) -> Option<String> {
    let (scheme, bucket) = domain.bucket.as_str().split_once("://")?;
    let file = domain.key.as_str().strip_suffix(DOMAIN)?;
    let path = format!("{scheme}/{}/{file}{END}", bucket.trim_matches('/'));
    let sane = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    path.split('/').all(sane).then_some(path)
}

/// A folder of this machine.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Held until the folder has answered, though nobody waits any more: one that hangs takes no more threads than this.
    readers: Arc<Semaphore>,
}

impl Folder {
    fn at(path: PathBuf) -> Folder {
        Folder { path, readers: Arc::new(Semaphore::new(READERS)) }
    }
}

/// Reads of a folder at a time.
const READERS: usize = 4;
/// How long an index in a folder is waited for: it only serves to save requests.
const PATIENCE: Duration = Duration::from_secs(2);

#[async_trait]
impl Shelf for Folder {
    fn is_near(&self) -> bool {
        // It may as well be a network's.
        false
    }

    async fn get(&self, domain: &Location) -> Option<Bytes> {
        let path = self.path.join(path_of(domain)?);
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.readers).acquire_owned()).await.ok()?.ok()?;
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let fits = std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= LARGEST);
            fits.then(|| std::fs::read(&path).ok()).flatten()
        });
        tokio::time::timeout(PATIENCE, read).await.ok()?.ok().flatten().map(Bytes::from)
    }

    async fn put(&self, domain: &Location, description: Bytes) -> Result<(), String> {
        let path = path_of(domain).map(|path| self.path.join(path)).ok_or("no path can have its name")?;
        let written = tokio::task::spawn_blocking(move || {
            write(&path, &description).map_err(|error| format!("{}: {error}", path.display()))
        });
        written.await.map_err(|stopped| stopped.to_string())?
    }
}

/// Writes a file at once: whoever reads it meanwhile reads the one before.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let new = folder.join(format!(".h5mount-new-{}", std::process::id()));
    let renamed = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, path));
    if renamed.is_err() {
        // What is left of it would lie there for ever.
        let _ = std::fs::remove_file(&new);
    }
    renamed
}

/// A store.
#[derive(Debug)]
struct Stored(Store);

#[async_trait]
impl Shelf for Stored {
    fn is_near(&self) -> bool {
        false
    }

    async fn get(&self, domain: &Location) -> Option<Bytes> {
        let key = Key::new(path_of(domain)?);
        match self.0.get_if(&key, None, LARGEST).await {
            Ok(object) => Some(object.bytes),
            Err(error) if error.is_not_found() => None,
            Err(error) => {
                tracing::debug!(%error, "an index cannot be read; its file is read instead");
                None
            }
        }
    }

    async fn put(&self, domain: &Location, description: Bytes) -> Result<(), String> {
        let key = Key::new(path_of(domain).ok_or("no key can have its name")?);
        replace(&self.0, &key, description).await.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::location::Bucket;

    fn domain(bucket: &str, key: &str) -> Location {
        Location { bucket: Bucket::new(bucket), key: Key::new(key) }
    }

    #[test]
    fn a_description_lies_where_its_file_does() {
        let path = |bucket: &str, key: &str| path_of(&domain(bucket, key));
        assert_eq!(path("s3://b", "home/x.h5/.domain.json").as_deref(), Some("s3/b/home/x.h5.h5mount-index"));
        assert_eq!(path("az://a/c/in", "x/.domain.json").as_deref(), Some("az/a/c/in/x.h5mount-index"));
        for (bucket, key) in
            [("s3://b", ".domain.json"), ("s3://b", "../x/.domain.json"), ("s3://b", "a//b/.domain.json")]
        {
            assert_eq!(path(bucket, key), None, "{key}");
        }
    }

    #[tokio::test]
    async fn a_folder_keeps_one_description_of_each_file() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Folder::at(dir.path().join("not/there/yet"));
        let (one, other) = (domain("s3://b", "x/.domain.json"), domain("s3://b", "y/.domain.json"));
        assert_eq!(shelf.get(&one).await, None);
        for bytes in [&b"first"[..], b"second"] {
            shelf.put(&one, Bytes::from_static(bytes)).await.unwrap();
            assert_eq!(shelf.get(&one).await.as_deref(), Some(bytes));
        }
        assert_eq!(shelf.get(&other).await, None);
        let left: Vec<_> = std::fs::read_dir(dir.path().join("not/there/yet/s3/b")).unwrap().collect();
        assert_eq!(left.len(), 1);
    }
}
