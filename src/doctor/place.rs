//! What a mount needs of a store: that its service is reached, by whom, and what that one may do there.
//!
//! Each probe stands on the ones before it. Where one fails that others need, these are left out: a host that is not
//! reached says nothing about rights. SOURCE is looked at first, and what lies elsewhere only after it. One cause is told
//! once: what fails for the same reason as something before it says so and no more.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::StreamExt;

use super::{Finding, Verdict, data};
use crate::config::Place;
use crate::model::location::Key;
use crate::source::hdf5::is_hdf5;
use crate::source::hsds::{HsdsSettings, HsdsSource};
use crate::source::{EntryKind, Source, SourceError};
use crate::store::{Access, Credentials, Denial, Store, StoreError, StoreSettings};

/// How long a question may take, its repetitions together: a person waits for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clocks that differ by more are told of; S3 refuses requests from 15 minutes on.
const CLOCK_WARN: i64 = 60;
const CLOCK_FAIL: i64 = 900;
/// Credentials that end sooner are told of: a mount outlives them, and whoever renews them must be at hand.
const SOON: Duration = Duration::from_secs(900);
/// Entries that are counted: one page of most services.
const COUNTED: usize = 1000;

/// What was found so far, and what was told as a cause.
#[derive(Debug, Default)]
pub(super) struct Look {
    found: Vec<Finding>,
    /// Causes, each with the topic under which it was told.
    causes: Vec<(String, &'static str)>,
}

impl Look {
    /// What was found so far.
    #[cfg(test)]
    pub fn found(&self) -> &[Finding] {
        &self.found
    }

    /// One thing more.
    pub fn push(&mut self, finding: Finding) {
        self.found.push(finding);
    }

    /// A request that failed: why, and what to do; or where that is told already.
    pub fn refused(&mut self, topic: &'static str, error: &StoreError) {
        let cause = cause(error);
        match self.causes.iter().find(|(known, _)| *known == cause) {
            Some((_, told)) => {
                self.push(Finding::skip(topic, format!("not known: it fails for the reason told of `{told}`")))
            }
            None => {
                self.causes.push((cause, topic));
                self.push(refused(topic, error));
            }
        }
    }
}

/// Why something failed, whatever was asked for.
fn cause(error: &StoreError) -> String {
    match error {
        // What follows the service's own words is advice, which differs from request to request.
        StoreError::Forbidden { denial, reason, .. } => {
            format!("{denial}: {}", reason.split("; ").next().unwrap_or_default())
        }
        StoreError::Unavailable { reason, .. }
        | StoreError::Unreachable { reason, .. }
        | StoreError::Garbled { reason, .. }
        | StoreError::Failed { reason, .. } => reason.clone(),
        StoreError::Timeout { .. } => "no answer".to_owned(),
        error => error.to_string(),
    }
}

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
    let mut look = Look::default();
    match Store::open_with(&place.bucket, settings).await {
        Ok(store) => inside(place, &Arc::new(store), &access, scratch, &mut look).await,
        Err(error) if is_silence(&error) => look.refused("service", &error),
        Err(error) => look.refused("bucket", &error),
    }
    look.found
}

/// Whether an error says that nobody, or somebody else, answered.
fn is_silence(error: &StoreError) -> bool {
    matches!(error, StoreError::Unreachable { .. } | StoreError::Timeout { .. } | StoreError::Garbled { .. })
}

/// Who asks. Whether going on makes sense.
async fn credentials(store: &Store, access: &Access, look: &mut Look) -> bool {
    const TOPIC: &str = "credentials";
    let finding = match store.who().await {
        Ok(Some(described)) => {
            let said = format!("{}, from {}", described.who, described.from);
            until(said, described.until.map(|end| end.duration_since(SystemTime::now()).ok()))
        }
        Ok(None) if access.of(store.bucket()).credentials == Credentials::Anonymous => {
            Finding::ok(TOPIC, "none: requests are not signed")
        }
        Ok(None) => Finding::ok(TOPIC, "none are needed"),
        Err(error) => {
            look.push(Finding::fail(
                TOPIC,
                error.to_string(),
                "--no-sign-request for a public bucket; else --profile, or the variables of the cloud's own tools",
            ));
            return false;
        }
    };
    look.push(finding);
    true
}

