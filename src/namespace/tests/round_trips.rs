//! Round trips, exactly: every request takes the same time under a clock that only requests move, so the time that
//! passed is the number of requests that waited for each other.

use std::fmt::Write as _;

use tokio::time::Instant;

use super::*;
use crate::fetch::FetchSettings;
use crate::layout::SegmentKind;
use crate::model::chunk::ChunkId;
use crate::source::hsds::id::Id;
use crate::source::hsds::{HsdsSettings, HsdsSource, key};
use crate::store::StoreError;
use crate::store::memory::Memory;

/// Time of a request; that of the requirement.
const TRIP: Duration = Duration::from_millis(20);
/// Requests at a time.
const IN_FLIGHT: usize = 64;

/// Ids of one file of the second schema.
const ROOT: &str = "g-6470adce-88afc031-ecf8-254600-2748b9";
const BELOW: &str = "db/6470adce-88afc031/";
/// Root of a file of the first.
const OLD_ROOT: &str = "g-c815c3d8-e525-11f1-878b-02fc00000001";

fn id(kind: char, number: usize) -> String {
    format!("{kind}-6470adce-88afc031-0000-000000-{number:06x}")
}

fn old_id(kind: char, number: usize) -> String {
    format!("{kind}-c815c7f2-e525-11f1-878b-{number:012x}")
}

fn key_of(id: &str) -> Key {
    Id::parse(id).unwrap().metadata_key()
}

fn group(links: &[(String, String)]) -> String {
    let mut json = r#"{"attributes": {}, "lastModified": 1.5, "links": {"#.to_owned();
    for (n, (name, id)) in links.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        write!(json, r#"{comma}"{name}": {{"class": "H5L_TYPE_HARD", "id": "{id}", "created": 1.5}}"#).unwrap();
    }
    json + "}}"
}

fn scalar() -> &'static str {
    r#"{"attributes": {}, "lastModified": 1.5, "shape": {"class": "H5S_SCALAR"},
        "type": {"class": "H5T_INTEGER", "base": "H5T_STD_I32LE"}}"#
}

/// What a piece of work took.
#[derive(Debug)]
struct Cost {
    trips: u32,
    asked: Vec<String>,
    peak: usize,
}

impl Cost {
    fn of(&self, verb: &str) -> usize {
        self.asked.iter().filter(|asked| asked.starts_with(verb)).count()
    }
}

/// A store of keys, not yet looked at.
struct Bench {
    memory: Memory,
}

/// It, mounted.
struct Mounted {
    memory: Memory,
    namespace: Arc<Namespace>,
}

async fn cost<T>(memory: &Memory, work: impl Future<Output = T>) -> (T, Cost) {
    memory.asked();
    memory.peak();
    let begun = Instant::now();
    let result = work.await;
    let passed = begun.elapsed().as_millis();
    assert_eq!(passed % TRIP.as_millis(), 0, "something else takes time");
    let trips = u32::try_from(passed / TRIP.as_millis()).unwrap();
    (result, Cost { trips, asked: memory.asked(), peak: memory.peak() })
}

impl Bench {
    fn new() -> Bench {
        Bench { memory: Memory::new(TRIP) }
    }

