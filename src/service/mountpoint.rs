//! The place to mount at: is it fit, and what is there already?

use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
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
    /// Not there, where a mount should be.
    #[error("{path}: nothing is there, and so nothing to unmount")]
    Nowhere {
        /// Where.
        path: PathBuf,
    },
    /// It holds something.
    #[error(
        "{path}: not empty; what it holds would be hidden while it is mounted. Give an empty directory, or insist: \
         --nonempty"
    )]
    NotEmpty {
        /// Where.
        path: PathBuf,
    },
    /// It lies in what it would show, or the reverse: reading the mount would wait for the mount.
    #[error("{path}: {relation} {source_path}, which it would show; mount somewhere else")]
    Entangled {
        /// Where.
        path: PathBuf,
        /// How it lies to the source.
        relation: &'static str,
        /// The directory that is read.
        source_path: PathBuf,
    },
    /// Mounted by somebody else, whose it is to unmount.
    #[error("{path}: mounted by {owner}; only that user or root can unmount it")]
    Foreign {
        /// Where.
        path: PathBuf,
        /// Who mounted it.
        owner: String,
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
/// What mount(8) and systemd put over a directory to mount there when somebody comes.
const AUTOMOUNT: &str = "autofs";

/// What is asked of a place to mount at.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// It may hold files, which are then hidden.
    pub nonempty: bool,
    /// Directories that will be read to show what is mounted; none may lie in the mount, nor the mount in one of them.
    pub sources: Vec<PathBuf>,
}

/// Makes sure that `path` can be mounted at: takes a dead mount away, refuses a living one of ours. Returns the path
/// without links, since the working directory may change.
pub fn prepare(path: &Path, wanted: &Wanted) -> Result<PathBuf, MountpointError> {
    let path = resolve(path)?;
    // Each round takes one dead mount away; several may lie on each other.
    while let Some(source) = mounted(&path)?.map(|entry| entry.source) {
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
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(MountpointError::NotADirectory { path }),
        Err(error) => return Err(MountpointError::System { path, error }),
    }
    for source in &wanted.sources {
        if let Some(relation) = relation(&path, source) {
            return Err(MountpointError::Entangled { path, relation, source_path: source.clone() });
        }
    }
    // A look into a place that mounts by itself would wait for this very mount.
    let by_itself = || Ok::<_, MountpointError>(table()?.at(&path).is_some_and(|entry| entry.kind == AUTOMOUNT));
    if !wanted.nonempty && !by_itself()? && !is_empty(&path)? {
        return Err(MountpointError::NotEmpty { path });
    }
    Ok(path)
}

fn is_empty(path: &Path) -> Result<bool, MountpointError> {
    let mut names =
        std::fs::read_dir(path).map_err(|error| MountpointError::System { path: path.to_owned(), error })?;
    Ok(names.next().is_none())
}

/// How a mount point lies to a directory that is read, if one would be under the other. By identity: a directory has
/// more names than one (links, bind mounts).
fn relation(path: &Path, source: &Path) -> Option<&'static str> {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let (at, from) = (identity(path)?, identity(source)?);
    let source = std::fs::canonicalize(source).ok()?;
    match () {
        () if at == from => Some("is itself"),
        () if path.ancestors().any(|above| identity(above) == Some(from)) => Some("lies in"),
        () if source.ancestors().any(|above| identity(above) == Some(at)) => Some("holds"),
        () => None,
    }
}

