mod kept;
mod likely;
mod summaries;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use futures::TryStreamExt;

use super::loader::Loaded;
use super::*;
use crate::model::hierarchy::{LinkTarget, ObjectKind};
use crate::model::location::Key;
use crate::source::Body;
use crate::store::root::bucket_of;
use crate::store::{Requests, StoreError, StoreSettings};

/// Ids of one file: its root, and others by a number.
const ROOT: &str = "g-6470adce-88afc031-ecf8-254600-2748b9";
const HOME: &str = "db/6470adce-88afc031";

fn id(kind: char, number: u32) -> String {
    format!("{kind}-6470adce-88afc031-0000-000000-{number:06x}")
}

fn key_of(id: &str) -> String {
    super::id::Id::parse(id).unwrap().metadata_key().to_string()
}

struct World {
    directory: tempfile::TempDir,
    source: HsdsSource,
}

impl World {
    fn new() -> World {
        World::with(|store| store)
    }

    fn with(wrap: impl FnOnce(Store) -> Store) -> World {
        let directory = tempfile::tempdir().unwrap();
        let store =
            Arc::new(wrap(Store::of_directory(&bucket_of(directory.path()).unwrap(), StoreSettings::default())));
        World { directory, source: HsdsSource::new(store, HsdsSettings::default()) }
    }

    fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.directory.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Puts an object that was written long ago, so that nothing about it is waited for.
    fn put_old(&self, key: &str, bytes: impl AsRef<[u8]>) {
        self.put(key, bytes);
        let file = fs::File::options().write(true).open(self.directory.path().join(key)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(600)).unwrap();
    }

    /// A file of the groups and datasets given: id, and the ids its links lead to.
    fn put_file(&self, path: &str, objects: &[(String, Vec<String>)]) {
        self.put_old(&format!("{path}/.domain.json"), format!(r#"{{"root": "{ROOT}", "owner": "ann", "acls": {{}}}}"#));
        self.put_old(&format!("{HOME}/.info.json"), "{}");
        for (id, targets) in objects {
            let links: Vec<String> = targets
                .iter()
                .enumerate()
                .map(|(n, id)| format!(r#""l{n}": {{"class": "H5L_TYPE_HARD", "id": "{id}", "created": 1}}"#))
                .collect();
            let json = if id.starts_with('d') {
                format!(
                    r#"{{"id": "{id}", "root": "{ROOT}", "created": 1, "lastModified": 1, "attributes": {{}},
                        "type": {{"class": "H5T_INTEGER", "base": "H5T_STD_I32LE"}}, "shape": {{"class": "H5S_SCALAR"}}}}"#
                )
            } else {
                format!(
                    r#"{{"id": "{id}", "root": "{ROOT}", "created": 1, "lastModified": 1, "attributes": {{}},
                        "links": {{{}}}}}"#,
                    links.join(", ")
                )
            };
            self.put_old(&key_of(id), json);
        }
    }

    fn counted(&self) -> Requests {
        self.source.store.counters()
    }

    async fn load(&self, path: &str) -> Result<Loaded, SourceError> {
        self.source.load_file(path).await.map(|(_, _, loaded)| loaded)
    }

    async fn entries(&self, folder: &str) -> Result<Vec<Entry>, SourceError> {
        self.source.list(folder).try_collect().await
    }

    async fn names(&self, folder: &str) -> BTreeSet<(String, char)> {
        let mut names = BTreeSet::new();
        for entry in self.entries(folder).await.unwrap() {
            assert!(names.insert((entry.name, letter(&entry.kind))));
        }
        names
    }
}

fn letter(kind: &EntryKind) -> char {
    match kind {
        EntryKind::Folder => 'd',
        EntryKind::File => 'f',
        EntryKind::Plain { .. } => 'p',
        EntryKind::Unclear => '?',
    }
}

fn set(names: &[(&str, char)]) -> BTreeSet<(String, char)> {
    names.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect()
}

