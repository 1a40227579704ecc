//! What a store keeps of one file: its objects as a listing tells them, and the chunks among them by dataset.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;

use crate::model::chunk::{ChunkMap, ChunkSource};
use crate::model::hierarchy::{Hierarchy, ObjectId, ObjectKind};
use crate::model::location::Key;
use crate::source::Contents;
use crate::source::hsds::id::Id;
use crate::store::{Store, StoreError};

/// A chunk that the store keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredChunk {
    /// Its number in the dataset's grid.
    pub number: u64,
    /// Stored bytes.
    pub bytes: u64,
}

/// The objects of one file.
#[derive(Debug, Default)]
pub struct StoredFile {
    /// All its objects.
    pub objects: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Chunks, by dataset.
    pub chunks: HashMap<ObjectId, Vec<StoredChunk>>,
    /// Objects under the file's prefix that no dataset of it reads, and that are no metadata.
    pub strays: Vec<Key>,
}

impl StoredFile {
    /// Lists the objects of a file. `None` where they have no prefix of their own (the first schema), so that no
    /// listing tells them apart from those of other files.
    pub async fn list(store: &Store, contents: &Contents) -> Result<Option<StoredFile>, StoreError> {
        let Some(prefix) = contents.facts.get("root").and_then(|root| prefix(root)) else { return Ok(None) };
        let datasets = folders(&contents.hierarchy, &contents.chunks);
        let mut found = StoredFile::default();
        let directories = store.capabilities().directories;
        let mut listing = store.names_below(&prefix);
        while let Some(object) = listing.next().await {
            let (key, meta) = object?;
            if let Some(directory) = key.as_str().strip_suffix('/').filter(|_| directories) {
                // In a chunk's place it is one that cannot be read.
                if let Some((dataset, number)) = chunk(&Key::new(directory), &datasets, &*contents.chunks) {
                    found.chunks.entry(dataset).or_default().push(StoredChunk { number, bytes: 0 });
                }
                continue;
            }
            found.objects += 1;
            found.bytes = found.bytes.saturating_add(meta.size);
            if key.as_str().ends_with(".json") {
                continue;
            }
            match chunk(&key, &datasets, &*contents.chunks) {
                Some((dataset, number)) => {
                    found.chunks.entry(dataset).or_default().push(StoredChunk { number, bytes: meta.size });
                }
                None => found.strays.push(key),
            }
        }
        Ok(Some(found))
    }

    /// Number and bytes of all chunks.
    pub fn chunk_totals(&self) -> (u64, u64) {
        let chunks = self.chunks.values().flatten();
        chunks.fold((0, 0), |(count, bytes), chunk| (count + 1, bytes.saturating_add(chunk.bytes)))
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
    fn chunks_lie_in_their_datasets_folder_partitioned_or_not() {
        let folder = |key| folder(&Key::new(key)).map(str::to_owned);
        assert_eq!(folder("db/a-b/d/c-d-e/0_0").as_deref(), Some("db/a-b/d/c-d-e"));
        assert_eq!(folder("db/a-b/d/c-d-e/p3/0_0").as_deref(), Some("db/a-b/d/c-d-e"));
        assert_eq!(folder("ba573-c-d87b988a_0_0"), None);
    }
}