/// What the first answer shows of the service, whatever it says. Whether there was one.
fn service(store: &Store, answer: Option<&StoreError>, look: &mut Look) -> bool {
    const TOPIC: &str = "service";
    if let Some(error) = answer.filter(|error| is_silence(error)) {
        look.refused(TOPIC, error);
        return false;
    }
    let Some(place) = store.whereabouts() else { return true };
    let url = place.url.unwrap_or_else(|| store.bucket().as_str().to_owned());
    look.push(encryption(&url));
    look.push(clock(place.clock_ahead));
    if store.bucket().as_str().starts_with("s3:") {
        look.push(match place.region {
            Some(region) => Finding::ok("region", region),
            None => Finding::skip("region", "the service does not say"),
        });
    }
    true
}

/// A service that answers, by its URL.
fn encryption(url: &str) -> Finding {
    const TOPIC: &str = "service";
    let Some(rest) = url.strip_prefix("http://") else {
        return Finding::ok(TOPIC, format!("{url} answers, its certificate is trusted"));
    };
    let said = format!("{url} answers in plain HTTP: nothing is encrypted, and nobody has proven who answers");
    let host = rest.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let here = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match here {
        true => Finding::ok(TOPIC, said),
        false => Finding::warn(TOPIC, said, "name the service with https://, where it speaks that"),
    }
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
async fn inside(place: &Place, store: &Arc<Store>, access: &Access, scratch: Option<Key>, look: &mut Look) {
    let remote = store.whereabouts().is_some();
    if remote && !credentials(store, access, look).await {
        return;
    }
    let listing = store.capabilities().listing;
    let first = match listing {
        true => store.list(&place.path, None).await.map(|_| ()),
        false => store.head(&data::document(place)).await.map(|_| ()),
    };
    if !service(store, first.as_ref().err(), look) {
        return;
    }
    match &first {
        _ if !listing => {
            look.push(Finding::skip("list", "this kind of service has no listings: a file by its path"));
        }
        // A file is no folder: the listing was granted all the same.
        Ok(()) | Err(StoreError::NotFound { .. } | StoreError::NoObject { .. }) => {
            look.push(Finding::ok("list", "permitted"))
        }
        Err(error) => look.refused("list", error),
    }
    let plain = path(place, store, look).await;
    schema(place, store, plain, look).await;
    data::look(place, store, scratch, first.is_err(), look).await;
}

/// Whether it is a store of the schema. `plain`: how many HDF5 files lie in SOURCE as they are.
async fn schema(place: &Place, store: &Store, plain: Plain, look: &mut Look) {
    const TOPIC: &str = "HSDS store";
    if !store.capabilities().listing {
        return look.push(Finding::skip(TOPIC, "cannot be seen without listings"));
    }
    match store.holds_any("db").await {
        Ok(true) => look.push(Finding::ok(TOPIC, "holds db/")),
        Ok(false) | Err(StoreError::NotFound { .. } | StoreError::Unsupported { .. }) if plain != Plain::None => {
            let said = match plain {
                Plain::Itself => format!("none, and none is needed: {} is a file as it is", place.path),
                Plain::Some(files) => format!("none, and none is needed: {files} HDF5 files lie there as they are"),
                Plain::None => String::new(),
            };
            look.push(Finding::ok(TOPIC, said));
        }
        Ok(false) | Err(StoreError::NotFound { .. } | StoreError::Unsupported { .. }) => look.push(Finding::warn(
            TOPIC,
            "there is no db/ at its root",
            "name the root with --store-root; stores written by HSDS before version 0.5 have none, and all is well",
        )),
        Err(error) => look.refused(TOPIC, &error),
    }
}

/// HDF5 files that no HSDS has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    /// None is known of.
    None,
    /// SOURCE is one.
    Itself,
    /// SOURCE is a folder with as many, among those entries that were counted.
    Some(usize),
}

