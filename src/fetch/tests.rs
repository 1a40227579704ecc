use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::model::chunk::{BadChunk, ChunkSource, Initializer};
use crate::model::elements::Elements;
use crate::model::grid::Grid;
use crate::model::hierarchy::ObjectId;
use crate::model::limits;
use crate::model::location::{Bucket, Key, Location};
use crate::model::pipeline::{Decode, Pipeline};
use crate::store::root::bucket_of;
use crate::store::{Requests, Store, StoreError, StoreSettings};

pub(super) const DATA: ObjectId = ObjectId(1);
const TABLE: ObjectId = ObjectId(2);
pub(super) const MINUTES_AGO: Duration = Duration::from_secs(600);

/// Dataset 1, one-dimensional; dataset 2 is a table of pairs of u64, offset and size, of a file `linked`.
#[derive(Debug)]
struct Map {
    recipes: HashMap<ObjectId, ChunkRecipe>,
    /// By dataset and chunk; an object `c<n>` where none is given.
    sources: HashMap<(ObjectId, u64), ChunkSource>,
    linked: Location,
}

impl ChunkMap for Map {
    fn recipe(&self, dataset: ObjectId) -> Option<&ChunkRecipe> {
        self.recipes.get(&dataset)
    }
    fn locate(&self, dataset: ObjectId, coordinates: &[u64]) -> ChunkSource {
        let default = || ChunkSource::Object(Key::new(format!("{}/c{}", dataset.0, coordinates[0])));
        self.sources.get(&(dataset, coordinates[0])).cloned().unwrap_or_else(default)
    }
    fn table_row(&self, _: ObjectId, _: ObjectId, plain: &[u8], _: &Rows, row: u64) -> Result<ChunkSource, BadChunk> {
        let word = |at: u64| {
            let at = at as usize;
            plain.get(at..at + 8).map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        };
        let (Some(offset), Some(size)) = (word(row * 16), word(row * 16 + 8)) else {
            return Err(BadChunk { at: row * 16, reason: "no such row".to_owned() });
        };
        Ok(ChunkSource::Range(self.linked.clone(), offset..offset + size))
    }
    fn targets(&self) -> Vec<(ObjectId, Location)> {
        vec![(DATA, self.linked.clone())]
    }
    fn elements(&self, _: ObjectId, plain: Bytes) -> Result<Elements, BadChunk> {
        Ok(Elements::plain(plain))
    }
    fn compute(&self, _: ObjectId, coordinates: &[u64], by: &Initializer) -> Result<Bytes, BadChunk> {
        match by {
            Initializer::Arange { .. } => Ok(Bytes::from(vec![coordinates[0] as u8; 8])),
            Initializer::Unsupported(name) => Err(BadChunk { at: 0, reason: format!("{name} is not known") }),
        }
    }
}

pub(super) fn recipe(total: u64, chunk: u64, element: u64, steps: &[Decode]) -> ChunkRecipe {
    ChunkRecipe {
        grid: Grid::new(&[total], &[chunk]).unwrap(),
        raw_len: Some(chunk * element),
        decode: Pipeline { steps: steps.to_vec() },
    }
}

pub(super) struct World {
    pub(super) directory: tempfile::TempDir,
    pub(super) store: Arc<Store>,
    pub(super) fetcher: Arc<Fetcher>,
    pub(super) file: Arc<FileChunks>,
}

pub(super) fn world(data: ChunkRecipe, sources: impl IntoIterator<Item = ((ObjectId, u64), ChunkSource)>) -> World {
    world_with(data, sources, FetchSettings::default(), |store| store)
}

pub(super) fn world_with(
    data: ChunkRecipe,
    sources: impl IntoIterator<Item = ((ObjectId, u64), ChunkSource)>,
    settings: FetchSettings,
    wrap: impl FnOnce(Store) -> Store,
) -> World {
    let directory = tempfile::tempdir().unwrap();
    let bucket = bucket_of(directory.path()).unwrap();
    let store = Arc::new(wrap(Store::of_directory(&bucket, StoreSettings::default())));
    let map = Map {
        recipes: HashMap::from([(DATA, data), (TABLE, recipe(10, 5, 16, &[]))]),
        sources: sources.into_iter().collect(),
        linked: Location { bucket, key: Key::new("linked") },
    };
    let file = FileChunks::new(Arc::new(map), Arc::new(Stores::new(Arc::clone(&store))), About::default());
    World { directory, store, fetcher: Arc::new(Fetcher::new(settings)), file }
}

