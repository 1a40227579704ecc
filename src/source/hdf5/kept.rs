//! Indexes of HDF5 files: where they are looked for, whether they still hold, and what is kept for the next mount.
//!
//! One that is kept near, or in a folder of indexes, is compared with what the look-up of the file's name told a moment ago, so that
//! the file opens without another request; without that, one HEAD request tells. One that lies beside the file is asked for
//! together with the head of the file. Of files that one request reads whole there is none.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::index::{self, Found, State};
use super::load::{Object, as_it_is};
use super::reading::HEAD;
use super::{Hdf5Files, Hdf5Source, Seen, identity};
use crate::layout::scan::Place;
use crate::model::location::{ETag, Key};
use crate::source::shelf::{Checked, Description, Unkept};
use crate::source::{Entry, EntryKind, SourceError};
use crate::store::Meta;

/// Largest index that is read from a store; some ten million chunks.
const LARGEST: u64 = 256 << 20;
/// What the name of an index ends with that lies beside its file.
const END: &str = ".h5mount-index";
/// How long ago a file must have been written that is known by its size and time alone: within the grain of a clock it could
/// have changed twice.
const SETTLED: Duration = Duration::from_secs(2);

/// Whether an entry is an index that lies beside its file.
pub(super) fn is_index(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Plain { .. }) && entry.name.starts_with('.') && entry.name.ends_with(END)
}

/// Where the index of the file at a key lies beside it.
fn key_beside(key: &Key) -> Key {
    match key.as_str().rsplit_once('/') {
        Some((folder, name)) => Key::new(format!("{folder}/.{name}{END}")),
        None => Key::new(format!(".{key}{END}")),
    }
}

impl Hdf5Source {
    /// What is kept of a file somewhere else than beside it, and the state of the file that this is of.
    pub(super) async fn held(&self, seen: &Seen) -> Result<Option<(Meta, Found)>, SourceError> {
        if seen.size <= HEAD {
            return Ok(None);
        }
        let location = self.store.location(&seen.key);
        let mut known = seen.meta();
        let mut asked = false;
        for shelf in [&self.shelves.own, &self.shelves.given].into_iter().flatten() {
            let Some(bytes) = shelf.get(&location).await else { continue };
            // A listing may spell a tag otherwise than the object itself.
            let fits = |meta: &Meta| index::is_of(&bytes, &identity(meta), meta.size);
            if !asked && !known.as_ref().is_some_and(fits) {
                known = Some(self.store.head(&seen.key).await?);
                asked = true;
            }
            let Some(meta) = known.clone() else { continue };
            if let Some(known) = self.agreeing(Some(bytes), &meta).await {
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// What an index says, where it is that of a file in this state; and the state as the index has it, as the object itself told:
    /// a listing may spell a tag or a time otherwise.
    pub(super) async fn agreeing(&self, bytes: Option<Bytes>, meta: &Meta) -> Option<(Meta, Found)> {
        let bytes = bytes.filter(|bytes| index::is_of(bytes, &identity(meta), meta.size))?;
        let most = self.memory.most;
        let _counted = (self.memory.hold)(index::takes(&bytes).min(most));
        let decoded = tokio::task::spawn_blocking(move || index::decode(&bytes, most)).await.ok()?;
        let useless =
            |error: &index::Damaged| tracing::debug!(%error, "an index is of no use; its file is read instead");
        let (state, found) = decoded.inspect_err(useless).ok()?;
        let etag = meta.etag.as_ref().map(|_| state.tag);
        Some((Meta { size: state.size, etag, modified: state.modified }, found))
    }

    /// The index that lies beside a file. It only serves to save requests, so a failure is none.
    pub(super) async fn beside(&self, key: &Key) -> Option<Bytes> {
        if self.store.capabilities().directories {
            return None;
        }
        Some(self.store.get_if(&key_beside(key), None, LARGEST).await.ok()?.bytes)
    }

    /// Keeps what was found for the next mount.
    pub(super) async fn keep(&self, object: &Object<'_>, found: Found) -> Result<Found, SourceError> {
        let Some(own) = self.shelves.own.clone().filter(|_| self.is_settled(&object.meta)) else { return Ok(found) };
        let state = state(&object.meta);
        let encoded = tokio::task::spawn_blocking(move || (index::encode(&state, &found), found));
        let (encoded, found) = encoded.await.map_err(|stopped| object.stopped(&stopped))?;
        let location = self.store.location(object.key);
        if let Some(bytes) = encoded {
            // Nobody waits for it, and it costs nothing but the next start if it fails.
            tokio::spawn(async move {
                if let Err(error) = own.put(&location, bytes.into()).await {
                    tracing::debug!(%location, error, "the index of the file was not kept");
                }
            });
        }
        Ok(found)
    }

    /// Whether its identity tells a state of a file from all others.
    fn is_settled(&self, meta: &Meta) -> bool {
        let told = meta.etag.as_ref().is_some_and(ETag::is_strong) && !self.store.capabilities().directories;
        told || SystemTime::now().duration_since(meta.modified).is_ok_and(|since| since >= SETTLED)
    }

    /// The index of a file, read anew.
    pub(super) async fn described(&self, seen: &Seen) -> Result<Description, SourceError> {
        let (meta, found) = self.scan(seen).await?;
        let mut description = Description {
            domain: self.store.location(&seen.key),
            beside: Some(key_beside(&seen.key)).filter(|_| !self.store.capabilities().directories),
            bytes: Bytes::new(),
            objects: 0,
            chunks: None,
            checked: Ok(Checked::Identity),
        };
        let found = match found {
            Ok(found) => found,
            Err(unread) => {
                description.checked = Err(Unkept::Needless(format!("it is shown as it is: {}", unread.reason)));
                return Ok(description);
            }
        };
        description.objects = found.hierarchy.objects.len() as u64;
        description.chunks = Some(chunks(&found));
        if let Some(reason) = as_it_is(&found).filter(|_| self.files == Hdf5Files::Auto) {
            description.checked = Err(Unkept::Needless(format!("it is shown as it is: {reason}")));
        } else if meta.size <= HEAD {
            description.checked = Err(Unkept::Needless("it needs none: one request reads all of it".to_owned()));
        } else if !self.is_settled(&meta) {
            description.checked = Err(Unkept::NotNow("it was written a moment ago; try again".to_owned()));
        } else {
            let state = state(&meta);
            let encoded = tokio::task::spawn_blocking(move || index::encode(&state, &found)).await;
            match encoded.ok().flatten() {
                Some(bytes) => description.bytes = bytes.into(),
                None => {
                    description.checked =
                        Err(Unkept::NotNow("it holds something that an index has no words for".to_owned()))
                }
            }
        }
        Ok(description)
    }
}

/// The state that an index is of.
fn state(meta: &Meta) -> State {
    State { tag: identity(meta), size: meta.size, modified: meta.modified }
}

/// Chunks of which the place is known.
fn chunks(found: &Found) -> u64 {
    let listed = found.placements.iter().flatten().map(|placement| match &placement.place {
        Place::Listed(chunks) => chunks.len() as u64,
        Place::Even { .. } => placement.grid.total(),
        Place::Piece(_) => 1,
        Place::Nowhere => 0,
    });
    listed.fold(0, u64::saturating_add)
}
