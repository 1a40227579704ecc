//! The place to mount at: is it fit, and what is there already?

use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::fs::{Detach, detach, is_ours, source_name};

/// Why a place cannot be mounted at, or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountpointError {
    /// Not there.
    #[error("{path}: no such directory; make it first: mkdir -p {path}")]
    Absent {
        /// Where.
        path: PathBuf,
    },
    /// A file.
    #[error("{path}: not a directory; give an empty directory to mount at")]
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// Mounted already.
    #[error("{path}: {what} is mounted there already; unmount it first: h5mount unmount {path}")]
    Occupied {
        /// Where.
        path: PathBuf,
        /// Source of what is there.
        what: String,
    },
    /// Mounted already, and hangs.
    #[error(
        "{path}: {what} is mounted there and does not answer; end its program, then: h5mount unmount --force {path}"
    )]
    Hanging {
        /// Where.
        path: PathBuf,
        /// Source of what is there.
        what: String,
    },
    /// Not one of ours.
    #[error("{path}: nothing that h5mount mounted")]
    NotOurs {
        /// Where.
        path: PathBuf,
    },
    /// In use.
    #[error(
        "{path}: in use; close what is open there (`fuser -vm {path}` names the programs), or unmount with --force"
    )]
    Busy {
        /// Where.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{path}: {error}")]
    System {
        /// Where.
        path: PathBuf,
        /// In its words.
        error: io::Error,
    },
}

/// How long a mount may take to show that it lives.
const PROBE: Duration = Duration::from_secs(5);

/// Makes sure that `path` can be mounted at: takes a dead mount away, refuses a living one of ours. Returns the path
/// without links, since the working directory may change.
pub fn prepare(path: &Path) -> Result<PathBuf, MountpointError> {
    let path = resolve(path)?;
    // Each round takes one dead mount away; several may lie on each other.
    while let Some(source) = mounted(&path)? {
        match probe(&path) {
            Probe::Dead => {
                tracing::warn!("{}: taking over a dead mount of {source}", path.display());
                detach(&path, Detach::Busy).map_err(|error| MountpointError::System { path: path.clone(), error })?;
            }
            Probe::Silent => return Err(MountpointError::Hanging { path, what: source }),
            Probe::Alive if is_ours(&source) => return Err(MountpointError::Occupied { path, what: source }),
            Probe::Alive => break,
        }
    }
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(path),
        Ok(_) => Err(MountpointError::NotADirectory { path }),
        Err(error) => Err(MountpointError::System { path, error }),
    }
}

/// Unmounts what h5mount mounted at `path`, dead or alive; with `force` also what is in use.
pub fn unmount(path: &Path, force: bool) -> Result<(), MountpointError> {
    let path = resolve(path)?;
    match mounted(&path)? {
        Some(source) if is_ours(&source) => {}
        _ => return Err(MountpointError::NotOurs { path }),
    }
    let what = if force { Detach::Busy } else { Detach::Free };
    detach(&path, what).map_err(|error| match error.raw_os_error() {
        Some(libc::EBUSY) => MountpointError::Busy { path: path.clone() },
        _ => MountpointError::System { path: path.clone(), error },
    })
}

/// Whether what is mounted at `path` shows `source` already, and lives.
pub fn shows(path: &Path, source: &str) -> bool {
    let Ok(path) = resolve(path) else { return false };
    let there = mounted(&path).ok().flatten();
    there.is_some_and(|there| there == source_name(source)) && matches!(probe(&path), Probe::Alive)
}

/// The path without links. The last name of a dead mount cannot be looked at, so its parent has to do.
fn resolve(path: &Path) -> Result<PathBuf, MountpointError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => MountpointError::Absent { path: path.to_owned() },
        _ => MountpointError::System { path: path.to_owned(), error },
    };
    match std::fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
            let whole = std::path::absolute(path).map_err(failed)?;
            match (whole.parent(), whole.file_name()) {
                (Some(parent), Some(name)) => Ok(std::fs::canonicalize(parent).map_err(failed)?.join(name)),
                _ => Err(failed(error)),
            }
        }
        Err(error) => Err(failed(error)),
    }
}

/// What is mounted at `path`, if it is a FUSE file system: its source. Nothing of the mount itself is asked.
fn mounted(path: &Path) -> Result<Option<String>, MountpointError> {
    let table = std::fs::read("/proc/self/mountinfo")
        .map_err(|error| MountpointError::System { path: "/proc/self/mountinfo".into(), error })?;
    let at = table.split(|byte| *byte == b'\n').filter_map(entry).rfind(|(at, ..)| at == path);
    Ok(at.filter(|(_, kind, _)| kind == "fuse" || kind.starts_with("fuse.")).map(|(_, _, source)| source))
}

/// Mount point, kind and source of a line of the mount table (proc(5), mountinfo).
fn entry(line: &[u8]) -> Option<(PathBuf, String, String)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let at = unescape(fields.nth(4)?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8_lossy(rest.next()?).into_owned();
    let source = String::from_utf8_lossy(&unescape(rest.next()?)).into_owned();
    Some((PathBuf::from(std::ffi::OsString::from_vec(at)), kind, source))
}

/// Space, tab, newline and backslash stand in the table as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) if byte == b'\\' => {
                out.push(code);
                rest = &after[3..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

enum Probe {
    Alive,
    /// The program behind it is gone.
    Dead,
    /// No answer.
    Silent,
}

/// Looks whether a mount answers. The look may hang for ever, so a thread does it that nobody waits for.
fn probe(path: &Path) -> Probe {
    let (answer, answered) = mpsc::channel();
    let path = path.to_owned();
    std::thread::spawn(move || {
        let _ = answer.send(std::fs::metadata(&path).map(|_| ()));
    });
    match answered.recv_timeout(PROBE) {
        Ok(Err(error)) if matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED)) => Probe::Dead,
        Ok(_) => Probe::Alive,
        Err(_) => Probe::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_mount_table_is_read_with_its_escapes() {
        let line = br"36 35 0:50 / /mnt/a\040b rw,noatime shared:1 master:2 - fuse h5mount:file:///x\134y rw,user_id=0";
        let (at, kind, source) = entry(line).unwrap();
        assert_eq!(at, Path::new("/mnt/a b"));
        assert_eq!((kind.as_str(), source.as_str()), ("fuse", r"h5mount:file:///x\y"));
        assert!(entry(b"36 35").is_none());
        assert_eq!(unescape(br"a\04"), br"a\04");
    }

    #[test]
    fn a_missing_directory_and_a_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(prepare(&dir.path().join("none")), Err(MountpointError::Absent { .. })));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(prepare(&file), Err(MountpointError::NotADirectory { .. })));
        assert!(matches!(unmount(dir.path(), false), Err(MountpointError::NotOurs { .. })));
        assert!(prepare(dir.path()).is_ok());
    }
}
