//! A store of keys without directories, as buckets in the cloud are, for tests of the rooms above.
//!
//! Each request takes a fixed time. Under a paused clock (`tokio::test(start_paused = true)`) the time that has passed,
//! divided by that, is the number of requests that waited for each other; what was asked and how much of it at a time is
//! written down.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::permits::{Permit, Permits};
use super::{Backend, Batch, Capabilities, Get, Listing, Meta, Object, Store, StoreError, StoreSettings};
use crate::model::location::{Bucket, ETag, Key, Location};

/// Keys of one page of a recursive listing, as of S3.
const PAGE: usize = 1000;

/// A handle on the keys; clones are the same keys.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    delay: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    asked: Vec<String>,
    in_flight: usize,
    peak: usize,
    in_place: bool,
    tags_of_listings: Option<&'static str>,
}

impl Memory {
    /// No keys yet; every request takes `delay`.
    pub(crate) fn new(delay: Duration) -> Memory {
        Memory(Arc::new(Keys { delay, state: Mutex::default() }))
    }

    /// The bucket it says it is; links to it lead back to it.
    pub(crate) fn bucket() -> Bucket {
        Bucket::new("s3://keys")
    }

    /// The store of these keys, in pages of S3's size.
    pub(crate) fn store(&self) -> Store {
        self.store_with(StoreSettings { page: PAGE, ..StoreSettings::default() })
    }

    /// The store of these keys.
    pub(crate) fn store_with(&self, settings: StoreSettings) -> Store {
        Store::with_backend(&Self::bucket(), Arc::new(self.clone()), settings)
    }

