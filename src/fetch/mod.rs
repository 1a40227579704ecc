//! Wanted bytes of chunks to requests to plain chunks.
//!
//! `namespace` stands above and asks for bytes of a chunk by its id; the file's [`ChunkMap`] says where the stored bytes
//! are, `store` gets them, `codec` makes them plain, `cache` keeps them and lets one of many readers do the work. This
//! room knows no schema and nothing of HDF5.
//!
//! * [`resolve`](self::resolve): from a chunk's id to the object or range that holds it, through chunk tables;
//! * [`load`](self::load): one chunk's stored bytes, made plain; torn writes are waited out;
//! * [`room`](self::room): the memory that loading a chunk takes;
//! * [`stored`](self::stored): one chunk's stored bytes as they are, for readers who undo the filters themselves;
//! * [`kept`](self::kept): what the disk cache has of it, as far as that is still so;
//! * [`beside`](self::beside): parts of a file's container that elements of a chunk lie in;
//! * [`blocks`](self::blocks): huge unfiltered chunks, of which only the wanted part is read;
//! * [`object`](self::object): objects that are shown as they are;
//! * [`pages`](self::pages): large unfiltered chunks, of which a little is read until more is asked for;
//! * [`pattern`](self::pattern): what a reader will want next, from the chunks that it touched;
//! * [`reader`](self::reader): one reader of a file, for whom chunks are fetched ahead;
//! * [`spent`](self::spent): chunks that were handed over whole, which nobody needs ahead;
//! * [`coalesce`](self::coalesce): ranges of one object that are wanted to the requests that bring them;
//! * [`ranges`](self::ranges): who wants which, and is handed what;
//! * [`pinned`](self::pinned): what of it is in memory or in the disk cache, and is to stay there;
//! * [`pins`](self::pins): one version never mixes two states of an object;
//! * [`links`](self::links): what is to be told of data that lie in other objects.

mod beside;
mod blocks;
mod coalesce;
pub mod error;
mod kept;
mod links;
mod load;
mod object;
mod pages;
mod pattern;
mod pinned;
mod pins;
mod ranges;
mod reader;
mod resolve;
mod room;
mod spent;
mod stored;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::Semaphore;

pub use error::{ChunkName, FetchError};
pub use object::{Expected, PlainObject};
pub use pinned::{Here, Shown};
pub use reader::Reader;
pub use resolve::Found;

pub use crate::cache::{Counts, Reservation, reserved as counted};

use crate::cache::{CacheSettings, Missing, PieceCache, PieceId, PiecePart};
use crate::model::chunk::{BadChunk, ChunkId, ChunkMap, ChunkRecipe, ChunkSource, Rows, Unmade};
use crate::model::elements::Elements;
use crate::model::extents::Extents;
use crate::model::hierarchy::ObjectId;
use crate::model::limits;
use crate::model::paths::Paths;
use crate::store::{Patience, Stores};
use links::Links;
use pages::Paged;
use pins::Pins;
use reader::Grid;
use spent::Spent;

/// How chunks are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    /// What is kept of them.
    pub cache: CacheSettings,
    /// Chunks decoded at the same time; by default as many as there are cores, since decoding never waits.
    pub decoders: usize,
    /// Unfiltered chunks with more plain bytes than this are read in blocks. 8 MiB: below it one request for the whole
    /// chunk costs little more than one for a part.
    pub whole_up_to: u64,
    /// Bytes of such a block. 4 MiB: large enough that a request's latency does not count, four of the kernel's reads.
    pub block: u64,
    /// How long a torn chunk is read again.
    pub patience: Patience,
}

impl Default for FetchSettings {
    fn default() -> Self {
        FetchSettings {
            cache: CacheSettings::default(),
            decoders: std::thread::available_parallelism().map_or(1, usize::from),
            whole_up_to: 8 << 20,
            block: 4 << 20,
            patience: Patience::default(),
        }
    }
}

/// What is known of the file that chunks belong to, for whom an error or a problem is told.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The file, as people name it.
    pub file: String,
    /// Paths of its objects.
    pub paths: Arc<Paths>,
    /// When what describes it was last written. Linked data are to be older.
    pub modified: Option<SystemTime>,
    /// Linked data that are not older are refused rather than told of.
    pub strict: bool,
}

/// The chunks of one open version of a file.
#[derive(Debug)]
pub struct FileChunks {
    version: u64,
    map: Arc<dyn ChunkMap>,
    stores: Arc<Stores>,
    about: About,
    pins: Pins,
    links: Links,
    paged: Paged,
    spent: Spent,
}

impl FileChunks {
    /// The chunks that `map` describes. Each call makes a version of its own: nothing is shared with another.
    pub fn new(map: Arc<dyn ChunkMap>, stores: Arc<Stores>, about: About) -> Arc<FileChunks> {
        let version = next_version();
        let pins = map.container().map_or_else(Pins::default, Pins::of);
        let (links, paged, spent) = (Links::default(), Paged::default(), Spent::default());
        Arc::new(FileChunks { version, map, stores, about, pins, links, paged, spent })
    }

