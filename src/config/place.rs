//! What SOURCE means: a store and a path in it, from a path of local disk or a URL of a cloud.
//!
//! A [`Bucket`] is the URL of a store's root. On local disk that is any directory; in a cloud it is a bucket, or, with
//! `--store-root`, a prefix of the keys of one. Keys are written in URLs as they are, except in those of HTTP, which are
//! percent-encoded everywhere.

use std::fmt;
use std::path::{Path, PathBuf};

use super::ConfigError;
use crate::model::location::{Bucket, Key, percent_decoded};
use crate::source::hdf5::is_hdf5;
use crate::store::root::{bucket_of, nearest_holding};

/// A place in a store: what a command's SOURCE means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The store: the URL of its root.
    pub bucket: Bucket,
    /// Path in it, without a leading or trailing `/`; empty: its root.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket.as_str(), self.path)
    }
}

/// Where stores lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Directories.
    Disk,
    /// S3 and what speaks its protocol.
    S3,
    /// Azure Blob Storage.
    Azure,
    /// Google Cloud Storage.
    Google,
    /// Any web server.
    Http,
}

impl Place {
    /// Where its store lies.
    pub fn kind(&self) -> Kind {
        match self.bucket.as_str().split_once("://").map(|(scheme, _)| scheme) {
            Some("s3") => Kind::S3,
            Some("az") => Kind::Azure,
            Some("gs") => Kind::Google,
            Some("http" | "https") => Kind::Http,
            _ => Kind::Disk,
        }
    }
}

impl Place {
    /// Directories of this machine that are read to show it.
    pub fn directories(&self) -> Vec<PathBuf> {
        let Some(root) = self.bucket.as_str().strip_prefix("file://") else { return Vec::new() };
        let root = Path::new(if root.is_empty() { "/" } else { root });
        vec![root.join(&self.path), root.join(MARKER)]
    }
}

/// Directory that stands at the root of every store of the current HSDS schema.
const MARKER: &str = "db";

/// The place that SOURCE means. On local disk the store begins at `root`, or else at the nearest directory that holds
/// `db/`; in a cloud at `root`, or else where the bucket does.
pub fn place(source: &str, root: Option<&str>) -> Result<Place, ConfigError> {
    match source.split_once("://") {
        Some(("file", path)) if path.starts_with('/') => on_disk(source, Path::new(path), root),
        Some((scheme, rest)) if is_scheme(scheme) => match Service::of(source, scheme, rest)? {
            Some(service) => service.place(source, root),
            None => Err(ConfigError::Scheme { url: shown(source), scheme: scheme.to_owned() }),
        },
        _ => on_disk(source, Path::new(source), root),
    }
}

fn is_scheme(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
}

fn on_disk(source: &str, path: &Path, root: Option<&str>) -> Result<Place, ConfigError> {
    if source.is_empty() {
        return Err(ConfigError::Missing { what: "SOURCE" });
    }
    let absent = |path: &Path| {
        let path = path.display().to_string();
        move |error| ConfigError::Source { path, error }
    };
    let (root, path) = match root {
        Some(root) => {
            let given = Path::new(root.strip_prefix("file://").filter(|path| path.starts_with('/')).unwrap_or(root));
            let base = std::fs::canonicalize(given).map_err(absent(given))?;
            let full = std::fs::canonicalize(path).map_err(absent(path))?;
            let inside = full.strip_prefix(&base).ok().and_then(Path::to_str).map(str::to_owned);
            let outside = || ConfigError::Outside { path: source.to_owned(), root: root.to_owned() };
            (base, inside.ok_or_else(outside)?)
        }
        None => {
            let found: Option<(PathBuf, String)> = nearest_holding(path, MARKER).map_err(absent(path))?;
            match found {
                Some(found) => found,
                // What is shown laid out anew needs no store around it: a file its folder, a folder nothing.
                None => beside(path)
                    .or_else(|| of_files(path))
                    .ok_or_else(|| ConfigError::NoStore { path: source.to_owned() })?,
            }
        }
    };
    Ok(Place { bucket: bucket_of(&root)?, path })
}

