//! Flags and defaults to one resolved settings struct per room: what was typed is interpreted here, once, and nowhere
//! else. The command line knows words, the rooms know values.

use std::path::{Path, PathBuf};

use crate::model::location::Bucket;
use crate::store::StoreError;
use crate::store::root::{bucket_of, nearest_holding};

/// A place in a store: what a command's SOURCE means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The store.
    pub bucket: Bucket,
    /// Path in it, without a leading or trailing `/`; empty: its root.
    pub path: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.bucket.as_str(), self.path)
    }
}

/// Why what was typed cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not there.
    #[error("{path}: {error}")]
    Source {
        /// As typed.
        path: String,
        /// The system's words.
        error: std::io::Error,
    },
    /// A kind of URL that is not known.
    #[error("{url}: cannot read from {scheme}:// yet; a store on disk is given as a path or as file:///path")]
    Scheme {
        /// As typed.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// No store around it.
    #[error(
        "{path}: not in an HSDS store: neither it nor a folder above it holds `db/`. Name the store's top folder with --store-root (stores written by HSDS before version 0.5 need that)"
    )]
    NoStore {
        /// As typed.
        path: String,
    },
    /// The store's root is elsewhere.
    #[error("{path}: not inside the store root {root}")]
    Outside {
        /// As typed.
        path: String,
        /// As typed.
        root: String,
    },
    /// The store cannot be named.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Directory that stands at the root of every store of the current HSDS schema.
const MARKER: &str = "db";

/// The place that SOURCE means: a path, or `file:///…`. The store begins at `root`, or else at the nearest directory
/// that holds `db/`.
pub fn place(source: &str, root: Option<&Path>) -> Result<Place, ConfigError> {
    let path = match source.split_once("://") {
        Some(("file", path)) if path.starts_with('/') => PathBuf::from(path),
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            return Err(ConfigError::Scheme { url: source.to_owned(), scheme: scheme.to_owned() });
        }
        _ => PathBuf::from(source),
    };
    let absent = |path: &Path| {
        let path = path.display().to_string();
        move |error| ConfigError::Source { path, error }
    };
    let (root, path) = match root {
        Some(root) => {
            let base = std::fs::canonicalize(root).map_err(absent(root))?;
            let full = std::fs::canonicalize(&path).map_err(absent(&path))?;
            let inside = full.strip_prefix(&base).ok().and_then(Path::to_str).map(str::to_owned);
            let outside = || ConfigError::Outside { path: source.to_owned(), root: root.display().to_string() };
            (base, inside.ok_or_else(outside)?)
        }
        None => nearest_holding(&path, MARKER)
            .map_err(absent(&path))?
            .ok_or_else(|| ConfigError::NoStore { path: source.to_owned() })?,
    };
    Ok(Place { bucket: bucket_of(&root)?, path })
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
        assert_eq!(place.path, "home/a b.h5");
        let url = format!("file://{}/bucket/", root.display());
        assert_eq!(super::place(&url, None).unwrap().path, "");
    }

    #[test]
    fn a_store_without_db_needs_its_root() {
        let (_dir, root) = store();
        let typed = root.join("old/home");
        let typed = typed.to_str().unwrap();
        assert!(matches!(place(typed, None), Err(ConfigError::NoStore { .. })));
        assert_eq!(place(typed, Some(&root.join("old"))).unwrap().path, "home");
        assert!(matches!(place(typed, Some(&root.join("bucket"))), Err(ConfigError::Outside { .. })));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert!(matches!(place("s3://nrel-pds-hsds/nrel", None), Err(ConfigError::Scheme { .. })));
        assert!(matches!(place("/no/such/thing", None), Err(ConfigError::Source { .. })));
    }
}
