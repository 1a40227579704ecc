//! Huge unfiltered chunks, of which only the wanted part is read.
//!
//! A contiguous dataset that is linked from an HDF5 file is one chunk, perhaps of hundreds of gigabytes. It is read in
//! aligned blocks, so that neighbouring reads of the kernel meet in the cache.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::kept::Wanted;
use super::load::Loaded;
use super::pins::Identity;
use super::reader::Grid;
use super::resolve::Found;
use super::{FetchError, Fetcher, FileChunks, Plain, overlap, slice};
use crate::cache::{self, Ahead, Missing, PiecePart, Reservation};
use crate::model::chunk::{ChunkId, ChunkRecipe};
use crate::model::limits;
use crate::model::location::Location;
use crate::model::pipeline::Decode;
use crate::store::{StoreError, Urgency};

/// Blocks of one read that are asked for at the same time. A kernel read touches two at most; longer reads come from
/// our own commands.
pub(super) const TOGETHER: usize = 8;

impl Fetcher {
    /// Plain bytes of a chunk that is read in blocks; `None` where chunks of this recipe are read whole.
    pub(super) fn in_blocks(&self, recipe: &ChunkRecipe) -> Option<u64> {
        // A checksum behind the data leaves every byte of them where it is.
        let as_stored = recipe.decode.steps.iter().all(|step| matches!(step, Decode::TrimFletcher32));
        recipe.raw_len.filter(|&len| as_stored && len > self.settings.whole_up_to)
    }

    /// Begins to load block `number` of a chunk of `len` plain bytes that nobody waits for yet. It is looked up first
    /// where the chunk lies, which is known once a block of it was read.
    pub(super) fn block_ahead(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        len: u64,
        number: u64,
    ) -> Ahead<FetchError> {
        let start = number.saturating_mul(self.settings.block);
        let range = start..start.saturating_add(self.settings.block).min(len);
        let size = range.end.saturating_sub(range.start);
        let (fetcher, of) = (Arc::clone(self), Arc::clone(file));
        self.cache.load_ahead(file.piece(id, PiecePart::Block(number)), size, move |reserved| {
            Box::pin(async move {
                // As for chunks: not while the table needs room.
                let reserved = Some(reserved).filter(|_| !of.is_behind_table(id));
                let found = fetcher.resolve(&of, id).await.map_err(Missing::Failed)?;
                fetcher.loading_block(&of, id, found, range, reserved).await
            })
        })
    }

    /// `want` of a chunk of `len` plain bytes. `None` where it may have to be computed, which is done whole.
    pub(super) async fn blocks(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        len: u64,
        want: Option<Range<u64>>,
    ) -> Result<Option<Plain>, FetchError> {
        let want = want.unwrap_or(0..len);
        if want.start > want.end || want.end > len {
            let reason = format!("bytes {}..{} of {len}", want.start, want.end);
            return Err(file.outside(id, reason));
        }
        let size = want.end - want.start;
        if size > limits::DECODED_CHUNK_BYTES {
            return Err(file.too_large(id, size));
        }
        let found = &self.resolve(file, id).await?;
        let location = match found {
            Found::Nowhere => return Ok(Some(Plain::Absent)),
            Found::Computed(..) => return Ok(None),
            Found::Object(location) => location,
            Found::Range(location, range) => {
                let stored = range.end.saturating_sub(range.start);
                if !fits(file.recipe(id)?, len, stored) {
                    let reason = format!("{stored} bytes are linked instead of {len}");
                    return Err(FetchError::Undecodable { location: location.clone(), reason });
                }
                location
            }
        };
        if size == 0 {
            return Ok(Some(Plain::Bytes(Bytes::new())));
        }
        let block = self.settings.block.max(1);
        let numbers = want.start / block..=(want.end - 1) / block;
        let want = &want;
        let parts: Result<Vec<Bytes>, Missing<FetchError>> = stream::iter(numbers)
            .map(|number| async move {
                let range = number * block..(number * block).saturating_add(block).min(len);
                let piece = file.piece(id, PiecePart::Block(number));
                let load = || self.loading_block(file, id, found.clone(), range.clone(), None);
                let bytes = self.cache.get_or_load(piece, load).await?;
                let given = overlap(want, &range);
                self.cache.handed(piece, given);
                let inside = want.start.max(range.start) - range.start..want.end.min(range.end) - range.start;
                slice(&bytes, &inside).ok_or_else(|| {
                    let reason = format!("block {number} has {} bytes", bytes.len());
                    Missing::Failed(FetchError::Undecodable { location: location.clone(), reason })
                })
            })
            .buffered(TOGETHER)
            .try_collect()
            .await;
        match parts {
            Ok(mut parts) if parts.len() == 1 => Ok(parts.pop().map(Plain::Bytes)),
            Ok(parts) => {
                let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
                parts.iter().for_each(|part| whole.extend_from_slice(part));
                Ok(Some(Plain::Bytes(whole.freeze())))
            }
            Err(Missing::Absent) => Ok(Some(Plain::Absent)),
            Err(Missing::Failed(error)) => Err(error),
        }
    }

