//! Chunks: what one open file knows of where its chunks are.

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;

use super::creation::Storage;
use super::id::Id;
use super::key;
use super::linked::{Linked, TableRow, file_location};
use super::stream;
use super::types::integer_bytes;
use super::value::float_bytes;
use crate::model::chunk::{BadChunk, ChunkMap, ChunkRecipe, ChunkSource, Initializer, Rows};
use crate::model::datatype::Datatype;
use crate::model::elements::Elements;
use crate::model::hierarchy::ObjectId;
use crate::model::limits;
use crate::model::location::{Bucket, Location};

/// The chunks of one version of a file.
pub struct HsdsChunks {
    pub(super) home: Bucket,
    pub(super) objects: HashMap<Id, ObjectId>,
    /// By object number.
    pub(super) ids: Vec<Id>,
    /// By object number; `None` for what is no dataset.
    pub(super) datasets: Vec<Option<DatasetChunks>>,
    /// When the document of each was written.
    pub(super) written: HashMap<Id, SystemTime>,
}

/// The chunks of one dataset.
#[derive(Clone, Debug)]
pub(super) struct DatasetChunks {
    pub(super) id: Id,
    pub(super) datatype: Datatype,
    pub(super) recipe: ChunkRecipe,
    pub(super) place: Place,
}

/// Where the chunks of a dataset are, with everything in it that is needed to find them.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Nowhere.
    Nowhere,
    /// Objects of the store.
    Objects { partitions: u64, initializer: Option<Initializer> },
    /// One piece of a file.
    Contiguous { file: Location, offset: u64, size: u64 },
    /// Pieces of a file, listed here.
    Listed { file: Location, chunks: HashMap<Box<[u64]>, (u64, u64)> },
    /// Pieces of a file, or of one each, listed in rows of another dataset.
    Table { table: ObjectId, rows: TableRow, file: Option<Location> },
}

impl Place {
    /// Where `storage` is; `None` where it is listed in a dataset that has no number, or whose rows cannot be read.
    pub(super) fn of(storage: &Storage, rows: Option<&TableRow>, objects: &HashMap<Id, ObjectId>) -> Option<Place> {
        Some(match storage {
            Storage::Nowhere => Place::Nowhere,
            Storage::Objects { partitions, initializer } => {
                Place::Objects { partitions: *partitions, initializer: initializer.clone() }
            }
            Storage::Linked(Linked::Contiguous { file, offset, size }) => {
                Place::Contiguous { file: file.clone(), offset: *offset, size: *size }
            }
            Storage::Linked(Linked::Listed { file, chunks }) => {
                Place::Listed { file: file.clone(), chunks: chunks.clone() }
            }
            Storage::Linked(Linked::Table { table, file }) => {
                Place::Table { table: *objects.get(table)?, rows: rows?.clone(), file: file.clone() }
            }
        })
    }
}

impl fmt::Debug for HsdsChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HsdsChunks({} objects)", self.objects.len())
    }
}

impl HsdsChunks {
    fn dataset(&self, id: ObjectId) -> Option<&DatasetChunks> {
        self.datasets.get(id.0 as usize)?.as_ref()
    }

    /// The id an object has in the store; `None` for an object of another file.
    pub fn id(&self, object: ObjectId) -> Option<Id> {
        self.ids.get(object.0 as usize).copied()
    }
}

impl ChunkMap for HsdsChunks {
    fn recipe(&self, dataset: ObjectId) -> Option<&ChunkRecipe> {
        Some(&self.dataset(dataset)?.recipe)
    }

    fn described(&self, dataset: ObjectId) -> Option<SystemTime> {
        self.written.get(&self.dataset(dataset)?.id).copied()
    }

    fn locate(&self, dataset: ObjectId, coordinates: &[u64]) -> ChunkSource {
        let Some(dataset) = self.dataset(dataset) else { return ChunkSource::Fill };
        let grid = &dataset.recipe.grid;
        if grid.number(coordinates).is_none() {
            return ChunkSource::Fill;
        }
        match &dataset.place {
            Place::Nowhere => ChunkSource::Fill,
            Place::Objects { partitions, initializer } => {
                let object = key::chunk(&dataset.id, coordinates, *partitions);
                match initializer {
                    None => ChunkSource::Object(object),
                    Some(initializer) => ChunkSource::Computed { object, initializer: initializer.clone() },
                }
            }
            Place::Contiguous { file, offset, size } => {
                let len = dataset.recipe.raw_len.unwrap_or(*size).min(*size);
                ChunkSource::Range(file.clone(), *offset..offset.saturating_add(len))
            }
            Place::Listed { file, chunks } => match chunks.get(coordinates) {
                None | Some((_, 0)) => ChunkSource::Fill,
                Some(&(offset, size)) => ChunkSource::Range(file.clone(), offset..offset.saturating_add(size)),
            },
            Place::Table { table, .. } => ChunkSource::Table { table: *table, row: coordinates.to_vec() },
        }
    }