    fn domain(&self, path: &str, root: &str) {
        self.memory
            .put(format!("{path}/.domain.json"), format!(r#"{{"root": "{root}", "owner": "ann", "acls": {{}}}}"#));
    }

    fn put(&self, id: &str, json: impl Into<String>) {
        self.memory.put(key_of(id).as_str(), json.into());
    }

    /// Statistics as HSDS would write them now.
    fn statistics(&self) {
        let keys = self.memory.keys();
        let count = |part: &str| keys.iter().filter(|key| key.starts_with(BELOW) && key.contains(part)).count();
        let datasets: Vec<String> = keys
            .iter()
            .filter_map(|key| key.strip_prefix(&format!("{BELOW}d/"))?.strip_suffix("/.dataset.json"))
            .map(|folder| format!(r#""d-6470adce-88afc031-{folder}": {{"num_chunks": 1}}"#))
            .collect();
        let chunks = count("/d/") - count(".dataset.json");
        let json = format!(
            r#"{{"num_groups": {}, "num_datatypes": 0, "num_chunks": {chunks}, "datasets": {{{}}}}}"#,
            count(".group.json"),
            datasets.join(", ")
        );
        self.memory.put(format!("{BELOW}.info.json"), json);
    }

    /// A file of a root group and `n` datasets in it.
    fn flat(path: &str, n: usize) -> Bench {
        let bench = Bench::new();
        bench.domain(path, ROOT);
        let links: Vec<_> = (0..n).map(|number| (format!("d{number}"), id('d', number))).collect();
        bench.put(ROOT, group(&links));
        for (_, id) in &links {
            bench.put(id, scalar());
        }
        bench
    }

    /// Mounts the folder or file `path`; what that cost.
    async fn mount(self, path: &str, freshness: Freshness) -> (Mounted, Cost) {
        let store = Arc::new(self.memory.store());
        let opening = HsdsSource::open(store.clone(), path, HsdsSettings::default());
        let (source, cost) = cost(&self.memory, opening).await;
        let settings = NamespaceSettings { freshness, ..NamespaceSettings::default() };
        let fetcher = Arc::new(Fetcher::new(FetchSettings::default()));
        let namespace = Namespace::new(Arc::new(source.unwrap()), Arc::new(Stores::new(store)), fetcher, settings);
        (Mounted { memory: self.memory, namespace: Arc::new(namespace) }, cost)
    }
}

impl Mounted {
    /// Looks up each name of a path, one after the other as the kernel does, and opens the file.
    async fn open(&self, path: &str) -> Arc<Version> {
        self.open_both(path).await.1
    }

    /// The file too, as the kernel keeps it.
    async fn open_both(&self, path: &str) -> (Arc<File>, Arc<Version>) {
        let Node::File(file) = self.namespace.resolve(path).await.unwrap() else { panic!("{path} is a folder") };
        let version = self.namespace.open_found(&file).await.unwrap();
        (file, version)
    }

    /// The first bytes of the first chunk of an object.
    async fn first_bytes(&self, version: &Version, dataset: u32) -> bytes::Bytes {
        let image = version.image().unwrap();
        let wanted = ChunkId { dataset: ObjectId(dataset), number: 0 };
        let mut segments = image.segments(0..image.len());
        let found = segments.find(|part| matches!(part.kind, SegmentKind::Chunk { id, .. } if id == wanted));
        let start = found.unwrap().range.start;
        self.namespace.read(version, start..start + 4).await.unwrap()
    }

    async fn cost<T>(&self, work: impl Future<Output = T>) -> (T, Cost) {
        cost(&self.memory, work).await
    }
}

/// The store is asked at once, every time.
const NEVER: Freshness = Freshness::For(Duration::ZERO);
/// As long as any test takes.
const LONG: Freshness = Freshness::For(Duration::from_secs(3600));

#[tokio::test(start_paused = true)]
async fn a_file_of_a_thousand_objects_takes_a_trip_a_level_and_one_for_every_64() {
    let bench = Bench::flat("x.h5", 1000);
    bench.statistics();
    let (mounted, mounting) = bench.mount("", LONG).await;
    assert_eq!((mounting.trips, mounting.asked.len()), (1, 1), "{:?}", mounting.asked);
    let ((file, version), cold) = mounted.cost(mounted.open_both("x.h5")).await;
    // The domain; the root group, with the statistics and a summary that is not there; a thousand datasets, beside an index
    // that is not there.
    assert_eq!(cold.trips, 1 + 1 + 1000_u32.div_ceil(64));
    assert_eq!((cold.of("GET "), cold.peak), (1 + 1 + 2 + 1 + 1000, IN_FLIGHT));
    let asked: std::collections::BTreeSet<&String> = cold.asked.iter().collect();
    assert_eq!(asked.len(), cold.asked.len(), "nothing is asked twice");
    let ((_, again), warm) = mounted.cost(mounted.open_both("x.h5")).await;
    drop(file);
    assert_eq!(warm.asked, Vec::<String>::new());
    assert!(Arc::ptr_eq(&version, &again));
}

#[tokio::test(start_paused = true)]
async fn nested_groups_take_a_trip_each() {
    let bench = Bench::new();
    bench.domain("x.h5", ROOT);
    bench.put(ROOT, group(&[("g".into(), id('g', 1))]));
    for level in 1..10 {
        let datasets = (0..100).map(|n| (format!("d{n}"), id('d', level * 1000 + n)));
        let links: Vec<_> = datasets.chain([("g".into(), id('g', level + 1))]).collect();
        links[..100].iter().for_each(|(_, id)| bench.put(id, scalar()));
        bench.put(&id('g', level), group(&links));
    }
    bench.put(&id('g', 10), group(&[]));
    let (mounted, _) = bench.mount("", LONG).await;
    let ((), cold) = mounted.cost(async { drop(mounted.open("x.h5").await) }).await;
    assert!(cold.trips <= 10 + 2 + 911_u32.div_ceil(64), "{}", cold.trips);
    assert_eq!(cold.of("GET "), 1 + 911 + 2);
}

#[tokio::test(start_paused = true)]
async fn after_its_time_a_file_is_compared_by_two_requests() {
    for (objects, keys_of_a_page) in [(900, true), (1500, false)] {
        let bench = Bench::flat("x.h5", objects);
        bench.statistics();
        let (mounted, _) = bench.mount("", LONG).await;
        let Node::File(file) = mounted.namespace.resolve("x.h5").await.unwrap() else { panic!() };
        let first = mounted.namespace.open(&file).await.unwrap();
        let after = |memory: &Memory| Mounted { memory: memory.clone(), namespace: mounted.namespace.clone() };
        let eager = after(&mounted.memory);
        file.expire();
        let (same, cost) = eager.cost(eager.namespace.open(&file)).await;
        assert_eq!(same.unwrap().id(), first.id());
        let other = if keys_of_a_page { format!("LIST below {BELOW}") } else { format!("HEAD {BELOW}.info.json") };
        let mut asked = cost.asked;
        asked.sort();
        let mut wanted = vec!["HEAD x.h5/.domain.json".to_owned(), other];
        wanted.sort();
        assert_eq!((cost.trips, asked), (1, wanted));
        // Any object tells where the page holds them all, the statistics everywhere.
        let changed = if keys_of_a_page { key_of(&id('d', 77)).to_string() } else { format!("{BELOW}.info.json") };
        mounted.memory.put(changed, r#"{"changed": 1}"#);
        file.expire();
        let other = mounted.namespace.open(&file).await.unwrap();
        assert_ne!(other.id(), first.id());
        mounted.memory.remove("x.h5/.domain.json");
        file.expire();
        assert!(mounted.namespace.open(&file).await.unwrap_err().is_not_found());
    }
}

#[tokio::test(start_paused = true)]
async fn without_statistics_a_page_is_tried_once_and_then_every_object_is_looked_at() {
    let bench = Bench::flat("x.h5", 100);
    for chunk in 0..1200 {
        let dataset = key_of(&id('d', 1)).to_string().replace(".dataset.json", "");
        bench.memory.put(format!("{dataset}{chunk}"), "chunk");
    }
    let (mounted, _) = bench.mount("", LONG).await;
    let Node::File(file) = mounted.namespace.resolve("x.h5").await.unwrap() else { panic!() };
    let first = mounted.namespace.open(&file).await.unwrap();
    for lists in [2, 0] {
        file.expire();
        let (same, cost) = mounted.cost(mounted.namespace.open(&file)).await;
        assert_eq!(same.unwrap().id(), first.id());
        // The domain, the absent statistics, the root group and its datasets.
        assert_eq!((cost.of("LIST"), cost.of("HEAD"), cost.peak <= IN_FLIGHT), (lists, 1 + 1 + 1 + 100, true));
    }
    mounted.memory.put(key_of(&id('d', 99)).as_str(), "{}");
    file.expire();
    assert_ne!(mounted.namespace.open(&file).await.unwrap().id(), first.id());
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_spells_tags_otherwise_is_not_believed() {
    let bench = Bench::flat("x.h5", 10);
    bench.statistics();
    bench.memory.set_tags_of_listings("0x");
    let (mounted, _) = bench.mount("", LONG).await;
    let Node::File(file) = mounted.namespace.resolve("x.h5").await.unwrap() else { panic!() };
    let first = mounted.namespace.open(&file).await.unwrap();
    for requests in [4, 2] {
        file.expire();
        let (same, cost) = mounted.cost(mounted.namespace.open(&file)).await;
        assert_eq!((same.unwrap().id(), cost.asked.len()), (first.id(), requests), "{:?}", cost.asked);
    }
}

/// Twin S1: first schema, variables whose chunks are objects.
fn s1() -> Bench {
    let bench = Bench::new();
    bench.domain("wtk-us.h5", OLD_ROOT);
    let links: Vec<_> = (0..40).map(|n| (format!("variable_{n:02}"), old_id('d', n))).collect();
    bench.put(OLD_ROOT, group(&links));
    for (_, id) in &links {
        bench.put(
            id,
            r#"{"attributes": {}, "lastModified": 1.5, "type": {"class": "H5T_FLOAT", "base": "H5T_IEEE_F32LE"},
                "shape": {"class": "H5S_SIMPLE", "dims": [61368, 1602, 2976]},
                "layout": {"class": "H5D_CHUNKED", "dims": [24, 89, 186]}}"#,
        );
    }
    let chunk = key::chunk(&Id::parse(&links[0].1).unwrap(), &[0, 0, 0], 0);
    bench.memory.put(chunk.as_str(), vec![7; 24 * 89 * 186 * 4]);
    bench
}

/// Twin S2: variables whose chunks lie in an HDF5 file, named by a table each.
fn s2(path: &str) -> Bench {
    let bench = Bench::new();
    bench.domain(path, ROOT);
    let links: Vec<_> = (0..26).map(|n| (format!("var_{n:02}"), id('d', n))).collect();
    bench.put(ROOT, group(&links));
    for (n, (_, dataset)) in links.iter().enumerate() {
        let table = id('d', 1000 + n);
        bench.put(
            dataset,
            format!(
                r#"{{"attributes": {{}}, "lastModified": 1.5, "type": {{"class": "H5T_INTEGER", "base": "H5T_STD_U16LE"}},
                    "shape": {{"class": "H5S_SIMPLE", "dims": [20, 30]}}, "creationProperties": {{"layout":
                    {{"class": "H5D_CHUNKED_REF_INDIRECT", "dims": [10, 10], "chunk_table": "{table}",
                     "file_uri": "s3://keys/sources/x.h5"}}}}}}"#
            ),
        );
        bench.put(
            &table,
            r#"{"attributes": {}, "lastModified": 1.5, "type": {"class": "H5T_COMPOUND", "fields": [
                {"name": "offset", "type": {"class": "H5T_INTEGER", "base": "H5T_STD_I64LE"}},
                {"name": "size", "type": {"class": "H5T_INTEGER", "base": "H5T_STD_I32LE"}}]},
                "shape": {"class": "H5S_SIMPLE", "dims": [2, 3]}, "layout": {"class": "H5D_CHUNKED", "dims": [2, 3]}}"#,
        );
        let rows: Vec<u8> =
            (0..6u64).flat_map(|row| [(row * 200).to_le_bytes().to_vec(), vec![200, 0, 0, 0]].concat()).collect();
        bench.memory.put(key::chunk(&Id::parse(&table).unwrap(), &[0, 0], 0).as_str(), rows);
    }
    bench.memory.put("sources/x.h5", vec![7; 1200]);
    bench
}