/// Unmounts what h5mount mounted at `path`, dead or alive; with `force` also what is in use.
pub fn unmount(path: &Path, force: bool) -> Result<(), MountpointError> {
    let path = resolve(path).map_err(|error| match error {
        MountpointError::Absent { path } => MountpointError::Nowhere { path },
        error => error,
    })?;
    match mounted(&path)? {
        Some(entry) if is_ours(&entry.source) => {
            let me = nix::unistd::geteuid();
            if let Some(owner) = entry.user.filter(|user| !me.is_root() && *user != me.as_raw()) {
                return Err(MountpointError::Foreign { path, owner: name_of(owner) });
            }
        }
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
    there.is_some_and(|there| there.source == source_name(source)) && matches!(probe(&path), Probe::Alive)
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

/// What is mounted at `path`, if it is a FUSE file system. Nothing of the mount itself is asked.
fn mounted(path: &Path) -> Result<Option<Entry>, MountpointError> {
    let at = table()?.at(path);
    Ok(at.filter(|entry| entry.kind == "fuse" || entry.kind.starts_with("fuse.")))
}

/// The mount table of this process.
struct Table(Vec<u8>);

fn table() -> Result<Table, MountpointError> {
    const PATH: &str = "/proc/self/mountinfo";
    std::fs::read(PATH).map(Table).map_err(|error| MountpointError::System { path: PATH.into(), error })
}

impl Table {
    /// What is mounted last at `path`.
    fn at(&self, path: &Path) -> Option<Entry> {
        self.0.split(|byte| *byte == b'\n').filter_map(entry).rfind(|entry| entry.at == path)
    }
}

/// A line of the mount table (proc(5), mountinfo).
struct Entry {
    at: PathBuf,
    kind: String,
    source: String,
    /// Who mounted it, where a FUSE file system says so.
    user: Option<u32>,
}

fn entry(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let at = PathBuf::from(std::ffi::OsString::from_vec(unescape(fields.nth(4)?)));
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8_lossy(rest.next()?).into_owned();
    let source = String::from_utf8_lossy(&unescape(rest.next()?)).into_owned();
    let options = String::from_utf8_lossy(rest.next().unwrap_or_default()).into_owned();
    let user = options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok());
    Some(Entry { at, kind, source, user })
}

/// The name of a user, or the number where it has none.
fn name_of(user: u32) -> String {
    let found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(user));
    found.ok().flatten().map_or_else(|| format!("user {user}"), |found| found.name)
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
        let entry_of = entry(line).unwrap();
        assert_eq!((entry_of.at.as_path(), entry_of.user), (Path::new("/mnt/a b"), Some(0)));
        assert_eq!((entry_of.kind.as_str(), entry_of.source.as_str()), ("fuse", r"h5mount:file:///x\y"));
        assert!(entry(b"36 35").is_none());
        assert_eq!(unescape(br"a\04"), br"a\04");
    }

    #[test]
    fn a_missing_directory_and_a_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let any = Wanted::default();
        assert!(matches!(prepare(&dir.path().join("none"), &any), Err(MountpointError::Absent { .. })));
        assert!(prepare(dir.path(), &any).is_ok());
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(prepare(&file, &any), Err(MountpointError::NotADirectory { .. })));
        assert!(matches!(unmount(dir.path(), false), Err(MountpointError::NotOurs { .. })));
        assert!(matches!(unmount(&dir.path().join("none"), false), Err(MountpointError::Nowhere { .. })));
    }

    #[test]
    fn what_holds_something_is_mounted_over_only_on_purpose() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".hidden"), "").unwrap();
        assert!(matches!(prepare(dir.path(), &Wanted::default()), Err(MountpointError::NotEmpty { .. })));
        let insist = Wanted { nonempty: true, ..Wanted::default() };
        assert!(prepare(dir.path(), &insist).is_ok());
    }

    #[test]
    fn a_mount_never_lies_in_what_it_shows_nor_the_reverse() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("store/home/below")).unwrap();
        std::fs::create_dir(dir.path().join("other")).unwrap();
        std::os::unix::fs::symlink("store", dir.path().join("alias")).unwrap();
        for source in ["store/home", "alias/home"] {
            let wanted = Wanted { nonempty: true, sources: vec![dir.path().join(source)] };
            let prepared = |name: &str| prepare(&dir.path().join(name), &wanted);
            for name in ["store/home", "store/home/below", "store", "alias/home", "alias/home/below", ""] {
                assert!(matches!(prepared(name), Err(MountpointError::Entangled { .. })), "{source} {name}");
            }
            assert!(prepared("other").is_ok());
        }
    }
}