    fn targets(&self) -> Vec<(ObjectId, Location)> {
        let datasets = (0..).map(ObjectId).zip(&self.datasets);
        datasets
            .filter_map(|(id, dataset)| match &dataset.as_ref()?.place {
                Place::Contiguous { file, .. } | Place::Listed { file, .. } | Place::Table { file: Some(file), .. } => {
                    Some((id, file.clone()))
                }
                Place::Table { file: None, .. } | Place::Nowhere | Place::Objects { .. } => None,
            })
            .collect()
    }

    fn table_rows(&self, dataset: ObjectId, table: ObjectId, plain: &[u8]) -> Rows {
        match self.dataset(dataset).map(|chunks| &chunks.place) {
            Some(Place::Table { table: own, rows, .. }) if *own == table => rows.rows(plain),
            _ => Rows::Unknown,
        }
    }

    fn table_row(
        &self,
        dataset: ObjectId,
        table: ObjectId,
        plain: &[u8],
        places: &Rows,
        row: u64,
    ) -> Result<ChunkSource, BadChunk> {
        let bad = |reason: &str| BadChunk { at: 0, reason: reason.into() };
        let chunks = self.dataset(dataset).ok_or_else(|| bad("no dataset asks for it"))?;
        let Place::Table { table: own, rows, file } = &chunks.place else {
            return Err(bad("the dataset has no chunk table"));
        };
        if *own != table {
            return Err(bad("the dataset has another chunk table"));
        }
        let row = rows.read(plain, places, row)?;
        if row.size == 0 {
            return Ok(ChunkSource::Fill);
        }
        let end = row.offset.checked_add(row.size).ok_or_else(|| bad("a row of the chunk table passes 2^64"))?;
        let file = match (&row.file_uri, file) {
            (Some(uri), _) => file_location(uri, &self.home).map_err(|fault| bad(&fault.to_string()))?,
            (None, Some(file)) => file.clone(),
            (None, None) => return Err(bad("neither the row nor the dataset names a file")),
        };
        Ok(ChunkSource::Range(file, row.offset..end))
    }

    fn elements(&self, dataset: ObjectId, plain: Bytes) -> Result<Elements, BadChunk> {
        let bad = |reason: &str| BadChunk { at: 0, reason: reason.into() };
        let dataset = self.dataset(dataset).ok_or_else(|| bad("it belongs to no dataset"))?;
        let count = dataset.recipe.grid.chunk_elements().ok_or_else(|| bad("it has too many elements"))?;
        stream::elements(&dataset.datatype, &plain, count, &|id: &Id| self.objects.get(id).copied())
    }

    fn compute(&self, dataset: ObjectId, coordinates: &[u64], by: &Initializer) -> Result<Bytes, BadChunk> {
        let bad = |reason: String| BadChunk { at: 0, reason };
        let (start, step) = match by {
            Initializer::Arange { start, step } => (*start, *step),
            Initializer::Unsupported(what) => return Err(bad(format!("the initializer cannot be evaluated: {what}"))),
        };
        let dataset = self.dataset(dataset).ok_or_else(|| bad("it belongs to no dataset".into()))?;
        let (&[coordinate], &[len]) = (coordinates, dataset.recipe.grid.chunk()) else {
            return Err(bad("arange is for one dimension".into()));
        };
        if dataset.recipe.raw_len.is_none_or(|bytes| bytes > limits::DECODED_CHUNK_BYTES) {
            return Err(bad("the chunk is too large to compute".into()));
        }
        let start = start + (coordinate as f64) * (len as f64) * step;
        let bytes = arange(&dataset.datatype, start, step, len);
        bytes.map(Bytes::from).ok_or_else(|| bad(format!("arange gives no values of {}", kind(&dataset.datatype))))
    }
}

/// `len` values from `start` on, computed in the type as numpy's `arange` does: a float is start + n * step in its own
/// precision, the step being the difference of the first two; an integer truncates both first, and wraps.
fn arange(datatype: &Datatype, start: f64, step: f64, len: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    match datatype {
        Datatype::Integer(integer) => {
            let (start, step) = (start as i128, step as i128);
            let bits = integer.size.checked_mul(8)?;
            for n in 0..len {
                let value = start.wrapping_add(step.wrapping_mul(n.into()));
                let mask = (1i128 << bits) - 1;
                let wrapped = value & mask;
                let wrapped =
                    if integer.signed && wrapped >> (bits - 1) & 1 == 1 { wrapped - mask - 1 } else { wrapped };
                bytes.extend(integer_bytes(integer, wrapped)?);
            }
        }
        Datatype::Float(float) => {
            let (start32, next32) = (start as f32, (start + step) as f32);
            for n in 0..len {
                let value = match float.size {
                    8 => start + n as f64 * ((start + step) - start),
                    _ => (start32 + n as f32 * (next32 - start32)).into(),
                };
                bytes.extend(float_bytes(float, value)?);
            }
        }
        _ => return None,
    }
    Some(bytes)
}

fn kind(datatype: &Datatype) -> &'static str {
    match datatype {
        Datatype::Integer(_) => "an integer type",
        Datatype::Float(_) => "a float type",
        Datatype::Compound(_) => "a compound type",
        _ => "this type",
    }
}
