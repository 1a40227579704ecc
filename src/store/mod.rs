//! The object store with its promises made explicit.
//!
//! Above lie `source` and `fetch`, which ask for keys and byte ranges; below lies a [`backend`](self::posix) that does
//! the asking. What every kind of store shares is here: a deadline for each request, a limit of requests in flight, a
//! count of what was asked, and errors by cause. What kinds differ in is a value, [`Capabilities`].
//!
//! A directory tree is read by our own adapter rather than through `object_store::local`: that one refuses keys with
//! control characters and names like `a#1`, fails a whole listing for one bad name, takes `ENOTDIR` for an I/O error,
//! blocks on a FIFO, and cannot say whether a file was rewritten while it was read.

pub mod access;
mod causes;
mod cloud;
pub mod contract;
pub mod counters;
mod credentials;
pub mod error;
#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
pub(crate) mod memory;
mod pace;
pub mod patience;
mod permits;
pub mod posix;
mod queue;
mod retry;
pub mod root;
mod rooted;
pub mod stores;
#[cfg(test)]
mod tests;
mod urgency;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::BoxStream;

pub use access::{Access, Credentials, Whereabouts};
pub use counters::{Counters, Requests};
pub use credentials::Described;
pub use error::{Denial, StoreError};
pub use patience::{Patience, Waiting};
pub use queue::Turns;
pub use stores::Stores;
pub use urgency::{Asked, Urgency, Wanted};

use crate::model::limits;
use crate::model::location::{Bucket, ETag, Key, Location};
use cloud::wire::Line;
use cloud::{Cloud, Deadlines};
use permits::{Permit, Permits, Stands};
use posix::Posix;
use rooted::Rooted;

/// How many times the deadline the bytes of one answer may take, as long as they keep coming: through a slow line 64
/// chunks of 4 MiB at a time need minutes, and nothing is wrong with them.
const FLOW: u32 = 3;

/// How requests are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// After this long a request fails with [`StoreError::Timeout`]. 30 s: longer than any disk that works, shorter
    /// than a reader's patience.
    pub deadline: Duration,
    /// The same for a service in a cloud, all repetitions of a request included: while its bytes flow, they may go on for
    /// [`FLOW`] times as long. 60 s: a service that restarts, or a network that changes, is back by then, and after three minutes
    /// a request ends in any case, before the kernel's requests fail after five. The time that it waits for its turn is
    /// not its own.
    pub cloud_deadline: Duration,
    /// The same as long as a service has never answered: whoever has just named it may have misspelt it, and waits to be
    /// told. 10 s: a lost packet or a name server that answers late is overcome by then, a service that restarts is not.
    /// `Duration::MAX` where nobody has named it just now.
    pub first_deadline: Duration,
    /// Requests at the same time. 64 saturates a 10 Gbit/s link at 20 ms and 4 MiB a request, and no disk is faster
    /// with more.
    pub in_flight: usize,
    /// Largest object that is read whole, in bytes.
    pub largest: u64,
    /// Names in one page of a listing. A directory is read whole for each page, so pages are larger than S3's 1,000;
    /// ten thousand names and their `stat` take about 50 ms.
    pub page: usize,
    /// How stores that are not on local disk are reached.
    pub access: Access,
}

impl Default for StoreSettings {
    fn default() -> Self {
        StoreSettings {
            deadline: Duration::from_secs(30),
            cloud_deadline: Duration::from_secs(60),
            first_deadline: Duration::from_secs(10),
            in_flight: 64,
            largest: limits::DECODED_CHUNK_BYTES,
            page: 10_000,
            access: Access::default(),
        }
    }
}

/// What a kind of store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// A GET can be bound to an entity tag.
    pub conditional_get: bool,
    /// A PUT can be bound to an entity tag, or to there being no object.
    pub conditional_put: bool,
    /// Keys can be listed.
    pub listing: bool,
    /// Part of an object can be read.
    pub ranges: bool,
    /// Folders are there by themselves: a name is a folder or an object and never both, and a folder may be empty.
    /// Where they are only prefixes of keys, it is the other way round.
    pub directories: bool,
    /// A reader never sees half of a write. HSDS rewrites files of a directory tree in place.
    pub atomic_put: bool,
}

/// An object's bytes, or the part that was asked for, with what it was taken from.
#[derive(Clone, Debug)]
pub struct Object {
    /// The bytes.
    pub bytes: Bytes,
    /// The whole object.
    pub meta: Meta,
}

/// An object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Bytes of the whole object.
    pub size: u64,
    /// Its identity; `None` where the store gives none.
    pub etag: Option<ETag>,
    /// When it was last written.
    pub modified: SystemTime,
}