/// Whether what was asked for is there.
async fn path(place: &Place, store: &Arc<Store>, look: &mut Look) -> Plain {
    const TOPIC: &str = "SOURCE";
    let mut failed = |error: SourceError| match error {
        SourceError::Store(error) => look.refused(TOPIC, &error),
        error => look.push(Finding::fail(TOPIC, error.to_string(), "h5mount check names every fault")),
    };
    let source = match HsdsSource::open(store.clone(), &place.path, HsdsSettings::default()).await {
        Ok(source) => source,
        Err(SourceError::NotFound { .. }) => {
            let remedy = "list what there is: h5mount ls, with the folder above";
            look.push(Finding::fail(TOPIC, format!("{place}: neither a folder nor a file"), remedy));
            return Plain::None;
        }
        Err(error) => {
            failed(error);
            return Plain::None;
        }
    };
    let entries: Vec<Result<_, SourceError>> = source.list("").take(COUNTED).collect().await;
    let count = match entries.len() {
        1 => "1 entry".to_owned(),
        count if count == COUNTED => format!("{count} entries or more"),
        count => format!("{count} entries"),
    };
    let entries = match entries.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(entries) => entries,
        Err(error) => {
            failed(error);
            return Plain::None;
        }
    };
    let plain = entries.iter().filter(|entry| matches!(&entry.kind, EntryKind::Plain { key, .. } if is_hdf5(key)));
    let plain = match plain.count() {
        0 => Plain::None,
        _ if source.only().is_some() => Plain::Itself,
        count => Plain::Some(count),
    };
    look.push(match source.only() {
        Some(name) => Finding::ok(TOPIC, format!("{name} is a file")),
        None if entries.is_empty() => {
            Finding::warn(TOPIC, format!("{place}: an empty folder"), "look for a mistake in its name")
        }
        None => Finding::ok(TOPIC, format!("a folder of {count}")),
    });
    plain
}

/// A request that failed, and what to do.
fn refused(topic: &'static str, error: &StoreError) -> Finding {
    let remedy = match error {
        StoreError::Forbidden { denial: Denial::Rights | Denial::Other, .. } => {
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
        let wanted = ["list", "SOURCE", "HSDS store", "read", "conditional GET", "conditional PUT", "latency", "rate"];
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

    #[tokio::test]
    async fn a_folder_of_plain_files_needs_no_other_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("files")).unwrap();
        for name in ["a.h5", "b.nc", "notes.txt"] {
            std::fs::write(dir.path().join("files").join(name), "x").unwrap();
        }
        let root = dir.path().to_str().unwrap();
        for (source, said) in [("files", "2 HDF5 files"), ("files/a.h5", "files/a.h5 is a file")] {
            let place = crate::config::place(&format!("{root}/{source}"), Some(root)).unwrap();
            let found = findings(&place, StoreSettings::default(), None).await;
            let schema = found.iter().find(|finding| finding.topic == "HSDS store").unwrap();
            assert!(schema.verdict == Verdict::Ok && schema.said.contains(said), "{schema:?}");
        }
    }

    #[test]
    fn what_is_not_encrypted_is_never_called_trusted() {
        for (url, verdict, words) in [
            ("https://a.blob.core.windows.net/c", Verdict::Ok, "certificate is trusted"),
            ("http://127.0.0.1:10000/devstore/c", Verdict::Ok, "nothing is encrypted"),
            ("http://[::1]:4443/b", Verdict::Ok, "nothing is encrypted"),
            ("http://localhost/b", Verdict::Ok, "nothing is encrypted"),
            ("http://minio.example.org:9000/b", Verdict::Warn, "nothing is encrypted"),
            ("http://localhost.example.org/b", Verdict::Warn, "nothing is encrypted"),
        ] {
            let found = encryption(url);
            assert!(found.verdict == verdict && found.said.contains(words), "{found:?}");
        }
    }

    #[tokio::test]
    async fn emulators_are_named_by_their_urls() {
        use crate::store::access::Reach;
        let at = |url: &str| Reach {
            endpoint: Some(url.to_owned()),
            credentials: Credentials::Anonymous,
            ..Reach::default()
        };
        let access = Access { azure: at("http://127.0.0.1:1"), google: at("http://127.0.0.1:2"), ..Access::default() };
        let settings = StoreSettings { access, ..StoreSettings::default() };
        for (bucket, url) in [("az://account/c", "http://127.0.0.1:1/account/c"), ("gs://b", "http://127.0.0.1:2/b")] {
            let bucket = crate::model::location::Bucket::new(bucket);
            let store = Store::open_with(&bucket, settings.clone()).await.unwrap();
            assert_eq!(store.whereabouts().unwrap().url.as_deref(), Some(url));
        }
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
