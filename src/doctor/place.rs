//! What a mount needs of a store: that its service is reached, by whom, and what that one may do there.
//!
//! Each probe stands on the ones before it. Where one fails that others need, these are left out: a host that is not
//! reached says nothing about rights.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt;

use super::{Finding, Verdict};
use crate::config::Place;
use crate::model::location::{ETag, Key};
use crate::source::hsds::{HsdsSettings, HsdsSource};
use crate::source::{Source, SourceError};
use crate::store::{Access, Credentials, Denial, Meta, Put, Store, StoreError, StoreSettings};

/// How long a question may take, its repetitions together: a person waits for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clocks that differ by more are told of; S3 refuses requests from 15 minutes on.
const CLOCK_WARN: i64 = 60;
const CLOCK_FAIL: i64 = 900;
/// Credentials that end sooner are told of: a mount outlives them, and whoever renews them must be at hand.
const SOON: Duration = Duration::from_secs(900);
/// Heads whose median is the latency: few enough to take a second on a slow line.
const HEADS: usize = 5;
/// Answers slower than this are told of: every first look at a file takes a handful.
const SLOW: Duration = Duration::from_millis(300);
/// Keys among which the largest object is looked for, and entries that are counted: one page of most services.
const SAMPLED: usize = 1000;
/// Bytes read to tell the rate: a chunk as archives have them, read in a second at 8 MB/s.
const READ: u64 = 8 << 20;
/// What an object that is written and removed says.
const WORDS: &str = "h5mount doctor was here; this may be removed\n";

/// Name of the object that [`findings`] may write and remove. The time makes it nobody else's.
pub fn scratch(place: &Place) -> Key {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let name = format!(".h5mount-doctor-{}-{nanoseconds}", std::process::id());
    Key::new(if place.path.is_empty() { name } else { format!("{}/{name}", place.path) })
}

/// Looks at everything. With `scratch`, an object of that name is written and removed.
pub async fn findings(place: &Place, settings: StoreSettings, scratch: Option<Key>) -> Vec<Finding> {
    let settings = StoreSettings { deadline: PATIENCE, cloud_deadline: PATIENCE, ..settings };
    let access = settings.access.clone();
    let mut found = Vec::new();
    match Store::open_with(&place.bucket, settings).await {
        Ok(store) => inside(place, &Arc::new(store), &access, scratch, &mut found).await,
        Err(error) if is_silence(&error) => found.push(refused("service", &error)),
        Err(error) => found.push(refused("bucket", &error)),
    }
    found
}

/// Whether an error says that nobody, or somebody else, answered.
fn is_silence(error: &StoreError) -> bool {
    matches!(error, StoreError::Unreachable { .. } | StoreError::Timeout { .. } | StoreError::Garbled { .. })
}

/// Who asks. Whether going on makes sense.
async fn credentials(store: &Store, access: &Access, found: &mut Vec<Finding>) -> bool {
    const TOPIC: &str = "credentials";
    found.push(match store.who().await {
        Ok(Some(described)) => {
            let said = format!("{}, from {}", described.who, described.from);
            until(said, described.until.map(|end| end.duration_since(SystemTime::now()).ok()))
        }
        Ok(None) if access.of(store.bucket()).credentials == Credentials::Anonymous => {
            Finding::ok(TOPIC, "none: requests are not signed")
        }
        Ok(None) => Finding::ok(TOPIC, "none are needed"),
        Err(error) => {
            found.push(Finding::fail(
                TOPIC,
                error.to_string(),
                "--no-sign-request for a public bucket; else --profile, or the variables of the cloud's own tools",
            ));
            return false;
        }
    });
    true
}

/// What the first answer shows of the service, whatever it says. Whether there was one.
fn service(store: &Store, answer: Option<&StoreError>, found: &mut Vec<Finding>) -> bool {
    const TOPIC: &str = "service";
    if let Some(error) = answer.filter(|error| is_silence(error)) {
        found.push(refused(TOPIC, error));
        return false;
    }
    let Some(place) = store.whereabouts() else { return true };
    let url = place.url.unwrap_or_else(|| store.bucket().as_str().to_owned());
    let certificate = if url.starts_with("http:") { "without TLS" } else { "its certificate is trusted" };
    found.push(Finding::ok(TOPIC, format!("{url} answers, {certificate}")));
    found.push(clock(place.clock_ahead));
    if store.bucket().as_str().starts_with("s3:") {
        found.push(match place.region {
            Some(region) => Finding::ok("region", region),
            None => Finding::skip("region", "the service does not say"),
        });
    }
    true
}

