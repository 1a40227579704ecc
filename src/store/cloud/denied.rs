//! What a 403 may mean in a bucket that denies LIST: there S3 refuses a key that does not exist as it refuses one that
//! may not be read.
//!
//! With [`Access::missing_as_403`](crate::store::Access) a refusal for lack of rights counts as "no such object" only
//! with evidence of that moment, from the same credentials: a name that nobody gave is refused just so, and an object
//! of the same dataset that was read before is still granted. The evidence is gathered once for
//! all who wait for it and believed for [`BELIEVED`]; a refusal for any other reason is never absence.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::{Cloud, Service};
use crate::model::location::Key;
use crate::store::permits::{Permits, Stands};
use crate::store::{Denial, Get, StoreError, Urgency};

/// How long the evidence holds. Rights change when tokens end and people edit policies, which takes effect within
/// seconds anyway; a dataset of which most chunks are missing must not cost three requests a chunk.
const BELIEVED: Duration = Duration::from_secs(1);
/// Folders of which an object is remembered: as many as datasets of some large files; 20 MB at most.
const FOLDERS: usize = 100_000;
/// Segments of the folder of a dataset, `db/<root>/d/<dataset>`, from `db` on; the store may begin below a prefix. Chunks may
/// lie deeper, and then what lies in this folder is of their dataset; what lies above it is not, and policies may well
/// grant the one and not the other.
const DATASET: usize = 4;
/// The first of them.
const FIRST: &str = "db";

/// What to do about a refusal in a bucket that may not be listed.
const REMEDY: &str = "this bucket may not be listed, and then it also refuses what is not there: permit listing it, or \
                      mount with --missing-as-403";

/// What is known of a bucket that denies LIST.
#[derive(Debug, Default)]
pub struct Granted {
    /// First key that was granted, by [`scope`].
    keys: Mutex<HashMap<String, Key>>,
    /// Evidence by the object it rests on: when it was gathered, and how absence is refused, if it is.
    evidence: Mutex<HashMap<Key, Evidence>>,
}

type Evidence = Arc<tokio::sync::Mutex<Option<(Instant, Option<Refusal>)>>>;

/// A refusal that may hide absence: the service's code for it, where it has one.
type Refusal = Option<Box<str>>;

