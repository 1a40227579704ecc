//! Open files and directories. A handle of a file pins the version it was opened with; a handle of a directory pins
//! a listing, so that a program that walks through it sees every name once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::errno::Failure;
use crate::namespace::{Folder, Listing, Version};

/// How a file was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// For reading.
    Read,
}

/// An open file.
#[derive(Clone, Debug)]
pub(super) struct FileHandle {
    /// The bytes it sees, whatever becomes of the name.
    pub version: Arc<Version>,
    /// How it was opened.
    pub access: Access,
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