    /// The same chunks for new readers: nothing is known yet of any.
    pub fn renewed(&self) -> Arc<FileChunks> {
        FileChunks::new(Arc::clone(&self.map), Arc::clone(&self.stores), self.about.clone())
    }

    /// What the source knows of the chunks.
    pub fn map(&self) -> &Arc<dyn ChunkMap> {
        &self.map
    }

    /// The stores they lie in.
    pub fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// A chunk as people know it.
    pub fn name(&self, id: ChunkId) -> ChunkName {
        let grid = self.map.recipe(id.dataset).map(|recipe| &recipe.grid).filter(|grid| id.number < grid.total());
        let coordinates = grid.map(|grid| grid.coordinates(id.number));
        let key = match coordinates.as_ref().map(|coordinates| self.map.locate(id.dataset, coordinates)) {
            Some(ChunkSource::Object(key) | ChunkSource::Computed { object: key, .. }) => Some(key.to_string()),
            Some(ChunkSource::Range(location, _)) => Some(location.to_string()),
            Some(ChunkSource::Table { .. } | ChunkSource::Fill) | None => None,
        };
        let coordinates = match coordinates.as_deref() {
            // A scalar's only chunk has no coordinate and is called 0.
            Some([]) => "0".to_owned(),
            Some(coordinates) => coordinates.iter().map(u64::to_string).collect::<Vec<_>>().join("_"),
            None => format!("number {}", id.number),
        };
        ChunkName { dataset: self.path(id.dataset), number: id.number, coordinates, key }
    }

    /// Paths of the file's objects.
    pub fn paths(&self) -> &Paths {
        &self.about.paths
    }

    /// Path of an object in its file.
    fn path(&self, object: ObjectId) -> String {
        self.about.paths.of(object)
    }

    fn recipe(&self, id: ChunkId) -> Result<&ChunkRecipe, FetchError> {
        let outside = |reason: &str| self.outside(id, reason.to_owned());
        let recipe = self.map.recipe(id.dataset).ok_or_else(|| outside("no dataset with data"))?;
        if id.number >= recipe.grid.total() {
            return Err(outside("past the end of the chunk grid"));
        }
        Ok(recipe)
    }

    fn outside(&self, id: ChunkId, reason: String) -> FetchError {
        FetchError::Outside { chunk: Box::new(self.name(id)), reason }
    }

    fn too_large(&self, id: ChunkId, size: u64) -> FetchError {
        FetchError::TooLarge { chunk: Box::new(self.name(id)), size, limit: limits::DECODED_CHUNK_BYTES }
    }

    /// Whether a chunk table is asked where the chunk lies.
    fn is_behind_table(&self, id: ChunkId) -> bool {
        let Some(recipe) = self.map.recipe(id.dataset).filter(|recipe| id.number < recipe.grid.total()) else {
            return false;
        };
        matches!(self.map.locate(id.dataset, &recipe.grid.coordinates(id.number)), ChunkSource::Table { .. })
    }

    fn piece(&self, chunk: ChunkId, part: PiecePart) -> PieceId {
        PieceId { version: self.version, chunk, part }
    }
}

/// Plain bytes of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Exactly those that were wanted.
    Bytes(Bytes),
    /// Nothing was ever written: every element is the fill value.
    Absent,
}

/// Fetches chunks, for all files of a mount.
#[derive(Debug)]
pub struct Fetcher {
    settings: FetchSettings,
    cache: PieceCache<FetchError>,
    /// Where the rows of chunk tables begin, by the table's chunk and the dataset that asks.
    rows: moka::future::Cache<(PieceId, ObjectId), Arc<Rows>>,
    decoders: Arc<Semaphore>,
    /// Of which datasets it was told that their chunks do not fit.
    large: room::Told,
    /// What earlier mounts fetched, and what is asked for of the store.
    kept: kept::Kept,
}

/// Bytes of lists of rows. A list takes half a byte a row, so that this holds those of sixteen million rows.
const ROWS: u64 = 8 << 20;

impl Fetcher {
    /// A fetcher with an empty cache.
    pub fn new(settings: FetchSettings) -> Fetcher {
        let cache = PieceCache::new(&settings.cache);
        let decoders = Arc::new(Semaphore::new(settings.decoders.clamp(1, Semaphore::MAX_PERMITS)));
        /// The key and what the cache itself keeps.
        const ENTRY: u64 = 200;
        let weigh = |_: &(PieceId, ObjectId), rows: &Arc<Rows>| {
            let bytes = match &**rows {
                Rows::Unknown => 0,
                Rows::At(begins) => 8 * begins.len() as u64,
            };
            // The longest list is kept while it is used: half the budget is the most that one counts.
            u32::try_from((bytes + ENTRY).min(ROWS / 2)).unwrap_or(u32::MAX)
        };
        let policy = moka::policy::EvictionPolicy::lru();
        let rows = moka::future::Cache::builder().max_capacity(ROWS).weigher(weigh).eviction_policy(policy).build();
        Fetcher { settings, cache, rows, decoders, large: room::Told::default(), kept: kept::Kept::default() }
    }

