//! A folder's listing, read ahead of whoever walks through it.
//!
//! A listing is read once, by a task of its own; readers take entries by position and wait only for
//! what has not arrived yet. Positions are stable, so a directory handle of the kernel is a listing and a number.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use futures::StreamExt;
use tokio::sync::Notify;

use super::error::NamespaceError;
use crate::source::{Entry, EntryKind, Source, SourceError};

/// Longest name the kernel and every file system take. A listing with a longer one would fail as a whole.
pub const NAME_BYTES: usize = 255;

/// Entries that are added at once, where so many have arrived: readers are woken once for all of them.
const BATCH: usize = 256;

/// Entries of one folder, complete or still growing.
#[derive(Debug)]
pub struct Listing {
    state: Mutex<State>,
    grown: Notify,
    started: Instant,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Arc<Entry>>,
    index: HashMap<String, usize>,
    end: Option<Result<(), NamespaceError>>,
    /// Names whose entries were found to be outdated.
    doubted: HashSet<String>,
}

/// The task that reads a listing. However it ends, its readers are told.
struct Reading {
    /// Weak: when nobody wants the listing any more, reading on would be in vain.
    listing: Weak<Listing>,
    path: String,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let Some(listing) = self.listing.upgrade() else { return };
        listing
            .lock()
            .end
            .get_or_insert_with(|| Err(NamespaceError::Stopped { path: super::error::shown(&self.path) }));
        listing.grown.notify_waiters();
    }
}

/// What a listing knows of a name so far.
#[derive(Debug, Clone)]
pub enum Known {
    /// It is there.
    Entry(Arc<Entry>),
    /// The listing is complete and it is not there.
    Absent,
    /// Not met yet.
    Unknown,
}

impl Listing {
    /// Starts to read the listing of `path`.
    pub(crate) fn start(source: Arc<dyn Source>, path: String) -> Arc<Listing> {
        let listing = Arc::new(Listing { state: Mutex::default(), grown: Notify::new(), started: Instant::now() });
        let reading = Reading { listing: Arc::downgrade(&listing), path };
        tokio::spawn(async move {
            let path = &reading.path;
            let mut batches = source.list(path).ready_chunks(BATCH);
            loop {
                let batch = batches.next().await;
                let Some(listing) = reading.listing.upgrade() else { return };
                let more = listing.add(path, batch);
                listing.grown.notify_waiters();
                if !more {
                    return;
                }
            }
        });
        listing
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under the lock; a poisoned one still holds whole entries.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what arrived; `false` where nothing more will.
    fn add(&self, path: &str, batch: Option<Vec<Result<Entry, SourceError>>>) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(batch) = batch else {
            state.end = Some(Ok(()));
            return false;
        };
        for entry in batch {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    state.end = Some(Err(NamespaceError::source(path, error)));
                    return false;
                }
            };
            if let Err(reason) = presentable(&entry.name) {
                tracing::warn!(folder = %super::error::shown(path), name = ?entry.name, "a name is not shown: {reason}");
                continue;
            }
            // The first of two equal names stays, so that positions handed out do not change their meaning.
            if let MapEntry::Vacant(place) = state.index.entry(entry.name.clone()) {
                place.insert(state.entries.len());
                state.entries.push(Arc::new(entry));
            }
        }
        true
    }

    /// When reading of it started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether reading it failed.
    pub(crate) fn failed(&self) -> bool {
        matches!(self.lock().end, Some(Err(_)))
    }

    /// How many entries have arrived.
    pub fn arrived(&self) -> usize {
        self.lock().entries.len()
    }

    /// What is known of `name` without waiting.
    pub fn known(&self, name: &str) -> Known {
        let state = self.lock();
        if state.doubted.contains(name) {
            return Known::Unknown;
        }
        match (state.index.get(name).and_then(|&at| state.entries.get(at)), &state.end) {
            // What it is could not be found out then; it may be by now.
            (Some(entry), _) if entry.kind == EntryKind::Unclear => Known::Unknown,
            (Some(entry), _) => Known::Entry(entry.clone()),
            (None, Some(Ok(()))) => Known::Absent,
            _ => Known::Unknown,
        }
    }

    /// Forgets what is known of `name`, though whoever walks through the listing still meets it.
    pub(crate) fn doubt(&self, name: &str) {
        self.lock().doubted.insert(name.to_owned());
    }

    /// Up to `most` entries from position `from`; waits for the first of them. Empty: the listing ends there.
    pub async fn from(&self, from: usize, most: usize) -> Result<Vec<Arc<Entry>>, NamespaceError> {
        loop {
            // Registered before looking, so that an arrival in between is not missed.
            let grown = self.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            {
                let state = self.lock();
                if from < state.entries.len() {
                    return Ok(state.entries.iter().skip(from).take(most).cloned().collect());
                }
                match &state.end {
                    Some(Ok(())) => return Ok(Vec::new()),
                    Some(Err(error)) => return Err(error.clone()),
                    None => {}
                }
            }
            grown.await;
        }
    }

    /// All entries, once the listing is complete.
    pub async fn all(&self) -> Result<Vec<Arc<Entry>>, NamespaceError> {
        self.from(usize::MAX, 0).await?;
        Ok(self.lock().entries.clone())
    }
}

/// Whether a name of the store can be a name in a directory; the reason where not.
pub(crate) fn presentable(name: &str) -> Result<(), &'static str> {
    match name {
        "" | "." | ".." => Err("it is reserved"),
        _ if name.len() > NAME_BYTES => Err("it is longer than 255 bytes"),
        _ if name.contains(['/', '\0']) => Err("it holds a slash or a NUL"),
        _ => Ok(()),
    }
}
