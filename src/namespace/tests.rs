//! The tree over a source that counts what it is asked.

mod placing;
mod round_trips;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};

use super::*;
use crate::fetch::FetchSettings;
use crate::model::chunk::{BadChunk, ChunkMap, ChunkRecipe, ChunkSource, Initializer, Rows};
use crate::model::dataspace::Dataspace;
use crate::model::datatype::{ByteOrder, Datatype, Integer};
use crate::model::elements::Elements;
use crate::model::grid::Grid;
use crate::model::hierarchy::{DataLayout, Dataset, Hierarchy, Object, ObjectId, ObjectKind, TypeUse};
use crate::model::location::{ETag, Key};
use crate::model::pipeline::{Pipeline, StoredForm};
use crate::model::problem::Problem;
use crate::source::{Body, Contents, Fingerprint, Freshness as Found, SourceError};
use crate::store::root::bucket_of;
use crate::store::{Store, StoreSettings};

/// Bytes of a chunk of every test file.
const PIECE: u64 = 10;

/// A source of folders with files whose bytes are chunks `NAME.0`, `NAME.1` … of ten bytes.
#[derive(Default)]
struct Fake {
    /// Names in the root, and the state of the file's description.
    files: Mutex<BTreeMap<String, u64>>,
    lists: AtomicUsize,
    finds: AtomicUsize,
    opens: AtomicUsize,
    looks: AtomicUsize,
    problems: Mutex<Vec<Problem>>,
}

#[derive(Debug)]
struct Map {
    name: String,
    recipe: ChunkRecipe,
}

impl ChunkMap for Map {
    fn recipe(&self, _: ObjectId) -> Option<&ChunkRecipe> {
        Some(&self.recipe)
    }
    fn locate(&self, _: ObjectId, coordinates: &[u64]) -> ChunkSource {
        ChunkSource::Object(Key::new(format!("{}.{}", self.name, coordinates[0])))
    }
    fn table_row(&self, _: ObjectId, _: ObjectId, _: &[u8], _: &Rows, _: u64) -> Result<ChunkSource, BadChunk> {
        Err(BadChunk { at: 0, reason: "no table".into() })
    }
    fn elements(&self, _: ObjectId, _: bytes::Bytes) -> Result<Elements, BadChunk> {
        Err(BadChunk { at: 0, reason: "no elements".into() })
    }
    fn compute(&self, _: ObjectId, _: &[u64], _: &Initializer) -> Result<bytes::Bytes, BadChunk> {
        Err(BadChunk { at: 0, reason: "no initializer".into() })
    }
}

/// Bytes of every test file: two chunks and a half.
const LEN: u64 = 25;

impl Fake {
    fn fingerprint(&self, path: &str, state: u64) -> Fingerprint {
        Fingerprint {
            objects: BTreeMap::from([(Key::new(path), Some(ETag::new(state.to_string())))]),
            tells_of_chunks: path.starts_with("told"),
            page: None,
        }
    }

    fn set(&self, name: &str, state: u64) {
        self.files.lock().unwrap().insert(name.to_owned(), state);
    }
}

fn described(name: &str) -> Entry {
    Entry { name: name.to_owned(), kind: EntryKind::File, modified: None, owner: None }
}

