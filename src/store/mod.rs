//! The object store with its promises made explicit. (Stand-in.)
#![allow(missing_docs, unused_variables)]
pub mod error;
use crate::model::location::{Bucket, ETag, Key};
use bytes::Bytes;
pub use error::StoreError;
use futures::stream::BoxStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;
#[derive(Debug)]
pub struct Store {
    bucket: Bucket,
}
impl Store {
    pub fn open(bucket: &Bucket) -> Result<Store, StoreError> {
        Ok(Store { bucket: bucket.clone() })
    }
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }
    pub async fn get(&self, key: &Key) -> Result<Object, StoreError> {
        unimplemented!()
    }
    pub async fn get_range(&self, key: &Key, range: Range<u64>, if_match: Option<&ETag>) -> Result<Object, StoreError> {
        unimplemented!()
    }
    pub async fn head(&self, key: &Key) -> Result<Meta, StoreError> {
        unimplemented!()
    }
    pub async fn list(&self, folder: &str, after: Option<&str>) -> Result<Listing, StoreError> {
        unimplemented!()
    }
    pub fn list_below(&self, prefix: &str) -> BoxStream<'_, Result<(Key, Meta), StoreError>> {
        unimplemented!()
    }
}
#[derive(Debug, Clone)]
pub struct Object {
    pub bytes: Bytes,
    pub meta: Meta,
}
#[derive(Debug, Clone)]
pub struct Meta {
    pub size: u64,
    pub etag: Option<ETag>,
    pub modified: SystemTime,
}
#[derive(Debug, Clone, Default)]
pub struct Listing {
    pub folders: Vec<String>,
    pub objects: Vec<(String, Meta)>,
    pub next: Option<String>,
}
#[derive(Debug)]
pub struct Stores {
    home: Arc<Store>,
}
impl Stores {
    pub fn new(home: Arc<Store>) -> Stores {
        Stores { home }
    }
    pub fn get(&self, bucket: &Bucket) -> Result<Arc<Store>, StoreError> {
        Ok(self.home.clone())
    }
    pub fn home(&self) -> &Arc<Store> {
        &self.home
    }
}
