//! What a store keeps of one file: its objects as a listing tells them, and the chunks among them by dataset.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use futures::{Stream, StreamExt, TryStreamExt};

use crate::model::chunk::{ChunkId, ChunkMap, ChunkSource};
use crate::model::hierarchy::{Hierarchy, ObjectId, ObjectKind};
use crate::model::location::Key;
use crate::source::Contents;
use crate::source::hsds::id::Id;
use crate::source::hsds::key::INDEX;
use crate::store::{Store, StoreError};

/// What an object of a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stored {
    /// A chunk.
    Chunk(ChunkId),
    /// What describes the file.
    Metadata,
    /// Neither: no dataset reads it.
    Stray(Key),
}

/// The objects of a file with their bytes, one after the other: there may be tens of millions, and none is kept. `None`
/// where nothing can be listed (web servers), or they have no prefix of their own (the first schema), so that no listing
/// tells them apart from those of other files.
pub fn objects<'a>(
    store: &'a Store,
    contents: &'a Contents,
) -> Option<impl Stream<Item = Result<(Stored, u64), StoreError>> + 'a> {
    let root = contents.facts.get("root").filter(|_| store.capabilities().listing)?;
    let prefix = prefix(root)?;
    let datasets = folders(&contents.hierarchy, &contents.chunks);
    let directories = store.capabilities().directories;
    Some(store.names_below(&prefix).try_filter_map(move |(key, meta)| {
        let directory = key.as_str().strip_suffix('/').filter(|_| directories);
        let found = chunk(&directory.map_or_else(|| key.clone(), Key::new), &datasets, &*contents.chunks);
        let object = match found {
            _ if key.as_str().ends_with(".json") || key.as_str().ends_with(INDEX) => Some(Stored::Metadata),
            // A directory in a chunk's place is a chunk that cannot be read.
            Some((dataset, number)) => Some(Stored::Chunk(ChunkId { dataset, number })),
            None => directory.is_none().then_some(Stored::Stray(key)),
        };
        std::future::ready(Ok(object.map(|object| (object, meta.size))))
    }))
}

/// Chunks of one dataset of an HDF5 file that are looked for one by one, which takes a second for ten million.
const CHUNKS: u64 = 100_000_000;

/// The stored chunks of one dataset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// How many there are.
    pub chunks: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes of the smallest.
    pub smallest: u64,
    /// Bytes of the largest.
    pub largest: u64,
}

impl Sizes {
    fn of(bytes: u64) -> Sizes {
        Sizes { chunks: 1, bytes, smallest: bytes, largest: bytes }
    }

    fn and(self, other: Sizes) -> Sizes {
        Sizes {
            chunks: self.chunks + other.chunks,
            bytes: self.bytes.saturating_add(other.bytes),
            smallest: self.smallest.min(other.smallest),
            largest: self.largest.max(other.largest),
        }
    }
}

/// The objects of one file, counted.
#[derive(Debug, Default)]
pub struct StoredFile {
    /// All its objects.
    pub objects: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Chunks, by dataset.
    pub chunks: HashMap<ObjectId, Sizes>,
}

impl StoredFile {
    /// Counts the objects of a file; `None` where they cannot be listed, see [`objects`].
    pub async fn count(store: &Store, contents: &Contents) -> Result<Option<StoredFile>, StoreError> {
        if let Some(container) = contents.chunks.container() {
            return Ok(Some(StoredFile::within(container.size, contents)));
        }
        let Some(objects) = objects(store, contents) else { return Ok(None) };
        let mut objects = pin!(objects);
        let mut found = StoredFile::default();
        while let Some(object) = objects.next().await {
            let (object, bytes) = object?;
            found.objects += 1;
            found.bytes = found.bytes.saturating_add(bytes);
            if let Stored::Chunk(id) = object {
                let one = Sizes::of(bytes);
                found.chunks.entry(id.dataset).and_modify(|sizes| *sizes = sizes.and(one)).or_insert(one);
            }
        }
        Ok(Some(found))
    }

