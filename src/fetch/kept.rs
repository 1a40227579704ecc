//! The door between what is fetched and the disk cache: stored bytes that an earlier mount fetched, as far as the store says
//! that they still are what it has.
//!
//! A kept object is asked for with `If-None-Match`, once in a version of a file: what a version has pinned is read from the
//! disk without a request, and an object that linked data are bound to needs none either. What is kept was decoded before:
//! bytes that were damaged on their way do not come back. Only strong entity tags say that bytes are the same; a directory
//! tree is as near as the disk cache, so nothing of it is kept.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Fetcher;
use super::ranges::Ranges;
use crate::cache::disk::{DiskCache, Place, Record};
use crate::model::location::{ETag, Location};
use crate::store::{Meta, Object, Store, StoreError, Urgency};

/// The disk cache as this room uses it; by default none.
#[derive(Debug, Default)]
pub(super) struct Kept {
    disk: Option<Arc<DiskCache>>,
    /// Nothing in the store changes: what is kept is not asked for.
    believed: bool,
    ranges: Arc<Ranges>,
    orders: Arc<Orders>,
}

/// Places whose bytes somebody has ordered to be kept on disk. What comes of them waits for the disk, whoever asked for it;
/// the rest is kept as far as the disk has time.
#[derive(Debug, Default)]
struct Orders(Mutex<HashMap<Place, Order>>);

#[derive(Debug, Default)]
struct Order {
    /// How many ordered it.
    by: usize,
    /// The store has sent it meanwhile, and it was handed to the disk where it may be kept at all.
    came: bool,
}

impl Orders {
    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Order>> {
        // Each change is of one place, and whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `place` has come; whether that was ordered.
    fn came(&self, place: &Place) -> bool {
        self.lock().get_mut(place).is_some_and(|order| {
            order.came = true;
            true
        })
    }
}

/// An order to keep places on disk, for as long as this lives.
#[derive(Debug)]
pub(super) struct Ordered {
    orders: Arc<Orders>,
    places: Vec<Place>,
}

impl Ordered {
    /// Whether the store has sent what lies at `place` since it was ordered.
    pub fn came(&self, place: &Place) -> bool {
        self.orders.lock().get(place).is_some_and(|order| order.came)
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        let mut orders = self.orders.lock();
        for place in &self.places {
            if let Some(order) = orders.get_mut(place) {
                order.by -= 1;
                if order.by == 0 {
                    orders.remove(place);
                }
            }
        }
    }
}

/// Stored bytes, and where they came from.
#[derive(Debug)]
pub(super) struct Stored {
    /// The bytes, of the object as it is now.
    pub object: Object,
    /// The store sent them.
    fresh: bool,
}

/// What is wanted of an object.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// Where it lies.
    pub location: &'a Location,
    /// These bytes only.
    pub range: Option<Range<u64>>,
    /// Bytes to take at most.
    pub at_most: u64,
    /// The identity that is asked for, where one is known.
    pub condition: Option<&'a ETag>,
    /// For whom.
    pub urgency: Urgency,
    /// It may come with its neighbours, in one request.
    pub shared: bool,
}

impl Fetcher {
    /// This one, with what is kept in `disk`. `believed`: nothing in the store ever changes.
    pub fn keeping(self, disk: Arc<DiskCache>, believed: bool) -> Fetcher {
        Fetcher { kept: Kept { disk: Some(disk), believed, ..self.kept }, ..self }
    }
}

impl Kept {
    /// The cache, where there is one for data of `store`.
    fn disk(&self, store: &Store) -> Option<&Arc<DiskCache>> {
        self.disk.as_ref().filter(|_| !store.capabilities().directories)
    }

    /// Whether something of `store` is kept on disk.
    pub fn keeps(&self, store: &Store) -> bool {
        self.disk(store).is_some()
    }

    /// The cache, where there is one for data of `store`, to be held on to.
    pub fn disk_of(&self, store: &Store) -> Option<Arc<DiskCache>> {
        self.disk(store).cloned()
    }

    /// The cache, for whatever data.
    pub fn any_disk(&self) -> Option<&Arc<DiskCache>> {
        self.disk.as_ref()
    }

    /// Whether there is a disk cache at all.
    pub fn is_there(&self) -> bool {
        self.disk.is_some()
    }

    /// What is wanted, from the disk where it is kept and still so, else from the store. `pinned` says whether the version
    /// has read that very object before.
    pub async fn get(
        &self,
        store: &Arc<Store>,
        wanted: &Wanted<'_>,
        pinned: impl Fn(&Meta) -> bool,
    ) -> Result<Stored, StoreError> {
        let asked = store.at(wanted.urgency);
        let key = &wanted.location.key;
        if let Some(disk) = self.disk(store)
            && let Some(held) = disk.get(&place(wanted)).await
            && held.body.len() as u64 <= wanted.at_most
        {
            let meta = Meta { size: held.size, etag: Some(held.etag.clone()), modified: held.modified };
            let same = match wanted.condition {
                Some(condition) => condition.names_same(&held.etag),
                None => self.believed || pinned(&meta),
            };
            if same {
                return Ok(Stored { object: Object { bytes: held.body, meta }, fresh: false });
            }
            if wanted.condition.is_none() {
                let sent = asked.get_unless(key, wanted.range.clone(), &held.etag, wanted.at_most).await?;
                return Ok(match sent {
                    Some(object) => Stored { object, fresh: true },
                    None => Stored { object: Object { bytes: held.body, meta }, fresh: false },
                });
            }
        }
        let object = match &wanted.range {
            Some(range) if wanted.shared => {
                self.ranges.get(store, key, range.clone(), wanted.condition.cloned(), wanted.urgency).await?
            }
            Some(range) => asked.get_range(key, range.clone(), wanted.condition).await?,
            None => asked.get_if(key, wanted.condition, wanted.at_most).await?,
        };
        Ok(Stored { object, fresh: true })
    }

    /// Orders that what comes of `places` is kept on disk.
    pub fn order(&self, places: Vec<Place>) -> Ordered {
        let mut orders = self.orders.lock();
        for place in &places {
            orders.entry(place.clone()).or_default().by += 1;
        }
        Ordered { orders: Arc::clone(&self.orders), places }
    }

    /// Keeps what the store sent, now that it is known to be good. Where that was ordered, the disk is waited for: the
    /// bytes count as those of a load under way meanwhile.
    pub async fn keep(&self, store: &Store, wanted: &Wanted<'_>, stored: &Stored) {
        let Some(disk) = self.disk(store).filter(|_| stored.fresh) else { return };
        let place = place(wanted);
        let ordered = self.orders.came(&place);
        let Object { bytes, meta } = &stored.object;
        let Some(etag) = meta.etag.clone().filter(ETag::is_strong) else {
            if ordered {
                disk.refuse("the store gives no entity tag that says that bytes are the same");
            }
            return;
        };
        let record = Record { etag, modified: meta.modified, size: meta.size, body: bytes.clone() };
        match ordered {
            true => disk.put_in_turn(place, record).await,
            false => disk.put(place, record),
        }
    }

    /// Forgets what turned out to be of no use.
    pub async fn forget(&self, store: &Store, wanted: &Wanted<'_>, stored: &Stored) {
        if let Some(disk) = self.disk(store).filter(|_| !stored.fresh) {
            disk.forget(&place(wanted)).await;
        }
    }
}

fn place(wanted: &Wanted<'_>) -> Place {
    Place::object(wanted.location, wanted.range.as_ref())
}

#[cfg(test)]
mod tests;