    /// Plain bytes of a chunk in the source's form: `want`, in bytes of the plain chunk, or the whole chunk.
    ///
    /// # Errors
    /// By cause, see [`FetchError`]. Only what the store says is not there is [`Plain::Absent`]; what cannot be read is
    /// an error, every time anew.
    pub async fn chunk(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        want: Option<Range<u64>>,
    ) -> Result<Plain, FetchError> {
        let recipe = file.recipe(id)?;
        if let Some(len) = self.in_blocks(recipe)
            && let Some(plain) = self.blocks(file, id, len, want.clone()).await?
        {
            if let (Some(want), Plain::Bytes(_)) = (&want, &plain) {
                self.hands_blocks(file, id, len, want);
            }
            return Ok(plain);
        }
        if let Some(want) = &want
            && let Some(bytes) = self.page(file, id, recipe, want).await?
        {
            return Ok(bytes);
        }
        let piece = file.piece(id, PiecePart::Plain);
        let bytes = match self.cache.get_or_load(piece, || self.loading(file, id, None)).await {
            Ok(bytes) => bytes,
            Err(Missing::Absent) => return Ok(Plain::Absent),
            Err(Missing::Failed(error)) => return Err(error),
        };
        if let Some(want) = &want {
            let given = want.end.saturating_sub(want.start);
            self.cache.handed(piece, given);
            self.hands(&file.spent, (Grid::Chunks(id.dataset), id.number), given, bytes.len() as u64);
        }
        let want = want.unwrap_or(0..bytes.len() as u64);
        slice(&bytes, &want)
            .map(Plain::Bytes)
            .ok_or_else(|| file.outside(id, format!("bytes {}..{} of {}", want.start, want.end, bytes.len())))
    }

    /// The elements of a chunk, whose plain bytes these are, with what of them lies elsewhere in the file's container.
    ///
    /// # Errors
    /// As [`Fetcher::chunk`]; the inner error where the bytes are no elements.
    pub async fn elements(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        plain: Bytes,
    ) -> Result<Result<Elements, BadChunk>, FetchError> {
        let mut beside = Extents::new(file.map.container().map_or(0, |container| container.size));
        let (mut before, mut held) = (Vec::new(), None);
        loop {
            let (map, bytes) = (Arc::clone(&file.map), plain.clone());
            let size = (plain.len() as u64).saturating_add(beside.held());
            let work = move || (map.elements_beside(id.dataset, bytes, &beside), beside);
            let made = self.aside(size, work).await.map_err(|stopped| file.outside(id, stopped))?;
            let ranges = match made {
                (Ok(elements), _) => return Ok(Ok(elements)),
                (Err(Unmade::Bad(bad)), _) => return Ok(Err(bad)),
                (Err(Unmade::Elsewhere(ranges)), held) => {
                    beside = held;
                    ranges
                }
            };
            // What was brought is not asked for again, unless it is not to be had.
            if ranges == before {
                return Err(file.outside(id, "values that lie nowhere in the file".to_owned()));
            }
            before.clone_from(&ranges);
            drop(held.take());
            held = Some(self.beside(file, id, ranges, &mut beside).await?);
        }
    }

    /// Notes that `bytes` of the `len` bytes of what is `number` of `grid` go to a reader.
    fn hands(&self, spent: &Spent, (grid, number): (Grid, u64), bytes: u64, len: u64) {
        spent.note(grid, number, bytes, len, |bytes| self.cache.hold(bytes));
    }

    /// Counts bytes that somebody else keeps as held, for as long as what is returned lives.
    pub fn hold(&self, bytes: u64) -> Reservation {
        self.cache.hold(bytes)
    }

    /// Counts bytes that are being put together for a reader.
    pub fn hold_briefly(&self, bytes: u64) -> Reservation {
        self.cache.hold_briefly(bytes)
    }

    /// Bytes that are held now: what is kept, handed over, on its way, and counted by [`hold`](Self::hold).
    pub fn held_bytes(&self) -> u64 {
        self.cache.budget().used()
    }

    /// What went through the cache so far.
    pub fn counts(&self) -> Counts {
        self.cache.counts()
    }
}

/// A number for a version of a file, never used again in this process.
fn next_version() -> u64 {
    static VERSIONS: AtomicU64 = AtomicU64::new(0);
    VERSIONS.fetch_add(1, Ordering::Relaxed)
}

/// Bytes that two ranges have in common.
fn overlap(one: &Range<u64>, other: &Range<u64>) -> u64 {
    one.end.min(other.end).saturating_sub(one.start.max(other.start))
}

/// Part of `bytes`, shared; `None` outside them.
fn slice(bytes: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}
