//! Chunks whose values lie far apart in their file.

use std::time::Duration;

use super::super::{About, FetchSettings};
use super::*;
use crate::cache::CacheSettings;
use crate::model::chunk::{BadChunk, ChunkMap, ChunkRecipe, ChunkSource, Container, Initializer, Rows, Unmade};
use crate::model::elements::Elements;
use crate::model::location::{Key, Location};
use crate::store::Stores;
use crate::store::memory::Memory;

/// Bytes of a value, and from one to the next: no two are in one block.
const VALUE: u64 = 100;
const APART: u64 = 2 * BLOCK;
const VALUES: u64 = 96;
/// What may be held: a third of the blocks that values lie in.
const LIMIT: u64 = 8 << 20;

/// One chunk, whose values are read from these ranges of its file.
#[derive(Debug)]
struct Strewn {
    container: Container,
    values: Vec<Range<u64>>,
}

impl ChunkMap for Strewn {
    fn recipe(&self, _: ObjectId) -> Option<&ChunkRecipe> {
        None
    }
    fn locate(&self, _: ObjectId, _: &[u64]) -> ChunkSource {
        ChunkSource::Fill
    }
    fn table_row(&self, _: ObjectId, _: ObjectId, _: &[u8], _: &Rows, _: u64) -> Result<ChunkSource, BadChunk> {
        Ok(ChunkSource::Fill)
    }
    fn container(&self) -> Option<&Container> {
        Some(&self.container)
    }
    fn elements(&self, _: ObjectId, plain: Bytes) -> Result<Elements, BadChunk> {
        Ok(Elements::plain(plain))
    }
    fn elements_beside(&self, _: ObjectId, _: Bytes, beside: &Extents) -> Result<Elements, Unmade> {
        let found: Option<Vec<&[u8]>> = self.values.iter().map(|value| beside.get(value)).collect();
        found.map(|found| Elements::plain(found.concat())).ok_or_else(|| Unmade::Elsewhere(self.values.clone()))
    }
    fn compute(&self, _: ObjectId, _: &[u64], _: &Initializer) -> Result<Bytes, BadChunk> {
        Ok(Bytes::new())
    }
}

fn byte(at: u64) -> u8 {
    (at / BLOCK * 7 + at % 251) as u8
}

async fn strewn(memory: &Memory, size: u64, values: Vec<Range<u64>>) -> (Arc<Fetcher>, Arc<FileChunks>) {
    let store = memory.store();
    let location: Location = store.location(&Key::new("file"));
    let meta = store.head(&location.key).await.unwrap();
    let container = Container { location, size, etag: meta.etag, modified: meta.modified };
    memory.asked();
    let map = Strewn { container, values };
    let file = FileChunks::new(Arc::new(map), Arc::new(Stores::new(Arc::new(store))), About::default());
    let cache = CacheSettings { bytes: LIMIT, ..CacheSettings::default() };
    (Arc::new(Fetcher::new(FetchSettings { cache, ..FetchSettings::default() })), file)
}

const CHUNK: ChunkId = ChunkId { dataset: ObjectId(1), number: 0 };

#[tokio::test(start_paused = true)]
async fn values_that_lie_in_more_blocks_than_may_be_held_are_read_within_the_limit_and_without_a_wait() {
    let memory = Memory::new(Duration::ZERO);
    let size = VALUES * APART + BLOCK;
    memory.put("file", (0..size).map(byte).collect::<Vec<_>>());
    // Each across the end of a block.
    let values: Vec<_> = (1..=VALUES).map(|n| n * APART - VALUE / 2..n * APART + VALUE / 2).collect();
    let expected: Vec<u8> = values.iter().flat_map(|value| value.clone().map(byte)).collect();
    let (fetcher, file) = strewn(&memory, size, values).await;
    let begun = tokio::time::Instant::now();
    let elements = fetcher.elements(&file, CHUNK, Bytes::from_static(b"x")).await.unwrap().unwrap();
    assert_eq!(elements.bytes, expected);
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
    let peak = fetcher.cache.budget().peak();
    assert!(peak <= LIMIT + (64 << 10), "{peak}");
    // What was put together is not counted any more.
    assert!(fetcher.held_bytes() <= LIMIT);
    assert_eq!(memory.asked().len() as u64, 2 * VALUES);
}

#[tokio::test]
async fn values_of_more_bytes_than_a_chunk_may_have_are_refused_before_anything_is_read() {
    let memory = Memory::new(Duration::ZERO);
    let size = 4 << 40;
    memory.put("file", b"less than is said of it".to_vec());
    let (fetcher, file) = strewn(&memory, size, vec![0..10, 1 << 40..size]).await;
    let refused = fetcher.elements(&file, CHUNK, Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(FetchError::TooLarge { .. })), "{refused:?}");
    assert_eq!(memory.asked(), Vec::<String>::new());
}

#[test]
fn gaps_are_cut_where_blocks_end() {
    let gaps = [5..10, BLOCK - 2..2 * BLOCK + 1, 7..7, 20..30];
    let (parts, pieced) = in_blocks(gaps.into_iter());
    let parts = parts.into_iter().flat_map(|(number, parts)| parts.into_iter().map(move |part| (number, part)));
    let expected =
        [(0, 5..10), (0, BLOCK - 2..BLOCK), (0, 20..30), (1, BLOCK..2 * BLOCK), (2, 2 * BLOCK..2 * BLOCK + 1)];
    assert_eq!((parts.collect::<Vec<_>>(), pieced), (expected.to_vec(), BLOCK + 3));
}