#[async_trait]
impl Source for Fake {
    fn list<'a>(&'a self, _: &'a str) -> BoxStream<'a, Result<Entry, SourceError>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        let files = self.files.lock().unwrap();
        let entries: Vec<_> = files.keys().map(|name| Ok(described(name))).collect();
        stream::iter(entries).boxed()
    }

    async fn find(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        self.finds.fetch_add(1, Ordering::SeqCst);
        Ok(self.files.lock().unwrap().contains_key(path).then(|| described(path)))
    }

    async fn open(&self, path: &str) -> Result<Contents, SourceError> {
        self.opens.fetch_add(1, Ordering::SeqCst);
        // Long enough for others to come meanwhile.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let state = self.files.lock().unwrap().get(path).copied();
        let state = state.ok_or_else(|| SourceError::NotFound { path: path.to_owned() })?;
        let dataset = Dataset {
            datatype: TypeUse::Own(Datatype::Integer(Integer::standard(1, ByteOrder::Little, false))),
            dataspace: Dataspace::fixed(vec![LEN]),
            fill: Some(Elements::plain(vec![b'.'])),
            layout: DataLayout::Chunked(vec![PIECE]),
            filters: Vec::new(),
            stored: StoredForm::Other,
        };
        let object = Object {
            kind: ObjectKind::Dataset(dataset),
            attributes: Vec::new(),
            attributes_tracked: false,
            modified: None,
            details: Default::default(),
        };
        let recipe = ChunkRecipe {
            grid: Grid::new(&[LEN], &[PIECE]).unwrap(),
            raw_len: Some(PIECE),
            decode: Pipeline::default(),
        };
        Ok(Contents {
            hierarchy: Hierarchy { objects: vec![object], ..Hierarchy::default() },
            chunks: Arc::new(Map { name: path.to_owned(), recipe }),
            body: Body::Bytes { dataset: ObjectId(0), len: LEN },
            fingerprint: self.fingerprint(path, state),
            problems: self.problems.lock().unwrap().clone(),
            facts: BTreeMap::new(),
            modified: None,
        })
    }

    async fn still_holds(&self, fingerprint: &Fingerprint) -> Result<Found, SourceError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let (key, _) = fingerprint.objects.iter().next().unwrap();
        Ok(match self.files.lock().unwrap().get(key.as_str()) {
            None => Found::Gone,
            Some(state) if self.fingerprint(key.as_str(), *state) == *fingerprint => Found::Unchanged,
            Some(_) => Found::Changed,
        })
    }
}

struct Setting {
    source: Arc<Fake>,
    namespace: Namespace,
    dir: tempfile::TempDir,
}

fn setting(settings: NamespaceSettings) -> Setting {
    let dir = tempfile::tempdir().unwrap();
    let bucket = bucket_of(&std::fs::canonicalize(dir.path()).unwrap()).unwrap();
    let stores = Arc::new(Stores::new(Arc::new(Store::of_directory(&bucket, StoreSettings::default()))));
    let source = Arc::new(Fake::default());
    let fetcher = Arc::new(Fetcher::new(FetchSettings::default()));
    let namespace = Namespace::new(source.clone(), stores, fetcher, settings);
    Setting { source, namespace, dir }
}

impl Setting {
    async fn file(&self, name: &str) -> Arc<File> {
        match self.namespace.lookup(self.namespace.root(), name).await.unwrap() {
            Node::File(file) => file,
            Node::Folder(_) => panic!("{name} is a folder"),
        }
    }

    fn chunk(&self, name: &str, bytes: &str) {
        std::fs::write(self.dir.path().join(name), bytes).unwrap();
    }
}

/// Everything is believed for no time at all.
fn eager() -> NamespaceSettings {
    NamespaceSettings { freshness: Freshness::For(Duration::ZERO), ..NamespaceSettings::default() }
}

#[tokio::test]
async fn many_openers_at_once_cause_one_load() {
    let s = setting(NamespaceSettings::default());
    s.source.set("a", 1);
    let file = s.file("a").await;
    let versions = futures::future::join_all((0..50).map(|_| s.namespace.open(&file))).await;
    let first = versions[0].as_ref().unwrap();
    assert!(versions.iter().all(|version| Arc::ptr_eq(version.as_ref().unwrap(), first)));
    assert_eq!(s.source.opens.load(Ordering::SeqCst), 1);
    assert_eq!(s.source.looks.load(Ordering::SeqCst), 0, "fresh: the store is not asked again");
    assert_eq!(file.current(), first.id());
}

