//! A store that fails on purpose, for tests of the rooms above.

use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;
use tokio::sync::OwnedSemaphorePermit;

use super::{Backend, Batch, Capabilities, Get, Listing, Meta, Object, Store, StoreError};
use crate::model::location::Key;

type Fault = Arc<dyn Fn(&Key) -> Option<StoreError> + Send + Sync>;

struct Faulty {
    inner: Arc<dyn Backend>,
    fault: Fault,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({:?})", self.inner)
    }
}

impl Store {
    /// This store, but requests for objects fail where `fault` says so.
    pub(crate) fn failing(self, fault: impl Fn(&Key) -> Option<StoreError> + Send + Sync + 'static) -> Store {
        let backend = Faulty { inner: self.backend, fault: Arc::new(fault) };
        Store::with_backend(&self.bucket, Arc::new(backend), self.settings)
    }
}

impl Faulty {
    fn check(&self, key: &Key) -> Result<(), StoreError> {
        (self.fault)(key).map_or(Ok(()), Err)
    }
}

#[async_trait::async_trait]
impl Backend for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &Key, get: Get, permit: OwnedSemaphorePermit) -> Result<Object, StoreError> {
        self.check(key)?;
        self.inner.get(key, get, permit).await
    }

    async fn head(&self, key: &Key, permit: OwnedSemaphorePermit) -> Result<Meta, StoreError> {
        self.check(key)?;
        self.inner.head(key, permit).await
    }

    async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        page: usize,
        permit: OwnedSemaphorePermit,
    ) -> Result<Listing, StoreError> {
        self.inner.list(folder, after, page, permit).await
    }

    fn list_below(&self, prefix: &str) -> BoxStream<'static, Result<Batch, StoreError>> {
        self.inner.list_below(prefix)
    }
}
