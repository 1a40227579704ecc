//! A request of the kernel is answered within its deadline, though the store never answers: under a real mount.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use futures::stream::BoxStream;
use h5mount::fetch::{FetchSettings, Fetcher};
use h5mount::fs::{self, Audience, Detach, FsSettings, Ownership};
use h5mount::model::location::Bucket;
use h5mount::namespace::{Namespace, NamespaceSettings};
use h5mount::source::{Contents, Entry, Fingerprint, Freshness, Source, SourceError};
use h5mount::store::{Store, Stores};

/// A source whose store answers nothing but that `absent` is not there.
struct Hanging;

#[async_trait]
impl Source for Hanging {
    fn list<'a>(&'a self, _: &'a str) -> BoxStream<'a, Result<Entry, SourceError>> {
        Box::pin(futures::stream::pending())
    }
    async fn find(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        match path {
            "absent" => Ok(None),
            _ => std::future::pending().await,
        }
    }
    async fn open(&self, _: &str) -> Result<Contents, SourceError> {
        std::future::pending().await
    }
    async fn still_holds(&self, _: &Fingerprint) -> Result<Freshness, SourceError> {
        std::future::pending().await
    }
}

/// Unmounts, whatever becomes of the test.
struct Point(tempfile::TempDir);

impl Drop for Point {
    fn drop(&mut self) {
        let _ = fs::detach(self.0.path(), Detach::Busy);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_is_a_timeout_for_each_request_and_others_go_on() {
    const DEADLINE: Duration = Duration::from_millis(1500);
    let directory = tempfile::tempdir().unwrap();
    let bucket = Bucket::new(format!("file://{}", directory.path().canonicalize().unwrap().display()));
    let stores = Arc::new(Stores::new(Arc::new(Store::open(&bucket).await.unwrap())));
    let fetcher = Arc::new(Fetcher::new(FetchSettings::default()));
    let namespace = Arc::new(Namespace::new(Arc::new(Hanging), stores, fetcher, NamespaceSettings::default()));
    let settings = FsSettings {
        source: bucket.as_str().to_owned(),
        ownership: Ownership { uid: 0, gid: 0, umask: 0o022, since: SystemTime::now() },
        deadline: DEADLINE,
    };
    let point = Point(tempfile::tempdir().unwrap());
    let runtime = tokio::runtime::Handle::current();
    let mount = fs::mount(namespace, point.0.path(), settings, Audience::Owner, runtime).unwrap();

    let path = point.0.path().to_owned();
    let (hangs, lists, absent) = (path.join("hangs"), path.clone(), path.join("absent"));
    let begun = Instant::now();
    let timed = move |work: Box<dyn FnOnce() -> std::io::Result<()> + Send>| {
        tokio::task::spawn_blocking(move || (work().map_err(|error| error.raw_os_error()), begun.elapsed()))
    };
    let hanging = timed(Box::new(move || std::fs::metadata(hangs).map(drop)));
    let listing = timed(Box::new(move || std::fs::read_dir(lists)?.try_for_each(|entry| entry.map(drop))));
    // Asked while the others wait, and answered before them.
    let (error, after) = timed(Box::new(move || std::fs::metadata(absent).map(drop))).await.unwrap();
    assert_eq!(error, Err(Some(nix::libc::ENOENT)));
    assert!(after < DEADLINE, "{after:?}");
    for waiting in [hanging, listing] {
        let (error, after) = waiting.await.unwrap();
        assert_eq!(error, Err(Some(nix::libc::ETIMEDOUT)));
        // Twice: a look-up that fails may be asked again. Much more would be a request without a deadline.
        assert!(after >= DEADLINE && after < DEADLINE * 2 + Duration::from_secs(10), "{after:?}");
    }
    mount.unmount(Duration::from_secs(5), Arc::default()).await.unwrap();
}