#[tokio::test]
async fn a_changed_file_is_a_new_version_and_the_old_one_stays() {
    let s = setting(eager());
    s.source.set("a", 1);
    let file = s.file("a").await;
    let old = s.namespace.open(&file).await.unwrap();
    let same = s.namespace.open(&file).await.unwrap();
    assert!(Arc::ptr_eq(&old, &same));
    assert_eq!((s.source.opens.load(Ordering::SeqCst), s.source.looks.load(Ordering::SeqCst)), (1, 1));
    s.source.set("a", 2);
    let new = s.namespace.open(&file).await.unwrap();
    assert_ne!(new.id(), old.id());
    assert_eq!(file.current(), new.id());
    s.source.files.lock().unwrap().clear();
    assert!(s.namespace.open(&file).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_version_that_was_dropped_keeps_its_number_unless_it_was_read() {
    let s = setting(NamespaceSettings { versions_bytes: 0, ..eager() });
    s.source.set("a", 1);
    let file = s.file("a").await;
    let first = s.namespace.open(&file).await.unwrap();
    let id = first.id();
    drop(first);
    s.namespace.versions.run_pending_tasks();
    let again = s.namespace.open(&file).await.unwrap();
    assert_eq!((again.id(), s.source.opens.load(Ordering::SeqCst)), (id, 2));
    s.namespace.read(&again, 0..5).await.unwrap();
    drop(again);
    s.namespace.versions.run_pending_tasks();
    assert_ne!(s.namespace.open(&file).await.unwrap().id(), id, "which chunks it had seen is forgotten");
}

#[tokio::test]
async fn where_nothing_tells_of_changed_chunks_what_was_read_is_renewed() {
    let s = setting(eager());
    s.source.set("a", 1);
    let file = s.file("a").await;
    let first = s.namespace.open(&file).await.unwrap();
    assert_eq!(s.namespace.open(&file).await.unwrap().id(), first.id(), "nothing was read");
    assert_eq!(&s.namespace.read(&first, 0..3).await.unwrap()[..], b"...");
    s.chunk("a.0", "0123456789");
    let found = s.namespace.open_found(&file).await.unwrap();
    assert_eq!(found.id(), first.id(), "compared a moment ago");
    let second = s.namespace.open(&file).await.unwrap();
    assert_ne!(second.id(), first.id());
    assert_eq!(file.current(), second.id());
    assert_eq!(&s.namespace.read(&second, 0..3).await.unwrap()[..], b"012");
    assert_eq!(s.source.opens.load(Ordering::SeqCst), 1, "the description is the same");
    assert_eq!(second.facts(), first.facts());
}

#[tokio::test]
async fn where_changed_chunks_are_told_or_promised_not_to_be_a_version_lasts() {
    for (name, settings) in [
        ("told", eager()),
        ("b", NamespaceSettings { freshness: Freshness::Ever, ..NamespaceSettings::default() }),
        ("b", NamespaceSettings::default()),
    ] {
        let s = setting(settings);
        s.source.set(name, 1);
        let file = Arc::new(File::new(NodeId(77), name.to_owned(), FileKind::Described, None));
        let first = s.namespace.open(&file).await.unwrap();
        s.namespace.read(&first, 0..3).await.unwrap();
        assert_eq!(s.namespace.open(&file).await.unwrap().id(), first.id(), "{name}");
    }
}

#[tokio::test]
async fn bytes_come_from_chunks_and_fill() {
    let s = setting(NamespaceSettings::default());
    s.source.set("a", 1);
    s.chunk("a.0", "0123456789");
    s.chunk("a.2", "klmnopqrst");
    let version = s.namespace.open(&s.file("a").await).await.unwrap();
    let read = async |range| String::from_utf8(s.namespace.read(&version, range).await.unwrap().to_vec()).unwrap();
    assert_eq!(read(0..100).await, "0123456789..........klmno");
    assert_eq!(read(2..5).await, "234");
    assert_eq!(read(8..22).await, "89..........kl");
    assert_eq!(read(12..14).await, "..");
    assert_eq!(read(25..26).await, "");
    assert_eq!(read(u64::MAX - 1..u64::MAX).await, "");
}

#[tokio::test]
async fn a_chunk_replaced_under_a_reader_ends_that_version_only() {
    let s = setting(NamespaceSettings::default());
    s.source.set("a", 1);
    for n in 0..3 {
        s.chunk(&format!("a.{n}"), "0123456789");
    }
    // Nothing is cached, so that the second read asks the store again.
    let fetch = FetchSettings {
        cache: crate::cache::CacheSettings { bytes: 0, ..Default::default() },
        ..FetchSettings::default()
    };
    let namespace = Namespace { fetcher: Arc::new(Fetcher::new(fetch)), ..s.namespace };
    let Node::File(file) = namespace.lookup(namespace.root(), "a").await.unwrap() else { panic!("a folder") };
    let version = namespace.open(&file).await.unwrap();
    namespace.read(&version, 0..25).await.unwrap();
    std::fs::write(s.dir.path().join("a.1"), "ABCDEFGHIJ and more").unwrap();
    std::fs::write(s.dir.path().join("a.1"), "ABCDEFGHIJ").unwrap();
    let error = namespace.read(&version, 10..20).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Changed, "{error}");
    let new = namespace.open(&file).await.unwrap();
    assert_ne!(new.id(), version.id());
    assert_eq!(&namespace.read(&new, 10..20).await.unwrap()[..], b"ABCDEFGHIJ");
}

#[tokio::test]
async fn after_a_listing_no_name_costs_a_request() {
    let s = setting(NamespaceSettings::default());
    for n in 0..1050 {
        s.source.set(&format!("f{n:04}"), 1);
    }
    let listing = s.namespace.list(s.namespace.root());
    assert_eq!(listing.all().await.unwrap().len(), 1050);
    assert_eq!(s.source.lists.load(Ordering::SeqCst), 1);
    for n in 0..1050 {
        s.file(&format!("f{n:04}")).await;
    }
    assert!(s.namespace.lookup(s.namespace.root(), "no").await.unwrap_err().is_not_found());
    assert_eq!(s.source.finds.load(Ordering::SeqCst), 0);
    assert!(Arc::ptr_eq(&listing, &s.namespace.list(s.namespace.root())));
    // Positions are stable: a walk in small steps meets every name once.
    let mut names = Vec::new();
    while let page = listing.from(names.len(), 7).await.unwrap()
        && !page.is_empty()
    {
        names.extend(page.iter().map(|entry| entry.name.clone()));
    }
    assert!(names.is_sorted() && names.len() == 1050);
    s.namespace.walk(s.namespace.root());
    assert!(s.namespace.is_walked(s.namespace.root()));
}

#[tokio::test]
async fn a_name_is_believed_only_for_its_time() {
    let s = setting(eager());
    s.source.set("a", 1);
    s.namespace.list(s.namespace.root()).all().await.unwrap();
    s.file("a").await;
    assert_eq!(s.source.finds.load(Ordering::SeqCst), 1);
    s.source.files.lock().unwrap().clear();
    assert!(s.namespace.lookup(s.namespace.root(), "a").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_path_is_followed_name_by_name() {
    let s = setting(NamespaceSettings::default());
    s.source.set("b", 1);
    assert_eq!(s.namespace.resolve("/b/").await.unwrap().path(), "b");
    assert!(matches!(s.namespace.resolve("b/c").await, Err(NamespaceError::NotAFolder { .. })));
}

#[tokio::test]
async fn strict_refuses_what_has_problems() {
    let s = setting(NamespaceSettings { strict: true, ..NamespaceSettings::default() });
    s.source.set("a", 1);
    let file = s.file("a").await;
    s.namespace.open(&file).await.unwrap();
    let problem = Problem { path: "/x".into(), key: "k".into(), reason: "left out".into() };
    s.source.problems.lock().unwrap().push(problem);
    s.source.set("b", 1);
    let error = s.namespace.open(&s.file("b").await).await.unwrap_err();
    assert!(error.to_string().contains("--strict"), "{error}");
}

#[test]
fn names_that_no_directory_can_hold_are_left_out() {
    for bad in ["", ".", "..", "a/b", "a\0b", &"x".repeat(256)] {
        assert!(presentable(bad).is_err(), "{bad:?}");
    }
    for good in ["a b", "%2F", "?#", "ü", ".hidden", "..."] {
        assert!(presentable(good).is_ok(), "{good:?}");
    }
}