fn clock(ahead: Option<i64>) -> Finding {
    const REMEDY: &str = "set the clock of this machine (timedatectl set-ntp true)";
    let Some(ahead) = ahead else { return Finding::skip("clock", "the service does not tell the time") };
    let said = match ahead {
        0 => "as the service's".to_owned(),
        ahead if ahead > 0 => format!("{ahead} s ahead of the service's"),
        behind => format!("{} s behind the service's", behind.unsigned_abs()),
    };
    match ahead.saturating_abs() {
        difference if difference >= CLOCK_FAIL => Finding::fail("clock", said, REMEDY),
        difference if difference > CLOCK_WARN => Finding::warn("clock", said, REMEDY),
        _ => Finding::ok("clock", said),
    }
}

/// Credentials and their end: `None` where they have none, `Some(None)` where it is past.
fn until(who: String, left: Option<Option<Duration>>) -> Finding {
    const REMEDY: &str = "renew them (aws sso login, or whatever gave them)";
    match left {
        None => Finding::ok("credentials", format!("{who}, without an end")),
        Some(None) => Finding::fail("credentials", format!("{who}: they have ended"), REMEDY),
        Some(Some(left)) => {
            let said = format!("{who}, for another {} min", left.as_secs() / 60);
            if left < SOON { Finding::warn("credentials", said, REMEDY) } else { Finding::ok("credentials", said) }
        }
    }
}

/// What asking the store shows.
async fn inside(place: &Place, store: &Arc<Store>, access: &Access, scratch: Option<Key>, found: &mut Vec<Finding>) {
    let remote = store.whereabouts().is_some();
    if remote && !credentials(store, access, found).await {
        return;
    }
    let listing = store.capabilities().listing;
    let first = match listing {
        true => store.list("", None).await.map(|_| ()),
        false => store.head(&document(place)).await.map(|_| ()),
    };
    if !service(store, first.as_ref().err(), found) {
        return;
    }
    found.push(match &first {
        _ if !listing => Finding::skip("list", "this kind of service has no listings: a file by its path"),
        Ok(()) => Finding::ok("list", "permitted"),
        Err(error) => refused("list", error),
    });
    found.push(schema(store).await);
    found.push(path(place, store).await);
    let Some((key, meta)) = sample(place, store).await else {
        let verdict = if first.is_err() { "nothing to read is known" } else { "there is no object to read" };
        found.push(Finding::skip("read", verdict));
        found.push(write(store, scratch).await);
        return;
    };
    let read = store.get_range(&key, 0..meta.size.min(READ), meta.etag.as_ref());
    let begun = Instant::now();
    match read.await {
        Ok(object) => {
            let (bytes, time) = (object.bytes.len(), begun.elapsed());
            found.push(Finding::ok("read", format!("permitted ({key})")));
            found.push(conditional_get(store, &key, &meta).await);
            found.push(write(store, scratch).await);
            found.push(latency(store, &key).await);
            let rate = bytes as f64 / time.as_secs_f64().max(1e-6) / 1e6;
            found.push(Finding::ok("rate", format!("{rate:.1} MB/s ({bytes} bytes in {} ms)", time.as_millis())));
        }
        Err(error) => {
            found.push(refused("read", &error));
            found.push(write(store, scratch).await);
        }
    }
}

/// Whether it is a store of the schema.
async fn schema(store: &Store) -> Finding {
    const TOPIC: &str = "HSDS store";
    if !store.capabilities().listing {
        return Finding::skip(TOPIC, "cannot be seen without listings");
    }
    match store.holds_any("db").await {
        Ok(true) => Finding::ok(TOPIC, "holds db/"),
        Ok(false) | Err(StoreError::NotFound { .. } | StoreError::Unsupported { .. }) => Finding::warn(
            TOPIC,
            "there is no db/ at its root",
            "name the root with --store-root; stores written by HSDS before version 0.5 have none, and all is well",
        ),
        Err(error) => refused(TOPIC, &error),
    }
}

/// Whether what was asked for is there.
async fn path(place: &Place, store: &Arc<Store>) -> Finding {
    const TOPIC: &str = "SOURCE";
    let source = match HsdsSource::open(store.clone(), &place.path, HsdsSettings::default()).await {
        Ok(source) => source,
        Err(SourceError::NotFound { .. }) => {
            let remedy = "list what there is: h5mount ls, with the folder above";
            return Finding::fail(TOPIC, format!("{place}: neither a folder nor a file"), remedy);
        }
        Err(SourceError::Store(error)) => return refused(TOPIC, &error),
        Err(error) => return Finding::fail(TOPIC, error.to_string(), "h5mount check names every fault"),
    };
    let entries: Vec<Result<_, SourceError>> = source.list("").take(SAMPLED).collect().await;
    let count = match entries.len() {
        1 => "1 entry".to_owned(),
        count if count == SAMPLED => format!("{count} entries or more"),
        count => format!("{count} entries"),
    };
    match (source.only(), entries.into_iter().collect::<Result<Vec<_>, _>>()) {
        (Some(name), Ok(_)) => Finding::ok(TOPIC, format!("{name} is a file")),
        (None, Ok(entries)) if entries.is_empty() => {
            Finding::warn(TOPIC, format!("{place}: an empty folder"), "look for a mistake in its name")
        }
        (None, Ok(_)) => Finding::ok(TOPIC, format!("a folder of {count}")),
        (_, Err(SourceError::Store(error))) => refused(TOPIC, &error),
        (_, Err(error)) => Finding::fail(TOPIC, error.to_string(), "h5mount check names every fault"),
    }
}

