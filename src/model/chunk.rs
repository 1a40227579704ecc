//! Chunks: where their stored bytes come from, and how these are made plain.

use std::fmt;
use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;

use super::elements::Elements;
use super::extents::Extents;
use super::grid::Grid;
use super::hierarchy::ObjectId;
use super::location::{ETag, Key, Location};
use super::pipeline::Pipeline;

/// A chunk of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ChunkId {
    /// The dataset.
    pub dataset: ObjectId,
    /// Its number in C order in the dataset's grid.
    pub number: u64,
}

/// Where the stored bytes of one chunk come from.
#[derive(Clone, PartialEq, Debug)]
pub enum ChunkSource {
    /// A whole object of the file's own bucket; absent means never written.
    Object(Key),
    /// A range of an object, here or in another bucket; absent is an error.
    Range(Location, Range<u64>),
    /// A row of a chunk table (a dataset of the same file) says where.
    Table {
        /// The table.
        table: ObjectId,
        /// Coordinates of the row in the table, in elements.
        row: Vec<u64>,
    },
    /// Not stored where it is absent, but computed; `object` is looked at first.
    Computed {
        /// The object that holds the chunk once somebody stored it.
        object: Key,
        /// What gives its bytes otherwise.
        initializer: Initializer,
    },
    /// Never written.
    Fill,
}

/// Values that are computed rather than stored.
#[derive(Clone, PartialEq, Debug)]
pub enum Initializer {
    /// Element at flat position `n` of the (one-dimensional) dataset is `start + n * step`.
    Arange {
        /// First value.
        start: f64,
        /// Distance of neighbours.
        step: f64,
    },
    /// One that cannot be evaluated here; the text says what it is.
    Unsupported(String),
}

/// How every chunk of one dataset is made plain.
#[derive(Clone, PartialEq, Debug)]
pub struct ChunkRecipe {
    /// The chunks as the source has them (one of the dataset's whole extent where it is not chunked).
    pub grid: Grid,
    /// Plain bytes of a chunk as the *source* keeps it; `None` where elements vary in length.
    pub raw_len: Option<u64>,
    /// From stored to plain bytes.
    pub decode: Pipeline,
}

/// Where the rows of a chunk of a chunk table begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rows {
    /// Not known, or not worth a list, as where all rows have the same length.
    Unknown,
    /// At these bytes, as far as the chunk can be read; of every [`Rows::STRIDE`]th row.
    At(Vec<u64>),
}

impl Rows {
    /// Rows from one remembered place to the next: few enough to walk over, and the list stays a small part of the
    /// chunk, whose rows take some hundred bytes each.
    pub const STRIDE: u64 = 16;
}

/// An object that holds both what describes a file and its chunks.
#[derive(Clone, PartialEq, Debug)]
pub struct Container {
    /// Where it is.
    pub location: Location,
    /// Its bytes.
    pub size: u64,
    /// Its identity when it was described, where the store gives one.
    pub etag: Option<ETag>,
    /// When it was last written.
    pub modified: SystemTime,
}

/// Why elements could not be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unmade {
    /// They are none.
    Bad(BadChunk),
    /// Part of them lies in these ranges of the file's container, which are not at hand.
    Elsewhere(Vec<Range<u64>>),
}

/// What a source knows of one file's chunks. Pure: no call waits, and equal arguments give equal answers.
pub trait ChunkMap: Send + Sync + fmt::Debug {
    /// How the chunks of `dataset` are made plain. `None` where the object is no dataset or has no data.
    fn recipe(&self, dataset: ObjectId) -> Option<&ChunkRecipe>;

    /// Where chunk `coordinates` (in chunks of the recipe's grid) of `dataset` comes from.
    fn locate(&self, dataset: ObjectId, coordinates: &[u64]) -> ChunkSource;

    /// Where the rows of a chunk of `table` begin. `plain` is that table chunk, decoded.
    fn table_rows(&self, dataset: ObjectId, table: ObjectId, plain: &[u8]) -> Rows {
        let _ = (dataset, table, plain);
        Rows::Unknown
    }

    /// What row `row` (its position in C order inside the chunk) of a chunk of `table` says about a chunk of `dataset`.
    /// `rows` is what [`table_rows`](Self::table_rows) said of `plain`.
    fn table_row(
        &self,
        dataset: ObjectId,
        table: ObjectId,
        plain: &[u8],
        rows: &Rows,
        row: u64,
    ) -> Result<ChunkSource, BadChunk>;

    /// When what describes `dataset` was last written; `None` where that is not known of the dataset alone.
    fn described(&self, dataset: ObjectId) -> Option<SystemTime> {
        let _ = dataset;
        None
    }

    /// What brings one chunk from stored to plain bytes, where that is not what its dataset's recipe says.
    fn exception(&self, dataset: ObjectId, coordinates: &[u64]) -> Option<Pipeline> {
        let _ = (dataset, coordinates);
        None
    }

    /// The one object that the whole file was read from, where there is one. Whatever is read of it later must be of the
    /// same state.
    fn container(&self) -> Option<&Container> {
        None
    }

    /// Bytes of memory that it takes, but for a few for each object.
    fn weight(&self) -> u64 {
        0
    }

    /// As [`elements`](Self::elements), where values may lie in other places of the container; `beside` is what was read
    /// of these.
    fn elements_beside(&self, dataset: ObjectId, plain: Bytes, beside: &Extents) -> Result<Elements, Unmade> {
        let _ = beside;
        self.elements(dataset, plain).map_err(Unmade::Bad)
    }

    /// Objects elsewhere that the description itself names as holding data, by dataset. Those that only rows of a chunk
    /// table name are not among them.
    fn targets(&self) -> Vec<(ObjectId, Location)> {
        Vec::new()
    }

    /// Plain bytes of one chunk of `dataset` as element values. Called only where the datatype
    /// [needs placement](super::datatype::Datatype::needs_placement).
    fn elements(&self, dataset: ObjectId, plain: Bytes) -> Result<Elements, BadChunk>;

    /// Plain bytes, in the source's form, of chunk `coordinates` where nothing is stored and an initializer speaks.
    fn compute(&self, dataset: ObjectId, coordinates: &[u64], by: &Initializer) -> Result<Bytes, BadChunk>;
}

/// Bytes of a chunk that do not mean what they should.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason} (at byte {at})")]
pub struct BadChunk {
    /// Byte position in the plain bytes.
    pub at: u64,
    /// What is wrong there.
    pub reason: String,
}
