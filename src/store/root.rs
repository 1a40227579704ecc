//! Where on local disk a store begins: buckets of directories, and the nearest directory that looks like a store.

use std::path::{Component, Path, PathBuf};

use super::StoreError;
use crate::model::location::Bucket;

/// The bucket of a directory. `path` must be absolute and UTF-8.
pub fn bucket_of(path: &Path) -> Result<Bucket, StoreError> {
    let unsupported =
        |reason: &str| StoreError::Unsupported { what: path.display().to_string(), reason: reason.to_owned() };
    let text = path.to_str().ok_or_else(|| unsupported("the path is not UTF-8"))?;
    if !path.is_absolute() {
        return Err(unsupported("the path is not absolute"));
    }
    Ok(Bucket::new(format!("file://{text}")))
}

/// The nearest directory at or above `path` that holds a directory `marker`, and the way from there to `path` as a key
/// (`""` for the directory itself). Symbolic links in `path` are resolved first. `None` where there is none.
pub fn nearest_holding(path: &Path, marker: &str) -> Result<Option<(PathBuf, String)>, std::io::Error> {
    let path = std::fs::canonicalize(path)?;
    for directory in path.ancestors() {
        if directory.join(marker).is_dir() {
            let Some(rest) = path.strip_prefix(directory).ok().and_then(Path::to_str) else { return Ok(None) };
            return Ok(Some((directory.to_path_buf(), rest.to_owned())));
        }
    }
    Ok(None)
}

/// Whether both are directory trees with the same parent directory, named without `.` or `..`. Below `/` nothing has
/// siblings: what lies beside a store `/data` is `/etc` and `/root`.
pub(super) fn are_siblings(one: &Bucket, other: &Bucket) -> bool {
    let (Some(one), Some(other)) = (path_of(one), path_of(other)) else { return false };
    let plain = other.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !other.as_os_str().to_string_lossy().split('/').any(|part| part == ".");
    let parent = one.parent().filter(|parent| parent.parent().is_some());
    plain && parent.is_some() && parent == other.parent()
}

fn path_of(bucket: &Bucket) -> Option<&Path> {
    bucket.as_str().strip_prefix("file://").map(Path::new).filter(|path| path.is_absolute())
}