    /// Notes that `want` of a chunk of `len` plain bytes goes to a reader.
    pub(super) fn hands_blocks(&self, file: &FileChunks, id: ChunkId, len: u64, want: &Range<u64>) {
        let block = self.settings.block.max(1);
        for number in want.start / block..want.end.div_ceil(block) {
            let (start, end) = (number * block, (number * block).saturating_add(block).min(len));
            let given = overlap(want, &(start..end));
            self.hands(&file.spent, (Grid::Blocks(id), number), given, end.saturating_sub(start));
        }
    }

    /// The load of a block, `range` of a chunk whose bytes are at `found`. Room was made for it already if nobody waits.
    pub(super) fn loading_block(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        found: Found,
        range: Range<u64>,
        ahead: Option<Reservation>,
    ) -> BoxFuture<'static, Loaded> {
        let (fetcher, file) = (Arc::clone(self), Arc::clone(file));
        Box::pin(async move {
            let urgency = if ahead.is_some() { Urgency::Ahead } else { Urgency::Demand };
            let (location, base) = match &found {
                Found::Object(location) => (location, None),
                Found::Range(location, range) => (location, Some(range.start)),
                Found::Nowhere | Found::Computed(..) => return Err(Missing::Absent),
            };
            let reserved = match ahead {
                Some(reserved) => reserved,
                None => fetcher.cache.reserve(range.end - range.start).await,
            };
            let bytes = fetcher.block(&file, id, (location, base), range, urgency).await?;
            Ok(cache::reserved(bytes, reserved))
        })
    }

    /// One block: `range` of the chunk, which begins at a byte of an object or is one (`None`).
    async fn block(
        &self,
        file: &FileChunks,
        id: ChunkId,
        (location, base): (&Location, Option<u64>),
        range: Range<u64>,
        urgency: Urgency,
    ) -> Loaded {
        let failed = |error: FetchError| Missing::Failed(error);
        // An object of the file's own is absent where it was never written; linked data must be there.
        let linked = base.is_some();
        let unlinked = |error: StoreError| match linked {
            true => file.unlinked(id.dataset, location, error),
            false => error.into(),
        };
        let store = file.stores.get(&location.bucket).await.map_err(|error| failed(unlinked(error)))?;
        let recipe = file.recipe(id).map_err(failed)?;
        let len = recipe.raw_len.unwrap_or_default();
        let start = base.unwrap_or(0);
        let (Some(from), Some(to)) = (start.checked_add(range.start), start.checked_add(range.end)) else {
            let reason = "its range is past the end of the number space".to_owned();
            return Err(failed(FetchError::Undecodable { location: location.clone(), reason }));
        };
        let patience = self.settings.patience.for_question(&store);
        let mut again = 0;
        loop {
            let condition = file.pins.condition(location).map_err(failed)?;
            let (condition, at_most, shared) = (condition.as_ref(), to - from, false);
            let wanted = Wanted { location, range: Some(from..to), at_most, condition, urgency, shared };
            let asked = self.kept.get(&store, &wanted, |_| false).await;
            if let Ok(stored) = &asked
                && (linked || fits(recipe, len, stored.object.meta.size))
            {
                self.kept.keep(&store, &wanted, stored).await;
            }
            let (error, seen) = match asked.map(|stored| stored.object) {
                Ok(object) if !linked && !fits(recipe, len, object.meta.size) => {
                    let reason = format!("{} bytes instead of {len}", object.meta.size);
                    (FetchError::Undecodable { location: location.clone(), reason }, Some(object.meta))
                }
                Ok(object) => {
                    file.pins.pin_location(location, &Identity::of(&object.meta)).map_err(failed)?;
                    if linked {
                        file.judge(id.dataset, location, &object.meta).map_err(failed)?;
                    }
                    return Ok(object.bytes);
                }
                Err(StoreError::Changed { location }) => return Err(failed(file.pins.changed(&location))),
                Err(error) if error.is_not_found() && !linked => {
                    return Err(match file.pins.holds_location(location) {
                        // Other blocks of it were there when this version first read them.
                        true => failed(FetchError::Stale { location: location.clone() }),
                        false => Missing::Absent,
                    });
                }
                Err(error @ (StoreError::Range { .. } | StoreError::Busy { .. })) => {
                    let now = self.seen(&store, location).await;
                    if let Some(meta) = &now {
                        file.pins.check_location(location, &Identity::of(meta)).map_err(failed)?;
                    }
                    (error.into(), now)
                }
                Err(error) => return Err(failed(unlinked(error))),
            };
            let live = seen.is_some_and(|meta| self.settings.patience.is_young(meta.modified));
            if !(patience.doubt(again).await || live && patience.pause(again).await) {
                return Err(failed(error));
            }
            again += 1;
        }
    }
}

/// Whether a chunk of `len` plain bytes may have `stored` bytes: four more where the recipe trims a checksum.
fn fits(recipe: &ChunkRecipe, len: u64, stored: u64) -> bool {
    stored == len || (!recipe.decode.steps.is_empty() && len.checked_add(4) == Some(stored))
}