#[tokio::test]
async fn a_listing_shows_folders_files_and_plain_objects_and_hides_the_schema() {
    let world = World::new();
    world.put_file("x.h5", &[(ROOT.to_owned(), vec![])]);
    world.put_file("a b%2F?#.h5", &[]);
    world.put_old("home/.domain.json", r#"{"owner": "bob", "acls": {}}"#);
    world.put_old("bare/notes.txt", "n");
    world.put_old("torn.h5/.domain.json", r#"{"root": "g-64"#);
    world.put_old("readme.txt", "hello");
    world.put_old(".leading", "");
    world.put_old(".domain.json", "{}");
    world.put_old("5c9c0-g-c815c3d8-e525-11f1-878b-02fc00000001", "{}");
    fs::create_dir(world.directory.path().join("deleted.h5")).unwrap();
    let before = world.counted();
    let entries = world.entries("").await.unwrap();
    let made = world.counted().since(before);
    // One `.domain.json` for each of the six prefixes; a look into each of the two that have none.
    assert_eq!((made.lists, made.gets, made.heads), (3, 6, 0));
    let owner = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap().owner.clone();
    assert_eq!((owner("x.h5").as_deref(), owner("home").as_deref(), owner("bare")), (Some("ann"), Some("bob"), None));
    let wanted = [
        ("x.h5", 'f'),
        ("a b%2F?#.h5", 'f'),
        ("home", 'd'),
        ("bare", 'd'),
        ("torn.h5", 'f'),
        ("readme.txt", 'p'),
        (".leading", 'p'),
    ];
    assert_eq!(world.names("").await, set(&wanted));
    assert_eq!(world.names("bare").await, set(&[("notes.txt", 'p')]));
    assert!(matches!(world.entries("none").await, Err(SourceError::NotFound { .. })));
    assert!(matches!(world.source.open("torn.h5").await, Err(SourceError::Invalid { .. })));
    // Each of them alone is what it is in the listing.
    for (name, kind) in wanted {
        assert_eq!(world.source.find(name).await.unwrap().map(|entry| letter(&entry.kind)), Some(kind), "{name}");
    }
}

#[tokio::test]
async fn a_name_is_found_without_a_listing() {
    let world = World::new();
    world.put_file("home/x.h5", &[]);
    world.put_old("home/notes.txt", "hello");
    let before = world.counted();
    let file = world.source.find("home/x.h5").await.unwrap().unwrap();
    assert_eq!((file.name.as_str(), file.kind, file.owner.as_deref()), ("x.h5", EntryKind::File, Some("ann")));
    let notes = world.source.find("home/notes.txt").await.unwrap().unwrap();
    assert!(matches!(notes.kind, EntryKind::Plain { key, size: 5, etag: Some(_) } if key.as_str() == "home/notes.txt"));
    assert_eq!(world.counted().since(before).lists, 0);
    assert_eq!(world.source.find("home").await.unwrap().unwrap().kind, EntryKind::Folder);
    assert_eq!(world.source.find("").await.unwrap().unwrap().kind, EntryKind::Folder);
    let hidden = ["db", HOME, "home/x.h5/.domain.json", ".domain.json", "db/6470adce-88afc031/.group.json"];
    for absent in hidden.into_iter().chain(["none", "home/notes.txt/below", "home//x.h5", "../x", "none%object"]) {
        assert_eq!(world.source.find(absent).await.unwrap(), None, "{absent}");
    }
}

#[tokio::test]
async fn a_name_that_may_not_be_looked_at_is_an_error_and_not_absent() {
    let world = World::with(|store| {
        store.failing(|key| {
            key.as_str().starts_with("closed").then(|| StoreError::Forbidden {
                denial: crate::store::Denial::Rights,
                location: crate::model::location::Location {
                    bucket: crate::model::location::Bucket::new("test://"),
                    key: key.clone(),
                },
                code: None,
                reason: "EACCES".to_owned(),
            })
        })
    });
    world.put_old("closed/x", "");
    assert!(matches!(world.source.find("closed").await, Err(SourceError::Store(StoreError::Forbidden { .. }))));
    assert_eq!(world.names("").await, set(&[("closed", '?')]));
}

#[tokio::test]
async fn only_a_lack_of_rights_to_list_is_remembered_of_a_file() {
    use crate::store::Denial;
    for (denial, remembered) in [(Denial::Rights, true), (Denial::Expired, false), (Denial::Clock, false)] {
        let world = World::with(move |store| {
            store.failing(move |key| {
                let location = crate::model::location::Location {
                    bucket: crate::model::location::Bucket::new("test://"),
                    key: key.clone(),
                };
                Some(StoreError::Forbidden { denial, location, code: None, reason: "refused".to_owned() })
            })
        });
        let below = Key::new("db/x/");
        assert_eq!(world.source.pages(&below, 1).await.unwrap(), None);
        assert_eq!(world.source.may_fit(&below), !remembered, "{denial:?}");
    }
}

#[tokio::test]
async fn every_object_of_a_file_is_read_once() {
    let world = World::new();
    let (group, alias, data) = (id('g', 1), id('g', 2), id('d', 3));
    let objects = [
        (ROOT.to_owned(), vec![group.clone(), data.clone(), ROOT.to_owned()]),
        (group.clone(), vec![alias.clone(), data.clone(), ROOT.to_owned()]),
        (alias.clone(), vec![group.clone(), alias.clone()]),
        (data.clone(), vec![]),
    ];
    world.put_file("x.h5", &objects);
    let before = world.counted();
    let loaded = world.load("x.h5").await.unwrap();
    let made = world.counted().since(before);
    assert_eq!((made.gets, made.heads, made.lists, made.ranged_gets), (5, 1, 0, 0));
    assert_eq!((loaded.objects.len(), loaded.missing.len(), loaded.fingerprint.objects.len()), (4, 0, 6));
    assert!(loaded.fingerprint.objects.values().all(Option::is_some));
}

#[tokio::test]
async fn a_file_of_a_thousand_objects_is_read_many_at_a_time() {
    let world = World::new();
    let all: Vec<String> = (0..1000).map(|number| id('d', number)).collect();
    let mut objects = vec![(ROOT.to_owned(), all.clone())];
    objects.extend(all.into_iter().map(|id| (id, vec![])));
    world.put_file("x.h5", &objects);
    let start = Instant::now();
    let loaded = world.load("x.h5").await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((loaded.objects.len(), world.counted().gets), (1001, 1002));
}

#[tokio::test]
async fn what_is_linked_but_not_there_is_noted_and_asked_for_again_only_beside_a_writer() {
    let world = World::new();
    world.put_file("x.h5", &[(ROOT.to_owned(), vec![id('d', 1), id('d', 2)]), (id('d', 2), vec![])]);
    let before = world.counted();
    let loaded = world.load("x.h5").await.unwrap();
    assert_eq!(world.counted().since(before).gets, 4);
    assert_eq!(loaded.missing.len(), 1);
    assert_eq!(loaded.fingerprint.objects.get(&Key::new(key_of(&id('d', 1)))), Some(&None));
    // A link stored a moment ago, its target a moment later.
    let group = fs::read(world.directory.path().join(HOME).join(".group.json")).unwrap();
    world.put(&format!("{HOME}/.group.json"), group);
    let (target, path) =
        (world.directory.path().join(key_of(&id('d', 2))), world.directory.path().join(key_of(&id('d', 1))));
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(target, path).unwrap();
    });
    let loaded = world.load("x.h5").await.unwrap();
    writer.join().unwrap();
    assert_eq!((loaded.objects.len(), loaded.missing.len()), (3, 0));
    assert!(loaded.fingerprint.objects.values().all(Option::is_some));
}

