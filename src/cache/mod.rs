//! What is kept: plain bytes of chunks by version, within one budget of memory, and who is already fetching what.
//!
//! `fetch` stands above and says how a missing piece is loaded; however many wait for the same piece, one of them loads
//! it. The policy is LRU: moka's default admits by popularity and would throw away what was just read ahead.
//! The kernel reads a chunk in pieces of at most 1 MiB, so plain bytes must survive from one piece to the next.

pub mod disk;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::model::chunk::ChunkId;

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Bytes of plain chunks. 256 MiB: sixty-four of the largest chunks that HSDS makes by itself (4 MiB).
    pub bytes: u64,
    /// How long a chunk that was never written is taken for absent without asking again. One second: a reader walking
    /// over an empty region asks once per chunk, a chunk that appears is seen soon.
    pub absent_for: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings { bytes: 256 << 20, absent_for: Duration::from_secs(1) }
    }
}

/// A piece of one version of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PieceId {
    /// The version, unique in this process.
    pub version: u64,
    /// The chunk.
    pub chunk: ChunkId,
    /// What of it.
    pub part: PiecePart,
}

/// What of a chunk a piece is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PiecePart {
    /// The whole chunk, plain.
    Plain,
    /// A block of a chunk that is kept in blocks.
    Block(u64),
    /// The whole chunk as it is handed to a reader who undoes the filters himself.
    Stored,
    /// In that form, a chunk of the dataset that was never written; the chunk's number is 0.
    StoredFill,
}

/// Why there are no bytes. Errors are handed to everyone who waits and are never kept.
#[derive(Clone, Debug)]
pub enum Missing<E> {
    /// Never written.
    Absent,
    /// It could not be loaded.
    Failed(E),
}

/// Plain bytes by piece.
#[derive(Clone, Debug)]
pub struct PieceCache {
    pieces: Cache<PieceId, Bytes>,
    absent: Cache<PieceId, ()>,
}

/// What an entry costs besides its bytes: key, list nodes, reference counts.
const ENTRY: u32 = 200;
/// Absent chunks remembered; about 200 bytes each.
const ABSENT: u64 = 100_000;

impl PieceCache {
    /// An empty cache.
    pub fn new(settings: &CacheSettings) -> Self {
        // moka drops an entry heavier than its capacity, and each read of such a piece would load it anew: weights stop
        // at half the budget, so that two of them may exceed it, and never below what any
        // entry costs, so that a budget of nothing keeps nothing.
        let half = u32::try_from(settings.bytes / 2).unwrap_or(u32::MAX).max(ENTRY);
        PieceCache {
            pieces: Cache::builder()
                .max_capacity(settings.bytes)
                .eviction_policy(EvictionPolicy::lru())
                .weigher(move |_, bytes: &Bytes| {
                    u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_add(ENTRY).min(half)
                })
                .build(),
            absent: Cache::builder()
                .max_capacity(ABSENT)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(settings.absent_for)
                .build(),
        }
    }

    /// The piece, loaded by `load` unless it is here or somebody is loading it already.
    pub async fn get_or_load<E, F>(&self, id: PieceId, load: F) -> Result<Bytes, Missing<E>>
    where
        E: Clone + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, Missing<E>>>,
    {
        if let Some(bytes) = self.pieces.get(&id).await {
            return Ok(bytes);
        }
        if self.absent.contains_key(&id) {
            return Err(Missing::Absent);
        }
        let loaded = self.pieces.try_get_with(id, load).await.map_err(Arc::unwrap_or_clone);
        if matches!(loaded, Err(Missing::Absent)) {
            self.absent.insert(id, ()).await;
        }
        loaded
    }

    /// Bytes kept now, after what is due was evicted.
    pub async fn weight(&self) -> u64 {
        self.pieces.run_pending_tasks().await;
        self.pieces.weighted_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hierarchy::ObjectId;

    fn piece(number: u64) -> PieceId {
        PieceId { version: 0, chunk: ChunkId { dataset: ObjectId(0), number }, part: PiecePart::Plain }
    }

    async fn load(cache: &PieceCache, number: u64, len: usize) -> bool {
        let mut loaded = false;
        let bytes = cache.get_or_load::<(), _>(piece(number), async {
            loaded = true;
            Ok(Bytes::from(vec![0; len]))
        });
        bytes.await.unwrap();
        loaded
    }

    #[tokio::test]
    async fn the_budget_holds_and_the_least_recently_read_goes_first() {
        let cache = PieceCache::new(&CacheSettings { bytes: 10_000, ..CacheSettings::default() });
        for number in 0..100 {
            load(&cache, number, 2000).await;
            assert!(cache.weight().await <= 10_000);
        }
        assert!(!load(&cache, 99, 2000).await);
        assert!(!load(&cache, 97, 2000).await);
        assert!(load(&cache, 0, 2000).await);
    }

    #[tokio::test]
    async fn a_piece_larger_than_the_budget_is_kept_while_it_is_read() {
        let cache = PieceCache::new(&CacheSettings { bytes: 10_000, ..CacheSettings::default() });
        assert!(load(&cache, 0, 50_000).await);
        cache.weight().await;
        assert!(!load(&cache, 0, 50_000).await);
        assert!(cache.weight().await <= 10_000);
    }

    #[tokio::test]
    async fn a_failure_is_shared_but_not_kept_and_absence_only_for_a_while() {
        let settings = CacheSettings { absent_for: Duration::from_millis(50), ..CacheSettings::default() };
        let cache = PieceCache::new(&settings);
        let failed = cache.get_or_load(piece(0), async { Err(Missing::Failed("why")) }).await;
        assert!(matches!(failed, Err(Missing::Failed("why"))));
        assert!(load(&cache, 0, 1).await);
        let absent = cache.get_or_load::<(), _>(piece(1), async { Err(Missing::Absent) }).await;
        assert!(matches!(absent, Err(Missing::Absent)));
        let absent = cache.get_or_load::<(), _>(piece(1), async { Ok(Bytes::new()) }).await;
        assert!(matches!(absent, Err(Missing::Absent)));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(load(&cache, 1, 1).await);
    }
}