    /// Counts the pieces of one object of `size` bytes.
    fn within(size: u64, contents: &Contents) -> StoredFile {
        let mut found = StoredFile { objects: 1, bytes: size, chunks: HashMap::new() };
        for id in datasets(&contents.hierarchy) {
            let Some(grid) = contents.chunks.recipe(id).map(|recipe| &recipe.grid) else { continue };
            // An extent may be without end where hardly a chunk was written.
            for number in 0..grid.total().min(CHUNKS) {
                if let ChunkSource::Range(_, range) = contents.chunks.locate(id, &grid.coordinates(number)) {
                    let one = Sizes::of(range.end.saturating_sub(range.start));
                    found.chunks.entry(id).and_modify(|sizes| *sizes = sizes.and(one)).or_insert(one);
                }
            }
        }
        found
    }

    /// Number and bytes of all chunks.
    pub fn chunk_totals(&self) -> (u64, u64) {
        let sizes = self.chunks.values();
        sizes.fold((0, 0), |(count, bytes), sizes| (count + sizes.chunks, sizes.bytes.saturating_add(bytes)))
    }
}

/// What the keys of all objects of a file with this root begin with.
fn prefix(root: &str) -> Option<String> {
    let key = Id::parse(root)?.metadata_key();
    let (folder, _) = key.as_str().rsplit_once('/')?;
    Some(format!("{folder}/"))
}

/// `db/<file>/d/<dataset>`: the folder of a dataset's chunks, partitioned or not.
fn folder(key: &Key) -> Option<&str> {
    let (at, _) = key.as_str().match_indices('/').nth(3)?;
    key.as_str().get(..at)
}

/// Datasets that keep chunks as objects, by the folder of these.
fn folders(hierarchy: &Hierarchy, chunks: &Arc<dyn ChunkMap>) -> HashMap<String, ObjectId> {
    datasets(hierarchy)
        .filter_map(|id| {
            let grid = &chunks.recipe(id)?.grid;
            match chunks.locate(id, &vec![0; grid.dims().len()]) {
                ChunkSource::Object(key) | ChunkSource::Computed { object: key, .. } => {
                    Some((folder(&key)?.to_owned(), id))
                }
                _ => None,
            }
        })
        .collect()
}

/// The datasets of a file.
pub fn datasets(hierarchy: &Hierarchy) -> impl Iterator<Item = ObjectId> {
    let numbered = hierarchy.objects.iter().zip(0..);
    numbered.filter(|(object, _)| matches!(object.kind, ObjectKind::Dataset(_))).map(|(_, id)| ObjectId(id))
}

/// The chunk that a key holds: the one whose bytes would be looked for there.
fn chunk(key: &Key, datasets: &HashMap<String, ObjectId>, chunks: &dyn ChunkMap) -> Option<(ObjectId, u64)> {
    let dataset = *datasets.get(folder(key)?)?;
    let grid = &chunks.recipe(dataset)?.grid;
    let (_, name) = key.as_str().rsplit_once('/')?;
    let coordinates: Vec<u64> = name.split('_').map(str::parse).collect::<Result<_, _>>().ok()?;
    // A scalar's only chunk is called 0, though it has no coordinate.
    let coordinates = if grid.dims().is_empty() && coordinates == [0] { Vec::new() } else { coordinates };
    let number = grid.number(&coordinates)?;
    match chunks.locate(dataset, &coordinates) {
        ChunkSource::Object(here) | ChunkSource::Computed { object: here, .. } if here == *key => {
            Some((dataset, number))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_prefix_in_the_second_schema_only() {
        let root = "g-6470adce-88afc031-ecf8-254600-2748b9";
        assert_eq!(prefix(root).as_deref(), Some("db/6470adce-88afc031/"));
        assert_eq!(prefix("g-c815c3d8-e525-11f1-878b-02fc00000001"), None);
        assert_eq!(prefix("nonsense"), None);
    }

    #[test]
    fn sizes_of_chunks_are_summed_one_by_one() {
        let sizes = [7, 3, 9].map(Sizes::of).into_iter().reduce(Sizes::and);
        assert_eq!(sizes, Some(Sizes { chunks: 3, bytes: 19, smallest: 3, largest: 9 }));
    }

    #[test]
    fn chunks_lie_in_their_datasets_folder_partitioned_or_not() {
        let folder = |key| folder(&Key::new(key)).map(str::to_owned);
        assert_eq!(folder("db/a-b/d/c-d-e/0_0").as_deref(), Some("db/a-b/d/c-d-e"));
        assert_eq!(folder("db/a-b/d/c-d-e/p3/0_0").as_deref(), Some("db/a-b/d/c-d-e"));
        assert_eq!(folder("ba573-c-d87b988a_0_0"), None);
    }
}
