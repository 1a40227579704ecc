//! The stores of one mount: the one it shows, and those that linked data lies in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Store, StoreError, root};
use crate::model::location::{Bucket, Key, Location};

/// The stores of one mount: the one it shows, and those that linked data lies in.
#[derive(Debug)]
pub struct Stores {
    home: Arc<Store>,
    others: Mutex<HashMap<Bucket, Opening>>,
}

/// A store that is open, or locked by the thread that opens it.
type Opening = Arc<tokio::sync::Mutex<Option<Arc<Store>>>>;

impl Stores {
    /// Stores around `home`.
    pub fn new(home: Arc<Store>) -> Stores {
        Stores { home, others: Mutex::default() }
    }

    /// The store that is shown.
    pub fn home(&self) -> &Arc<Store> {
        &self.home
    }

    /// The store of `bucket`, opened at first use with the settings of the home store.
    ///
    /// Links come from whoever wrote the store, so they may not lead just anywhere on this machine: from a directory
    /// tree only to its sibling directories (HSDS keeps its buckets side by side), from a remote store to no directory.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] where a link may not lead there; [`StoreError::Timeout`] where opening takes longer
    /// than a request may.
    pub async fn get(&self, bucket: &Bucket) -> Result<Arc<Store>, StoreError> {
        if bucket == self.home.bucket() {
            return Ok(Arc::clone(&self.home));
        }
        if bucket.as_str().starts_with("file:") && !root::are_siblings(self.home.bucket(), bucket) {
            return Err(StoreError::Unsupported {
                what: bucket.as_str().to_owned(),
                reason: "linked data on local disk must lie in the store or in a directory beside it".to_owned(),
            });
        }
        let opening = Arc::clone(self.others().entry(bucket.clone()).or_default());
        let deadline = self.home.settings.deadline;
        let opened = tokio::time::timeout(deadline, self.open(bucket, Arc::clone(&opening))).await;
        let location = || Location { bucket: bucket.clone(), key: Key::new("") };
        let opened =
            opened.unwrap_or_else(|_| Err(StoreError::Timeout { location: location(), seconds: deadline.as_secs() }));
        if opened.is_err() {
            // Only what can be opened is remembered, and what is still being opened: a store may name any number.
            let mut others = self.others();
            let idle = opening.try_lock().is_ok_and(|store| store.is_none());
            if idle && others.get(bucket).is_some_and(|known| Arc::ptr_eq(known, &opening)) {
                others.remove(bucket);
            }
        }
        opened
    }

    /// Opens a store in a task of its own, which holds `opening` until it is done: a store that hangs is asked once,
    /// however many wait for it.
    async fn open(&self, bucket: &Bucket, opening: Opening) -> Result<Arc<Store>, StoreError> {
        let mut opening = opening.lock_owned().await;
        if let Some(store) = opening.as_ref() {
            return Ok(Arc::clone(store));
        }
        let (bucket, settings) = (bucket.clone(), self.home.settings.clone());
        let location = Location { bucket: bucket.clone(), key: Key::new("") };
        let done = tokio::spawn(async move {
            let store = Arc::new(Store::open_with(&bucket, settings).await?);
            *opening = Some(Arc::clone(&store));
            Ok(store)
        });
        done.await.unwrap_or_else(|stopped| Err(StoreError::Failed { location, reason: stopped.to_string() }))
    }

    fn others(&self) -> MutexGuard<'_, HashMap<Bucket, Opening>> {
        // A panic while the lock is held can only come from the allocator; the map is whole either way.
        self.others.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
