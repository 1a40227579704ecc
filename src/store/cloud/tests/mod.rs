//! A bucket through a real connection to a server that does what a test wants.

mod faults;
mod lengths;
mod listings;
mod policies;
mod refusals;
mod server;
mod signins;
mod strangers;
mod ways;
mod weather;

use futures::TryStreamExt;

use super::*;
use crate::store::access::Reach;
use crate::store::{Credentials, Denial, Store, StoreSettings, Urgency};
use server::{Reply, Request, S3, Server, etag};

/// A service at `url`.
fn at(url: &str) -> Reach {
    Reach { endpoint: Some(url.to_owned()), ..Reach::default() }
}

/// Access to `server` as somebody.
fn access(server: &Server) -> Access {
    let variables = [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "SK")];
    Access {
        s3: at(&server.url),
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Access::default()
    }
}

/// Six seconds: the first attempt is given up after 0.4 s.
fn settings(access: Access) -> StoreSettings {
    StoreSettings { cloud_deadline: Duration::from_secs(6), access, ..StoreSettings::default() }
}

async fn store(server: &Server) -> Store {
    Store::open_with(&Bucket::new("s3://bucket"), settings(access(server))).await.unwrap()
}

/// What is logged, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Lines of this level.
    fn told(&self, level: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        text.lines().filter(|line| line.trim_start().starts_with(level)).map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What this thread logs from now on, until the guard is dropped.
fn listened() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = Mutex::new(log.clone());
    let lines = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).without_time().finish();
    (log, tracing::subscriber::set_default(lines))
}

#[derive(Debug)]
struct Silent;

impl Dialect for Silent {
    fn meaning(&self, answer: &answer::Answer) -> answer::Meaning {
        answer::Meaning::of_status(answer)
    }
    fn foreign(&self, _: &answer::Answer) -> Option<String> {
        None
    }
}

impl Cloud {
    /// A bucket without a wire.
    fn of(objects: Arc<dyn ObjectStore>, deadline: Duration) -> Cloud {
        let capabilities = Capabilities {
            conditional_get: true,
            conditional_put: true,
            listing: false,
            ranges: true,
            directories: false,
            atomic_put: true,
        };
        let dialect = Arc::new(Silent);
        let service = Service { objects, pages: None, capabilities, dialect, renew: None, elsewhere: None };
        let deadlines = Deadlines { first: deadline, later: deadline };
        Cloud::with(&Bucket::new("test://bucket"), service, deadlines, Arc::default())
    }

    fn renewing(self, renew: Arc<dyn Renew>) -> Cloud {
        let service = Arc::into_inner(self.service.into_inner().unwrap()).unwrap();
        let deadlines = Deadlines { first: self.deadline, later: self.deadline };
        Cloud::with(&self.bucket, Service { renew: Some(renew), ..service }, deadlines, self.counters)
    }
}

/// A server for `s3` where `fault` has nothing to say.
async fn faulty(s3: &S3, fault: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static) -> Server {
    let s3 = s3.clone();
    Server::start(move |request, number| fault(request, number).unwrap_or_else(|| s3.answer(request))).await
}

async fn sound(s3: &S3) -> Server {
    faulty(s3, |_, _| None).await
}

#[tokio::test]
async fn objects_are_read_whole_and_in_part_and_each_request_is_counted() {
    let server = sound(&S3::of(&[("a/b", b"0123456789"), ("empty", b"")])).await;
    let store = store(&server).await;
    let key = Key::new("a/b");
    let whole = store.get(&key).await.unwrap();
    assert_eq!(&whole.bytes[..], b"0123456789");
    let tag = whole.meta.etag.clone();
    assert_eq!(tag.as_ref().map(ETag::as_str), Some(etag(b"0123456789").as_str()));
    let part = store.get_range(&key, 2..5, tag.as_ref()).await.unwrap();
    assert_eq!((&part.bytes[..], &part.meta), (&b"234"[..], &whole.meta));
    assert_eq!(store.head(&key).await.unwrap(), whole.meta);
    let counted = store.counters();
    assert_eq!((counted.gets, counted.ranged_gets, counted.heads, counted.bytes), (1, 1, 1, 13));
    assert_eq!((counted.sent, counted.retries), (3, 0));
    assert!(store.get(&Key::new("empty")).await.unwrap().bytes.is_empty());
    assert!(store.get_range(&key, 4..4, None).await.unwrap().bytes.is_empty());
    for range in [5..11, 10..11, 40..41] {
        let error = store.get_range(&key, range.clone(), None).await.unwrap_err();
        assert!(matches!(error, StoreError::Range { start, end, .. } if (start..end) == range), "{error}");
    }
    assert!(matches!(store.get_if(&key, None, 9).await, Err(StoreError::TooLarge { size: 10, limit: 9, .. })));
    let other = ETag::new("\"other\"");
    assert!(matches!(store.get_range(&key, 0..1, Some(&other)).await, Err(StoreError::Changed { .. })));
    assert!(store.get(&Key::new("none")).await.unwrap_err().is_not_found());
    assert!(store.head(&Key::new("none")).await.unwrap_err().is_not_found());
    // Every request carried a signature, and none was made twice.
    assert!(server.log().iter().all(|request| request.header("authorization").starts_with("AWS4-HMAC-SHA256")));
}