/// The object that makes SOURCE a file, or a folder with an owner.
fn document(place: &Place) -> Key {
    Key::new(format!("{}/.domain.json", place.path).trim_start_matches('/'))
}

/// An object to read: the largest of a few below SOURCE, or else its description.
async fn sample(place: &Place, store: &Store) -> Option<(Key, Meta)> {
    let mut largest: Option<(Key, Meta)> = None;
    for prefix in ["db/".to_owned(), place.path.clone(), String::new()] {
        let mut listing = store.list_below(&prefix).take(SAMPLED);
        while let Some(Ok((key, meta))) = listing.next().await {
            if meta.size > largest.as_ref().map_or(0, |(_, largest)| largest.size) {
                largest = Some((key, meta));
            }
        }
        if largest.is_some() {
            break;
        }
    }
    let (key, meta) = match largest {
        Some(found) => found,
        None => {
            let document = document(place);
            let itself = Key::new(&place.path);
            match store.head(&document).await {
                Ok(meta) => (document, meta),
                Err(_) if place.path.is_empty() => return None,
                Err(_) => (itself.clone(), store.head(&itself).await.ok()?),
            }
        }
    };
    // A listing's entity tag is not in every service the one that a GET gives.
    let meta = store.head(&key).await.unwrap_or(Meta { etag: None, ..meta });
    (meta.size > 0).then_some((key, meta))
}

async fn conditional_get(store: &Store, key: &Key, meta: &Meta) -> Finding {
    const TOPIC: &str = "conditional GET";
    const REMEDY: &str =
        "what is rewritten while it is read may go unnoticed: read what nobody writes to (--immutable)";
    if meta.etag.is_none() {
        return Finding::warn(TOPIC, "objects have no entity tags", REMEDY);
    }
    let wrong = ETag::new("\"00000000000000000000000000000000\"");
    match store.get_range(key, 0..1, Some(&wrong)).await {
        Err(StoreError::Changed { .. }) => {
            Finding::ok(TOPIC, "kept: by the service, or by comparing the entity tag of what it sends")
        }
        Ok(_) => Finding::warn(TOPIC, "another version than the one asked for was sent", REMEDY),
        Err(error) => Finding::warn(TOPIC, error.to_string(), REMEDY),
    }
}

/// Conditional puts, on an object of ours. Nothing of it stays.
async fn write(store: &Store, scratch: Option<Key>) -> Finding {
    const TOPIC: &str = "conditional PUT";
    let Some(key) = scratch else {
        return Finding::skip(TOPIC, "not tried; --write writes a small object and removes it");
    };
    if !store.capabilities().conditional_put {
        return Finding::warn(TOPIC, "this kind of store has none", "one writer at a time");
    }
    let result = conditions(store, &key).await;
    let removed = store.delete(&key).await;
    match (result, removed) {
        (Ok(None), Ok(())) => Finding::ok(TOPIC, "kept (an object was written and removed)"),
        (Ok(Some(broken)), _) => Finding::warn(TOPIC, broken, "one writer at a time: nothing would tell two apart"),
        (Err(StoreError::Forbidden { reason, .. }), _) => {
            Finding::warn(TOPIC, format!("writing is not permitted: {reason}"), "nothing, where you only read")
        }
        (Err(error), _) => refused(TOPIC, &error),
        (Ok(None), Err(error)) => {
            let remedy = format!("remove it: {}", store.location(&key));
            Finding::warn(TOPIC, format!("kept, and the object cannot be removed: {error}"), remedy)
        }
    }
}

/// The condition that was not kept, if any.
async fn conditions(store: &Store, key: &Key) -> Result<Option<&'static str>, StoreError> {
    let bytes = Bytes::from_static(WORDS.as_bytes());
    let first = store.put(key, bytes.clone(), Put::IfAbsent).await?;
    match store.put(key, bytes.clone(), Put::IfAbsent).await {
        Err(StoreError::Exists { .. }) => {}
        Ok(_) => return Ok(Some("an object that is there is overwritten in spite of If-None-Match")),
        Err(error) => return Err(error),
    }
    let Some(etag) = first.etag else { return Ok(Some("objects have no entity tags")) };
    store.put(key, bytes.clone(), Put::IfMatch(etag)).await?;
    let wrong = ETag::new("\"00000000000000000000000000000000\"");
    match store.put(key, bytes, Put::IfMatch(wrong)).await {
        Err(StoreError::Changed { .. }) => Ok(None),
        Ok(_) => Ok(Some("an object is overwritten in spite of If-Match")),
        Err(error) => Err(error),
    }
}