#[tokio::test(start_paused = true)]
async fn one_element_of_a_sharded_file_takes_five_trips_with_the_mount() {
    let (mounted, mounting) = s1().mount("", LONG).await;
    let (bytes, cold) = mounted
        .cost(async {
            let version = mounted.open("wtk-us.h5").await;
            mounted.first_bytes(&version, 1).await
        })
        .await;
    assert_eq!(&bytes[..], [7; 4]);
    // A look at the bucket; the domain, the root group, the datasets, the chunk.
    assert_eq!((mounting.trips, cold.trips), (1, 4));
    assert_eq!(cold.of("GET "), 1 + 1 + 40 + 1, "{:?}", cold.asked);
}

#[tokio::test(start_paused = true)]
async fn one_element_of_a_linked_file_takes_six_trips_with_the_mount() {
    for (base, path) in [("nsrdb/v3", "nsrdb_2020.h5"), ("nsrdb/v3/nsrdb_2020.h5", "nsrdb_2020.h5")] {
        let (mounted, mounting) = s2("nsrdb/v3/nsrdb_2020.h5").mount(base, LONG).await;
        let (bytes, cold) = mounted
            .cost(async {
                let version = mounted.open(path).await;
                mounted.first_bytes(&version, 1).await
            })
            .await;
        assert_eq!(&bytes[..], [7; 4]);
        // The domain; the root group; datasets and tables; the table's rows; the range.
        assert!(mounting.trips == 1 && cold.trips == 5, "{base}: {} {:?}", cold.trips, cold.asked);
        assert_eq!(cold.of("GET sources"), 1);
        let metadata = cold.asked.iter().filter(|asked| asked.ends_with(".dataset.json")).count();
        assert_eq!(metadata, 52, "each is read once");
    }
}

