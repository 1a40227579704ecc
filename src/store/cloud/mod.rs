//! Buckets in a cloud: what every kind of service has in common, on top of `object_store`.
//!
//! A kind ([`s3`] and its neighbours) opens a [`Service`]: how to ask, and what its answers mean. [`Cloud`] makes a
//! backend of it: [`attempts`] repeats what failed for a moment, [`body`] checks every byte count, [`pages`] makes
//! listings of the service's pages, [`denied`] decides what a 403 may mean. Above lies [`Store`](super::Store) with its
//! limit of requests in flight; below, [`wire`].

pub(super) mod answer;
mod attempts;
mod azure;
mod body;
mod denied;
mod gcs;
mod http;
mod listing;
mod pages;
mod region;
mod s3;
#[cfg(test)]
mod tests;
mod trouble;
mod weather;
pub(super) mod wire;
mod write;
mod xml;

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use tokio::time::Instant;

use super::counters::Counters;
use super::credentials::{Described, Renew};
use super::pace::Waits;
use super::permits::{Permit, Permits};
use super::{Access, Backend, Batch, Capabilities, Get, Listing, Meta, Object, Put, StoreError, Whereabouts};
use crate::model::location::{Bucket, ETag, Key, Location};
use answer::{Asked, Dialect};
use attempts::Failure;
use weather::Weather;
use wire::{Line, Wire};

/// One bucket of one kind of service, ready to be asked.
pub(super) struct Service {
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Listings; `None` where there are none.
    pub pages: Option<Arc<dyn PaginatedListStore>>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// What its answers mean.
    pub dialect: Arc<dyn Dialect>,
    /// Whoever has the credentials; `None` where they do not change.
    pub renew: Option<Arc<dyn Renew>>,
    /// How to go on where the bucket turns out to be in another region.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
}

/// What the services of all clouds can do.
const CAPABILITIES: Capabilities = Capabilities {
    conditional_get: true,
    conditional_put: true,
    listing: true,
    ranges: true,
    directories: false,
    atomic_put: true,
};

/// Opens the same bucket in another region.
#[async_trait::async_trait]
pub(super) trait Elsewhere: Send + Sync + fmt::Debug {
    /// In `region`; where that is not known, it is asked for first.
    async fn open(&self, region: Option<&str>) -> Result<Service, StoreError>;
}

/// For how long a request is repeated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// As long as the service has not answered.
    pub first: Duration,
    /// Once it has.
    pub later: Duration,
}

/// A bucket as a backend.
pub(super) struct Cloud {
    bucket: Bucket,
    service: RwLock<Arc<Service>>,
    counters: Arc<Counters>,
    deadline: Duration,
    /// The same for a service that has not answered yet.
    first_deadline: Duration,
    /// How it has been of late.
    weather: Arc<Weather>,
    /// Whether the service has ever answered.
    met: AtomicBool,
    /// Whether the service has shown that the bucket is there. Until then, "no such object" without a reason may as well
    /// mean that there is no bucket.
    proven: AtomicBool,
    /// By how many seconds this machine was ahead of the service at the last answer.
    clock_ahead: Mutex<Option<i64>>,
    /// Whether the last answer ended its connection.
    reconnects: AtomicBool,
    /// When a give-up was last warned of.
    warned: Mutex<Option<Instant>>,
    /// What is known where a refusal may mean that there is no such object; `None` where it may not.
    granted: Option<denied::Granted>,
    /// Whether it was refused to list it.
    unlisted: AtomicBool,
    /// Whether its entity tags are digests.
    digests: body::Digests,
    /// Listings that were said to leave out keys.
    odd: Mutex<HashSet<String>>,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cloud({})", self.bucket.as_str())
    }
}

