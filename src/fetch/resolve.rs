//! From a chunk's id to the object or range that holds its stored bytes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::load::Form;
use super::{FetchError, Fetcher, FileChunks};
use crate::cache::{Missing, PiecePart};
use crate::model::chunk::{ChunkId, ChunkSource, Initializer, Rows};
use crate::model::hierarchy::ObjectId;
use crate::model::location::{Key, Location};

/// Where stored bytes are: a [`ChunkSource`] without tables.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A whole object; its absence means "never written".
    Object(Location),
    /// Part of an object; its absence is an error.
    Range(Location, Range<u64>),
    /// An object, or else computed.
    Computed(Location, Initializer),
    /// Nowhere.
    Nowhere,
}

impl Fetcher {
    /// Where the stored bytes of chunk `id` would be read from. Nothing is read for it but rows of a chunk table.
    pub async fn whereabouts(self: &Arc<Self>, file: &Arc<FileChunks>, id: ChunkId) -> Result<Found, FetchError> {
        self.resolve(file, id).await
    }

    /// Where chunk `id` of `file` is. Looks into a chunk table where the source says so; the table's chunk is fetched
    /// and kept like any other. A table whose own chunks lie behind a table is refused: nothing writes that, and it
    /// could be a circle.
    pub(super) async fn resolve(self: &Arc<Self>, file: &Arc<FileChunks>, id: ChunkId) -> Result<Found, FetchError> {
        let coordinates = file.recipe(id)?.grid.coordinates(id.number);
        match file.map.locate(id.dataset, &coordinates) {
            // On the heap: the commonest reads go past no table, and every one would carry room for it.
            ChunkSource::Table { table, row } => Box::pin(self.through_table(file, id, table, &row)).await,
            source => found(file, source).ok_or_else(|| unreachable_table(file, id)),
        }
    }

    async fn through_table(
        self: &Arc<Self>,
        file: &Arc<FileChunks>,
        id: ChunkId,
        table: ObjectId,
        row: &[u64],
    ) -> Result<Found, FetchError> {
        let fault = |reason: &str| FetchError::Table { chunk: Box::new(file.name(id)), reason: reason.to_owned() };
        let grid = &file.map.recipe(table).ok_or_else(|| fault("it is no dataset with data"))?.grid;
        if row.len() != grid.dims().len() || row.iter().zip(grid.dims()).any(|(at, dim)| at >= dim) {
            return Err(fault("it is smaller than the chunk grid it describes"));
        }
        let (mut coordinates, mut inside) = (Vec::with_capacity(row.len()), 0u64);
        for (&at, &extent) in row.iter().zip(grid.chunk()) {
            // Grid::new refuses a chunk extent of 0.
            coordinates.push(at / extent);
            inside = inside
                .checked_mul(extent)
                .and_then(|inside| inside.checked_add(at % extent))
                .ok_or_else(|| fault("its chunks are too large"))?;
        }
        let number = grid.number(&coordinates).ok_or_else(|| fault("it has too few chunks"))?;
        let chunk = ChunkId { dataset: table, number };
        let source = match file.map.locate(table, &coordinates) {
            ChunkSource::Table { .. } => return Err(fault("its own chunks lie behind a chunk table")),
            source => found(file, source).ok_or_else(|| unreachable_table(file, id))?,
        };
        let piece = file.piece(chunk, PiecePart::Plain);
        let (fetcher, of) = (Arc::clone(self), Arc::clone(file));
        let load = move || {
            let load = async move { fetcher.load_found(&of, chunk, source, Form::default(), None).await };
            Box::pin(load) as futures::future::BoxFuture<'static, _>
        };
        match self.cache.get_or_load(piece, load).await {
            Ok(plain) => {
                let rows = self.rows(file, id.dataset, chunk, &plain).await;
                let source = file.map.table_row(id.dataset, table, &plain, &rows, inside);
                found(file, source.map_err(|bad| fault(&bad.to_string()))?)
                    .ok_or_else(|| fault("a row of it leads to another table"))
            }
            // Rows that were never written say "not allocated".
            Err(Missing::Absent) => Ok(Found::Nowhere),
            Err(Missing::Failed(error)) => Err(error),
        }
    }
}

impl Fetcher {
    /// Where the rows of a table's chunk begin. Rows of different lengths are walked over once, not once for each row.
    async fn rows(&self, file: &FileChunks, dataset: ObjectId, table: ChunkId, plain: &Bytes) -> Arc<Rows> {
        let (map, bytes) = (Arc::clone(&file.map), plain.clone());
        let make = async {
            let made = self.aside(plain.len() as u64, move || map.table_rows(dataset, table.dataset, &bytes)).await;
            // Without the list each row is looked for from the front, which gives the same answers.
            Arc::new(made.unwrap_or(Rows::Unknown))
        };
        self.rows.get_with((file.piece(table, PiecePart::Plain), dataset), make).await
    }
}

fn found(file: &FileChunks, source: ChunkSource) -> Option<Found> {
    let home = |key: Key| file.stores.home().location(&key);
    Some(match source {
        ChunkSource::Object(key) => Found::Object(home(key)),
        ChunkSource::Range(_, range) if range.is_empty() => Found::Nowhere,
        ChunkSource::Range(location, range) => Found::Range(location, range),
        ChunkSource::Computed { object, initializer } => Found::Computed(home(object), initializer),
        ChunkSource::Fill => Found::Nowhere,
        ChunkSource::Table { .. } => return None,
    })
}

fn unreachable_table(file: &FileChunks, id: ChunkId) -> FetchError {
    FetchError::Table { chunk: Box::new(file.name(id)), reason: "it leads to another table".to_owned() }
}