/// The folder around a file, and its name there; `None` where the path leads to no file.
fn beside(path: &Path) -> Option<(PathBuf, String)> {
    let full = std::fs::canonicalize(path).ok().filter(|full| full.is_file())?;
    Some((full.parent()?.to_owned(), full.file_name()?.to_str()?.to_owned()))
}

/// Entries that are looked at for HDF5 files, folder by folder from the top: enough for a tree by year, month and day, and
/// done in a moment.
const LOOKED_AT: usize = 10_000;
/// Names of objects that stores have and folders of files have not.
const OF_STORES: [&str; 3] = [".domain.json", ".group.json", ".dataset.json"];

/// A folder that holds HDF5 files, at whatever depth, and no object of a store on the way to the first.
fn of_files(path: &Path) -> Option<(PathBuf, String)> {
    let top = std::fs::canonicalize(path).ok().filter(|top| top.is_dir())?;
    let mut folders = std::collections::VecDeque::from([top.clone()]);
    let mut looked = 0;
    while let Some(folder) = folders.pop_front() {
        let mut holds = false;
        // One that may not be looked at hides what is in it, and no more.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            looked += 1;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if OF_STORES.contains(&name.as_str()) || looked > LOOKED_AT {
                return None;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push_back(entry.path()),
                Ok(_) => holds |= is_hdf5(&Key::new(name)),
                Err(_) => {}
            }
        }
        if holds {
            return Some((top, String::new()));
        }
    }
    None
}

/// A URL of a cloud, taken apart.
struct Service {
    /// URL of the bucket.
    bucket: String,
    /// The key, as it is in the store.
    key: String,
}

impl Service {
    /// `None` for a scheme that names no cloud.
    fn of(url: &str, scheme: &str, rest: &str) -> Result<Option<Service>, ConfigError> {
        let wrong = |reason: &str| ConfigError::Url { url: shown(url), reason: reason.to_owned() };
        let (head, tail) = rest.split_once('/').unwrap_or((rest, ""));
        let scheme = scheme.to_ascii_lowercase();
        let (bucket, key) = match scheme.as_str() {
            "s3" | "gs" => {
                if head.is_empty() || head.contains(['@', ':', '?', '#', ' ']) {
                    return Err(wrong(&format!("no name of a bucket; it looks like {scheme}://BUCKET/FOLDER")));
                }
                (format!("{scheme}://{head}"), tail.to_owned())
            }
            "az" => {
                let (container, key) = tail.split_once('/').unwrap_or((tail, ""));
                if head.is_empty() || container.is_empty() || head.contains(['@', ':', '?', '#', ' ']) {
                    return Err(wrong("no account or no container; it looks like az://ACCOUNT/CONTAINER/FOLDER"));
                }
                (format!("az://{head}/{container}"), key.to_owned())
            }
            "abfs" | "abfss" => {
                let account = |host: &str| {
                    let host = host.to_ascii_lowercase();
                    let ends = [".dfs.core.windows.net", ".blob.core.windows.net"];
                    ends.iter().find_map(|end| host.strip_suffix(end).map(str::to_owned))
                };
                let parts = head.split_once('@').and_then(|(container, host)| Some((container, account(host)?)));
                let Some((container, account)) = parts.filter(|(container, _)| !container.is_empty()) else {
                    let form = format!("{scheme}://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER");
                    return Err(wrong(&format!(
                        "it looks like {form}; an account elsewhere is given as az://ACCOUNT/CONTAINER with --endpoint"
                    )));
                };
                (format!("az://{account}/{container}"), tail.to_owned())
            }
            "http" | "https" => {
                if head.contains('@') {
                    return Err(wrong("a user and a password in a URL can be seen by everybody and are not taken"));
                }
                if head.is_empty() || rest.contains(['?', '#']) {
                    return Err(wrong(&format!("it looks like {scheme}://HOST/PATH, without `?` or `#`")));
                }
                let key = percent_decoded(tail).ok_or_else(|| wrong("its percent-encoding is wrong"))?;
                (format!("{scheme}://{}", head.to_ascii_lowercase()), key)
            }
            _ => return Ok(None),
        };
        Ok(Some(Service { bucket, key }))
    }