/// A dataset of one chunk an object, in any store; what is linked lies in the object `linked` of it.
pub(super) fn over(store: Store, data: ChunkRecipe, source: Option<ChunkSource>) -> Arc<FileChunks> {
    let linked = store.location(&Key::new("linked"));
    let map = Map {
        recipes: HashMap::from([(DATA, data)]),
        sources: source.map(|source| ((DATA, 0), source)).into_iter().collect(),
        linked,
    };
    FileChunks::new(Arc::new(map), Arc::new(Stores::new(Arc::new(store))), About::default())
}

impl World {
    pub(super) fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    pub(super) fn path(&self, key: &str) -> std::path::PathBuf {
        self.directory.path().join(key)
    }
    pub(super) async fn chunk(&self, number: u64, want: Option<Range<u64>>) -> Result<Plain, FetchError> {
        self.fetcher.chunk(&self.file, ChunkId { dataset: DATA, number }, want).await
    }
    pub(super) async fn bytes(&self, number: u64, want: Option<Range<u64>>) -> Bytes {
        match self.chunk(number, want).await.unwrap() {
            Plain::Bytes(bytes) => bytes,
            Plain::Absent => panic!("absent"),
        }
    }
    pub(super) fn counted(&self) -> Requests {
        self.store.counters()
    }
}

