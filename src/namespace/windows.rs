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
use crate::fetch::{Fetcher, Reservation};
use crate::layout::Window;
use crate::model::chunk::ChunkId;

/// A window; `None` where the chunk was never written.
pub(crate) type Placed = Option<Arc<PlacedWindow>>;

/// A window, counted as held as long as it is here.
#[derive(Debug)]
pub(crate) struct PlacedWindow {
    window: Window,
    _held: Reservation,
}

impl PlacedWindow {
    /// Bytes of one window beside its data: the key, and what the cache itself keeps.
    const OVERHEAD: u64 = 256;

    pub(crate) fn new(window: Window, fetcher: &Fetcher) -> PlacedWindow {
        let held = fetcher.hold(Self::bytes(&window));
        PlacedWindow { window, _held: held }
    }

    fn bytes(window: &Window) -> u64 {
        (window.chunk.len() as u64).saturating_add(window.heap.len() as u64).saturating_add(Self::OVERHEAD)
    }
}

impl std::ops::Deref for PlacedWindow {
    type Target = Window;

    fn deref(&self) -> &Window {
        &self.window
    }
}

#[derive(Debug)]
pub(crate) struct Windows {
    cache: Cache<(NodeId, ChunkId), Arc<PlacedWindow>>,
}

/// Why there is no window to keep.
#[derive(Clone)]
enum Nothing {
    /// The chunk was never written. It may be in a moment: how long that is believed is for those who fetch to say.
    Absent,
    Failed(NamespaceError),
}

impl Windows {
    pub(crate) fn new(bytes: u64) -> Self {
        // A window heavier than the budget would never be kept, and each read of it would make it anew: weights stop at
        // half the budget, and never below what any entry costs, so that a budget of nothing keeps nothing.
        let half = u32::try_from(bytes / 2).unwrap_or(u32::MAX).max(PlacedWindow::OVERHEAD as u32);
        let weigh = move |_: &(NodeId, ChunkId), placed: &Arc<PlacedWindow>| {
            u32::try_from(PlacedWindow::bytes(placed)).unwrap_or(u32::MAX).min(half)
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
