//! A store that fails on purpose, for tests of the rooms above.

use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;

use super::permits::{Permit, Permits};
use super::{Backend, Batch, Capabilities, Get, Listing, Meta, Object, Store, StoreError};
use crate::model::location::Key;

type Fault = Arc<dyn Fn(&Key) -> Option<StoreError> + Send + Sync>;

type Halved = Arc<dyn Fn(&Key) -> bool + Send + Sync>;

struct Faulty {
    inner: Arc<dyn Backend>,
    fault: Fault,
    lacks: Lacks,
    halved: Halved,
}

/// What a service does not do, though it answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lacks {
    /// It gives no entity tags.
    pub tags: bool,
    /// It does not heed `If-Match`.
    pub conditions: bool,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({:?})", self.inner)
    }
}

impl Store {
    /// This store, but requests for objects, and for all below a prefix (named with a `*` behind), fail where `fault`
    /// says so.
    pub(crate) fn failing(self, fault: impl Fn(&Key) -> Option<StoreError> + Send + Sync + 'static) -> Store {
        let backend = Faulty { fault: Arc::new(fault), ..Faulty::none(self.backend) };
        Store::with_backend(&self.bucket, Arc::new(backend), self.settings)
    }

    /// This store, but of objects only half is sent, and told as all, where `halved` says so.
    pub(crate) fn halving(self, halved: impl Fn(&Key) -> bool + Send + Sync + 'static) -> Store {
        let backend = Faulty { halved: Arc::new(halved), ..Faulty::none(self.backend) };
        Store::with_backend(&self.bucket, Arc::new(backend), self.settings)
    }

    /// This store, as a lesser service would be.
    pub(crate) fn lacking(self, lacks: Lacks) -> Store {
        let backend = Faulty { lacks, ..Faulty::none(self.backend) };
        Store::with_backend(&self.bucket, Arc::new(backend), self.settings)
    }
}

impl Faulty {
    fn none(inner: Arc<dyn Backend>) -> Faulty {
        Faulty { inner, fault: Arc::new(|_| None), lacks: Lacks::default(), halved: Arc::new(|_| false) }
    }

    fn check(&self, key: &Key) -> Result<(), StoreError> {
        (self.fault)(key).map_or(Ok(()), Err)
    }

    fn meta(&self, mut meta: Meta) -> Meta {
        meta.etag = meta.etag.filter(|_| !self.lacks.tags);
        meta
    }
}

#[async_trait::async_trait]
impl Backend for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &Key, mut get: Get, permit: Permit) -> Result<Object, StoreError> {
        self.check(key)?;
        get.if_match = get.if_match.filter(|_| !self.lacks.conditions && !self.lacks.tags);
        get.if_none_match = get.if_none_match.filter(|_| !self.lacks.conditions && !self.lacks.tags);
        let mut object = self.inner.get(key, get, permit).await?;
        if (self.halved)(key) {
            object.bytes.truncate(object.bytes.len() / 2);
            object.meta.size = object.bytes.len() as u64;
        }
        Ok(Object { meta: self.meta(object.meta), ..object })
    }

    async fn head(&self, key: &Key, permit: Permit) -> Result<Meta, StoreError> {
        self.check(key)?;
        self.inner.head(key, permit).await.map(|meta| self.meta(meta))
    }

    async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        page: usize,
        permit: Permit,
    ) -> Result<Listing, StoreError> {
        self.inner.list(folder, after, page, permit).await
    }

    fn list_below(&self, prefix: &str, permits: Arc<Permits>) -> BoxStream<'static, Result<Batch, StoreError>> {
        match self.check(&Key::new(format!("{prefix}*"))) {
            Ok(()) => self.inner.list_below(prefix, permits),
            Err(error) => Box::pin(futures::stream::iter([Err(error)])),
        }
    }
}
