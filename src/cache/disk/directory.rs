//! Which directories are fit to keep records in: those that can be written to or hold records already, and nothing of others.

use std::io::ErrorKind;
use std::path::Path;

use super::keeper::{LOCK, NEW, TAG, directory, private};

/// What every file system has at its top, where the directory is one of its own.
const TOP: &str = "lost+found";

/// Makes a directory fit to keep records in, where it is not there.
///
/// # Errors
/// Why it cannot be, in words.
pub fn prepare(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_dir() => return Err("it is no folder".to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            directory(path).map_err(|error| format!("it cannot be made: {error}"))?;
        }
        Err(error) => return Err(error.to_string()),
    }
    let mut used = false;
    let entries = std::fs::read_dir(path).map_err(|error| format!("it cannot be looked at: {error}"))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("it cannot be looked at: {error}"))?;
        let name = entry.file_name();
        used |= name != TOP;
        if !name.to_str().is_some_and(is_ours) {
            let name = name.to_string_lossy().into_owned();
            return Err(format!(
                "it holds files that are not of a disk cache, like {name:?}: name an empty folder, or one that is not there yet"
            ));
        }
    }
    // Whoever has the lock may go on having it.
    match private(&path.join(LOCK), |options| options) {
        // A disk that is full today may have room tomorrow, and what is kept can be read.
        Err(error) if !used && matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            Err(format!("it cannot be written to: {error}"))
        }
        _ => Ok(()),
    }
}

fn is_ours(name: &str) -> bool {
    let shelf = name.len() == 2 && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    shelf || [LOCK, NEW, TAG.0, TOP].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::disk::tests::{LONG, open, place, record};

    #[tokio::test]
    async fn a_directory_is_made_and_may_be_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("not/there");
        assert_eq!(prepare(&path), Ok(()));
        let cache = open(&path, 1 << 20);
        cache.put(place("a"), record(1000));
        cache.settle(LONG).await;
        // While it is kept, and by whom.
        assert_eq!(prepare(&path), Ok(()));
        std::fs::create_dir(path.join("lost+found")).unwrap();
        assert_eq!(prepare(&path), Ok(()));
    }

    #[test]
    fn what_holds_other_files_is_none_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["thesis.tex", "abc", "zz", ".git"] {
            std::fs::write(dir.path().join(name), "").unwrap();
            let reason = prepare(dir.path()).unwrap_err();
            assert!(reason.contains(name) && reason.contains("empty folder"), "{reason}");
            std::fs::remove_file(dir.path().join(name)).unwrap();
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_is_no_folder_or_cannot_be_made_is_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(prepare(&file), Err("it is no folder".to_owned()));
        let below = prepare(&file.join("below")).unwrap_err();
        assert!(below.contains("Not a directory"), "{below}");
        // Where not even the first user of the machine can write.
        let refused = prepare(Path::new("/proc/h5mount")).unwrap_err();
        assert!(refused.contains("cannot be made"), "{refused}");
        let read_only = prepare(Path::new("/sys/kernel/mm/ksm")).unwrap_err();
        assert!(!read_only.is_empty());
    }
}
