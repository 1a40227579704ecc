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
    cache: Cache<(NodeId, ChunkId), Arc<Window>>,
}

/// Why there is no window to keep.
#[derive(Clone)]
enum Nothing {
    /// The chunk was never written. It may be in a moment: how long that is believed is for those who fetch to say.
    Absent,
    Failed(NamespaceError),
}

impl Windows {
    /// Bytes of one window beside its data: the key, and what the cache itself keeps.
    const OVERHEAD: usize = 256;

    pub(crate) fn new(bytes: u64) -> Self {
        // A window heavier than the budget would never be kept, and each read of it would make it anew: weights stop at
        // half the budget, and never below what any entry costs, so that a budget of nothing keeps nothing.
        let half = u32::try_from(bytes / 2).unwrap_or(u32::MAX).max(Self::OVERHEAD as u32);
        let weigh = move |_: &(NodeId, ChunkId), window: &Arc<Window>| {
            let data = window.chunk.len().saturating_add(window.heap.len()).saturating_add(Self::OVERHEAD);
            u32::try_from(data).unwrap_or(u32::MAX).min(half)
        };
        // LRU, since the default policy refuses newcomers that were not asked for before, and a window is asked for
        // twice within a moment or never.
        let cache = Cache::builder().max_capacity(bytes).weigher(weigh).eviction_policy(EvictionPolicy::lru()).build();
        Windows { cache }
    }

    /// The window of a chunk of a version, made by `make` if it is not there. An absent one is not kept.
    pub(crate) async fn get(
        &self,
        version: NodeId,
        chunk: ChunkId,
        make: impl Future<Output = Result<Placed, NamespaceError>>,
    ) -> Result<Placed, NamespaceError> {
        // Boxed: the cache keeps several copies of the future in its own, and every read would carry them.
        let make = Box::pin(async {
            match make.await {
                Ok(Some(window)) => Ok(window),
                Ok(None) => Err(Nothing::Absent),
                Err(error) => Err(Nothing::Failed(error)),
            }
        });
        match self.cache.try_get_with((version, chunk), make).await.map_err(Arc::unwrap_or_clone) {
            Ok(window) => Ok(Some(window)),
            Err(Nothing::Absent) => Ok(None),
            Err(Nothing::Failed(error)) => Err(error),
        }
    }
}
