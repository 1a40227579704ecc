//! A store that is away, comes back, breaks off, or holds other objects than a moment before.

use std::sync::atomic::AtomicBool;

use futures::TryStreamExt;

use super::*;
use crate::model::location::Location;
use crate::store::StoreError;

/// [`Fake`], and one plain object `p`; away or broken where a test says so.
struct Troubled {
    inner: Fake,
    store: Arc<Store>,
    away: Arc<AtomicBool>,
    breaks: AtomicBool,
}

impl Troubled {
    fn answer(&self) -> Result<(), SourceError> {
        assert!(!self.breaks.load(Ordering::SeqCst), "a fault of the program");
        match self.away.load(Ordering::SeqCst) {
            true => Err(unreachable(&self.store, "any").into()),
            false => Ok(()),
        }
    }

    async fn plain(&self) -> Option<Entry> {
        let key = Key::new("p");
        let meta = self.store.head(&key).await.ok()?;
        let kind = EntryKind::Plain { key, size: meta.size, etag: meta.etag };
        Some(Entry { name: "p".to_owned(), kind, modified: Some(meta.modified), owner: None })
    }
}

fn unreachable(store: &Store, key: &str) -> StoreError {
    StoreError::Unreachable { location: store.location(&Key::new(key)), reason: "no route".to_owned() }
}

#[async_trait]
impl Source for Troubled {
    fn list<'a>(&'a self, folder: &'a str) -> BoxStream<'a, Result<Entry, SourceError>> {
        let plain = async move {
            self.answer()?;
            Ok::<_, SourceError>(stream::iter(self.plain().await.map(Ok)).chain(self.inner.list(folder)))
        };
        stream::once(plain).try_flatten().boxed()
    }
    async fn find(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        self.answer()?;
        match path {
            "p" => Ok(self.plain().await),
            path => self.inner.find(path).await,
        }
    }
    async fn open(&self, path: &str) -> Result<Contents, SourceError> {
        self.answer()?;
        self.inner.open(path).await
    }
    async fn still_holds(&self, fingerprint: &Fingerprint) -> Result<Found, SourceError> {
        self.answer()?;
        self.inner.still_holds(fingerprint).await
    }
}

struct Place {
    source: Arc<Troubled>,
    namespace: Namespace,
    dir: tempfile::TempDir,
    away: Arc<AtomicBool>,
}

fn troubled(settings: NamespaceSettings) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let bucket = bucket_of(&std::fs::canonicalize(dir.path()).unwrap()).unwrap();
    let away = Arc::new(AtomicBool::new(false));
    let told = away.clone();
    let plain = Store::of_directory(&bucket, StoreSettings::default());
    let location = |key: &Key| Location { bucket: bucket.clone(), key: key.clone() };
    let fault = unreachable(&plain, "chunk");
    let store = plain.failing(move |_| told.load(Ordering::SeqCst).then(|| fault.clone()));
    assert_eq!(store.location(&Key::new("p")), location(&Key::new("p")));
    let store = Arc::new(store);
    let source = Arc::new(Troubled {
        inner: Fake::default(),
        store: store.clone(),
        away: away.clone(),
        breaks: AtomicBool::new(false),
    });
    // Nothing is kept, so that each read asks the store.
    let cache = crate::cache::CacheSettings { bytes: 0, ..Default::default() };
    let fetcher = Arc::new(Fetcher::new(FetchSettings { cache, ..FetchSettings::default() }));
    let namespace = Namespace::new(source.clone(), Arc::new(Stores::new(store)), fetcher, settings);
    Place { source, namespace, dir, away }
}

impl Place {
    fn write(&self, key: &str, bytes: &str) {
        // Another inode, as a new object is another one.
        let next = self.dir.path().join("next");
        std::fs::write(&next, bytes).unwrap();
        std::fs::rename(next, self.dir.path().join(key)).unwrap();
    }
    async fn file(&self, name: &str) -> Result<Arc<File>, NamespaceError> {
        match self.namespace.lookup(self.namespace.root(), name).await? {
            Node::File(file) => Ok(file),
            Node::Folder(_) => panic!("{name} is a folder"),
        }
    }
}

