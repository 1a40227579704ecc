//! How often a store was asked, by kind of request: for metrics, and for tests that hold an exact number.

use std::sync::atomic::{AtomicU64, Ordering};

/// Running counts of one store.
#[derive(Debug, Default)]
pub struct Counters {
    gets: AtomicU64,
    ranged_gets: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    bytes: AtomicU64,
    sent: AtomicU64,
    retries: AtomicU64,
    abandoned: AtomicU64,
    abandoned_bytes: AtomicU64,
}

/// Counts at one moment. Failed requests count too; their bytes are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Whole objects asked for.
    pub gets: u64,
    /// Ranges asked for.
    pub ranged_gets: u64,
    /// Objects asked for without their bytes.
    pub heads: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Bytes of objects and ranges received.
    pub bytes: u64,
    /// Requests that went over the network, whatever for: repetitions, and a bucket's region, included. None for a store
    /// on disk.
    pub sent: u64,
    /// How many of these repeated one that had failed.
    pub retries: u64,
    /// Requests that were given up because their answers stood still.
    pub abandoned: u64,
    /// Bytes that had come of the bodies of these. They are kept where the rest can be asked for.
    pub abandoned_bytes: u64,
}

impl Requests {
    /// What was asked since `earlier`.
    pub fn since(self, earlier: Requests) -> Requests {
        Requests {
            gets: self.gets - earlier.gets,
            ranged_gets: self.ranged_gets - earlier.ranged_gets,
            heads: self.heads - earlier.heads,
            lists: self.lists - earlier.lists,
            bytes: self.bytes - earlier.bytes,
            sent: self.sent - earlier.sent,
            retries: self.retries - earlier.retries,
            abandoned: self.abandoned - earlier.abandoned,
            abandoned_bytes: self.abandoned_bytes - earlier.abandoned_bytes,
        }
    }
}

// Relaxed throughout: each count stands alone, nothing is ordered by it.
impl Counters {
    pub(super) fn get(&self, bytes: usize) {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn get_range(&self, bytes: usize) {
        self.ranged_gets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn head(&self) {
        self.heads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn list(&self) {
        self.lists.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn abandoned_body(&self, bytes: usize) {
        self.abandoned_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The counts now.
    pub fn snapshot(&self) -> Requests {
        Requests {
            gets: self.gets.load(Ordering::Relaxed),
            ranged_gets: self.ranged_gets.load(Ordering::Relaxed),
            heads: self.heads.load(Ordering::Relaxed),
            lists: self.lists.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            abandoned_bytes: self.abandoned_bytes.load(Ordering::Relaxed),
        }
    }
}