    /// Puts an object that was written long ago.
    pub(crate) fn put(&self, key: impl AsRef<str>, bytes: impl Into<Bytes>) {
        self.put_at(key, bytes, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    }

    /// Puts an object that was written at `modified`.
    pub(crate) fn put_at(&self, key: impl AsRef<str>, bytes: impl Into<Bytes>, modified: SystemTime) {
        let bytes = bytes.into();
        let mut hash = DefaultHasher::new();
        bytes.hash(&mut hash);
        let etag = Some(ETag::new(format!("{:016x}", hash.finish())));
        let meta = Meta { size: bytes.len() as u64, etag, modified };
        self.state().objects.insert(key.as_ref().to_owned(), Object { bytes, meta });
    }

    /// Removes an object.
    pub(crate) fn remove(&self, key: impl AsRef<str>) {
        self.state().objects.remove(key.as_ref());
    }

    /// Keys there are.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// From now on it is a store that lets readers see half of a write.
    pub(crate) fn set_in_place(&self) {
        self.state().in_place = true;
    }

    /// From now on listings spell entity tags otherwise than objects do.
    pub(crate) fn set_tags_of_listings(&self, before: &'static str) {
        self.state().tags_of_listings = Some(before);
    }

    /// What was asked since the last call, as `GET key`, `HEAD key`, `LIST folder`, `LIST below prefix`.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    /// The most requests that were under way at a time, since the last call.
    pub(crate) fn peak(&self) -> usize {
        std::mem::take(&mut self.state().peak)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Takes the time of a request.
    async fn answer(&self, asked: String) {
        {
            let mut state = self.state();
            state.asked.push(asked);
            state.in_flight += 1;
            state.peak = state.peak.max(state.in_flight);
        }
        // Given up in the middle, it has ended too.
        let _ended = Ended(self);
        if !self.0.delay.is_zero() {
            tokio::time::sleep(self.0.delay).await;
        }
    }

    fn find(&self, key: &Key) -> Result<Object, StoreError> {
        let location = Location { bucket: Self::bucket(), key: key.clone() };
        self.state().objects.get(key.as_str()).cloned().ok_or(StoreError::NotFound { location })
    }

    fn listed(&self, object: &Object) -> Meta {
        let mut meta = object.meta.clone();
        if let (Some(before), Some(tag)) = (self.state().tags_of_listings, &meta.etag) {
            meta.etag = Some(ETag::new(format!("{before}{}", tag.as_str())));
        }
        meta
    }
}

struct Ended<'a>(&'a Memory);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

impl Store {
    /// A store that holds these objects and answers at once.
    pub(crate) fn of_keys(objects: &[(&str, &str)], settings: StoreSettings) -> Store {
        let memory = Memory::new(Duration::ZERO);
        for (key, bytes) in objects {
            memory.put(key, Bytes::copy_from_slice(bytes.as_bytes()));
        }
        memory.store_with(settings)
    }
}

#[async_trait::async_trait]
impl Backend for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            conditional_get: true,
            listing: true,
            ranges: true,
            directories: false,
            atomic_put: !self.state().in_place,
            conditional_put: false,
        }
    }

    async fn get(&self, key: &Key, get: Get, permit: Permit) -> Result<Object, StoreError> {
        let _permit = permit;
        self.answer(format!("GET {key}")).await;
        let Object { bytes, meta } = self.find(key)?;
        let range = get.range.unwrap_or(0..meta.size);
        let location = || Location { bucket: Self::bucket(), key: key.clone() };
        if get.if_match.is_some_and(|tag| Some(tag) != meta.etag) {
            return Err(StoreError::Changed { location: location() });
        }
        if get.if_none_match.is_some_and(|tag| Some(tag) == meta.etag) {
            return Err(StoreError::Changed { location: location() });
        }
        if range.end - range.start > get.at_most {
            return Err(StoreError::TooLarge { location: location(), size: meta.size, limit: get.at_most });
        }
        if range.end > meta.size {
            return Err(StoreError::Range { location: location(), start: range.start, end: range.end });
        }
        Ok(Object { bytes: bytes.slice(range.start as usize..range.end as usize), meta })
    }

    async fn head(&self, key: &Key, permit: Permit) -> Result<Meta, StoreError> {
        let _permit = permit;
        self.answer(format!("HEAD {key}")).await;
        self.find(key).map(|object| object.meta)
    }

    async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        page: usize,
        permit: Permit,
    ) -> Result<Listing, StoreError> {
        let _permit = permit;
        self.answer(format!("LIST {folder}")).await;
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let objects: BTreeMap<String, Object> =
            self.state().objects.iter().map(|(key, object)| (key.clone(), object.clone())).collect();
        let below = objects.keys().filter_map(|key| key.strip_prefix(&prefix));
        let names: BTreeSet<&str> = below
            .map(|rest| rest.split_inclusive('/').next().unwrap_or(rest))
            .filter(|name| after.is_none_or(|after| *name > after))
            .collect();
        if names.is_empty() && after.is_none() {
            self.find(&Key::new(&prefix))?;
        }
        let mut listing = Listing::default();
        for name in names.iter().take(page) {
            match name.strip_suffix('/') {
                Some(folder) => listing.folders.push(folder.to_owned()),
                None => {
                    listing.objects.push(((*name).to_owned(), self.listed(&objects[&format!("{prefix}{name}")])));
                }
            }
        }
        if names.len() > page {
            listing.next = names.iter().nth(page - 1).map(|name| (*name).to_owned());
            listing.through = listing.next.clone();
        }
        Ok(listing)
    }

    fn list_below(&self, prefix: &str, _: Arc<Permits>) -> BoxStream<'static, Result<Batch, StoreError>> {
        let state = self.state();
        let found = state.objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let found: Vec<(String, Object)> = found.map(|(key, object)| (key.clone(), object.clone())).collect();
        drop(state);
        let found: Batch = found.iter().map(|(key, object)| (Key::new(key), self.listed(object))).collect();
        let pages: Vec<Batch> = found.chunks(PAGE).map(<[_]>::to_vec).collect();
        // A prefix that nothing lies below costs a request as well.
        let pages = if pages.is_empty() { vec![Vec::new()] } else { pages };
        let (memory, asked) = (self.clone(), format!("LIST below {prefix}"));
        stream::iter(pages)
            .then(move |page| {
                let (memory, asked) = (memory.clone(), asked.clone());
                async move {
                    memory.answer(asked).await;
                    Ok(page)
                }
            })
            .boxed()
    }
}