    fn place(self, source: &str, root: Option<&str>) -> Result<Place, ConfigError> {
        let outside = |root: &str| ConfigError::Outside { path: source.to_owned(), root: root.to_owned() };
        let Some(root) = root else {
            let path = self.key.trim_matches('/').to_owned();
            return Ok(Place { bucket: Bucket::new(self.bucket), path });
        };
        let prefix = match root.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => match Service::of(root, scheme, rest)? {
                Some(other) if other.bucket == self.bucket => other.key,
                _ => return Err(outside(root)),
            },
            _ => root.to_owned(),
        };
        let prefix = prefix.trim_matches('/');
        let key = self.key.trim_matches('/');
        let path = match key.strip_prefix(prefix) {
            Some("") => "",
            Some(rest) if prefix.is_empty() => rest,
            Some(rest) => rest.strip_prefix('/').ok_or_else(|| outside(root))?,
            None => return Err(outside(root)),
        };
        let bucket = if prefix.is_empty() { self.bucket } else { format!("{}/{prefix}", self.bucket) };
        Ok(Place { bucket: Bucket::new(bucket), path: path.to_owned() })
    }
}

/// A URL without what may be a secret in it.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (head, tail) = rest.split_once('/').map_or((rest, String::new()), |(head, tail)| (head, format!("/{tail}")));
    // A container stands before the `@` of `abfss://`; before any other there may be a password.
    let head = head.rsplit_once('@').filter(|_| !scheme.starts_with("abfs")).map_or(head, |(_, host)| host);
    // What follows `?` may be a signature.
    let tail = tail.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{head}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("bucket/db")).unwrap();
        std::fs::create_dir_all(dir.path().join("bucket/home/a b.h5")).unwrap();
        std::fs::create_dir_all(dir.path().join("old/home")).unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn the_store_begins_at_the_nearest_folder_with_db() {
        let (_dir, root) = store();
        let typed = root.join("bucket/home/a b.h5");
        let place = place(typed.to_str().unwrap(), None).unwrap();
        assert_eq!(place.bucket.as_str(), format!("file://{}/bucket", root.display()));
        assert_eq!((place.path.as_str(), place.kind()), ("home/a b.h5", Kind::Disk));
        let url = format!("file://{}/bucket/", root.display());
        assert_eq!(super::place(&url, None).unwrap().path, "");
    }

    #[test]
    fn a_store_without_db_needs_its_root() {
        let (_dir, root) = store();
        let typed = root.join("old/home");
        let typed = typed.to_str().unwrap();
        let within = |name: &str| root.join(name).display().to_string();
        assert!(matches!(place(typed, None), Err(ConfigError::NoStore { .. })));
        std::fs::write(root.join("old/home/x.nc"), "").unwrap();
        let file = place(&format!("{typed}/x.nc"), None).unwrap();
        assert_eq!((file.bucket.as_str(), file.path.as_str()), (format!("file://{typed}").as_str(), "x.nc"));
        assert_eq!(place(typed, Some(&within("old"))).unwrap().path, "home");
        assert_eq!(place(typed, Some(&format!("file://{}", within("old")))).unwrap().path, "home");
        assert!(matches!(place(typed, Some(&within("bucket"))), Err(ConfigError::Outside { .. })));
    }

    #[test]
    fn a_folder_of_hdf5_files_needs_no_store_around_it() {
        let (_dir, root) = store();
        let files = root.join("files");
        std::fs::create_dir_all(files.join("2024/06")).unwrap();
        let typed = files.to_str().unwrap();
        std::fs::write(files.join("notes.txt"), "").unwrap();
        let none = place(typed, None).unwrap_err().to_string();
        assert!(none.contains("--store-root") && none.contains("no HDF5 file"), "{none}");
        std::fs::write(files.join("2024/06/run.nc"), "").unwrap();
        let found = place(typed, None).unwrap();
        assert_eq!((found.bucket.as_str(), found.path.as_str()), (format!("file://{typed}").as_str(), ""));
        // A store of an early HSDS looks otherwise below its top.
        std::fs::write(files.join(".domain.json"), "{}").unwrap();
        assert!(matches!(place(typed, None), Err(ConfigError::NoStore { .. })));
    }

    /// Bucket and path of a URL.
    fn parts(url: &str, root: Option<&str>) -> (String, String) {
        let place = place(url, root).unwrap_or_else(|error| panic!("{url}: {error}"));
        (place.bucket.as_str().to_owned(), place.path)
    }

    #[test]
    fn keys_are_verbatim_but_in_http() {
        for (url, bucket, path) in [
            ("s3://nrel-pds-hsds/nrel", "s3://nrel-pds-hsds", "nrel"),
            ("s3://b", "s3://b", ""),
            ("S3://b/", "s3://b", ""),
            ("s3://b/a%20b/c?d#e+f.h5/", "s3://b", "a%20b/c?d#e+f.h5"),
            ("gs://b/a//b%2F", "gs://b", "a//b%2F"),
            ("az://account/box/a%20b", "az://account/box", "a%20b"),
            ("abfss://box@Account.dfs.core.windows.net/a b", "az://account/box", "a b"),
            ("http://127.0.0.1:8000/a%20b/%C3%A9.h5", "http://127.0.0.1:8000", "a b/é.h5"),
            ("https://Data.Example.org", "https://data.example.org", ""),
        ] {
            assert_eq!(parts(url, None), (bucket.to_owned(), path.to_owned()), "{url}");
        }
        assert_eq!(place("gs://b/x", None).unwrap().kind(), Kind::Google);
        assert_eq!(place("abfs://c@a.dfs.core.windows.net", None).unwrap().kind(), Kind::Azure);
    }

    #[test]
    fn a_store_may_begin_within_a_bucket() {
        let wanted = ("s3://b/team/store".to_owned(), "home/x.h5".to_owned());
        for root in ["team/store", "/team/store/", "s3://b/team/store/"] {
            assert_eq!(parts("s3://b/team/store/home/x.h5", Some(root)), wanted, "{root}");
        }
        assert_eq!(parts("s3://b/team", Some("team")), ("s3://b/team".to_owned(), String::new()));
        assert_eq!(parts("s3://b/team", Some("/")), ("s3://b".to_owned(), "team".to_owned()));
        let http = parts("http://h/a%20b/c/d", Some("http://h/a%20b"));
        assert_eq!(http, ("http://h/a b".to_owned(), "c/d".to_owned()));
        for root in ["tea", "team/stores", "s3://other/team", "gs://b/team"] {
            assert!(matches!(place("s3://b/team/store", Some(root)), Err(ConfigError::Outside { .. })), "{root}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert!(matches!(place("ftp://host/x", None), Err(ConfigError::Scheme { .. })));
        assert!(matches!(place("/no/such/thing", None), Err(ConfigError::Source { .. })));
        for url in [
            "s3://",
            "s3:///x",
            "az://account",
            "az:///x",
            "abfss://account.dfs.core.windows.net/x",
            "abfss://box@account.example.org/x",
            "http:///x",
            "http://host/%zz",
            "http://host/%ff",
            "https://host/x?signature=1",
        ] {
            assert!(matches!(place(url, None), Err(ConfigError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_neither_taken_nor_shown() {
        let error = place("https://me:secret@host/x", None).unwrap_err().to_string();
        assert!(!error.contains("secret") && error.contains("https://host/x"), "{error}");
        let error = place("s3://me:secret@bucket/x", None).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        let error = place("https://host/x?sig=secret", None).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