#[tokio::test]
async fn torn_json_that_heals_is_waited_for() {
    let world = World::new();
    world.put_file("x.h5", &[(ROOT.to_owned(), vec![])]);
    for (key, torn) in
        [(format!("{HOME}/.group.json"), &b""[..]), ("x.h5/.domain.json".to_owned(), b"{\"root\": \"g-6")]
    {
        let whole = fs::read(world.directory.path().join(&key)).unwrap();
        world.put(&key, torn);
        let path = world.directory.path().join(&key);
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(120));
            fs::write(path, whole).unwrap();
        });
        let loaded = world.load("x.h5").await.unwrap();
        assert_eq!((loaded.objects.len(), loaded.missing.len()), (1, 0));
        writer.join().unwrap();
    }
}

#[tokio::test]
async fn json_that_stays_torn_spoils_only_its_object_unless_that_is_the_root() {
    let world = World::new();
    world.put_file("x.h5", &[(ROOT.to_owned(), vec![id('d', 1), id('d', 2)]), (id('d', 2), vec![])]);
    world.put_old(&key_of(&id('d', 1)), "{\"id\": ");
    let start = Instant::now();
    let loaded = world.load("x.h5").await.unwrap();
    // All patience together is a second.
    assert!(start.elapsed() < Duration::from_millis(900));
    assert_eq!((loaded.objects.len(), loaded.missing.len()), (2, 1));
    assert!(loaded.fingerprint.objects.values().all(Option::is_some));
    for broken in ["", "[]", "{\"links\":"] {
        world.put_old(&format!("{HOME}/.group.json"), broken);
        assert!(matches!(world.load("x.h5").await, Err(SourceError::Invalid { .. })), "{broken}");
    }
    // Young and broken for good: an error after about a second, and not before.
    world.put(&format!("{HOME}/.group.json"), "");
    let start = Instant::now();
    assert!(matches!(world.load("x.h5").await, Err(SourceError::Invalid { .. })));
    assert!(start.elapsed() >= Duration::from_secs(1) && start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_file_is_never_read_in_part_because_a_request_failed() {
    let world = World::with(|store| {
        store.failing(|key| {
            key.as_str().ends_with(".dataset.json").then(|| StoreError::Failed {
                location: crate::model::location::Location {
                    bucket: crate::model::location::Bucket::new("test://"),
                    key: key.clone(),
                },
                reason: "EIO".to_owned(),
            })
        })
    });
    world.put_file("x.h5", &[(ROOT.to_owned(), vec![id('d', 1)]), (id('d', 1), vec![])]);
    assert!(matches!(world.load("x.h5").await, Err(SourceError::Store(StoreError::Failed { .. }))));
}

#[tokio::test]
async fn a_file_whose_root_is_no_id_or_not_there_says_so() {
    let world = World::new();
    world.put_file("x.h5", &[]);
    world.put_old("y.h5/.domain.json", r#"{"root": "../../etc/passwd"}"#);
    world.put_old("folder/.domain.json", "{}");
    for file in ["x.h5", "y.h5"] {
        assert!(matches!(world.load(file).await, Err(SourceError::Invalid { .. })), "{file}");
    }
    for nothing in ["folder", "none", "x.h5/below", "a//b"] {
        assert!(matches!(world.load(nothing).await, Err(SourceError::NotFound { .. })), "{nothing}");
    }
}

#[tokio::test]
async fn a_version_is_fresh_until_one_of_its_objects_changes() {
    let world = World::new();
    world.put_file("x.h5", &[(ROOT.to_owned(), vec![id('d', 1), id('d', 2)]), (id('d', 2), vec![])]);
    let fingerprint = world.load("x.h5").await.unwrap().fingerprint;
    let before = world.counted();
    assert_eq!(world.source.still_holds(&fingerprint).await.unwrap(), Freshness::Unchanged);
    let made = world.counted().since(before);
    assert_eq!((made.heads, made.gets, made.lists), (5, 0, 0));
    // The statistics are all that tells of a changed chunk.
    assert!(fingerprint.tells_of_chunks);
    world.put_old(&format!("{HOME}/.info.json"), "{\"lastModified\": 2}");
    assert_eq!(world.source.still_holds(&fingerprint).await.unwrap(), Freshness::Changed);
    fs::remove_file(world.directory.path().join(HOME).join(".info.json")).unwrap();
    let fingerprint = world.load("x.h5").await.unwrap().fingerprint;
    assert!(!fingerprint.tells_of_chunks);
    assert_eq!(world.source.still_holds(&fingerprint).await.unwrap(), Freshness::Unchanged);
    // One that was absent appears.
    world.put_old(&key_of(&id('d', 1)), "{}");
    assert_eq!(world.source.still_holds(&fingerprint).await.unwrap(), Freshness::Changed);
    fs::remove_file(world.directory.path().join(key_of(&id('d', 1)))).unwrap();
    assert_eq!(world.source.still_holds(&fingerprint).await.unwrap(), Freshness::Unchanged);
    // One changes, one vanishes.
    world.put_old(&key_of(&id('d', 2)), "{ }");
    assert_eq!(world.source.still_holds(&fingerprint).await.unwrap(), Freshness::Changed);
    fs::remove_file(world.directory.path().join(key_of(&id('d', 2)))).unwrap();
    assert_eq!(world.source.still_holds(&fingerprint).await.unwrap(), Freshness::Changed);
    fs::remove_file(world.directory.path().join("x.h5/.domain.json")).unwrap();
    assert_eq!(world.source.still_holds(&fingerprint).await.unwrap(), Freshness::Gone);
}

#[tokio::test]
async fn a_source_may_be_a_folder_or_one_file() {
    let world = World::new();
    world.put_file("home/ann/x.h5", &[(ROOT.to_owned(), vec![])]);
    world.put_file("home/y.h5", &[(ROOT.to_owned(), vec![])]);
    let open = |path| HsdsSource::open(Arc::clone(&world.source.store), path, HsdsSettings::default());
    let folder = open("home/ann/").await.unwrap();
    assert_eq!(folder.list("").count().await, 1);
    assert_eq!(folder.find("x.h5").await.unwrap().unwrap().kind, EntryKind::File);
    assert_eq!(folder.find("y.h5").await.unwrap(), None);
    assert!(folder.load_file("x.h5").await.is_ok());
    // A folder whose own name is not hidden here may hold names that would be at the root of the store.
    world.put_old("home/ann/db/z", "");
    assert_eq!(folder.find("db").await.unwrap().unwrap().kind, EntryKind::Folder);
    let file = open("home/y.h5").await.unwrap();
    assert_eq!(file.only(), Some("y.h5"));
    let entries: Vec<Entry> = file.list("").try_collect().await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["y.h5"]);
    assert_eq!(file.find("ann").await.unwrap(), None);
    assert!(file.load_file("y.h5").await.is_ok());
    assert!(matches!(open("home/none").await, Err(SourceError::NotFound { .. })));
}

#[tokio::test]
async fn a_large_folder_is_read_page_by_page() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..500 {
        let folder = directory.path().join(format!("f{number}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(".domain.json"), format!(r#"{{"root": "{ROOT}"}}"#)).unwrap();
        fs::write(directory.path().join(format!("o{number}")), "").unwrap();
    }
    let settings = crate::store::StoreSettings { page: 64, ..Default::default() };
    let store = Arc::new(Store::of_directory(&bucket_of(directory.path()).unwrap(), settings));
    let source = HsdsSource::new(store, HsdsSettings::default());
    let world = World { directory, source };
    let names = world.names("").await;
    assert_eq!(names.len(), 1000);
    assert_eq!(names.iter().filter(|(_, kind)| *kind == 'f').count(), 500);
    assert_eq!((world.counted().lists, world.counted().gets), (16, 500));
}

#[tokio::test]
async fn an_object_beside_keys_of_its_name_is_shown_under_another_whatever_the_page() {
    let objects = [
        ("a", "object"),
        ("a!", "sorts between"),
        ("a/.domain.json", r#"{"root": "g-6470adce-88afc031-ecf8-254600-2748b9"}"#),
        ("b", "object"),
        ("b/c", "no domain"),
        ("c", "alone"),
        ("d%object", "a name of its own"),
    ];
    let wanted =
        [("a", 'f'), ("a!", 'p'), ("a%object", 'p'), ("b", 'd'), ("b%object", 'p'), ("c", 'p'), ("d%object", 'p')];
    for page in [1, 2, 3, 100] {
        let settings = crate::store::StoreSettings { page, ..Default::default() };
        let store = Arc::new(Store::of_keys(&objects, settings));
        let source = HsdsSource::new(store, HsdsSettings::default());
        let world = World { directory: tempfile::tempdir().unwrap(), source };
        assert_eq!(world.names("").await, set(&wanted), "{page}");
        for (name, kind) in wanted {
            let entry = world.source.find(name).await.unwrap().unwrap();
            assert_eq!((entry.name.as_str(), letter(&entry.kind)), (name, kind));
            if let (EntryKind::Plain { key, .. }, "a%object" | "b%object") = (entry.kind, name) {
                assert_eq!(Some(key.as_str()), name.strip_suffix("%object"));
            }
        }
        for absent in ["c%object", "a!%object", "%object", "a/b"] {
            assert_eq!(world.source.find(absent).await.unwrap(), None, "{absent}");
        }
    }
}

/// A store with a file of one dataset: `/name` of 2,500 bytes in chunks of 1,000, whose chunk 1 was never written.
fn put_bytes(world: &World, path: &str, name: &str, more: &str) {
    let dataset = id('d', 1);
    world.put_old(&format!("{path}/.domain.json"), format!(r#"{{"root": "{ROOT}", "owner": "ann", "acls": {{}}}}"#));
    world.put_old(
        &key_of(ROOT),
        format!(
            r#"{{"id": "{ROOT}", "root": "{ROOT}", "created": 1, "lastModified": 1, "attributes": {{}}, "links":
                {{"{name}": {{"class": "H5L_TYPE_HARD", "id": "{dataset}", "created": 1}}{more}}}}}"#
        ),
    );
    world.put_old(
        &key_of(&dataset),
        format!(
            r#"{{"id": "{dataset}", "root": "{ROOT}", "created": 1, "lastModified": 1, "attributes": {{}},
                "type": {{"class": "H5T_INTEGER", "base": "H5T_STD_U8LE"}},
                "shape": {{"class": "H5S_SIMPLE", "dims": [2500]}},
                "layout": {{"class": "H5D_CHUNKED", "dims": [1000]}}}}"#
        ),
    );
    let chunk = key_of(&dataset).replace(".dataset.json", "");
    world.put_old(&format!("{chunk}0"), [7; 1000]);
    world.put_old(&format!("{chunk}2"), [9; 1000]);
}

#[tokio::test]
async fn a_file_is_opened_and_its_chunks_are_fetched() {
    use crate::fetch::{FetchSettings, Fetcher, FileChunks, Plain};
    use crate::model::chunk::ChunkId;
    use crate::model::hierarchy::ObjectId;
    let world = World::new();
    let more = r#", "x": {"class": "H5L_TYPE_EXTERNAL", "h5domain": "/home/bob/y.h5", "h5path": "/z", "created": 2}"#;
    put_bytes(&world, "home/ann/x.h5", "data", more);
    let contents = world.source.open("home/ann/x.h5").await.unwrap();
    assert_eq!(contents.problems, []);
    assert_eq!(contents.body, Body::Hierarchy);
    assert_eq!(contents.facts.get("root").map(String::as_str), Some(ROOT));
    assert_eq!(contents.facts.get("owner").map(String::as_str), Some("ann"));
    assert_eq!(world.source.still_holds(&contents.fingerprint).await.unwrap(), Freshness::Unchanged);
    let ObjectKind::Group(root) = &contents.hierarchy.objects[0].kind else { panic!() };
    let external = root.links.iter().find(|link| link.name.as_bytes() == b"x").unwrap();
    assert!(matches!(&external.target, LinkTarget::External { file, .. } if file.as_bytes() == b"../bob/y.h5"));
    let file = FileChunks::new(
        contents.chunks,
        Arc::new(crate::store::Stores::new(Arc::clone(world.source.store()))),
        crate::fetch::About::default(),
    );
    let fetcher = std::sync::Arc::new(Fetcher::new(FetchSettings::default()));
    let chunk = |number| ChunkId { dataset: ObjectId(1), number };
    assert_eq!(fetcher.chunk(&file, chunk(0), Some(5..8)).await.unwrap(), Plain::Bytes(vec![7; 3].into()));
    assert_eq!(fetcher.chunk(&file, chunk(1), None).await.unwrap(), Plain::Absent);
    assert_eq!(fetcher.chunk(&file, chunk(2), None).await.unwrap(), Plain::Bytes(vec![9; 1000].into()));
}

#[tokio::test]
async fn a_file_that_was_stored_byte_by_byte_is_shown_as_these_bytes() {
    let world = World::new();
    put_bytes(&world, "x.h5", "h5image", "");
    let body = world.source.open("x.h5").await.unwrap().body;
    assert!(matches!(body, Body::Bytes { dataset, len: 2500 } if dataset.0 == 1));
    // Beside another link it is a dataset like any other.
    put_bytes(&world, "x.h5", "h5image", r#", "s": {"class": "H5L_TYPE_SOFT", "h5path": "/h5image", "created": 2}"#);
    assert_eq!(world.source.open("x.h5").await.unwrap().body, Body::Hierarchy);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_a_problem_and_the_rest_is_shown() {
    let world = World::new();
    let more = format!(r#", "lost": {{"class": "H5L_TYPE_HARD", "id": "{}", "created": 2}}"#, id('d', 2));
    put_bytes(&world, "x.h5", "data", &more);
    let absent = world.source.open("x.h5").await.unwrap();
    world.put_old(&key_of(&id('d', 2)), "{\"id\"");
    let torn = world.source.open("x.h5").await.unwrap();
    for contents in [&absent, &torn] {
        assert_eq!((contents.hierarchy.objects.len(), contents.problems.len()), (2, 1));
        assert_eq!(contents.problems[0].path, "/lost");
    }
    assert_ne!(absent.fingerprint, torn.fingerprint);
    // Too large to be read, and yet there: looked at again, it is the same.
    let path = world.directory.path().join(key_of(&id('d', 2)));
    fs::File::options().write(true).open(path).unwrap().set_len(crate::model::limits::DOCUMENT_BYTES + 1).unwrap();
    let large = world.source.open("x.h5").await.unwrap();
    assert_eq!(large.problems.len(), 1);
    assert_eq!(world.source.still_holds(&large.fingerprint).await.unwrap(), Freshness::Unchanged);
}

#[tokio::test]
async fn each_dataset_tells_when_it_was_written_itself() {
    let memory = crate::store::memory::Memory::new(Duration::ZERO);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let new = old + Duration::from_secs(1000);
    let link = |id: &str| format!(r#""{id}": {{"class": "H5L_TYPE_HARD", "id": "{id}", "created": 1}}"#);
    let links = [link(&id('d', 1)), link(&id('d', 2))].join(", ");
    let dataset = r#"{"type": {"class": "H5T_INTEGER", "base": "H5T_STD_I32LE"}, "shape": {"class": "H5S_SIMPLE", "dims": [4]},
        "attributes": {}, "creationProperties": {"layout": {"class": "H5D_CHUNKED", "dims": [4]}}}"#;
    memory.put_at("x.h5/.domain.json", format!(r#"{{"root": "{ROOT}"}}"#), old);
    memory.put_at(key_of(ROOT), format!(r#"{{"attributes": {{}}, "links": {{{links}}}}}"#), new);
    memory.put_at(key_of(&id('d', 1)), dataset, old);
    memory.put_at(key_of(&id('d', 2)), dataset, new);
    let source = HsdsSource::new(Arc::new(memory.store()), HsdsSettings::default());
    let contents = source.open("x.h5").await.unwrap();
    let of = |number| contents.chunks.described(crate::model::hierarchy::ObjectId(number));
    assert_eq!((of(0), of(1), of(2)), (None, Some(old), Some(new)));
    assert_eq!(contents.modified, Some(new));
}

#[tokio::test(start_paused = true)]
async fn all_that_is_torn_or_may_follow_is_waited_for_a_second_in_all() {
    let memory = crate::store::memory::Memory::new(Duration::ZERO);
    memory.set_in_place();
    let now = SystemTime::now();
    let group = |links: &[String]| {
        let links: Vec<String> = links
            .iter()
            .map(|id| format!(r#""{id}": {{"class": "H5L_TYPE_HARD", "id": "{id}", "created": 1}}"#))
            .collect();
        format!(r#"{{"attributes": {{}}, "links": {{{}}}}}"#, links.join(", "))
    };
    memory.put_at("x.h5/.domain.json", format!(r#"{{"root": "{ROOT}"}}"#), now);
    // Torn ones on two levels, and one that is not there.
    memory.put_at(key_of(ROOT), group(&[id('d', 1), id('d', 2), id('g', 1)]), now);
    memory.put_at(key_of(&id('g', 1)), group(&[id('d', 3)]), now);
    memory.put_at(key_of(&id('d', 1)), "{", now);
    memory.put_at(key_of(&id('d', 3)), "", now);
    let source = HsdsSource::new(Arc::new(memory.store()), HsdsSettings::default());
    let begun = tokio::time::Instant::now();
    let (_, _, loaded) = source.load_file("x.h5").await.unwrap();
    assert_eq!((loaded.objects.len(), loaded.missing.len()), (2, 3));
    // And each level's last answer is doubted for a moment, since a service sent it.
    assert!((1000..1200).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

/// A store of which the first `bad` answers for each key are half of the object.
fn halving(memory: &crate::store::memory::Memory, bad: usize) -> Store {
    let asked = std::sync::Mutex::new(std::collections::HashMap::<Key, usize>::new());
    memory.store().halving(move |key| {
        let mut asked = asked.lock().unwrap();
        let times = asked.entry(key.clone()).or_default();
        *times += 1;
        *times <= bad
    })
}

#[tokio::test(start_paused = true)]
async fn half_a_document_from_a_service_is_asked_for_again_whatever_it_promises() {
    let memory = crate::store::memory::Memory::new(Duration::ZERO);
    memory.put("x.h5/.domain.json", format!(r#"{{"root": "{ROOT}"}}"#));
    let link = format!(r#"{{"class": "H5L_TYPE_HARD", "id": "{}", "created": 1}}"#, id('g', 1));
    memory.put(key_of(ROOT), format!(r#"{{"attributes": {{}}, "links": {{"a": {link}}}}}"#));
    memory.put(key_of(&id('g', 1)), r#"{"attributes": {}, "links": {}}"#);
    for (bad, broken) in [(1, false), (2, false), (3, true)] {
        let source = HsdsSource::new(Arc::new(halving(&memory, bad)), HsdsSettings::default());
        let begun = tokio::time::Instant::now();
        let loaded = source.load_file("x.h5").await;
        assert_eq!(loaded.is_err(), broken, "{bad} halves");
        if let Ok((_, _, loaded)) = loaded {
            assert!(loaded.missing.is_empty() && loaded.objects.len() == 2, "{loaded:?}");
        }
        assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_is_refused_and_not_listed_is_not_there_and_what_is_listed_stays_refused() {
    let memory = crate::store::memory::Memory::new(Duration::ZERO);
    for key in ["home/x.h5/.domain.json", "home/closed", "home/folder/a"] {
        memory.put(key, format!(r#"{{"root": "{ROOT}"}}"#));
    }
    let there = memory.clone();
    // Listings are granted; what is absent is refused all the same, and so is one object.
    let store = memory.store().failing(move |key| {
        let closed = key.as_str() == "home/closed" || !there.keys().iter().any(|known| known == key.as_str());
        (closed && !key.as_str().ends_with('*')).then(|| StoreError::Forbidden {
            location: crate::model::location::Location {
                bucket: crate::store::memory::Memory::bucket(),
                key: key.clone(),
            },
            denial: Denial::Rights,
            code: None,
            reason: "AccessDenied".to_owned(),
        })
    });
    let source = HsdsSource::new(Arc::new(store), HsdsSettings::default());
    assert_eq!(source.find("home/none").await.unwrap(), None);
    assert_eq!(source.find("home/clos").await.unwrap(), None);
    assert_eq!(source.find("home/x.h5").await.unwrap().unwrap().kind, EntryKind::File);
    let closed = source.find("home/closed").await;
    assert!(matches!(closed, Err(SourceError::Store(StoreError::Forbidden { .. }))), "{closed:?}");
    // Whether the folder is a file nobody may know.
    let folder = source.find("home/folder").await;
    assert!(matches!(folder, Err(SourceError::Store(StoreError::Forbidden { .. }))), "{folder:?}");
}

#[tokio::test]
async fn a_file_whose_statistics_are_refused_is_read_and_once_its_root_was_granted_they_are_asked_for_again() {
    let memory = crate::store::memory::Memory::new(Duration::ZERO);
    memory.put("x.h5/.domain.json", format!(r#"{{"root": "{ROOT}"}}"#));
    memory.put(key_of(ROOT), r#"{"attributes": {}, "links": {}}"#);
    let refused = |key: &Key| StoreError::Forbidden {
        location: crate::model::location::Location { bucket: crate::store::memory::Memory::bucket(), key: key.clone() },
        denial: Denial::Rights,
        code: None,
        reason: "AccessDenied".to_owned(),
    };
    // Refused as what is absent is where nothing may be listed; absent by the second answer, as with evidence.
    for answers in [1, usize::MAX] {
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let times = Arc::clone(&asked);
        let store = memory.store().failing(move |key| {
            let doubtful = key.as_str().ends_with("/.info.json");
            let refuses = || times.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < answers;
            (doubtful && refuses()).then(|| refused(key))
        });
        let source = HsdsSource::new(Arc::new(store), HsdsSettings::default());
        let (_, _, loaded) = source.load_file("x.h5").await.unwrap();
        assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 2);
        let known = loaded.fingerprint.objects.contains_key(&Key::new(format!("{HOME}/.info.json")));
        assert_eq!((known, loaded.fingerprint.tells_of_chunks), (answers == 1, false));
        let fresh = source.still_holds(&loaded.fingerprint).await.unwrap();
        assert!(matches!(fresh, Freshness::Unchanged), "{fresh:?}");
    }
    // Refused for another reason, or any other object: no file.
    let store = memory.store().failing(move |key| key.as_str().ends_with("/.group.json").then(|| refused(key)));
    let source = HsdsSource::new(Arc::new(store), HsdsSettings::default());
    assert!(matches!(source.load_file("x.h5").await, Err(SourceError::Store(StoreError::Forbidden { .. }))));
}
