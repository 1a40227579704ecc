//! Parts of a file's container that elements of a chunk lie in: heaps of variable-length data.
//!
//! They are read in aligned blocks that the cache keeps, since heaps of neighbouring chunks lie together. What a chunk needs of
//! them is copied, counted, and no more than a chunk may have.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::load::Loaded;
use super::pins::Identity;
use super::{FetchError, Fetcher, FileChunks, slice};
use crate::cache::{self, Missing, PiecePart, Reservation};
use crate::model::chunk::ChunkId;
use crate::model::extents::Extents;
use crate::model::hierarchy::ObjectId;
use crate::model::limits;
use crate::store::StoreError;

/// Bytes of a block: 64 of the collections that the HDF5 library makes by itself, and a request's latency is still most
/// of its time.
const BLOCK: u64 = 256 << 10;
/// Blocks that are asked for at the same time: what one reader of a chunk full of strings may take of the store's limit.
const TOGETHER: usize = 16;
/// Stands for the container among the datasets of its file; no file has so many objects.
const CONTAINER: ObjectId = ObjectId(u32::MAX);

impl Fetcher {
    /// Reads `ranges` of the container of `file` into `held`, for chunk `id`. What is held then is counted as long as what is
    /// returned lives.
    pub(super) async fn beside(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        ranges: Vec<Range<u64>>,
        held: &mut Extents,
    ) -> Result<Reservation, FetchError> {
        let len = held.len();
        let gaps = || ranges.iter().flat_map(|range| held.gaps(range.start..range.end.min(len)));
        let wanted = gaps().fold(held.held(), |sum, gap| sum.saturating_add(gap.end.saturating_sub(gap.start)));
        if wanted > limits::DECODED_CHUNK_BYTES {
            return Err(file.too_large(id, wanted));
        }
        let (parts, pieced) = in_blocks(gaps());
        // Once as they come, and those of two blocks once more in one piece.
        let counted = self.hold_briefly(wanted.saturating_add(pieced));
        let mut blocks = stream::iter(parts)
            .map(|(number, parts)| async move {
                let range = number * BLOCK..((number + 1) * BLOCK).min(len);
                let piece = file.piece(ChunkId { dataset: CONTAINER, number }, PiecePart::Plain);
                let start = range.start;
                match self.cache.get_or_load(piece, || self.loading_container(file, id, range)).await {
                    Ok(bytes) => Ok((start, bytes, parts)),
                    Err(Missing::Failed(error)) => Err(error),
                    Err(Missing::Absent) => Err(file.outside(id, "its file is gone".to_owned())),
                }
            })
            .buffer_unordered(TOGETHER);
        while let Some((start, bytes, parts)) = blocks.try_next().await? {
            for part in parts {
                // A copy, so that the block may go: a chunk whose values lie far apart would hold many times their bytes, and
                // wait for room that only it could give back.
                if let Some(found) = slice(&bytes, &(part.start - start..part.end - start)) {
                    held.put(part.start, Bytes::copy_from_slice(&found));
                }
            }
        }
        drop(blocks);
        for range in &ranges {
            held.join(range);
        }
        Ok(counted)
    }

    fn loading_container(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        range: Range<u64>,
    ) -> BoxFuture<'static, Loaded> {
        let (fetcher, file) = (Arc::clone(self), Arc::clone(file));
        Box::pin(async move {
            let reserved = fetcher.cache.reserve(range.end - range.start).await;
            let bytes = fetcher.container_block(&file, id, range).await?;
            Ok(cache::reserved(bytes, reserved))
        })
    }

    async fn container_block(&self, file: &FileChunks, id: ChunkId, range: Range<u64>) -> Loaded {
        let failed = |error: FetchError| Missing::Failed(error);
        let Some(container) = file.map.container() else {
            return Err(failed(file.outside(id, "values outside its chunk".to_owned())));
        };
        let location = &container.location;
        let unlinked = |error: StoreError| failed(file.unlinked(id.dataset, location, error));
        let store = file.stores.get(&location.bucket).await.map_err(unlinked)?;
        let condition = file.pins.condition(location).map_err(failed)?;
        let object = store.get_range(&location.key, range, condition.as_ref()).await.map_err(unlinked)?;
        file.pins.pin_location(location, &Identity::of(&object.meta)).map_err(failed)?;
        Ok(object.bytes)
    }
}

/// `gaps`, cut where blocks end, by the number of the block; and how many bytes lie in gaps of several blocks.
fn in_blocks(gaps: impl Iterator<Item = Range<u64>>) -> (BTreeMap<u64, Vec<Range<u64>>>, u64) {
    let (mut parts, mut pieced) = (BTreeMap::<u64, Vec<Range<u64>>>::new(), 0u64);
    for gap in gaps.filter(|gap| !gap.is_empty()) {
        if gap.start / BLOCK != (gap.end - 1) / BLOCK {
            pieced = pieced.saturating_add(gap.end - gap.start);
        }
        let mut at = gap.start;
        while at < gap.end {
            let number = at / BLOCK;
            let end = gap.end.min((number + 1).saturating_mul(BLOCK));
            parts.entry(number).or_default().push(at..end);
            at = end;
        }
    }
    (parts, pieced)
}

#[cfg(test)]
mod tests;