async fn latency(store: &Store, key: &Key) -> Finding {
    const TOPIC: &str = "latency";
    let mut times = Vec::with_capacity(HEADS);
    for _ in 0..HEADS {
        let begun = Instant::now();
        if let Err(error) = store.head(key).await {
            return refused(TOPIC, &error);
        }
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let median = times.get(HEADS / 2).copied().unwrap_or_default();
    let said = format!("{:.1} ms (median of {HEADS})", median.as_secs_f64() * 1e3);
    match median > SLOW {
        true => Finding::warn(TOPIC, said, "mount near the data: in its region"),
        false => Finding::ok(TOPIC, said),
    }
}

/// A request that failed, and what to do.
fn refused(topic: &'static str, error: &StoreError) -> Finding {
    let remedy = match error {
        StoreError::Forbidden { denial: Denial::Rights, .. } => {
            "ask the bucket's owner for the right to list and read, or ask as somebody who has it (--profile)"
        }
        StoreError::Forbidden { denial: Denial::Expired, .. } => "renew the credentials (aws sso login)",
        StoreError::Forbidden { denial: Denial::Credentials, .. } => "look at the key, its secret and the region",
        StoreError::Forbidden { denial: Denial::Clock, .. } => "set the clock of this machine",
        StoreError::Forbidden { denial: Denial::Archived, .. } => "have the object restored from the archive",
        StoreError::Forbidden { denial: Denial::Encryption, .. } => "ask for the right to use the object's key",
        StoreError::Unreachable { .. } | StoreError::Timeout { .. } => {
            "look at the network, the proxy variables (HTTPS_PROXY, NO_PROXY), --endpoint and --ca-bundle"
        }
        StoreError::Garbled { .. } => "something between here and the service answers in its place: look at the proxy",
        StoreError::Unavailable { .. } => "try again later",
        StoreError::NotFound { .. } => "look for a mistake in the name; h5mount ls shows what there is",
        _ => "look for a mistake in the bucket's name, and in --endpoint",
    };
    Finding { topic, verdict: Verdict::Fail, said: error.to_string(), remedy: Some(remedy.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(found: &[Finding]) -> Vec<(&'static str, Verdict)> {
        found.iter().map(|finding| (finding.topic, finding.verdict)).collect()
    }

    #[tokio::test]
    async fn a_store_on_disk_is_looked_at_as_any_other() {
        let dir = tempfile::tempdir().unwrap();
        crate::demo::write(dir.path()).unwrap();
        let place = crate::config::place(dir.path().to_str().unwrap(), None).unwrap();
        let found = findings(&place, StoreSettings::default(), None).await;
        let wanted = ["list", "HSDS store", "SOURCE", "read", "conditional GET", "conditional PUT", "latency", "rate"];
        let topics: Vec<&str> = found.iter().map(|finding| finding.topic).collect();
        assert_eq!(topics, wanted, "{found:#?}");
        for finding in &found {
            let wanted = if finding.topic == "conditional PUT" { Verdict::Skip } else { Verdict::Ok };
            assert_eq!(finding.verdict, wanted, "{finding:?}");
        }
        let absent = Place { path: "home/absent.h5".to_owned(), ..place };
        let found = findings(&absent, StoreSettings::default(), None).await;
        assert!(verdicts(&found).contains(&("SOURCE", Verdict::Fail)), "{found:#?}");
    }

    #[test]
    fn clocks_and_ends_are_judged() {
        for (ahead, verdict) in [
            (Some(0), Verdict::Ok),
            (Some(-60), Verdict::Ok),
            (Some(-61), Verdict::Warn),
            (Some(900), Verdict::Fail),
            (Some(i64::MIN), Verdict::Fail),
            (None, Verdict::Skip),
        ] {
            assert_eq!(clock(ahead).verdict, verdict, "{ahead:?}");
        }
        let end = |left| until("A".to_owned(), left).verdict;
        assert_eq!(end(None), Verdict::Ok);
        assert_eq!(end(Some(None)), Verdict::Fail);
        assert_eq!(end(Some(Some(Duration::from_secs(60)))), Verdict::Warn);
        assert_eq!(end(Some(Some(Duration::from_secs(3600)))), Verdict::Ok);
    }
}
