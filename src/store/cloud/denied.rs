//! What a 403 may mean in a bucket that denies LIST: there S3 refuses a key that does not exist as it refuses one that
//! may not be read.
//!
//! With [`Access::missing_as_403`](crate::store::Access) a refusal for lack of rights counts as "no such object" only
//! with evidence of that moment, from the same credentials: a name that nobody gave is refused just so, and an object
//! that was read before, in the same folder or the nearest above it, is still granted. The evidence is gathered once for
//! all who wait for it and believed for [`BELIEVED`]; a refusal for any other reason is never absence.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Cloud, Service};
use crate::model::location::Key;
use crate::store::{Denial, Get, StoreError};

/// How long the evidence holds. Rights change when tokens end and people edit policies, which takes effect within
/// seconds anyway; a dataset of which most chunks are missing must not cost three requests a chunk.
const BELIEVED: Duration = Duration::from_secs(1);
/// Folders of which an object is remembered.
const FOLDERS: usize = 10_000;
/// Nearest folders of a key that may hold the object: deeper than `db/<root>`, the objects of one file.
const SHALLOWEST: usize = 2;

/// What to do about a refusal in a bucket that may not be listed.
const REMEDY: &str = "this bucket may not be listed, and then it also refuses what is not there: permit listing it, or \
                      mount with --missing-as-403";

/// What is known of a bucket that denies LIST.
#[derive(Debug, Default)]
pub struct Granted {
    /// Last key that was granted, by folder.
    keys: Mutex<HashMap<String, Key>>,
    /// Evidence by the object it rests on: when it was gathered, and whether absence is refused like lack of rights.
    evidence: Mutex<HashMap<Key, Evidence>>,
}

type Evidence = Arc<tokio::sync::Mutex<Option<(Instant, bool)>>>;

impl Granted {
    fn keys(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// `key` was granted.
    pub fn note(&self, key: &Key) {
        let (folder, _) = key.as_str().rsplit_once('/').unwrap_or_default();
        let mut keys = self.keys();
        if keys.len() >= FOLDERS && !keys.contains_key(folder) {
            keys.clear();
        }
        // The first is as good as the last, and its evidence may be there already.
        keys.entry(folder.to_owned()).or_insert_with(|| key.clone());
    }

    /// `key` is not granted any more.
    fn forget(&self, key: &Key) {
        self.keys().retain(|_, known| known != key);
    }

    /// An object that was granted, in the folder of `key` or the nearest above it.
    fn beside(&self, key: &Key) -> Option<Key> {
        let keys = self.keys();
        let (own, _) = key.as_str().rsplit_once('/').unwrap_or_default();
        let mut folder = own;
        loop {
            if let Some(known) = keys.get(folder).filter(|known| *known != key) {
                return Some(known.clone());
            }
            folder = folder.rsplit_once('/')?.0;
            if folder.split('/').count() < SHALLOWEST {
                return None;
            }
        }
    }

    fn evidence(&self, known: &Key) -> Evidence {
        let mut evidence = self.evidence.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if evidence.len() >= FOLDERS {
            evidence.clear();
        }
        Arc::clone(evidence.entry(known.clone()).or_default())
    }
}

impl Cloud {
    /// `error`, which a request for `key` failed of, or that there is no such object.
    pub(super) async fn absent_or(&self, key: &Key, error: StoreError, permit: Permits) -> StoreError {
        if !is_refused(&error) {
            return error;
        }
        let Some(granted) = &self.granted else { return self.remedied(error) };
        let Some(known) = granted.beside(key) else {
            tracing::debug!(%key, "refused, and nothing beside it was ever granted: not taken for missing");
            return error;
        };
        let evidence = granted.evidence(&known);
        let mut evidence = evidence.lock().await;
        let fresh = evidence.filter(|(then, _)| then.elapsed() < BELIEVED);
        let proven = match fresh {
            Some((_, proven)) => proven,
            None => {
                let began = Instant::now();
                let proven = self.refuses_absence(key, &known, permit).await;
                *evidence = Some((began, proven));
                proven
            }
        };
        if proven { StoreError::NotFound { location: self.location(key) } } else { error }
    }

    /// The same refusal, with what helps where it may be due to a listing that is denied.
    fn remedied(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Forbidden { location, denial, reason } if self.unlisted.load(Ordering::Relaxed) => {
                let reason = format!("{reason}; {REMEDY}");
                StoreError::Forbidden { location, denial, reason }
            }
            error => error,
        }
    }

    /// Notes whether the bucket may be listed.
    pub(super) fn note_listing<T>(&self, listed: Result<T, StoreError>) -> Result<T, StoreError> {
        match &listed {
            Ok(_) => self.unlisted.store(false, Ordering::Relaxed),
            Err(error) if is_refused(error) => self.unlisted.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        listed
    }

    /// Whether a key that nobody made is refused for lack of rights, and `known` granted.
    async fn refuses_absence(&self, key: &Key, known: &Key, permits: Permits) -> bool {
        let (folder, _) = key.as_str().rsplit_once('/').unwrap_or_default();
        let slash = if folder.is_empty() { "" } else { "/" };
        let nobodys = Key::new(format!("{folder}{slash}.h5mount-no-such-object-{:016x}", fastrand::u64(..)));
        let (absent, there) = tokio::join!(self.first_byte(&nobodys, &permits), self.first_byte(known, &permits));
        let refused = absent.is_err_and(|error| is_refused(&error));
        // An empty object has no first byte, but its end is told only to those who may read it.
        let granted = matches!(there, Ok(()) | Err(StoreError::Range { .. }));
        if let (Err(error), Some(memory)) = (&there, &self.granted)
            && !granted
        {
            tracing::debug!(%error, "what was granted before is refused now: nothing is taken for missing");
            if error.is_not_found() {
                memory.forget(known);
            }
        }
        refused && granted
    }

    async fn first_byte(&self, key: &Key, permits: &Permits) -> Result<(), StoreError> {
        let path = self.path(key)?;
        let get = Get { range: Some(0..1), if_match: None, at_most: 1 };
        let held = super::body::Held::default();
        let permit = Arc::clone(permits).acquire_owned().await.ok();
        let ask = |service: Arc<Service>, patience| {
            let (path, get, held) = (&path, &get, &held);
            async move { self.get_once(&service, key, path, get, held, patience).await }.boxed()
        };
        self.ask(key, permit, ask).await.map(|_| ())
    }
}

fn is_refused(error: &StoreError) -> bool {
    matches!(error, StoreError::Forbidden { denial: Denial::Rights, .. })
}

/// Places among the requests in flight.
pub type Permits = Arc<tokio::sync::Semaphore>;

/// Where `permit` is one of.
pub fn permits(permit: &OwnedSemaphorePermit) -> Permits {
    Arc::clone(permit.semaphore())
}