#[tokio::test]
async fn a_store_that_was_away_needs_no_remount_and_nothing_was_taken_for_absent() {
    let t = troubled(eager());
    t.source.inner.set("a", 1);
    t.source.inner.set("new", 1);
    t.write("a.0", "0123456789");
    let held = t.namespace.open(&t.file("a").await.unwrap()).await.unwrap();
    let node = t.file("a").await.unwrap();
    t.away.store(true, Ordering::SeqCst);
    let errors = [
        t.file("a").await.unwrap_err(),
        t.file("new").await.unwrap_err(),
        t.file("no such").await.unwrap_err(),
        t.namespace.open(&node).await.unwrap_err(),
        t.namespace.list(t.namespace.root()).all().await.unwrap_err(),
        t.namespace.read(&held, 0..5).await.unwrap_err(),
        // Never written, and not to be known now.
        t.namespace.read(&held, 12..15).await.unwrap_err(),
    ];
    for error in &errors {
        assert_eq!(error.cause(), Cause::TimedOut, "{error}");
        assert!(error.remedy().unwrap().contains("without a remount"), "{error}");
        assert_eq!(error.subject(), errors[0].subject(), "one line of the log for all of them");
    }
    t.away.store(false, Ordering::SeqCst);
    assert_eq!(&t.namespace.read(&held, 0..5).await.unwrap()[..], b"01234");
    assert_eq!(&t.namespace.read(&held, 12..15).await.unwrap()[..], b"...");
    assert!(t.file("new").await.is_ok() && t.file("a").await.is_ok());
    assert!(t.file("no such").await.unwrap_err().is_not_found());
    assert_eq!(t.namespace.list(t.namespace.root()).all().await.unwrap().len(), 2);
    // A failed load is answered from memory for a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(t.namespace.open(&node).await.is_ok());
}

#[tokio::test]
async fn a_listing_that_breaks_off_by_a_fault_is_an_error_for_its_readers_and_read_again() {
    let t = troubled(NamespaceSettings { freshness: Freshness::Ever, ..NamespaceSettings::default() });
    t.source.inner.set("a", 1);
    t.source.breaks.store(true, Ordering::SeqCst);
    let listing = t.namespace.list(t.namespace.root());
    let read = tokio::time::timeout(Duration::from_secs(10), listing.all()).await;
    let error = read.expect("readers do not wait for ever").unwrap_err();
    assert!(matches!(error, NamespaceError::Stopped { .. }), "{error}");
    t.source.breaks.store(false, Ordering::SeqCst);
    assert_eq!(t.namespace.list(t.namespace.root()).all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_replaced_plain_object_is_looked_at_anew_after_its_estale_even_where_nothing_should_change() {
    for freshness in [Freshness::Ever, Freshness::For(Duration::from_secs(600))] {
        let t = troubled(NamespaceSettings { freshness, ..NamespaceSettings::default() });
        t.write("p", "first");
        t.namespace.list(t.namespace.root()).all().await.unwrap();
        let file = t.file("p").await.unwrap();
        let first = t.namespace.open(&file).await.unwrap();
        assert_eq!(&t.namespace.read(&first, 0..5).await.unwrap()[..], b"first");
        t.write("p", "second");
        let error = t.namespace.read(&first, 0..5).await.unwrap_err();
        assert_eq!(error.cause(), Cause::Changed, "{error}");
        // Through what the kernel still holds, and by name.
        let second = t.namespace.open(&file).await.unwrap();
        assert_ne!(second.id(), first.id());
        assert_eq!(&t.namespace.read(&second, 0..6).await.unwrap()[..], b"second");
        let named = t.namespace.open(&t.file("p").await.unwrap()).await.unwrap();
        assert_ne!(named.id(), first.id());
        assert_eq!(named.len(), 6);
        std::fs::remove_file(t.dir.path().join("p")).unwrap();
        let error = t.namespace.read(&named, 0..5).await.unwrap_err();
        assert_eq!(error.cause(), Cause::Changed, "{error}");
        assert!(t.file("p").await.unwrap_err().is_not_found());
    }
}

#[tokio::test]
async fn an_error_of_a_chunk_names_dataset_chunk_and_key() {
    let t = troubled(NamespaceSettings::default());
    t.source.inner.set("a", 1);
    t.write("a.2", "not ten bytes");
    let modified = std::time::SystemTime::now() - Duration::from_secs(600);
    std::fs::File::options().write(true).open(t.dir.path().join("a.2")).unwrap().set_modified(modified).unwrap();
    let version = t.namespace.open(&t.file("a").await.unwrap()).await.unwrap();
    let error = t.namespace.read(&version, 20..25).await.unwrap_err().to_string();
    // The only object of that file is its root.
    assert!(error.contains("/a: / chunk 2 (a.2), bytes at 20: "), "{error}");
}