#[tokio::test(start_paused = true)]
async fn folders_on_the_way_cost_a_trip_each_where_no_listing_named_them() {
    for (listed, trips) in [(true, 6), (false, 7)] {
        let (mounted, _) = s2("nsrdb/v3/nsrdb_2020.h5").mount("", LONG).await;
        if listed {
            mounted.namespace.list(mounted.namespace.root()).all().await.unwrap();
        }
        let (_, cold) = mounted
            .cost(async {
                let version = mounted.open("nsrdb/v3/nsrdb_2020.h5").await;
                mounted.first_bytes(&version, 1).await
            })
            .await;
        assert_eq!(cold.trips, trips, "{:?}", cold.asked);
    }
}

#[tokio::test(start_paused = true)]
async fn all_metadata_is_read_without_a_request_for_a_chunk() {
    let (mounted, _) = s2("x.h5").mount("", LONG).await;
    let version = mounted.open("x.h5").await;
    let image = version.image().unwrap();
    let (_, cost) = mounted.cost(mounted.namespace.read(&version, 0..image.metadata_len())).await;
    assert_eq!(cost.asked, Vec::<String>::new());
}

/// The first byte that may come from a chunk.
fn data_start(image: &crate::layout::Image) -> u64 {
    let chunk = image.segments(0..image.len()).find(|part| matches!(part.kind, SegmentKind::Chunk { .. }));
    chunk.map_or(image.len(), |part| part.range.start)
}

