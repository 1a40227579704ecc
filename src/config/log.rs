//! Where the log lines of a mount in the background go when nobody said so: it has no terminal, and lines that are kept
//! nowhere tell nobody why a read failed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Folder of the logs of root's mounts.
const MACHINE: &str = "/var/log/h5mount";
/// Where a user's state lies if `XDG_STATE_HOME` does not say (XDG Base Directory Specification).
const STATE: &str = ".local/state";
/// Bytes of a file's name that come from the mount point: with what is put behind them below the 255 of file systems.
const NAME_BYTES: usize = 200;

/// Who mounts, as far as it says where logs go.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// Root.
    pub root: bool,
    /// `XDG_STATE_HOME`.
    pub state: Option<OsString>,
    /// `HOME`.
    pub home: Option<OsString>,
}

impl Person {
    /// Whoever runs the program.
    pub fn here() -> Person {
        Person {
            root: nix::unistd::geteuid().is_root(),
            state: std::env::var_os("XDG_STATE_HOME"),
            home: std::env::var_os("HOME"),
        }
    }
}

/// The log of the mount at `mountpoint`, an absolute path; `None` for a user who has no place of their own.
pub fn kept(mountpoint: &Path, person: &Person) -> Option<PathBuf> {
    let absolute = |path: &Option<OsString>| path.as_ref().map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = match person.root {
        true => PathBuf::from(MACHINE),
        false => absolute(&person.state).or_else(|| Some(absolute(&person.home)?.join(STATE)))?.join("h5mount"),
    };
    let text = mountpoint.to_string_lossy();
    let name = text.trim_matches('/').replace(|char: char| char == '/' || char.is_control(), "-");
    // The end of a long path tells mounts apart better than its beginning.
    let from = (name.len().saturating_sub(NAME_BYTES)..).find(|at| name.is_char_boundary(*at))?;
    Some(folder.join(format!("{}.log", &name[from..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mount_has_a_log_of_its_own_where_its_user_may_write() {
        let root = Person { root: true, home: Some("/root".into()), ..Person::default() };
        assert_eq!(kept(Path::new("/mnt/data"), &root), Some("/var/log/h5mount/mnt-data.log".into()));
        let ann = Person { home: Some("/home/ann".into()), ..Person::default() };
        let at_home = kept(Path::new("/home/ann/run 7/"), &ann);
        assert_eq!(at_home, Some("/home/ann/.local/state/h5mount/home-ann-run 7.log".into()));
        let elsewhere = Person { state: Some("/state".into()), ..ann.clone() };
        assert_eq!(kept(Path::new("/m\n"), &elsewhere), Some("/state/h5mount/m-.log".into()));
        // The specification says that a relative one is to be ignored.
        let relative = Person { state: Some("state".into()), ..ann };
        assert_eq!(kept(Path::new("/m"), &relative), Some("/home/ann/.local/state/h5mount/m.log".into()));
        assert_eq!(kept(Path::new("/m"), &Person::default()), None);
        let long = kept(Path::new(&format!("/{}/end", "é".repeat(300))), &root).unwrap();
        let name = long.file_name().unwrap().to_string_lossy();
        assert!(name.len() < 255 && name.ends_with("-end.log"), "{name}");
    }
}
