//! Linked data: objects elsewhere that chunks of a file lie in, and what is to be told of them.
//!
//! Such a target was there before the dataset that names it, so one that was written later is suspect: the offsets may
//! lead into other bytes. A target is judged by the answers that reads of it bring, which costs no request. Who wants
//! to know before anything is read (a strict mount, `h5mount info`, the extended attribute) has the targets looked at
//! that the description names; those that only rows of a chunk table name are thousands, and stay with their reads.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::stream::{self, StreamExt};

use super::pins::Identity;
use super::{FetchError, Fetcher, FileChunks};
use crate::model::hierarchy::ObjectId;
use crate::model::location::Location;
use crate::model::problem::Problem;
use crate::store::{Meta, StoreError};

/// Targets of one file that are looked at before they are read. A dataset names one in its description, and files with
/// more distinct ones than this are as well judged by what is read of them.
const LOOKED_AT: usize = 1000;
/// Of these at the same time; the store's own limit is the same.
const TOGETHER: usize = 64;
/// Problems kept of one version, as many as of its description: a chunk table may name any number of targets.
const PROBLEMS: usize = 10_000;

/// What one version has to tell of its targets.
#[derive(Debug, Default)]
pub(super) struct Links {
    noted: Mutex<Noted>,
    /// Held while the targets are looked at; whether each of them answered.
    looked: tokio::sync::Mutex<bool>,
}

#[derive(Debug, Default)]
struct Noted {
    targets: HashSet<Location>,
    problems: Vec<Problem>,
}

impl Links {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        // A set and a list that may differ by one entry after a panic between them: nothing is wrong with either.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything noted so far.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.noted().problems.clone()
    }

    /// Notes one problem for a target, and tells the log.
    fn note(&self, file: &FileChunks, dataset: ObjectId, location: &Location, reason: String) {
        let mut noted = self.noted();
        if noted.problems.len() >= PROBLEMS || !noted.targets.insert(location.clone()) {
            return;
        }
        let problem = Problem { path: file.path(dataset), key: location.to_string(), reason };
        tracing::warn!(file = %file.about.file, "{problem}");
        noted.problems.push(problem);
    }
}

impl FileChunks {
    /// What is to be told of linked data, as far as it was looked at or read.
    pub fn problems(&self) -> Vec<Problem> {
        self.links.problems()
    }

    /// Judges a target by what the store says of it.
    pub(super) fn judge(&self, dataset: ObjectId, location: &Location, meta: &Meta) -> Result<(), FetchError> {
        // The dataset's own document, not the youngest of the file: that another object changed since says nothing.
        let described = self.map.described(dataset).or(self.about.modified);
        if described.is_none_or(|described| meta.modified <= described) {
            return Ok(());
        }
        let reason = "linked data were written later than what describes them, and may have moved: \
                      link them anew if values look wrong";
        self.links.note(self, dataset, location, reason.to_owned());
        if self.about.strict { Err(FetchError::Younger { location: location.clone() }) } else { Ok(()) }
    }

    /// What it means that a target cannot be had; notes what a person has to mend.
    pub(super) fn unlinked(&self, dataset: ObjectId, location: &Location, error: StoreError) -> FetchError {
        match error {
            StoreError::NotFound { .. } => {
                self.links.note(self, dataset, location, "linked data are gone: restore them".to_owned());
                FetchError::Gone { location: location.clone() }
            }
            StoreError::Unsupported { reason, .. } => {
                self.links.note(self, dataset, location, format!("linked data are not followed: {reason}"));
                FetchError::NotFollowed { location: location.clone(), reason }
            }
            StoreError::Changed { .. } => self.pins.changed(location),
            error => {
                if matches!(error, StoreError::Forbidden { .. }) {
                    self.links.note(self, dataset, location, format!("linked data may not be read: {error}"));
                }
                error.into()
            }
        }
    }
}

impl Fetcher {
    /// Looks at the targets that the description of a file names, without reading a byte of them: one request for each
    /// distinct one, once in a version. What is found is in [`FileChunks::problems`].
    pub async fn look_at_links(&self, file: &FileChunks) {
        let mut looked = file.links.looked.lock().await;
        if *looked {
            return;
        }
        let mut distinct = HashSet::new();
        let targets = file.map.targets();
        let targets = targets.iter().filter(|(_, location)| distinct.insert(location)).take(LOOKED_AT);
        let targets: Vec<_> = targets.cloned().collect();
        let answered = stream::iter(targets)
            .map(|(dataset, location)| async move {
                let meta = match file.stores.get(&location.bucket).await {
                    Ok(store) => store.head(&location.key).await,
                    Err(error) => Err(error),
                };
                match meta {
                    // What was judged is what will be read.
                    Ok(meta) => {
                        let _ = file.pins.pin_location(&location, &Identity::of(&meta));
                        let _ = file.judge(dataset, &location, &meta);
                        true
                    }
                    Err(error) => {
                        let lasting = !error.is_transient();
                        file.unlinked(dataset, &location, error);
                        lasting
                    }
                }
            })
            .buffer_unordered(TOGETHER)
            .fold(true, |all, one| async move { all && one });
        *looked = answered.await;
    }
}
