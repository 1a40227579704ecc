//! How far the kernel reads ahead of a sequential reader. It is a number of the mount's device, which a file takes over when it is
//! opened; so it is set anew before each opening that wants another one. Two files that are opened in the same moment may get
//! each other's, which costs a little time or some bytes. Only root may set it.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What the kernel reads ahead where it was told nothing, and the least that is worth its while.
const USUAL: u64 = 128 << 10;
/// The most. What comes next is fetched ahead here, by the chunk; the kernel's part is to ask in large pieces and to copy one
/// while the program looks at another. A read here or there of no more than this is asked for as it is, and a larger one drags
/// in what lies behind it: 4 MiB are the largest chunk that HSDS makes by itself, and with 1 MiB one element of a chunk of 2 MiB
/// made three requests.
const MOST: u64 = 4 << 20;

/// The read-ahead of one mount.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    control: OnceLock<PathBuf>,
    /// What it is set to; 0 where it never was.
    now: Mutex<u64>,
}

impl ReadAhead {
    fn now(&self) -> MutexGuard<'_, u64> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mount has this device number; what is opened from now on has read-ahead as it wants it, if we may.
    pub(super) fn of_device(&self, device: u64) {
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        self.controlled_by(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb").into());
    }

    fn controlled_by(&self, control: PathBuf) {
        match std::fs::write(&control, (MOST >> 10).to_string()) {
            Ok(()) => {
                *self.now() = MOST;
                let _ = self.control.set(control);
            }
            Err(error) => tracing::debug!("{}: {error}", control.display()),
        }
    }

    /// A file is about to be opened of which up to `reach` bytes may be read ahead in vain. What the kernel will read ahead of it.
    pub(super) fn open(&self, reach: u64) -> u64 {
        let Some(control) = self.control.get() else { return USUAL };
        let wanted = reach.clamp(USUAL, MOST);
        let mut now = self.now();
        if *now != wanted && std::fs::write(control, (wanted >> 10).to_string()).is_ok() {
            *now = wanted;
        }
        *now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_what_it_wants_where_we_may_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("read_ahead_kb");
        let ahead = ReadAhead::default();
        assert_eq!(ahead.open(1 << 20), USUAL);
        ahead.controlled_by(folder.path().join("none/read_ahead_kb"));
        assert_eq!(ahead.open(1 << 20), USUAL);
        ahead.controlled_by(control.clone());
        assert_eq!(std::fs::read_to_string(&control).unwrap(), "4096");
        assert_eq!(ahead.open(u64::MAX), MOST);
        assert_eq!(ahead.open(1 << 20), 1 << 20);
        assert_eq!(std::fs::read_to_string(&control).unwrap(), "1024");
        assert_eq!(ahead.open(0), USUAL);
    }
}