/// One page of one level of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Last segments of the folders, ascending.
    pub folders: Vec<String>,
    /// Last segments of the objects, ascending.
    pub objects: Vec<(String, Meta)>,
    /// Pass as `after` to go on; `None` where this was the last page. Means nothing but to the store that made it.
    pub next: Option<String>,
    /// Where this was not the last page: the name, in the order of keys and of a folder with its `/`, up to which
    /// everything was listed.
    pub through: Option<String>,
}

/// One bucket. Cheap to share as `Arc<Store>`.
#[derive(Debug)]
pub struct Store {
    bucket: Bucket,
    backend: Arc<dyn Backend>,
    settings: StoreSettings,
    /// After this long a request fails, whatever the backend does. `None` where the backend keeps time: it has to ask
    /// again, and the clock must stand still while that waits for its turn.
    guard: Option<Duration>,
    permits: Arc<Permits>,
    counters: Arc<Counters>,
    /// Its connections, which stores that are opened beside it share; `None` where nothing goes over a network.
    line: Option<Line>,
}

/// What a kind of store does for [`Store`], which adds deadlines, limits and counts.
///
/// A call holds `permit` until its request has really ended, even where nobody waits for it any more: a hung disk must
/// not be asked more and more.
#[async_trait::async_trait]
pub(crate) trait Backend: Send + Sync + fmt::Debug {
    /// What this kind can do.
    fn capabilities(&self) -> Capabilities;

    /// An object, whole or in part. `at_most` bounds the bytes returned.
    async fn get(&self, key: &Key, get: Get, permit: Permit) -> Result<Object, StoreError>;

    /// An object without its bytes.
    async fn head(&self, key: &Key, permit: Permit) -> Result<Meta, StoreError>;

    /// One page of one level. [`StoreError::NotFound`] where there is no such folder.
    async fn list(&self, folder: &str, after: Option<&str>, page: usize, permit: Permit)
    -> Result<Listing, StoreError>;

    /// All keys that begin with `prefix`, in batches; a directory is one too, with a `/` behind. Each page takes a permit
    /// of `permits` as long as its request is under way, and none is held between two of them: whoever reads the stream
    /// makes requests of its own, and they would wait for each other. A walk through local directories takes none.
    fn list_below(&self, prefix: &str, permits: Arc<Permits>) -> BoxStream<'static, Result<Batch, StoreError>>;

    /// Where it is asked for; `None` where nothing is asked over a network.
    fn whereabouts(&self) -> Option<Whereabouts> {
        None
    }

    /// Who asks; `None` where nobody needs to say so.
    async fn who(&self) -> Result<Option<Described>, StoreError> {
        Ok(None)
    }

    /// Writes an object.
    async fn put(&self, key: &Key, _: Bytes, _: Put, _permit: Permit) -> Result<Meta, StoreError> {
        Err(StoreError::Unsupported {
            what: key.to_string(),
            reason: "this kind of store is read-only here".to_owned(),
        })
    }

    /// Deletes an object; one that is not there, too.
    async fn delete(&self, key: &Key, _permit: Permit) -> Result<(), StoreError> {
        Err(StoreError::Unsupported {
            what: key.to_string(),
            reason: "this kind of store is read-only here".to_owned(),
        })
    }
}

/// Part of a recursive listing.
pub(crate) type Batch = Vec<(Key, Meta)>;

/// On which condition an object is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// Whatever is there.
    Overwrite,
    /// Only if there is none.
    IfAbsent,
    /// Only if this is there.
    IfMatch(ETag),
}

/// What of an object is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Get {
    /// These bytes only; `None` for all.
    pub range: Option<Range<u64>>,
    /// Only if its entity tag is this.
    pub if_match: Option<ETag>,
    /// Only if its entity tag is another one; else the answer is [`StoreError::Changed`], which this condition alone
    /// gives no other meaning.
    pub if_none_match: Option<ETag>,
    /// Refuse to read more than this.
    pub at_most: u64,
}

impl Store {
    /// The store of `bucket`, with default settings: see [`Store::open_with`].
    pub async fn open(bucket: &Bucket) -> Result<Store, StoreError> {
        Store::open_with(bucket, StoreSettings::default()).await
    }

    /// The store of `bucket`. `file:///abs/dir` is a directory tree; the text after `file://` is the path as it is, not
    /// percent-encoded. Others are clouds: `s3://bucket`, `az://account/container`, `gs://bucket`; or any web server:
    /// `https://host`. Behind these may stand a prefix, for a store that begins within a bucket.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for other schemes, [`StoreError::NotFound`] where there is no such directory.
    pub async fn open_with(bucket: &Bucket, settings: StoreSettings) -> Result<Store, StoreError> {
        Store::open_over(None, bucket, settings).await
    }

