//! Wanted bytes of chunks to requests to decoded chunks. (Stand-in.)
#![allow(missing_docs, unused_variables)]
use crate::model::chunk::{ChunkId, ChunkMap};
use crate::model::location::{ETag, Location};
use crate::store::{StoreError, Stores};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
#[derive(Debug)]
pub struct FileChunks {
    pub map: Arc<dyn ChunkMap>,
}
impl FileChunks {
    pub fn map(&self) -> &Arc<dyn ChunkMap> {
        &self.map
    }
    pub fn new(version: u64, map: Arc<dyn ChunkMap>, stores: Arc<Stores>) -> FileChunks {
        FileChunks { map }
    }
}
#[derive(Clone, Debug, Default)]
pub struct FetchSettings {}
#[derive(Debug)]
pub struct Fetcher {}
#[derive(Clone, Debug)]
pub enum Plain {
    Bytes(Bytes),
    Absent,
}
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("stale")]
    Stale { key: String },
}
impl Fetcher {
    pub fn new(settings: FetchSettings) -> Fetcher {
        Fetcher {}
    }
    pub async fn chunk(
        &self,
        file: &Arc<FileChunks>,
        id: ChunkId,
        want: Option<Range<u64>>,
    ) -> Result<Plain, FetchError> {
        unimplemented!()
    }
    pub async fn object_range(
        &self,
        stores: &Arc<Stores>,
        location: &Location,
        etag: Option<&ETag>,
        want: Range<u64>,
    ) -> Result<Bytes, FetchError> {
        unimplemented!()
    }
}