impl Cloud {
    /// The bucket, by the scheme of its URL, asked over `line`.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for a scheme that is not known.
    pub async fn open(
        bucket: &Bucket,
        access: &Access,
        deadlines: Deadlines,
        line: &Line,
        counters: Arc<Counters>,
    ) -> Result<Cloud, StoreError> {
        let wire = Wire::new(line, Arc::clone(&counters));
        let service = match bucket.as_str().split_once("://").map(|(scheme, _)| scheme) {
            Some("s3") => s3::open(bucket, access, &wire, deadlines.first.min(deadlines.later)).await?,
            Some("az") => azure::open(bucket, access, &wire).await?,
            Some("gs") => gcs::open(bucket, access, &wire).await?,
            Some("http" | "https") => http::open(bucket, access, &wire)?,
            _ => {
                return Err(StoreError::Unsupported {
                    what: bucket.as_str().to_owned(),
                    reason: "not a kind of store that is known: file:///…, s3://…, az://…, gs://…, https://…"
                        .to_owned(),
                });
            }
        };
        let granted = access.missing_as_403.then(denied::Granted::default);
        let weather = wire.weather();
        Ok(Cloud { granted, weather, ..Cloud::with(bucket, service, deadlines, counters) })
    }

    fn with(bucket: &Bucket, service: Service, deadlines: Deadlines, counters: Arc<Counters>) -> Cloud {
        Cloud {
            bucket: bucket.clone(),
            service: RwLock::new(Arc::new(service)),
            weather: Arc::new(Weather::new(Arc::clone(&counters))),
            counters,
            deadline: deadlines.later,
            first_deadline: deadlines.first,
            met: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            warned: Mutex::default(),
            clock_ahead: Mutex::default(),
            reconnects: AtomicBool::new(false),
            granted: None,
            unlisted: AtomicBool::new(false),
            digests: body::Digests::default(),
            odd: Mutex::default(),
        }
    }