    /// As [`Store::open_with`], over connections that there are already.
    async fn open_over(line: Option<Line>, bucket: &Bucket, settings: StoreSettings) -> Result<Store, StoreError> {
        let Some(path) = bucket.as_str().strip_prefix("file://") else {
            let counters = Arc::<Counters>::default();
            let deadline = settings.cloud_deadline;
            let deadlines = Deadlines { first: settings.first_deadline, later: deadline };
            let (whole, prefix) = rooted::parts(bucket);
            let line = line.map_or_else(|| Line::new(&settings.access), Ok)?;
            let opened = Cloud::open(&whole, &settings.access, deadlines, &line, Arc::clone(&counters)).await?;
            let mut backend: Arc<dyn Backend> = Arc::new(Arc::new(opened));
            if !prefix.is_empty() {
                backend = Arc::new(Rooted::new(backend, prefix));
            }
            let store = Store::with_backend(bucket, backend, settings);
            // So long a request may be under way, and the queue stands still without anything being wrong.
            let longest = deadline.saturating_mul(FLOW);
            let permits = Permits::new(store.settings.in_flight, longest);
            return Ok(Store { counters, guard: None, permits, line: Some(line), ..store });
        };
        let (path, at) = (path.to_owned(), bucket.clone());
        // A disk that hangs takes a thread of those that may wait.
        let opened = tokio::task::spawn_blocking(move || Posix::open(&at, &path)).await;
        let location = || Location { bucket: bucket.clone(), key: Key::new("") };
        let opened = opened
            .unwrap_or_else(|stopped| Err(StoreError::Failed { location: location(), reason: stopped.to_string() }))?;
        Ok(Store::with_backend(bucket, Arc::new(opened), settings))
    }

    /// As [`Store::open_with`] for a directory tree, without a runtime.
    #[cfg(test)]
    pub(crate) fn of_directory(bucket: &Bucket, settings: StoreSettings) -> Store {
        let path = bucket.as_str().strip_prefix("file://").unwrap();
        Store::with_backend(bucket, Arc::new(Posix::open(bucket, path).unwrap()), settings)
    }

    pub(crate) fn with_backend(bucket: &Bucket, backend: Arc<dyn Backend>, settings: StoreSettings) -> Store {
        let deadline = settings.deadline;
        let permits = Permits::new(settings.in_flight, deadline);
        Store {
            bucket: bucket.clone(),
            backend,
            settings,
            guard: Some(deadline),
            permits,
            counters: Arc::default(),
            line: None,
        }
    }

    /// The bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What this store can do.
    pub fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    /// What was asked of it so far.
    pub fn counters(&self) -> Requests {
        self.counters.snapshot()
    }

    /// What waits for its turn to be asked, and what is under way.
    pub fn turns(&self) -> Turns {
        self.permits.turns()
    }

    /// `key` in this bucket.
    pub fn location(&self, key: &Key) -> Location {
        Location { bucket: self.bucket.clone(), key: key.clone() }
    }

    /// An object, whole; at most [`StoreSettings::largest`] bytes.
    pub async fn get(&self, key: &Key) -> Result<Object, StoreError> {
        self.get_if(key, None, self.settings.largest).await
    }

    /// An object, whole, bound to `if_match` where given, unless it is larger than `at_most` bytes.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] before a byte is read; [`StoreError::Changed`] where the identity differs.
    pub async fn get_if(&self, key: &Key, if_match: Option<&ETag>, at_most: u64) -> Result<Object, StoreError> {
        self.at(Urgency::Demand).get_if(key, if_match, at_most).await
    }

    /// Bytes `range` of an object, exactly those.
    ///
    /// # Errors
    /// [`StoreError::Range`] where the object ends before the range does; [`StoreError::Changed`] where `if_match` is
    /// another identity.
    pub async fn get_range(&self, key: &Key, range: Range<u64>, if_match: Option<&ETag>) -> Result<Object, StoreError> {
        self.at(Urgency::Demand).get_range(key, range, if_match).await
    }

    /// An object without its bytes.
    pub async fn head(&self, key: &Key) -> Result<Meta, StoreError> {
        self.counters.head();
        self.within("HEAD", key, self.at(Urgency::Demand), |permit| self.backend.head(key, permit)).await
    }

    /// One page of what lies directly in `folder` (`""` is the root), ascending by name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where no key lies below `folder`.
    pub async fn list(&self, folder: &str, after: Option<&str>) -> Result<Listing, StoreError> {
        self.at(Urgency::Demand).list(folder, after).await
    }

