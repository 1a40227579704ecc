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
        let get = Get { range: None, if_match: if_match.cloned(), at_most };
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
        let get = Get { range: Some(range), if_match: if_match.cloned(), at_most: self.store.settings.largest };
        let backend = &self.store.backend;
        let object =
            self.store.within("GET of a part", key, self.urgency, |permit| backend.get(key, get, permit)).await;
        self.store.counters.get_range(object.as_ref().map_or(0, |object| object.bytes.len()));
        object
    }
}
