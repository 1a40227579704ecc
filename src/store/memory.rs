//! A store of keys without directories, as buckets in the cloud are, for tests of the rooms above.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;

use super::{Backend, Batch, Capabilities, Get, Listing, Meta, Object, Store, StoreError, StoreSettings};
use crate::model::location::{Bucket, ETag, Key, Location};

#[derive(Debug)]
struct Memory {
    objects: BTreeMap<String, Bytes>,
}

impl Store {
    /// A store that holds these objects.
    pub(crate) fn of_keys(objects: &[(&str, &str)], settings: StoreSettings) -> Store {
        let objects =
            objects.iter().map(|(key, bytes)| ((*key).to_owned(), Bytes::copy_from_slice(bytes.as_bytes()))).collect();
        Store::with_backend(&Bucket::new("memory://keys"), Arc::new(Memory { objects }), settings)
    }
}

impl Memory {
    fn find(&self, key: &Key) -> Result<&Bytes, StoreError> {
        let location = Location { bucket: Bucket::new("memory://keys"), key: key.clone() };
        self.objects.get(key.as_str()).ok_or(StoreError::NotFound { location })
    }
}

fn meta(bytes: &Bytes) -> Meta {
    Meta { size: bytes.len() as u64, etag: Some(ETag::new(format!("{:?}", bytes))), modified: SystemTime::UNIX_EPOCH }
}

#[async_trait::async_trait]
impl Backend for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            conditional_get: true,
            listing: true,
            ranges: true,
            directories: false,
            atomic_put: true,
            conditional_put: false,
        }
    }

    async fn get(&self, key: &Key, get: Get, _: OwnedSemaphorePermit) -> Result<Object, StoreError> {
        let whole = self.find(key)?;
        let range = get.range.unwrap_or(0..whole.len() as u64);
        Ok(Object { bytes: whole.slice(range.start as usize..range.end as usize), meta: meta(whole) })
    }

    async fn head(&self, key: &Key, _: OwnedSemaphorePermit) -> Result<Meta, StoreError> {
        self.find(key).map(meta)
    }

    async fn list(
        &self,
        folder: &str,
        after: Option<&str>,
        page: usize,
        _: OwnedSemaphorePermit,
    ) -> Result<Listing, StoreError> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = self.objects.keys().filter_map(|key| key.strip_prefix(&prefix));
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
                None => listing.objects.push(((*name).to_owned(), meta(&self.objects[&format!("{prefix}{name}")]))),
            }
        }
        if names.len() > page {
            listing.next = names.iter().nth(page - 1).map(|name| (*name).to_owned());
            listing.through = listing.next.clone();
        }
        Ok(listing)
    }

    fn list_below(&self, prefix: &str) -> BoxStream<'static, Result<Batch, StoreError>> {
        let batch: Batch = self
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, bytes)| (Key::new(key), meta(bytes)))
            .collect();
        stream::iter([Ok(batch)]).boxed()
    }
}
