//! Whether the objects a version was read from are still the same.
//!
//! Each is asked for by HEAD, many at a time, the domain first: where that is gone, so is the file. A link that leads
//! to a new object is a changed group, so objects that the version does not know need not be looked for. One HEAD an
//! object is a `stat` on a directory tree. (A LIST of the file's prefix would page through its chunks, of which there
//! may be thousands for each object.)
//!
//! Writing a chunk changes none of these objects. What does change some 10 to 20 seconds after any write is HSDS's scan
//! statistics of the file, so their identity is part of the fingerprint too, though nothing of them is shown.

use futures::stream::{self, StreamExt};

use super::loader::identity;
use crate::model::location::{ETag, Key};
use crate::source::{Fingerprint, Freshness, SourceError};
use crate::store::{Store, StoreError};

/// End of the key of a file's scan statistics.
const STATISTICS: &str = "/.info.json";

impl Fingerprint {
    /// Whether a file of which only chunks change changes this too, sooner or later. The first schema and stores that
    /// HSDS did not write have no scan statistics: nothing there tells of changed chunks.
    pub fn tells_of_chunks(&self) -> bool {
        self.objects.iter().any(|(key, tag)| tag.is_some() && key.as_str().ends_with(STATISTICS))
    }
}

/// What became of `fingerprint`, asking for `in_flight` objects at a time. Ends at the first difference.
pub async fn still_holds(store: &Store, fingerprint: &Fingerprint, in_flight: usize) -> Result<Freshness, SourceError> {
    let (domains, objects): (Vec<_>, Vec<_>) =
        fingerprint.objects.iter().partition(|(key, _)| key.as_str().ends_with(".domain.json"));
    for (key, was) in domains {
        match (now(store, key).await?, was) {
            (None, Some(_)) => return Ok(Freshness::Gone),
            (now, was) if now != *was => return Ok(Freshness::Changed),
            _ => {}
        }
    }
    let objects: Vec<(Key, Option<ETag>)> = objects.into_iter().map(|(key, was)| (key.clone(), was.clone())).collect();
    let mut checks = stream::iter(objects)
        .map(|(key, was)| async move { Ok::<_, SourceError>(now(store, &key).await? == was) })
        .buffer_unordered(in_flight.max(1));
    while let Some(same) = checks.next().await {
        if !same? {
            return Ok(Freshness::Changed);
        }
    }
    Ok(Freshness::Unchanged)
}

/// The identity of an object now; `None` where it is absent.
pub(super) async fn now(store: &Store, key: &Key) -> Result<Option<ETag>, StoreError> {
    match store.head(key).await {
        Ok(meta) => Ok(Some(identity(&meta))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