pub(super) fn age(path: &Path) {
    fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - MINUTES_AGO).unwrap();
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_readers_of_one_chunk_make_one_request() {
    let world = world(recipe(1 << 20, 1 << 20, 1, &[Decode::Deflate]), []);
    let plain: Vec<u8> = (0..1u32 << 20).map(|at| (at % 251) as u8).collect();
    world.put("1/c0", zlib(&plain));
    let readers = (0..100u64).map(|reader| {
        let (fetcher, file) = (Arc::clone(&world.fetcher), Arc::clone(&world.file));
        tokio::spawn(async move {
            let want = reader * 1000..reader * 1000 + 500;
            (want.clone(), fetcher.chunk(&file, ChunkId { dataset: DATA, number: 0 }, Some(want)).await.unwrap())
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        let (want, got) = reader.await.unwrap();
        assert_eq!(got, Plain::Bytes(Bytes::copy_from_slice(&plain[want.start as usize..want.end as usize])));
    }
    assert_eq!(world.counted().gets, 1);
}

#[tokio::test]
async fn what_was_never_written_is_absent_and_asked_for_once_a_second_at_most() {
    let mut settings = FetchSettings::default();
    settings.cache.absent_for = Duration::from_millis(500);
    let world = world_with(recipe(16, 8, 1, &[]), [((DATA, 1), ChunkSource::Fill)], settings, |store| store);
    for _ in 0..5 {
        assert_eq!(world.chunk(0, Some(0..4)).await.unwrap(), Plain::Absent);
        assert_eq!(world.chunk(1, None).await.unwrap(), Plain::Absent);
    }
    assert_eq!(world.counted().gets, 1);
    world.put("1/c0", [7; 8]);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(world.bytes(0, Some(2..4)).await, vec![7; 2]);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_each_time_until_it_can() {
    let refuse = Arc::new(std::sync::atomic::AtomicU8::new(1));
    let world = world_with(recipe(8, 8, 1, &[]), [], FetchSettings::default(), {
        let refuse = Arc::clone(&refuse);
        |store| {
            store.failing(move |key| match refuse.load(Ordering::Relaxed) {
                1 => Some(StoreError::Forbidden {
                    location: denied(key),
                    denial: crate::store::Denial::Rights,
                    code: None,
                    reason: "EACCES".to_owned(),
                }),
                2 => Some(StoreError::Failed { location: denied(key), reason: "EIO".to_owned() }),
                _ => None,
            })
        }
    });
    assert!(matches!(world.chunk(0, None).await, Err(FetchError::Store(StoreError::Forbidden { .. }))));
    refuse.store(2, Ordering::Relaxed);
    assert!(matches!(world.chunk(0, None).await, Err(FetchError::Store(StoreError::Failed { .. }))));
    refuse.store(0, Ordering::Relaxed);
    assert_eq!(world.chunk(0, None).await.unwrap(), Plain::Absent);
}

fn denied(key: &Key) -> Location {
    Location { bucket: Bucket::new("test://"), key: key.clone() }
}

#[tokio::test]
async fn a_chunk_that_changed_within_a_version_is_stale_and_new_to_the_next() {
    let mut settings = FetchSettings::default();
    settings.cache.bytes = 0;
    let world = world_with(recipe(8, 8, 1, &[]), [], settings, |store| store);
    world.put("1/c0", [1; 8]);
    age(&world.path("1/c0"));
    assert_eq!(world.bytes(0, None).await, vec![1; 8]);
    assert_eq!(world.bytes(0, None).await, vec![1; 8]);
    world.put("1/c0", [2; 8]);
    assert!(matches!(world.chunk(0, None).await, Err(FetchError::Stale { .. })));
    let next = world.file.renewed();
    let id = ChunkId { dataset: DATA, number: 0 };
    assert_eq!(world.fetcher.chunk(&next, id, None).await.unwrap(), Plain::Bytes(vec![2; 8].into()));
    fs::remove_file(world.path("1/c0")).unwrap();
    assert!(matches!(world.fetcher.chunk(&next, id, None).await, Err(FetchError::Stale { .. })));
}

#[tokio::test]
async fn a_torn_chunk_that_is_being_written_is_waited_for() {
    let world = world(recipe(3000, 1000, 1, &[Decode::Deflate]), []);
    let plain: Vec<u8> = (0..1000u32).map(|at| (at * at % 251) as u8).collect();
    let stored = zlib(&plain);
    for (number, torn) in [&stored[..stored.len() / 2], b""].into_iter().enumerate() {
        let key = format!("1/c{number}");
        world.put(&key, torn);
        let (path, stored) = (world.path(&key), stored.clone());
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(120));
            fs::write(path, stored).unwrap();
        });
        assert_eq!(world.bytes(number as u64, None).await, plain);
        writer.join().unwrap();
    }
}

#[tokio::test]
async fn a_chunk_that_stays_torn_is_undecodable_and_an_old_one_at_once() {
    let world = world(recipe(16, 8, 1, &[]), []);
    world.put("1/c0", [1; 7]);
    world.put("1/c1", [1; 9]);
    age(&world.path("1/c1"));
    let start = Instant::now();
    let error = world.chunk(1, None).await.unwrap_err();
    // All patience together is a second.
    assert!(start.elapsed() < Duration::from_millis(900));
    assert_eq!(world.counted().gets, 1);
    assert!(matches!(&error, FetchError::Undecodable { location, .. } if location.key.as_str() == "1/c1"), "{error}");
    let error = world.chunk(0, None).await.unwrap_err();
    assert!(matches!(&error, FetchError::Undecodable { location, .. } if location.key.as_str() == "1/c0"), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(1000) && start.elapsed() < Duration::from_secs(20));
    assert_eq!(world.counted().gets, 7);
}

#[tokio::test]
async fn half_a_chunk_from_a_service_is_asked_for_again_whatever_it_promises() {
    use crate::store::memory::Memory;
    let plain: Vec<u8> = (0..=255).collect();
    for (steps, stored) in [(&[][..], plain.clone()), (&[Decode::Deflate][..], zlib(&plain))] {
        for (bad, broken) in [(2, false), (3, true)] {
            let memory = Memory::new(Duration::ZERO);
            memory.put("1/c0", stored.clone());
            let times = std::sync::atomic::AtomicUsize::new(0);
            let store = memory.store().halving(move |_| times.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < bad);
            let map = Map {
                recipes: HashMap::from([(DATA, recipe(512, 256, 1, steps))]),
                sources: HashMap::new(),
                linked: Location { bucket: Memory::bucket(), key: Key::new("linked") },
            };
            let file = FileChunks::new(Arc::new(map), Arc::new(Stores::new(Arc::new(store))), About::default());
            let fetcher = Arc::new(Fetcher::new(FetchSettings::default()));
            let id = ChunkId { dataset: DATA, number: 0 };
            let first = fetcher.chunk(&file, id, None).await;
            assert_eq!(matches!(first, Err(FetchError::Undecodable { .. })), broken, "{first:?}");
            // And never for good.
            assert_eq!(fetcher.chunk(&file, id, None).await.unwrap(), Plain::Bytes(plain.clone().into()));
        }
    }
}

#[tokio::test]
async fn of_a_huge_plain_chunk_only_the_wanted_blocks_are_read() {
    const LEN: u64 = 100 << 30;
    let linked = |world: &World| Location { bucket: world.store.bucket().clone(), key: Key::new("linked") };
    // The map is made before the directory's name is known, so the source is a table row of a hundred gigabytes.
    let source = ChunkSource::Table { table: TABLE, row: vec![0] };
    let world = world(recipe(LEN, LEN, 1, &[]), [((DATA, 0), source)]);
    let mut rows = vec![0; 80];
    rows[..8].copy_from_slice(&4096u64.to_le_bytes());
    rows[8..16].copy_from_slice(&LEN.to_le_bytes());
    world.put("2/c0", rows);
    world.put("linked", b"");
    let file = fs::File::options().write(true).open(world.path("linked")).unwrap();
    file.set_len(4096 + LEN).unwrap();
    use std::os::unix::fs::FileExt;
    let seam = (50 << 30) + (4 << 20);
    file.write_all_at(b"0123456789", 4096 + seam - 5).unwrap();
    assert_eq!(world.bytes(0, Some(seam - 5..seam + 5)).await, &b"0123456789"[..]);
    let counted = world.counted();
    assert_eq!((counted.ranged_gets, counted.bytes), (2, 80 + (8 << 20)));
    assert_eq!(world.bytes(0, Some(seam..seam + 2)).await, &b"56"[..]);
    assert_eq!(world.counted(), counted);
    // The end, in a last block that is not full; and past it.
    assert_eq!(world.bytes(0, Some(LEN - 3..LEN)).await, &b"\0\0\0"[..]);
    assert!(matches!(world.chunk(0, Some(LEN - 3..LEN + 1)).await, Err(FetchError::Outside { .. })));
    assert!(matches!(world.chunk(0, None).await, Err(FetchError::TooLarge { size: LEN, .. })));
    // Rewritten under the link.
    file.write_all_at(b"x", 0).unwrap();
    assert!(
        matches!(world.chunk(0, Some(0..5)).await, Err(FetchError::Stale { location }) if location == linked(&world))
    );
}

#[tokio::test]
async fn a_huge_object_of_the_wrong_size_is_undecodable_and_an_absent_one_absent() {
    const LEN: u64 = 9 << 20;
    let world = world(recipe(LEN * 2, LEN, 1, &[]), []);
    assert_eq!(world.chunk(1, Some(0..8)).await.unwrap(), Plain::Absent);
    world.put("1/c0", b"");
    let file = fs::File::options().write(true).open(world.path("1/c0")).unwrap();
    for wrong in [LEN - 1, LEN + 1] {
        file.set_len(wrong).unwrap();
        age(&world.path("1/c0"));
        let error = world.chunk(0, Some(LEN - 8..LEN)).await.unwrap_err();
        assert!(
            matches!(error, FetchError::Undecodable { .. } | FetchError::Store(StoreError::Range { .. })),
            "{error}"
        );
    }
    file.set_len(LEN).unwrap();
    age(&world.path("1/c0"));
    assert_eq!(world.bytes(0, Some(LEN - 8..LEN)).await, vec![0; 8]);
}

pub(super) fn table(rows: &[(u64, u64)]) -> Vec<u8> {
    rows.iter().flat_map(|(offset, size)| [offset.to_le_bytes(), size.to_le_bytes()].concat()).collect()
}

#[tokio::test]
async fn a_chunk_table_is_read_once_for_all_its_rows() {
    let sources = (0..10).map(|row| ((DATA, row), ChunkSource::Table { table: TABLE, row: vec![row] }));
    let world = world(recipe(40, 4, 1, &[]), sources);
    world.put("linked", b"....aaaabbbbccccdd");
    world.put("2/c0", table(&[(4, 4), (0, 0), (12, 4), (16, 4), (8, 3)]));
    age(&world.path("2/c0"));
    age(&world.path("linked"));
    assert_eq!(world.bytes(0, None).await, &b"aaaa"[..]);
    assert_eq!(world.chunk(1, None).await.unwrap(), Plain::Absent);
    assert_eq!(world.bytes(2, Some(1..3)).await, &b"cc"[..]);
    // Past the end of the linked file; of the wrong length.
    assert!(matches!(world.chunk(3, None).await, Err(FetchError::Store(StoreError::Range { .. }))));
    assert!(matches!(world.chunk(4, None).await, Err(FetchError::Undecodable { .. })));
    let counted = world.counted();
    assert_eq!((counted.gets, counted.ranged_gets), (1, 4));
    // Rows that were never written.
    assert_eq!(world.chunk(7, None).await.unwrap(), Plain::Absent);
    // A link to nothing is no absent chunk.
    fs::remove_file(world.path("linked")).unwrap();
    assert!(matches!(world.chunk(3, None).await, Err(FetchError::Gone { .. })));
}

#[tokio::test]
async fn a_table_that_cannot_be_followed_is_an_error_and_no_circle() {
    let sources = [
        ((DATA, 0), ChunkSource::Table { table: TABLE, row: vec![0] }),
        ((DATA, 1), ChunkSource::Table { table: TABLE, row: vec![10] }),
        ((DATA, 2), ChunkSource::Table { table: ObjectId(99), row: vec![0] }),
        ((DATA, 3), ChunkSource::Table { table: TABLE, row: vec![0, 0] }),
        ((TABLE, 0), ChunkSource::Table { table: TABLE, row: vec![0] }),
    ];
    let world = world(recipe(16, 4, 1, &[]), sources);
    for number in 0..4 {
        assert!(matches!(world.chunk(number, None).await, Err(FetchError::Table { .. })), "{number}");
    }
}

#[tokio::test]
async fn an_initializer_speaks_only_where_nothing_is_stored() {
    let computed = |object: &str, initializer| ChunkSource::Computed { object: Key::new(object), initializer };
    let sources = [
        ((DATA, 0), computed("stored", Initializer::Arange { start: 0., step: 1. })),
        ((DATA, 1), computed("none", Initializer::Arange { start: 0., step: 1. })),
        ((DATA, 2), computed("none", Initializer::Unsupported("chunklocator".to_owned()))),
    ];
    let world = world(recipe(24, 8, 1, &[]), sources);
    world.put("stored", [9; 8]);
    assert_eq!(world.bytes(0, None).await, vec![9; 8]);
    assert_eq!(world.bytes(1, None).await, vec![1; 8]);
    let error = world.chunk(2, None).await.unwrap_err();
    assert!(matches!(&error, FetchError::Initializer { reason, .. } if reason.contains("chunklocator")), "{error}");
}

#[tokio::test]
async fn numbers_from_outside_pass_the_limits_first() {
    let world = world(recipe(1 << 40, 1 << 40, 1, &[Decode::Deflate]), []);
    assert!(matches!(world.chunk(0, None).await, Err(FetchError::TooLarge { limit: limits::DECODED_CHUNK_BYTES, .. })));
    assert!(matches!(world.chunk(1, None).await, Err(FetchError::Outside { .. })));
    let nobody = ChunkId { dataset: ObjectId(77), number: 0 };
    assert!(matches!(world.fetcher.chunk(&world.file, nobody, None).await, Err(FetchError::Outside { .. })));
    assert_eq!(world.counted(), Requests::default());
}

#[tokio::test]
async fn plain_objects_are_read_in_part_and_bound_to_their_identity() {
    let world = world(recipe(8, 8, 1, &[]), []);
    world.put("notes.txt", b"hello");
    let key = Key::new("notes.txt");
    let meta = world.store.head(&key).await.unwrap();
    let expected = Expected { etag: meta.etag, size: meta.size, modified: Some(meta.modified) };
    let object = PlainObject::new(world.file.stores().clone(), world.store.location(&key), expected);
    let read = world.fetcher.object(&object, 1..3).await.unwrap();
    assert_eq!(read, &b"el"[..]);
    world.put("notes.txt", b"hello again");
    let error = world.fetcher.object(&object, 1..3).await.unwrap_err();
    assert!(matches!(error, FetchError::Stale { .. }));
}