impl Granted {
    fn keys(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// `key` was granted.
    pub fn note(&self, key: &Key) {
        let scope = scope(key);
        let mut keys = self.keys();
        if keys.len() >= FOLDERS && !keys.contains_key(scope) {
            keys.clear();
        }
        // The first is as good as the last, and its evidence may be there already.
        keys.entry(scope.to_owned()).or_insert_with(|| key.clone());
    }

    /// `key` is not granted any more.
    fn forget(&self, key: &Key) {
        self.keys().retain(|_, known| known != key);
    }

    /// An object that was granted, of the dataset that `key` is a part of, or in the same folder.
    fn beside(&self, key: &Key) -> Option<Key> {
        let keys = self.keys();
        let mut scope = scope(key);
        loop {
            if let Some(known) = keys.get(scope).filter(|known| *known != key) {
                return Some(known.clone());
            }
            let below = scope.split('/').rev().position(|segment| segment == FIRST);
            if below.is_none_or(|below| below < DATASET) {
                return None;
            }
            scope = scope.rsplit_once('/')?.0;
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
    pub(super) async fn absent_or(&self, key: &Key, error: StoreError, permits: Arc<Permits>) -> StoreError {
        let Some(refusal) = refused(&error) else { return error };
        let Some(granted) = &self.granted else { return self.remedied(error) };
        let Some(known) = granted.beside(key) else {
            tracing::debug!(%key, "refused, and nothing beside it was ever granted: not taken for missing");
            return error;
        };
        let evidence = granted.evidence(&known);
        let mut evidence = evidence.lock().await;
        let fresh = evidence.take().filter(|(then, _)| then.elapsed() < BELIEVED);
        let (began, of_absence) = match fresh {
            Some(fresh) => fresh,
            None => (Instant::now(), self.refusal_of_absence(key, &known, permits).await),
        };
        let same = of_absence.as_ref() == Some(&refusal);
        *evidence = Some((began, of_absence));
        if same { StoreError::NotFound { location: self.location(key) } } else { error }
    }

    /// The same refusal, with what helps where it may be due to a listing that is denied.
    fn remedied(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Forbidden { location, denial, code, reason } if self.unlisted.load(Ordering::Relaxed) => {
                let reason = format!("{reason}; {REMEDY}");
                StoreError::Forbidden { location, denial, code, reason }
            }
            error => error,
        }
    }

    /// Notes whether the bucket may be listed.
    pub(super) fn note_listing<T>(&self, listed: Result<T, StoreError>) -> Result<T, StoreError> {
        match &listed {
            Ok(_) => self.unlisted.store(false, Ordering::Relaxed),
            Err(error) if refused(error).is_some() => self.unlisted.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        listed
    }

    /// How a key that nobody made is refused for lack of rights; `None` where it is not, or where `known` is not granted.
    async fn refusal_of_absence(&self, key: &Key, known: &Key, permits: Arc<Permits>) -> Option<Refusal> {
        let (folder, _) = key.as_str().rsplit_once('/').unwrap_or_default();
        let slash = if folder.is_empty() { "" } else { "/" };
        let nobodys = Key::new(format!("{folder}{slash}.h5mount-no-such-object-{:016x}", fastrand::u64(..)));
        let (absent, there) = tokio::join!(self.first_byte(&nobodys, &permits), self.first_byte(known, &permits));
        let of_absence = absent.err().and_then(|error| refused(&error));
        // An empty object has no first byte, but its end is told only to those who may read it.
        let granted = matches!(there, Ok(()) | Err(StoreError::Range { .. }));
        if let (Err(error), Some(memory)) = (&there, &self.granted)
            && !granted
        {
            tracing::debug!(%error, "what was granted before is refused now: nothing is taken for missing");
            // Where listing is denied, what was deleted is refused as well.
            if error.is_not_found() || refused(error).is_some() {
                memory.forget(known);
            }
        }
        of_absence.filter(|_| granted)
    }

    async fn first_byte(&self, key: &Key, permits: &Arc<Permits>) -> Result<(), StoreError> {
        let path = self.path(key)?;
        let get = Get { range: Some(0..1), if_match: None, if_none_match: None, at_most: 1 };
        let held = super::body::Held::default();
        let permit = permits.turn(Urgency::Demand).await.map_err(|Stands(seconds)| StoreError::Timeout {
            location: self.location(key),
            seconds: seconds.as_secs(),
        })?;
        let ask = |service: Arc<Service>, waits| {
            let (path, get, held) = (&path, &get, &held);
            async move { self.get_once(&service, key, path, get, held, waits).await }.boxed()
        };
        self.ask(key, Some(permit), ask).await.map(|_| ())
    }
}

/// What objects of one dataset have in common: their folder. Without folders, as in the first schema
/// (`<hash>-<kind>-<id>`, chunks with `_<index>` behind), their id.
fn scope(key: &Key) -> &str {
    let (folder, name) =
        key.as_str().rsplit_once('/').map_or((None, key.as_str()), |(folder, name)| (Some(folder), name));
    let mut parts = name.splitn(3, '-');
    let (hash, kind, id) = (parts.next(), parts.next(), parts.next());
    let hashed = hash.is_some_and(|hash| hash.len() == 5 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match (folder, id) {
        (_, Some(id)) if hashed && kind.is_some_and(|kind| kind.len() == 1) => {
            id.split_once('_').map_or(id, |(id, _)| id)
        }
        (Some(folder), _) => folder,
        (None, _) => name,
    }
}

/// The refusal that may hide absence: each kind of service has codes for that, which alone are [`Denial::Rights`].
fn refused(error: &StoreError) -> Option<Refusal> {
    match error {
        StoreError::Forbidden { denial: Denial::Rights, code, .. } => Some(code.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(key: &str) -> Granted {
        let granted = Granted::default();
        granted.note(&Key::new(key));
        granted
    }

    #[test]
    fn what_is_granted_is_evidence_for_its_own_dataset_below_any_prefix() {
        for prefix in ["", "a/", "a/b/"] {
            let key = |rest: &str| Key::new(format!("{prefix}{rest}"));
            let of_root = granted(key("db/R/.group.json").as_str());
            assert_eq!(of_root.beside(&key("db/R/d/E/0_0")), None, "{prefix}");
            assert_eq!(of_root.beside(&key("db/R/d/E/.dataset.json")), None, "{prefix}");
            let of_dataset = granted(key("db/R/d/E/.dataset.json").as_str());
            assert_eq!(of_dataset.beside(&key("db/R/d/E/0_0")), Some(key("db/R/d/E/.dataset.json")));
            assert_eq!(of_dataset.beside(&key("db/R/d/E/part/0_0")), Some(key("db/R/d/E/.dataset.json")));
            assert_eq!(of_dataset.beside(&key("db/R/d/F/0_0")), None);
            let first = granted(key("01234-d-5f00").as_str());
            assert_eq!(first.beside(&key("abcde-c-5f00_0_0")), Some(key("01234-d-5f00")));
            assert_eq!(first.beside(&key("abcde-c-5f01_0_0")), None);
        }
    }
}