#[tokio::test]
async fn nobody_signs_and_variables_do_not_change_that() {
    let server = sound(&S3::of(&[("a", b"x")])).await;
    let s3 = Reach { credentials: Credentials::Anonymous, ..at(&server.url) };
    let access = Access { s3, ..access(&server) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings(access)).await.unwrap();
    store.get(&Key::new("a")).await.unwrap();
    assert_eq!(server.log()[0].header("authorization"), "");
}

#[tokio::test]
async fn hostile_keys_are_names_like_any_other_or_refused_by_name() {
    let s3 = S3::default();
    let names = ["a b", "%2F", "?#", "a+b", "a&b=c", "ü/ñ", ".leading", "back\\slash", "%Z", "~{}", " edge "];
    for name in names {
        s3.put(name, name.as_bytes());
    }
    for odd in ["a//b", "../x", "line\nbreak", "f/", "\u{1}"] {
        s3.put(odd, b"x");
    }
    let server = sound(&s3).await;
    let store = store(&server).await;
    for name in names {
        assert_eq!(store.get(&Key::new(name)).await.unwrap().bytes, name.as_bytes(), "{name:?}");
    }
    for key in ["a//b", "../x", "a/./b", "/etc/passwd", "a/", "nul\0", ""] {
        let error = store.get(&Key::new(key)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unsupported { what, .. } if what.contains(key)), "{error}");
    }
    let listing = store.list("", None).await.unwrap();
    assert_eq!(listing.folders, ["a", "f", "ü"]);
    let mut plain: Vec<&str> = names.into_iter().filter(|name| !name.contains('/')).collect();
    plain.sort_unstable();
    assert_eq!(listing.objects.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), plain);
    let all: Vec<_> = store.list_below("").try_collect().await.unwrap();
    assert_eq!(all.len(), names.len());
    // A folder of nothing but its own mark is there, and empty.
    let listing = store.list("f", None).await.unwrap();
    assert!(listing.folders.is_empty() && listing.objects.is_empty());
    assert!(!store.holds_any("f").await.unwrap());
}

#[tokio::test]
async fn pages_of_a_folder_hold_every_name_once() {
    let s3 = S3::default();
    for number in 0..25 {
        s3.put(&format!("f/o{number}"), b"x");
        s3.put(&format!("f/d{number}/x"), b"x");
        s3.put(&format!("f/d{number}/y"), b"x");
    }
    let server = sound(&s3).await;
    let settings = StoreSettings { page: 7, ..settings(access(&server)) };
    let store = Store::open_with(&Bucket::new("s3://bucket"), settings).await.unwrap();
    let (mut names, mut after, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page = store.list("f", after.as_deref()).await.unwrap();
        pages += 1;
        assert_eq!(page.through.is_some(), page.next.is_some());
        let shown =
            page.folders.iter().map(|name| format!("{name}/")).chain(page.objects.iter().map(|(name, _)| name.clone()));
        if let Some(through) = &page.through {
            assert_eq!(shown.max().as_ref(), Some(through));
        }
        names.extend(page.folders);
        names.extend(page.objects.into_iter().map(|(name, _)| name));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    names.sort();
    let mut wanted: Vec<String> = (0..25).flat_map(|number| [format!("o{number}"), format!("d{number}")]).collect();
    wanted.sort();
    assert_eq!((names, pages), (wanted, 8));
    assert!(store.list("none", None).await.unwrap_err().is_not_found());
    assert!(store.holds_any("none").await.unwrap_err().is_not_found());
    let asked = server.log().len();
    assert!(store.holds_any("f").await.unwrap());
    assert_eq!(server.log().len(), asked + 1);
}

#[tokio::test]
async fn a_recursive_listing_takes_a_prefix_and_asks_ahead() {
    let s3 = S3::default();
    for number in 0..2500 {
        s3.put(&format!("db/R/{number:04}"), b"x");
    }
    s3.put("db/R2/x", b"x");
    let server = sound(&s3).await;
    let store = store(&server).await;
    let mut keys = store.list_below("db/R/");
    assert_eq!(keys.try_next().await.unwrap().unwrap().0.as_str(), "db/R/0000");
    // The second page is on its way while the first is being used.
    while server.log().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(keys.try_collect::<Vec<_>>().await.unwrap().len(), 2499);
    assert_eq!((server.log().len(), store.counters().lists), (3, 3));
    assert_eq!(store.list_below("db/R").try_collect::<Vec<_>>().await.unwrap().len(), 2501);
    assert!(store.list_below("none/").try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn objects_are_written_and_deleted_on_conditions() {
    let server = sound(&S3::default()).await;
    let store = store(&server).await;
    let key = Key::new("new/object");
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let first = store.put(&key, bytes("one"), Put::IfAbsent).await.unwrap();
    assert_eq!((first.size, first.etag.as_ref().unwrap().as_str()), (3, etag(b"one").as_str()));
    assert!(matches!(store.put(&key, bytes("two"), Put::IfAbsent).await, Err(StoreError::Exists { .. })));
    let second = store.put(&key, bytes("two"), Put::IfMatch(first.etag.clone().unwrap())).await.unwrap();
    let late = store.put(&key, bytes("three"), Put::IfMatch(first.etag.unwrap())).await;
    assert!(matches!(late, Err(StoreError::Changed { .. })));
    assert_eq!(store.get(&key).await.unwrap().meta.etag, second.etag);
    store.put(&key, bytes("four"), Put::Overwrite).await.unwrap();
    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    assert!(store.get(&key).await.unwrap_err().is_not_found());
}
