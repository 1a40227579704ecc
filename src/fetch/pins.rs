//! Identities that one version of a file was read with: an object that was once read must stay the one it was.
//!
//! A heap of variable-length data and the chunk that points into it, or two halves of a chunk, must come from the same
//! bytes. So the first successful fetch pins what was found for this version, and anything else later is
//! [`FetchError::Stale`]. Answers are compared though `If-Match` was sent: not every service heeds it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::FetchError;
use crate::model::chunk::{ChunkId, Container};
use crate::model::location::{ETag, Location};
use crate::store::Meta;

/// What tells one state of an object from another.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    etag: Option<ETag>,
    modified: SystemTime,
    size: u64,
}

impl Identity {
    pub(super) fn of(meta: &Meta) -> Identity {
        Identity { etag: meta.etag.clone(), modified: meta.modified, size: meta.size }
    }

    /// Whether two answers are of one state: by their tags, and where either came without one, by when the object was
    /// written and its bytes.
    fn is(&self, other: &Identity) -> bool {
        match (&self.etag, &other.etag) {
            (Some(one), Some(other)) => one.names_same(other),
            _ => (self.modified, self.size) == (other.modified, other.size),
        }
    }

    /// The tag that a request can be bound to.
    fn condition(&self) -> Option<&ETag> {
        self.etag.as_ref().filter(|etag| etag.is_strong())
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        match &self.etag {
            Some(etag) => etag.hash(&mut hasher),
            None => (self.modified, self.size).hash(&mut hasher),
        }
        hasher.finish()
    }
}

/// An object that is read in part.
#[derive(Debug)]
enum Pin {
    /// It was this one.
    Is(Identity),
    /// Two answers differed: whatever comes now may belong to neither.
    Changed,
}

/// The pins of one version.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Chunks that are objects of their own, by a hash of their identity: a file may have tens of millions, and these
    /// are compared but never sent.
    chunks: Mutex<HashMap<ChunkId, u64>>,
    /// Objects that are read in part, whose tag is sent along.
    locations: Mutex<HashMap<Location, Pin>>,
}

/// The maps are whole after every single insertion, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stale(location: &Location) -> FetchError {
    FetchError::Stale { location: location.clone() }
}

impl Pins {
    /// The pins of a file that was read from one object: it must stay the one that it was then.
    pub fn of(container: &Container) -> Pins {
        let Container { location, size, etag, modified } = container.clone();
        let pins = Pins::default();
        lock(&pins.locations).insert(location, Pin::Is(Identity { etag, modified, size }));
        pins
    }

    /// Whether the chunk was read before as another object.
    pub fn check_chunk(&self, id: ChunkId, identity: &Identity, location: &Location) -> Result<(), FetchError> {
        match lock(&self.chunks).get(&id) {
            Some(held) if *held != identity.digest() => Err(stale(location)),
            _ => Ok(()),
        }
    }

    /// Whether the chunk was read before.
    pub fn holds_chunk(&self, id: ChunkId) -> bool {
        lock(&self.chunks).contains_key(&id)
    }

    /// Whether the chunk was read before as this very object.
    pub fn is_chunk(&self, id: ChunkId, identity: &Identity) -> bool {
        lock(&self.chunks).get(&id) == Some(&identity.digest())
    }

    /// Pins the chunk, or compares it with what another reader pinned meanwhile.
    pub fn pin_chunk(&self, id: ChunkId, identity: &Identity, location: &Location) -> Result<(), FetchError> {
        let digest = identity.digest();
        let held = *lock(&self.chunks).entry(id).or_insert(digest);
        if held == digest { Ok(()) } else { Err(stale(location)) }
    }

    /// Whether the object was read before.
    pub fn holds_location(&self, location: &Location) -> bool {
        lock(&self.locations).contains_key(location)
    }

    /// The tag to send along; an error at once where the object is known to have changed.
    pub fn condition(&self, location: &Location) -> Result<Option<ETag>, FetchError> {
        match lock(&self.locations).get(location) {
            None => Ok(None),
            Some(Pin::Is(identity)) => Ok(identity.condition().cloned()),
            Some(Pin::Changed) => Err(stale(location)),
        }
    }

    /// Whether an object that is read in part was read before as another one: from then on it is not read again.
    pub fn check_location(&self, location: &Location, identity: &Identity) -> Result<(), FetchError> {
        match lock(&self.locations).get_mut(location) {
            None => Ok(()),
            Some(Pin::Is(held)) if held.is(identity) => Ok(()),
            Some(pin) => {
                *pin = Pin::Changed;
                Err(stale(location))
            }
        }
    }

    /// Pins an object that is read in part, or compares it with what another reader pinned meanwhile.
    pub fn pin_location(&self, location: &Location, identity: &Identity) -> Result<(), FetchError> {
        let mut locations = lock(&self.locations);
        match locations.get_mut(location) {
            Some(Pin::Is(held)) if held.is(identity) => Ok(()),
            Some(pin) => {
                *pin = Pin::Changed;
                Err(stale(location))
            }
            None => {
                locations.insert(location.clone(), Pin::Is(identity.clone()));
                Ok(())
            }
        }
    }

    /// The store says that the object is not the one any more that it was asked for.
    pub fn changed(&self, location: &Location) -> FetchError {
        lock(&self.locations).insert(location.clone(), Pin::Changed);
        stale(location)
    }
}