    /// Whether anything that a listing shows lies in `folder`, at less than the price of a page.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where no key lies below `folder`.
    pub async fn holds_any(&self, folder: &str) -> Result<bool, StoreError> {
        let key = Key::new(folder);
        let (mut after, mut names) = (None::<String>, 1);
        loop {
            self.counters.list();
            let after_name = after.as_deref();
            let listing = self
                .within("LIST", &key, self.at(Urgency::Demand), |permit| {
                    self.backend.list(folder, after_name, names, permit)
                })
                .await?;
            if !listing.folders.is_empty() || !listing.objects.is_empty() {
                return Ok(true);
            }
            if listing.next.is_none() {
                return Ok(false);
            }
            // Names that are not shown, such as pipes: rare, but there may be many of them.
            after = listing.next;
            names = self.settings.page;
        }
    }

    /// Every object whose key begins with `prefix`, in no particular order. A prefix that nothing lies below gives an
    /// empty stream. What is there and cannot be read (a pipe, a link that leads nowhere) is named too; reading it fails.
    pub fn list_below(&self, prefix: &str) -> BoxStream<'_, Result<(Key, Meta), StoreError>> {
        use futures::{StreamExt, TryStreamExt};
        let directories = self.capabilities().directories;
        let named = self.names_below(prefix);
        named.try_filter(move |(key, _)| std::future::ready(!(directories && key.as_str().ends_with('/')))).boxed()
    }

    /// As [`Store::list_below`], and the directories of a directory tree too: with a `/` behind, as in other stores some
    /// programs name folders.
    pub fn names_below(&self, prefix: &str) -> BoxStream<'_, Result<(Key, Meta), StoreError>> {
        use futures::{StreamExt, TryStreamExt, stream};
        let guard = self.guard;
        let location = self.location(&Key::new(prefix));
        let batches = self.backend.list_below(prefix, Arc::clone(&self.permits));
        stream::try_unfold(batches, move |mut batches| {
            let location = location.clone();
            async move {
                let late = |guard: Duration| StoreError::Timeout { location, seconds: guard.as_secs() };
                let batch = match guard {
                    Some(guard) => tokio::time::timeout(guard, batches.next()).await.map_err(|_| late(guard))?,
                    None => batches.next().await,
                };
                let Some(batch) = batch else { return Ok(None) };
                self.counters.list();
                Ok(Some((stream::iter(batch?.into_iter().map(Ok)), batches)))
            }
        })
        .try_flatten()
        .boxed()
    }

    /// Who asks for objects, which is looked for if that was not done yet. `None` for a directory tree, a web server, and
    /// requests that are not signed.
    ///
    /// # Errors
    /// [`StoreError::Forbidden`] where there are no credentials, [`StoreError::Unreachable`] where the place that has them
    /// does not answer.
    pub async fn who(&self) -> Result<Option<Described>, StoreError> {
        self.backend.who().await
    }

    /// Writes an object, at once and whole.
    ///
    /// # Errors
    /// [`StoreError::Exists`] and [`StoreError::Changed`] where the condition of `put` does not hold;
    /// [`StoreError::Unsupported`] where this kind of store is not written to.
    pub async fn put(&self, key: &Key, bytes: Bytes, put: Put) -> Result<Meta, StoreError> {
        self.within("PUT", key, self.at(Urgency::Demand), |permit| self.backend.put(key, bytes, put, permit)).await
    }

    /// Deletes an object; it is no error if there is none.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        self.within("DELETE", key, self.at(Urgency::Demand), |permit| self.backend.delete(key, permit)).await
    }

    /// Where it is asked for; `None` where nothing is asked over a network.
    pub fn whereabouts(&self) -> Option<Whereabouts> {
        self.backend.whereabouts()
    }

    /// Runs one request when it is its turn, and under the deadline. Its turn is waited for as long as the queue moves, so
    /// that requests behind a hung disk fail too instead of piling up.
    async fn within<T, F>(
        &self,
        verb: &'static str,
        key: &Key,
        asked: Asked<'_>,
        request: impl FnOnce(Permit) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let late = |waited: Duration| StoreError::Timeout { location: self.location(key), seconds: waited.as_secs() };
        let permit = asked.turn().await.map_err(|Stands(waited)| late(waited))?;
        let asked_at = tokio::time::Instant::now();
        let answer = match self.guard {
            Some(guard) => tokio::time::timeout(guard, request(permit)).await.unwrap_or_else(|_| Err(late(guard))),
            None => request(permit).await,
        };
        let (ms, error) = (asked_at.elapsed().as_millis(), answer.as_ref().err().map(tracing::field::display));
        tracing::debug!(%key, ms, error, "{verb}");
        answer
    }
}
