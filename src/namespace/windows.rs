//! Windows: chunks of variable-length data, placed in the presented file, kept as long as the budget allows.
//!
//! Any byte of such a chunk, or of its heap, needs the whole chunk decoded and placed. Readers come for the chunk first
//! and for its heap soon after, so a window is kept; and many who want it at once wait for one to make it.

use std::future::Future;
use std::sync::Arc;

use moka::future::Cache;
use moka::policy::EvictionPolicy;

use super::error::NamespaceError;
use super::node::NodeId;
use crate::layout::Window;
use crate::model::chunk::ChunkId;

/// A window; `None` where the chunk was never written.
pub(crate) type Placed = Option<Arc<Window>>;

#[derive(Debug)]
pub(crate) struct Windows {
    cache: Cache<(NodeId, ChunkId), Placed>,
}

impl Windows {
    /// Bytes of one window beside its data: the key, and what the cache itself keeps.
    const OVERHEAD: usize = 256;

    pub(crate) fn new(bytes: u64) -> Self {
        let weigh = |_: &(NodeId, ChunkId), window: &Placed| {
            let data = window.as_ref().map_or(0, |window| window.chunk.len() + window.heap.len());
            u32::try_from(data + Self::OVERHEAD).unwrap_or(u32::MAX)
        };
        // LRU, since the default policy refuses newcomers that were not asked for before, and a window is asked for
        // twice within a moment or never.
        let cache = Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build();
        Windows { cache }
    }

    /// The window of a chunk of a version, made by `make` if it is not there.
    pub(crate) async fn get(
        &self,
        version: NodeId,
        chunk: ChunkId,
        make: impl Future<Output = Result<Placed, NamespaceError>>,
    ) -> Result<Placed, NamespaceError> {
        self.cache.try_get_with((version, chunk), make).await.map_err(|error| (*error).clone())
    }
}
