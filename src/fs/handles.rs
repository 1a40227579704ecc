//! Open files and directories. A handle of a file pins the version it was opened with; a handle of a directory pins
//! a listing, so that a program that walks through it sees every name once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::errno::Failure;
use crate::namespace::{Folder, Listing, Reader, Version};

/// How a file was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// For reading.
    Read,
}

/// An open file.
#[derive(Clone, Debug)]
pub(super) struct FileHandle {
    /// The bytes it sees, whatever becomes of the name, and what is fetched ahead of it.
    pub reader: Arc<Reader>,
    /// How it was opened.
    pub mode: Mode,
}

/// An open directory.
#[derive(Clone, Debug)]
pub(super) struct DirectoryHandle {
    /// The folder.
    pub folder: Arc<Folder>,
    /// The names it sees.
    pub listing: Arc<Listing>,
}

/// Open things by number.
#[derive(Debug)]
pub(super) struct Handles<T> {
    open: Mutex<HashMap<u64, T>>,
    numbers: AtomicU64,
}

impl<T: Clone> Handles<T> {
    pub(super) fn new() -> Self {
        Handles { open: Mutex::default(), numbers: AtomicU64::new(1) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, T>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens; the number is never used again.
    pub(super) fn open(&self, handle: T) -> u64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, handle);
        number
    }

    pub(super) fn get(&self, number: u64) -> Result<T, Failure> {
        self.lock().get(&number).cloned().ok_or(Failure::UnknownHandle)
    }

    /// Closes; what it pinned is let go outside the lock.
    pub(super) fn close(&self, number: u64) -> Option<T> {
        self.lock().remove(&number)
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl Handles<FileHandle> {
    /// The version of this number, while somebody has it open.
    pub(super) fn version(&self, number: u64) -> Option<Arc<Version>> {
        let open = self.lock();
        let mut versions = open.values().map(|open| open.reader.version());
        versions.find(|version| version.id().0 == number).cloned()
    }
}

/// OPENs that were refused because the name leads to another version by now.
///
/// The kernel then looks the name up again and opens what it leads to. Where there is no name, because a program opens
/// what it has open already (`/proc/self/fd/N`), the same OPEN comes a second time: that one is for the version which
/// is open.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    /// By the thread that opens, which does one thing at a time, and the inode.
    refused: Mutex<HashMap<(u32, u64), Instant>>,
}

impl Superseded {
    /// How long after a refusal the second OPEN may come: the kernel sends it at once, on a machine however busy.
    const SECOND: Duration = Duration::from_secs(10);
    /// Refusals remembered; they are as rare as changes of files.
    const REMEMBERED: usize = 1024;

    /// Notes a refusal. Whether the same was refused just before.
    pub(super) fn again(&self, thread: u32, number: u64, now: Instant) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= Self::REMEMBERED {
            refused.retain(|_, when| now.saturating_duration_since(*when) < Self::SECOND);
        }
        if refused.len() >= Self::REMEMBERED {
            refused.clear();
        }
        let before = refused.insert((thread, number), now);
        before.is_some_and(|when| now.saturating_duration_since(when) < Self::SECOND)
    }
}