#[tokio::test(start_paused = true)]
async fn the_preface_is_what_a_read_gives_before_the_first_chunk() {
    // Little before the data; more than is handed over as a whole.
    for bench in [s2("x.h5"), Bench::flat("x.h5", 1500)] {
        let (mounted, _) = bench.mount("", LONG).await;
        let version = mounted.open("x.h5").await;
        let image = version.image().unwrap();
        // But for an empty page.
        let data = data_start(image) - 4096;
        let mut found = 0;
        let (_, cost) = mounted
            .cost(async {
                for piece in version.preface() {
                    let to = piece.at + piece.bytes.len() as u64;
                    assert_eq!((piece.at % 4096, to % 4096, to <= data), (0, 0, true));
                    assert!(mounted.namespace.read(&version, piece.at..to).await.unwrap() == piece.bytes);
                    found += to - piece.at;
                }
            })
            .await;
        assert_eq!(cost.asked, Vec::<String>::new());
        let kept: u64 = image.kept().map(|part| part.end - part.start).sum();
        assert_eq!(found, if data <= 256 << 10 { data } else { kept });
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_folder_is_listed_with_64_requests_in_flight_across_pages() {
    const DOMAINS: usize = 10_000;
    let bench = Bench::new();
    (0..DOMAINS).for_each(|n| bench.domain(&format!("many/d{n:06}.h5"), ROOT));
    let (mounted, _) = bench.mount("", LONG).await;
    let Node::Folder(folder) = mounted.namespace.resolve("many").await.unwrap() else { panic!("many is a file") };
    let (entries, cold) = mounted.cost(async { mounted.namespace.list(&folder).all().await.unwrap() }).await;
    assert_eq!(entries.len(), DOMAINS);
    assert_eq!((cold.of("LIST"), cold.of("GET"), cold.peak), (10, DOMAINS, IN_FLIGHT));
    // The first page; then everything else 64 at a time.
    assert!(cold.trips <= 1 + (DOMAINS as u32 + 9).div_ceil(64), "{}", cold.trips);
    let (_, again) = mounted
        .cost(async {
            for entry in mounted.namespace.list(&folder).all().await.unwrap() {
                mounted.namespace.lookup(&folder, &entry.name).await.unwrap();
            }
        })
        .await;
    assert_eq!(again.asked, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_name_takes_one_trip_whatever_it_is() {
    let bench = Bench::new();
    bench.domain("home/x.h5", ROOT);
    bench.memory.put("home/notes.txt", "hello");
    bench.memory.put("home/sub/deep", "");
    let (mounted, _) = bench.mount("home", NEVER).await;
    for (name, found) in [("x.h5", true), ("notes.txt", true), ("sub", true), ("none", false)] {
        let (node, cost) = mounted.cost(mounted.namespace.lookup(mounted.namespace.root(), name)).await;
        assert_eq!((node.is_ok(), cost.trips, cost.asked.len()), (found, 1, 3), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn looking_a_known_file_up_and_opening_it_takes_two_requests() {
    let bench = Bench::flat("home/x.h5", 100);
    bench.memory.put("home/.domain.json", r#"{"owner": "ann", "acls": {}}"#);
    let (mounted, _) = bench.mount("", NEVER).await;
    let Node::Folder(home) = mounted.namespace.resolve("home").await.unwrap() else { panic!("home is a file") };
    let (file, first) = mounted.open_both("home/x.h5").await;
    let (again, warm) = mounted.cost(mounted.open_both("home/x.h5")).await;
    assert_eq!(again.1.id(), first.id());
    // The folder's domain and the file's, and the page that says it is unchanged.
    let domains = ["GET home/.domain.json", "GET home/x.h5/.domain.json"].map(str::to_owned);
    assert_eq!((&warm.asked[..2], warm.asked.len(), warm.trips), (&domains[..], 3, 3), "{:?}", warm.asked);
    // Another domain in its place costs no request more than any file, and what is no domain any more is looked for.
    mounted.memory.put("home/x.h5/.domain.json", format!(r#"{{"root": "{ROOT}", "owner": "bob", "acls": {{}}}}"#));
    let ((_, other), changed) = mounted.cost(mounted.open_both("home/x.h5")).await;
    assert_ne!(other.id(), first.id());
    assert_eq!(changed.asked.iter().filter(|asked| asked.ends_with("x.h5/.domain.json")).count(), 1, "{changed:?}");
    mounted.memory.remove("home/x.h5/.domain.json");
    mounted.memory.put("home/x.h5", "hello");
    let node = mounted.namespace.lookup(&home, "x.h5").await.unwrap();
    assert!(matches!(&node, Node::File(file) if *file.kind() != FileKind::Described));
    drop(file);
}

#[tokio::test(start_paused = true)]
async fn what_a_listing_could_not_tell_is_looked_at_again() {
    let bench = Bench::new();
    bench.domain("x.h5", ROOT);
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let fails = broken.clone();
    let store = Arc::new(bench.memory.store().failing(move |key| {
        let location = crate::model::location::Location { bucket: Memory::bucket(), key: key.clone() };
        fails.load(Ordering::SeqCst).then_some(StoreError::Timeout { location, seconds: 1 })
    }));
    let source = Arc::new(HsdsSource::new(store.clone(), HsdsSettings::default()));
    let fetcher = Arc::new(Fetcher::new(FetchSettings::default()));
    let settings = NamespaceSettings { freshness: LONG, ..NamespaceSettings::default() };
    let namespace = Namespace::new(source, Arc::new(Stores::new(store)), fetcher, settings);
    let entries = namespace.list(namespace.root()).all().await.unwrap();
    assert_eq!((entries.len(), &entries[0].kind), (1, &EntryKind::Unclear));
    assert!(namespace.lookup(namespace.root(), "x.h5").await.is_err());
    broken.store(false, Ordering::SeqCst);
    assert!(matches!(namespace.lookup(namespace.root(), "x.h5").await.unwrap(), Node::File(_)));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_was_given_up_is_waited_for_by_the_next() {
    let (mounted, _) = Bench::flat("x.h5", 1000).mount("", LONG).await;
    let Node::File(file) = mounted.namespace.resolve("x.h5").await.unwrap() else { panic!() };
    let ((), whole) = mounted
        .cost(async {
            let given_up = tokio::time::timeout(TRIP * 5, mounted.namespace.open(&file)).await;
            assert!(given_up.is_err());
            mounted.namespace.open(&file).await.unwrap();
        })
        .await;
    assert_eq!(whole.of("GET "), 1 + 2 + 1000);
    assert_eq!(whole.trips, 1 + 1000_u32.div_ceil(64));
}
