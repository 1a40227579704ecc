//! What is asked beside the objects of a file: statistics, the folders of its datasets, a summary and the listing that vouches
//! for it.
//!
//! [`super::loader`] asks for all of it while it reads the objects, and goes by what comes of it.

use std::collections::HashMap;
use std::time::SystemTime;

use super::document::Document;
use super::documents::{identity, parse};
use super::id::{Id, IdKind};
use super::statistics::Statistics;
use super::{HsdsSource, freshness, is_refused, key, summary};
use crate::model::limits;
use crate::model::location::{ETag, Key};
use crate::store::{Meta, Object, StoreError, Urgency};

/// Scan statistics as they were found.
#[derive(Debug)]
pub(super) struct Told {
    pub key: Key,
    pub root: Id,
    pub tag: Option<ETag>,
    pub written: Option<SystemTime>,
    pub statistics: Option<Statistics>,
}

/// A listing that vouches for a summary.
#[derive(Debug)]
pub(super) struct Pages {
    pub root: Id,
    pub below: Key,
    pub pages: usize,
    /// When whoever wrote the summary began to read the objects.
    pub began: SystemTime,
}

/// Objects of a file as its summary gives them, each with what the store says of the object itself.
#[derive(Debug)]
pub(super) struct Summed {
    pub root: Id,
    pub objects: HashMap<Id, (Key, Document, Meta)>,
}

impl HsdsSource {
    /// The scan statistics of a file, with their identity: `None` where there can be none, or nobody may know of them.
    pub(super) async fn statistics(&self, root: Id) -> Result<Option<Told>, StoreError> {
        let Some(key) = key::info(&root) else { return Ok(None) };
        let asked = match self.counted(root, key.clone()).await {
            // Where nothing may be listed, what is absent is refused. A store that is to take that for absence needs an
            // object of the file that it was granted; the first answer may have come before any.
            Err(error) if is_refused(&error) => {
                // Whether the root can be read is told where it is.
                let _granted = self.store.head(&root.metadata_key()).await;
                self.counted(root, key).await
            }
            asked => asked,
        };
        match asked {
            // A file does not need them: without, it is compared object by object.
            Err(error) if is_refused(&error) => Ok(None),
            asked => asked.map(Some),
        }
    }

    async fn counted(&self, root: Id, key: Key) -> Result<Told, StoreError> {
        let (tag, written, statistics) = if self.store.capabilities().directories {
            // A look at an object costs next to nothing there, so nothing that they count is of use.
            (freshness::now(&self.store, &key).await?, None, None)
        } else {
            match self.store.get_if(&key, None, limits::DOCUMENT_BYTES).await {
                Ok(object) => {
                    let statistics = parse(object.bytes).await.ok().map(|document| Statistics::of(&document));
                    (Some(identity(&object.meta)), Some(object.meta.modified), statistics)
                }
                Err(StoreError::TooLarge { .. }) => (freshness::now(&self.store, &key).await?, None, None),
                Err(error) if error.is_not_found() => (None, None, None),
                Err(error) => return Err(error),
            }
        };
        Ok(Told { key, root, tag, written, statistics })
    }

    /// Datasets of a file as one page of their folders names them. It only serves to ask earlier, so a failure is none.
    pub(super) async fn datasets(&self, root: Id, folder: String) -> Vec<Id> {
        let listing = self.store.at(Urgency::Ahead).list(&folder, None).await.unwrap_or_default();
        listing.folders.iter().filter_map(|name| root.beside(IdKind::Dataset, name)).collect()
    }

    /// The summary of a file, as far as the listing vouches for it; `None` where it does not. It only serves
    /// to save requests, so a failure is none.
    ///
    /// The pages have to hold all keys; the summary as it was read, with every object written before whoever made it began
    /// to read them, and not in the same second; and exactly the objects that the summary has. An entry that is not all of its object is left away.
    pub(super) async fn summary(&self, summary: Object, Pages { root, below, pages, began }: Pages) -> Option<Summed> {
        let key = key::summary(&root)?;
        let listed = self.pages(&below, pages).await.ok()??;
        let its = listed.get(&key).filter(|its| identity(its) == identity(&summary.meta))?;
        let beside = [Some(&key), key::info(&root).as_ref()].map(|key| key.cloned());
        let documents = listed.iter().filter(|(key, _)| key.as_str().ends_with(".json"));
        let documents: HashMap<&Key, &Meta> =
            documents.filter(|(key, _)| !beside.contains(&Some((*key).clone()))).collect();
        let whole_seconds =
            |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs());
        let written = whole_seconds(its.modified.min(began));
        if documents.values().any(|meta| whole_seconds(meta.modified) >= written) {
            return None;
        }
        // A large one takes as long as a large document, and longer than a reader of something else should wait.
        let entries = tokio::task::spawn_blocking(move || summary::entries(&summary.bytes)).await.ok()?.ok()?;
        let known = |entry: &summary::Entry| documents.contains_key(&entry.id.metadata_key());
        if entries.len() != documents.len() || !entries.iter().all(known) {
            return None;
        }
        let objects = entries.into_iter().filter_map(|entry| {
            let key = entry.id.metadata_key();
            let meta = (*documents.get(&key)?).clone();
            entry.is_all_of(meta.size).then_some((entry.id, (key, entry.document, meta)))
        });
        Some(Summed { root, objects: objects.collect() })
    }
}
