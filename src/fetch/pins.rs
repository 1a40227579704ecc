//! Identities that one version of a file was read with: an object that was once read must stay the one it was.
//!
//! A heap of variable-length data and the chunk that points into it, or two halves of a chunk, must come from the same
//! bytes. So the first successful fetch pins the object's entity tag for this version, and another tag later is
//! [`FetchError::Stale`].

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::FetchError;
use crate::model::chunk::ChunkId;
use crate::model::location::{ETag, Location};

/// The pins of one version.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Chunks that are objects of their own, by a hash of their tag: a file may have tens of millions, and these are
    /// compared but never sent.
    chunks: Mutex<HashMap<ChunkId, u64>>,
    /// Objects that are read in part, whose tag is sent along.
    locations: Mutex<HashMap<Location, ETag>>,
}

/// The maps are whole after every single insertion, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn digest(etag: &ETag) -> u64 {
    let mut hasher = DefaultHasher::new();
    etag.hash(&mut hasher);
    hasher.finish()
}

impl Pins {
    /// Whether the chunk was read before with another tag. A store without tags pins nothing.
    pub fn check_chunk(&self, id: ChunkId, etag: Option<&ETag>, location: &Location) -> Result<(), FetchError> {
        let held = lock(&self.chunks).get(&id).copied();
        match (held, etag) {
            (Some(held), Some(etag)) if held != digest(etag) => Err(FetchError::Stale { location: location.clone() }),
            _ => Ok(()),
        }
    }

    /// Whether the chunk was read before.
    pub fn holds_chunk(&self, id: ChunkId) -> bool {
        lock(&self.chunks).contains_key(&id)
    }

    /// Pins the chunk's tag, or compares it with the one that another reader pinned meanwhile.
    pub fn pin_chunk(&self, id: ChunkId, etag: Option<&ETag>, location: &Location) -> Result<(), FetchError> {
        let Some(etag) = etag else { return Ok(()) };
        let held = *lock(&self.chunks).entry(id).or_insert_with(|| digest(etag));
        if held == digest(etag) { Ok(()) } else { Err(FetchError::Stale { location: location.clone() }) }
    }

    /// The tag to send along.
    pub fn location(&self, location: &Location) -> Option<ETag> {
        lock(&self.locations).get(location).cloned()
    }

    /// Pins an object's tag, or compares it with the one that another reader pinned meanwhile.
    pub fn pin_location(&self, location: &Location, etag: Option<&ETag>) -> Result<(), FetchError> {
        let Some(etag) = etag else { return Ok(()) };
        let mut locations = lock(&self.locations);
        match locations.get(location) {
            Some(held) if held != etag => Err(FetchError::Stale { location: location.clone() }),
            Some(_) => Ok(()),
            None => {
                locations.insert(location.clone(), etag.clone());
                Ok(())
            }
        }
    }
}
