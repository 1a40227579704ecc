//! Descriptions of files that were kept, and whether they still are what the store has.
//!
//! [`index`](super::index) says what one is. One that was kept on local disk is compared while the file's name is looked up, so
//! that the first opener after a start waits for one question to the store; one of a folder of indexes while the domain is read. One
//! that lies beside the file is asked for once the statistics say that the file has many objects, and these and the domain
//! are what it is compared with.
//!
//! What was read anew is kept for the next start, unless it is still being written: then the statistics do not tell yet of
//! what was read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::id::Id;
use super::index::{self, Index};
use super::loader::Loaded;
use super::{HsdsSource, key};
use crate::model::location::Key;
use crate::source::shelf::{Checked, Description, Shelf, Shelves, Unkept};
use crate::source::{Freshness, SourceError};

/// How long a comparison made at the look-up serves the open that follows it, as long as the domain that was looked up does.
const KEPT: Duration = Duration::from_secs(1);
/// Descriptions kept for that at most: each may be all of a large file, though compressed.
const WHOLE: usize = 8;
/// Names at most of which is known that nothing is kept; as many as are looked up within the second.
const NAMES: usize = 256;
/// Objects that are looked at one by one: as many as are asked for at once.
const FEW: usize = 64;
/// Objects of a file that nobody counted for which a page of a listing is tried: looked at one by one, they are four times as
/// many as are asked for at once.
const MANY: usize = 4 * FEW;
/// Largest index that is read from a store: 100 MB are a million objects.
pub(super) const INDEX_BYTES: u64 = 256 << 20;
/// Why a description could not be checked.
const UNCOUNTED: &str = "HSDS has not counted the file since it was last changed, so that an index could not be checked; try again \
                         when it has";

/// What the look-up of a moment ago found: a description that holds, or that none does.
#[derive(Debug, Default)]
pub(super) struct Ahead(Arc<Mutex<Found>>);

type Found = HashMap<Key, (Instant, Option<Bytes>)>;

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    // Nothing that panics runs under the lock.
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sweep(found: &mut Found) {
    found.retain(|_, (asked, _)| asked.elapsed() < KEPT);
}

impl Ahead {
    fn lock(&self) -> MutexGuard<'_, Found> {
        lock(&self.0)
    }
}

impl HsdsSource {
    /// This one, with descriptions kept there.
    pub fn keeping(self, shelves: Shelves) -> HsdsSource {
        HsdsSource { shelves, ..self }
    }

    /// Compares what is kept near of the file at a path in the store, for whoever opens it next.
    pub(super) async fn compare_ahead(&self, domain: &Key) {
        let Some(own) = self.shelves.own.as_ref().filter(|own| own.is_near()) else { return };
        let asked = Instant::now();
        let found = self.holding(&**own, domain).await;
        let large = found.is_some();
        let mut ahead = self.ahead.lock();
        sweep(&mut ahead);
        let whole = ahead.values().filter(|(_, found)| found.is_some()).count();
        if ahead.len() < NAMES && (found.is_none() || whole < WHOLE) {
            ahead.insert(domain.clone(), (asked, found));
        }
        drop(ahead);
        if large {
            // Where nobody opens it, it does not stay until the next look-up.
            let ahead = Arc::clone(&self.ahead.0);
            tokio::spawn(async move {
                tokio::time::sleep(KEPT).await;
                sweep(&mut lock(&ahead));
            });
        }
    }

    /// The description of a file that is kept somewhere and still holds but for its domain, which the caller has to compare.
    pub(super) async fn held(&self, domain: &Key) -> Option<Index> {
        let ahead = self.ahead.lock().remove(domain).filter(|(asked, _)| asked.elapsed() < KEPT);
        let own = match ahead {
            Some((_, Some(bytes))) => return self.decoded(bytes).await,
            // Compared just now.
            Some((_, None)) => &None,
            None => &self.shelves.own,
        };
        for shelf in [own, &self.shelves.given].into_iter().flatten() {
            if let Some(bytes) = self.holding(&**shelf, domain).await {
                return self.decoded(bytes).await;
            }
        }
        None
    }

