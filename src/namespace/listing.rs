//! A folder's listing, read ahead of whoever walks through it.
//!
//! A listing is read once, page after page, by a task of its own; readers take entries by position and wait only for
//! what has not arrived yet. Positions are stable, so a directory handle of the kernel is a listing and a number.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::Notify;

use super::error::NamespaceError;
use crate::source::{Entry, Source};

/// Longest name the kernel and every file system take. A listing with a longer one would fail as a whole.
pub const NAME_BYTES: usize = 255;

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
            let mut cursor = None;
            loop {
                let page = source.list(path, cursor.as_ref()).await;
                let Some(listing) = reading.listing.upgrade() else { return };
                let more = match page {
                    Ok(page) => {
                        let next = page.next;
                        listing.add(path, page.entries);
                        // A cursor that does not move would list for ever.
                        let stuck = next.is_some() && next == cursor;
                        cursor = next;
                        if cursor.is_none() || stuck {
                            listing.lock().end = Some(Ok(()));
                        }
                        cursor.is_some() && !stuck
                    }
                    Err(error) => {
                        listing.lock().end = Some(Err(NamespaceError::source(path, error)));
                        false
                    }
                };
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

    fn add(&self, path: &str, entries: Vec<Entry>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for entry in entries {
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
