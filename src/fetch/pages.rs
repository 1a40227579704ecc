//! Large unfiltered chunks, of which a little is read until more is asked for.
//!
//! A program that wants one value of a chunk of a megabyte gets the bytes around it in one short answer. Whoever comes
//! back for more of the same chunk is likely to read it all, so the whole chunk is fetched then.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::load::{Form, Loaded};
use super::pins::Identity;
use super::reader::Grid;
use super::resolve::Found;
use super::{FetchError, Fetcher, FileChunks, Plain, slice};
use crate::cache::{self, Missing, PiecePart};
use crate::model::chunk::{ChunkId, ChunkRecipe};
use crate::store::{Object, StoreError};

/// Chunks with fewer plain bytes are fetched whole: at 20 ms a request and 100 MB/s, this one takes 2.5 ms more.
const LARGE: u64 = 256 << 10;
/// Bytes that are fetched instead, and the most that may be asked for. The kernel asks for as much where a program reads
/// a few bytes here and there.
const PAGE: u64 = 16 << 10;
/// Pages of one chunk before the whole is fetched.
const PAGES: u8 = 2;
/// Chunks whose pages are counted.
const COUNTED: usize = 4096;
/// Pages elsewhere after which a chunk counts as one that nobody has come back to.
const FORGOTTEN: u64 = 64;

/// How many pages of which chunks a version has had.
#[derive(Debug, Default)]
pub(super) struct Paged(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// Pages of a chunk, and the number of the last among all.
    chunks: HashMap<ChunkId, (u8, u64)>,
    pages: u64,
}

impl Paged {
    /// Whether one more page may be had of this chunk.
    fn may(&self, id: ChunkId) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Counted { chunks, pages } = &mut *counted;
        *pages += 1;
        if chunks.len() >= COUNTED && !chunks.contains_key(&id) {
            chunks.clear();
        }
        let (count, last) = chunks.entry(id).or_default();
        if *pages - *last > FORGOTTEN {
            *count = 0;
        }
        (*count, *last) = (count.saturating_add(1), *pages);
        *count <= PAGES
    }
}

impl Fetcher {
    /// `want` of a chunk from a page of it; `None` where the whole chunk is to be had.
    pub(super) async fn page(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        recipe: &ChunkRecipe,
        want: &Range<u64>,
    ) -> Result<Option<Plain>, FetchError> {
        let large = |len: &u64| recipe.decode.steps.is_empty() && *len >= LARGE;
        let Some(len) = recipe.raw_len.filter(large) else { return Ok(None) };
        if want.start >= want.end || want.end > len || want.end - want.start > PAGE {
            return Ok(None);
        }
        if self.cache.here(file.piece(id, PiecePart::Plain)) {
            return Ok(None);
        }
        let range = want.start..want.start.saturating_add(PAGE).min(len);
        let piece = file.piece(id, PiecePart::Page(want.start));
        if !self.cache.here(piece) && !file.paged.may(id) {
            return Ok(None);
        }
        let (fetcher, of) = (Arc::clone(self), Arc::clone(file));
        let load = || {
            let range = range.clone();
            Box::pin(async move { fetcher.load_page(&of, id, len, range).await }) as futures::future::BoxFuture<'_, _>
        };
        match self.cache.get_or_load(piece, load).await {
            Ok(bytes) => {
                let given = want.end - want.start;
                self.hands(&file.spent, (Grid::Chunks(id.dataset), id.number), given, len);
                Ok(slice(&bytes, &(0..given)).map(Plain::Bytes))
            }
            Err(Missing::Absent) => Ok(Some(Plain::Absent)),
            Err(Missing::Failed(error @ FetchError::Stale { .. })) => Err(error),
            // The whole chunk is asked for with more patience, and with an error that says more.
            Err(Missing::Failed(_)) => Ok(None),
        }
    }

    async fn load_page(self: &Arc<Self>, file: &Arc<FileChunks>, id: ChunkId, len: u64, range: Range<u64>) -> Loaded {
        let failed = Missing::Failed;
        let found = self.resolve(file, id).await.map_err(failed)?;
        let (location, base) = match &found {
            Found::Object(location) => (location, None),
            Found::Range(location, stored) if stored.end - stored.start == len => (location, Some(stored.start)),
            Found::Nowhere => return Err(Missing::Absent),
            // Rare, or wrong: the whole chunk tells.
            Found::Range(..) | Found::Computed(..) => {
                return self.load_found(file, id, found, Form::default(), None).await.map(|bytes| {
                    let (start, end) = (range.start as usize, range.end as usize);
                    bytes.get(start..end).map_or_else(bytes::Bytes::new, |part| bytes.slice_ref(part))
                });
            }
        };
        let reserved = self.cache.reserve(range.end - range.start).await;
        let store = file.stores.get(&location.bucket).await.map_err(|error| failed(error.into()))?;
        let start = base.unwrap_or(0);
        let condition = match base {
            Some(_) => file.pins.condition(location).map_err(failed)?,
            None => None,
        };
        let part = start.saturating_add(range.start)..start.saturating_add(range.end);
        let object = match store.get_range(&location.key, part, condition.as_ref()).await {
            Ok(object) => object,
            Err(StoreError::Changed { location }) if base.is_some() => {
                return Err(failed(file.pins.changed(&location)));
            }
            Err(error) if base.is_none() && error.is_not_found() && !file.pins.holds_chunk(id) => {
                return Err(Missing::Absent);
            }
            Err(error) => return Err(failed(error.into())),
        };
        let Object { bytes, meta } = object;
        let identity = Identity::of(&meta);
        match base {
            Some(_) => {
                file.pins.check_location(location, &identity).map_err(failed)?;
                file.judge(id.dataset, location, &meta).map_err(failed)?;
                file.pins.pin_location(location, &identity).map_err(failed)?;
            }
            None if meta.size != len => {
                let reason = format!("{} bytes instead of {len}", meta.size);
                return Err(failed(FetchError::Undecodable { location: location.clone(), reason }));
            }
            None => file.pins.pin_chunk(id, &identity, location).map_err(failed)?,
        }
        Ok(cache::reserved(bytes, reserved))
    }
}
