//! Parts of a file's container that elements of a chunk lie in: heaps of variable-length data.
//!
//! They are read in aligned blocks that the cache keeps, since heaps of neighbouring chunks lie together.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::load::Loaded;
use super::pins::Identity;
use super::{FetchError, Fetcher, FileChunks};
use crate::cache::{self, Missing, PiecePart};
use crate::model::chunk::ChunkId;
use crate::model::extents::Extents;
use crate::model::hierarchy::ObjectId;
use crate::store::StoreError;

/// Bytes of a block: 64 of the collections that the HDF5 library makes by itself, and a request's latency is still most
/// of its time.
const BLOCK: u64 = 256 << 10;
/// Blocks that are asked for at the same time: what one reader of a chunk full of strings may take of the store's limit.
const TOGETHER: usize = 16;
/// Stands for the container among the datasets of its file; no file has so many objects.
const CONTAINER: ObjectId = ObjectId(u32::MAX);

impl Fetcher {
    /// Reads `ranges` of the container of `file` into `held`, for chunk `id`.
    pub(super) async fn beside(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        ranges: Vec<Range<u64>>,
        held: &mut Extents,
    ) -> Result<(), FetchError> {
        let mut numbers = BTreeSet::new();
        for gap in ranges.iter().flat_map(|range| held.gaps(range.clone())) {
            numbers.extend(gap.start / BLOCK..gap.end.min(held.len()).div_ceil(BLOCK));
        }
        let len = held.len();
        let mut blocks = stream::iter(numbers)
            .map(|number| async move {
                let range = number * BLOCK..((number + 1) * BLOCK).min(len);
                let piece = file.piece(ChunkId { dataset: CONTAINER, number }, PiecePart::Plain);
                let start = range.start;
                match self.cache.get_or_load(piece, || self.loading_container(file, id, range)).await {
                    Ok(bytes) => Ok((start, bytes)),
                    Err(Missing::Failed(error)) => Err(error),
                    Err(Missing::Absent) => Err(file.outside(id, "its file is gone".to_owned())),
                }
            })
            .buffer_unordered(TOGETHER);
        while let Some((start, bytes)) = blocks.try_next().await? {
            held.put(start, bytes);
        }
        drop(blocks);
        for range in &ranges {
            held.join(range);
        }
        Ok(())
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