    /// What a shelf has of a file, if it still holds but for the domain. Only what it was read from is decoded: the file
    /// may be large, and perhaps nobody opens it.
    async fn holding(&self, shelf: &dyn Shelf, domain: &Key) -> Option<Bytes> {
        // A look at each object of a directory tree costs as little as reading it.
        if self.store.capabilities().directories {
            return None;
        }
        let bytes = shelf.get(&self.store.location(domain)).await?;
        let (most, whole) = (self.settings.file_bytes, bytes.clone());
        let fingerprint = tokio::task::spawn_blocking(move || index::fingerprint(&whole, most)).await.ok()??;
        match self.compare_below(&fingerprint).await {
            Ok(Freshness::Unchanged) => Some(bytes),
            // Whatever is wrong, reading it anew finds out.
            _ => None,
        }
    }

    /// The index in `bytes`; `None` where it is none.
    pub(super) async fn decoded(&self, bytes: Bytes) -> Option<Index> {
        let most = self.settings.file_bytes;
        tokio::task::spawn_blocking(move || index::decode(&bytes, most)).await.ok().flatten()
    }

    /// The index that lies beside a file with this root; `None` where there is none. It only serves to save requests, so a
    /// failure is none.
    pub(super) async fn beside(&self, root: Id) -> Option<Bytes> {
        let key = key::index(&root)?;
        Some(self.store.get_if(&key, None, INDEX_BYTES).await.ok()?.bytes)
    }

    /// Keeps what was read for the next start.
    pub(super) fn keep(&self, domain: Key, index: Vec<u8>) {
        let Some(own) = self.shelves.own.clone() else { return };
        let location = self.store.location(&domain);
        // Nobody waits for it, and it costs nothing but the next start if it fails.
        tokio::spawn(async move {
            if let Err(error) = own.put(&location, index.into()).await {
                tracing::debug!(%location, error, "what describes the file was not kept");
            }
        });
    }

    /// Whether what was read anew is to be kept.
    pub(super) fn keeps(&self, loaded: &Loaded) -> bool {
        let directories = self.store.capabilities().directories;
        self.shelves.own.is_some() && !directories && !loaded.held && checked(loaded).is_some()
    }

    /// The description of a file, read anew.
    pub(super) async fn describe_file(&self, path: &str) -> Result<Description, SourceError> {
        let domain = key::domain(&self.path_in_store(path));
        let (_, root, loaded) = self.load_anew(path).await?;
        let checked = checked(&loaded);
        let objects = loaded.objects.len() as u64;
        let encoded = tokio::task::spawn_blocking(move || index::encode(&root, &loaded)).await;
        let bytes = match encoded {
            Ok(Ok(bytes)) => bytes.into(),
            Ok(Err(error)) => return Err(SourceError::Invalid { key: domain, reason: error.to_string() }),
            Err(error) => return Err(SourceError::Invalid { key: domain, reason: error.to_string() }),
        };
        let beside = key::index(&root).filter(|_| !self.store.capabilities().directories);
        let checked = checked.ok_or_else(|| Unkept::NotNow(UNCOUNTED.to_owned()));
        Ok(Description { domain: self.store.location(&domain), beside, bytes, objects, chunks: None, checked })
    }
}

/// How it will be found out whether what was read still holds; `None` where that cannot be, or costs as much as reading it.
///
/// Statistics tell only of what was written before them: a file that was changed since they were counted may go on
/// changing without another word from them until they are counted anew.
fn checked(loaded: &Loaded) -> Option<Checked> {
    let fingerprint = &loaded.fingerprint;
    if fingerprint.tells_of_chunks {
        let all = loaded.counted.is_some_and(|counted| loaded.modified.is_none_or(|youngest| counted >= youngest));
        return all.then_some(Checked::Statistics);
    }
    match &fingerprint.page {
        // Whether a page holds all keys shows only when it is asked for; where it does not, each object is looked at.
        Some(_) => (loaded.objects.len() <= MANY).then_some(Checked::Page),
        None => (loaded.objects.len() <= FEW).then_some(Checked::Each),
    }
}
