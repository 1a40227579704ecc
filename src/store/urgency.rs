//! For whom an object is read: somebody who waits for it, or nobody yet.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::permits::{Permit, Stands};
use super::{Get, Listing, Object, Store, StoreError};
use crate::model::location::{ETag, Key};

/// Who waits for an answer. Where requests have to wait for their turn, the more urgent ones come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Urgency {
    /// A reader does.
    #[default]
    Demand,
    /// Nobody yet: it is read ahead.
    Ahead,
}

/// Whether somebody has come to wait for what was asked for ahead.
#[derive(Debug, Default)]
pub struct Wanted {
    by_now: AtomicBool,
    told: Notify,
}

impl Wanted {
    /// Somebody waits for it.
    pub fn tell(&self) {
        self.by_now.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Until somebody does.
    async fn wait(&self) {
        // Made first: it wakes of what is told from here on.
        let told = self.told.notified();
        if !self.by_now.load(Ordering::Acquire) {
            told.await;
        }
    }
}

/// A store, asked with an urgency. See [`Store::at`].
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    store: &'a Store,
    urgency: Urgency,
    wanted: Option<&'a Wanted>,
}

impl Store {
    /// This store, asked with `urgency`.
    pub fn at(&self, urgency: Urgency) -> Asked<'_> {
        Asked { store: self, urgency, wanted: None }
    }

    /// This store, asked ahead, and as a demand from when that is `wanted`.
    pub fn ahead_until<'a>(&'a self, wanted: &'a Wanted) -> Asked<'a> {
        Asked { store: self, urgency: Urgency::Ahead, wanted: Some(wanted) }
    }
}

impl Asked<'_> {
    /// A place among the requests in flight, when it is this one's turn.
    pub(super) async fn turn(&self) -> Result<Permit, Stands> {
        let permits = &self.store.permits;
        match self.wanted {
            None => permits.turn(self.urgency).await,
            Some(wanted) => tokio::select! {
                biased;
                permit = permits.turn(self.urgency) => permit,
                () = wanted.wait() => permits.turn(Urgency::Demand).await,
            },
        }
    }

    /// One page of what lies directly in `folder`.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn list(&self, folder: &str, after: Option<&str>) -> Result<Listing, StoreError> {
        self.store.counters.list();
        let (key, backend, page) = (Key::new(folder), &self.store.backend, self.store.settings.page);
        self.store.within("LIST", &key, *self, |permit| backend.list(folder, after, page, permit)).await
    }

    /// An object, whole, bound to `if_match` where given, unless it is larger than `at_most` bytes.
    ///
    /// # Errors
    /// As [`Store::get_if`].
    pub async fn get_if(&self, key: &Key, if_match: Option<&ETag>, at_most: u64) -> Result<Object, StoreError> {
        let get = Get { range: None, if_match: if_match.cloned(), if_none_match: None, at_most };
        let backend = &self.store.backend;
        let object = self.store.within("GET", key, *self, |permit| backend.get(key, get, permit)).await;
        self.store.counters.get(object.as_ref().map_or(0, |object| object.bytes.len()));
        object
    }

    /// Bytes `range` of an object, exactly those.
    ///
    /// # Errors
    /// As [`Store::get_range`].
    pub async fn get_range(&self, key: &Key, range: Range<u64>, if_match: Option<&ETag>) -> Result<Object, StoreError> {
        let at_most = self.store.settings.largest;
        let get = Get { range: Some(range), if_match: if_match.cloned(), if_none_match: None, at_most };
        let backend = &self.store.backend;
        let object = self.store.within("GET of a part", key, *self, |permit| backend.get(key, get, permit)).await;
        self.store.counters.get_range(object.as_ref().map_or(0, |object| object.bytes.len()));
        object
    }

    /// An object, or `range` of it, unless it is still the one of `held`: `None` then, in an answer without bytes. A
    /// service that does not know the condition sends what it has.
    ///
    /// # Errors
    /// As [`Store::get_if`] and [`Store::get_range`].
    pub async fn get_unless(
        &self,
        key: &Key,
        range: Option<Range<u64>>,
        held: &ETag,
        at_most: u64,
    ) -> Result<Option<Object>, StoreError> {
        let part = range.is_some();
        let get = Get { range, if_match: None, if_none_match: Some(held.clone()), at_most };
        let backend = &self.store.backend;
        let asked = self.store.within("GET unless", key, *self, |permit| backend.get(key, get, permit)).await;
        let bytes = asked.as_ref().map_or(0, |object| object.bytes.len());
        match part {
            true => self.store.counters.get_range(bytes),
            false => self.store.counters.get(bytes),
        }
        match asked {
            Ok(object) => Ok(Some(object)),
            // No other condition was set.
            Err(StoreError::Changed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::store::StoreSettings;

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_ahead_waits_among_the_demands_once_somebody_waits_for_it() {
        let store = Store::of_keys(&[("a", "1")], StoreSettings { in_flight: 1, ..StoreSettings::default() });
        let held = store.permits.turn(Urgency::Demand).await.unwrap();
        let (key, wanted) = (Key::new("a"), Wanted::default());
        let asked = store.ahead_until(&wanted);
        let mut read = pin!(asked.get_if(&key, None, 10));
        assert!(futures::poll!(&mut read).is_pending());
        assert_eq!((store.turns().demand, store.turns().ahead), (0, 1));
        wanted.tell();
        assert!(futures::poll!(&mut read).is_pending());
        assert_eq!((store.turns().demand, store.turns().ahead), (1, 0));
        drop(held);
        assert_eq!(&read.await.unwrap().bytes[..], b"1");
        // Told before it is asked for, it is a demand at once; and nothing is left behind.
        let held = store.permits.turn(Urgency::Demand).await.unwrap();
        let mut read = pin!(asked.get_if(&key, None, 10));
        assert!(futures::poll!(&mut read).is_pending());
        assert_eq!((store.turns().demand, store.turns().ahead), (1, 0));
        drop(held);
        read.await.unwrap();
        assert_eq!((store.turns().in_flight, store.turns().demand), (0, 0));
    }
}