    fn service(&self) -> Arc<Service> {
        Arc::clone(&self.service.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn location(&self, key: &Key) -> Location {
        Location { bucket: self.bucket.clone(), key: key.clone() }
    }

    /// A key as `object_store` wants it.
    fn path(&self, key: &Key) -> Result<Path, StoreError> {
        let path =
            Path::parse(key.as_str()).ok().filter(|path| !key.as_str().is_empty() && path.as_ref() == key.as_str());
        path.ok_or_else(|| StoreError::Unsupported {
            what: self.location(key).to_string(),
            reason: "keys with an empty segment, `.`, `..` or control characters are not read".to_owned(),
        })
    }

    fn prove(&self) {
        self.meet();
        self.proven.store(true, Ordering::Relaxed);
    }

    fn meet(&self) {
        self.met.store(true, Ordering::Relaxed);
    }

    /// What was asked for at `key`, noted where a refusal may mean that there is no such object.
    async fn noted<T>(&self, key: &Key, asked: Result<T, StoreError>, permits: Arc<Permits>) -> Result<T, StoreError> {
        match asked {
            Ok(done) => {
                if let Some(granted) = &self.granted {
                    granted.note(key);
                }
                Ok(done)
            }
            Err(error) => Err(self.absent_or(key, error, permits).await),
        }
    }

    /// Asks for an object's head, and for its first byte where the head says too little.
    async fn head_once(&self, service: &Service, key: &Key, path: &Path, waits: Waits) -> Result<Meta, Failure> {
        let request = service.objects.get_opts(path, object_store::GetOptions { head: true, ..Default::default() });
        let failure = match self.hear(service, Asked::Head, key, waits, request).await {
            Ok((found, _)) => return Ok(meta(&found.meta)),
            Err(failure) => failure,
        };
        let doubtful = failure.error.is_not_found() && !self.proven.load(Ordering::Relaxed);
        if !doubtful && !failure.unsaid {
            return Err(failure);
        }
        let range = Some(object_store::GetRange::Bounded(0..1));
        let request = service.objects.get_opts(path, object_store::GetOptions { range, ..Default::default() });
        match self.hear(service, Asked::Part, key, waits, request).await {
            Ok((found, _)) => Ok(meta(&found.meta)),
            // Empty, but there: what the head lacked is not known.
            Err(Failure { error: StoreError::Range { .. }, .. }) => Err(failure),
            Err(told) => Err(told),
        }
    }
}

/// Whether an endpoint ends with the bucket that is to be asked for there.
fn names_bucket(endpoint: &reqwest::Url, bucket: &str) -> bool {
    endpoint.path().trim_end_matches('/').rsplit('/').next() == Some(bucket)
}

/// What to do about that.
const BUCKET_TWICE: &str = "ends with the bucket, which SOURCE names: leave the bucket out of --endpoint";

/// What is known of an object, in whole seconds: see [`listing`].
fn meta(found: &object_store::ObjectMeta) -> Meta {
    let seconds = u64::try_from(found.last_modified.timestamp()).unwrap_or(0);
    Meta {
        size: found.size,
        etag: found.e_tag.as_deref().map(ETag::new),
        modified: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
    }
}

#[async_trait::async_trait]
impl Backend for Arc<Cloud> {
    fn capabilities(&self) -> Capabilities {
        self.service().capabilities
    }

    async fn get(&self, key: &Key, get: Get, permit: Permit) -> Result<Object, StoreError> {
        let path = self.path(key)?;
        if let Some(range) = get.range.as_ref().filter(|range| range.start >= range.end) {
            // HTTP has no empty range.
            let meta = self.head(key, permit).await?;
            return match range {
                _ if get.if_match.is_some() && get.if_match != meta.etag => {
                    Err(StoreError::Changed { location: self.location(key) })
                }
                _ if get.if_none_match.is_some() && get.if_none_match == meta.etag => {
                    Err(StoreError::Changed { location: self.location(key) })
                }
                range if range.start == range.end && range.end <= meta.size => Ok(Object { bytes: Bytes::new(), meta }),
                range => Err(StoreError::Range { location: self.location(key), start: range.start, end: range.end }),
            };
        }
        let held = body::Held::default();
        let ask = |service: Arc<Service>, waits| {
            let (get, path, held) = (&get, &path, &held);
            async move { self.get_once(&service, key, path, get, held, waits).await }.boxed()
        };
        let permits = permit.permits();
        let asked = self.ask(key, Some(permit), ask).await;
        self.noted(key, asked, permits).await
    }

    async fn head(&self, key: &Key, permit: Permit) -> Result<Meta, StoreError> {
        let path = self.path(key)?;
        let ask = |service: Arc<Service>, waits| {
            let path = &path;
            async move { self.head_once(&service, key, path, waits).await }.boxed()
        };
        let permits = permit.permits();
        let asked = self.ask(key, Some(permit), ask).await;
        self.noted(key, asked, permits).await
    }

    async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        page: usize,
        permit: Permit,
    ) -> Result<Listing, StoreError> {
        self.level(folder, after, page, permit).await
    }

    fn list_below(&self, prefix: &str, permits: Arc<Permits>) -> BoxStream<'static, Result<Batch, StoreError>> {
        Arc::clone(self).below(prefix, permits)
    }

    fn whereabouts(&self) -> Option<Whereabouts> {
        let (url, region) = self.service().dialect.place();
        let clock_ahead = *self.clock_ahead.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Some(Whereabouts { url, region, clock_ahead, reconnects: self.reconnects.load(Ordering::Relaxed) })
    }

    async fn who(&self) -> Result<Option<Described>, StoreError> {
        let Some(renew) = self.service().renew.clone() else { return Ok(None) };
        let described = renew.describe().await;
        described.map(Some).map_err(|fault| fault.at(self.location(&Key::new(""))))
    }

    async fn put(&self, key: &Key, bytes: Bytes, put: Put, permit: Permit) -> Result<Meta, StoreError> {
        self.write(key, bytes, put, permit).await
    }

    async fn delete(&self, key: &Key, permit: Permit) -> Result<(), StoreError> {
        self.remove(key, permit).await
    }
}
