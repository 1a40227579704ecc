//! For whom an object is read: somebody who waits for it, or nobody yet.

use std::ops::Range;

use super::{Get, Object, Store, StoreError};
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

/// A store, asked with an urgency. See [`Store::at`].
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    store: &'a Store,
    urgency: Urgency,
}

impl Store {
    /// This store, asked with `urgency`.
    pub fn at(&self, urgency: Urgency) -> Asked<'_> {
        Asked { store: self, urgency }
    }
}

impl Asked<'_> {
    /// An object, whole, bound to `if_match` where given, unless it is larger than `at_most` bytes.
    ///
    /// # Errors
    /// As [`Store::get_if`].
    pub async fn get_if(&self, key: &Key, if_match: Option<&ETag>, at_most: u64) -> Result<Object, StoreError> {
        let get = Get { range: None, if_match: if_match.cloned(), if_none_match: None, at_most };
        let backend = &self.store.backend;
        let object = self.store.within("GET", key, self.urgency, |permit| backend.get(key, get, permit)).await;
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
        let object =
            self.store.within("GET of a part", key, self.urgency, |permit| backend.get(key, get, permit)).await;
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
        let asked = self.store.within("GET unless", key, self.urgency, |permit| backend.get(key, get, permit)).await;
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
