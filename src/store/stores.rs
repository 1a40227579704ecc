//! The stores of one mount: the one it shows, and those that linked data lies in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::cloud::wire::Line;
use super::{Access, Store, StoreError, StoreSettings, root};
use crate::model::location::{Bucket, Key, Location};

/// The stores of one mount: the one it shows, and those that linked data lies in.
#[derive(Debug)]
pub struct Stores {
    home: Arc<Store>,
    /// Connections that all of them share, once there are any.
    line: Mutex<Option<Line>>,
    others: Mutex<Others>,
}

/// Linked stores that are kept open, some ten KiB each; connections they share. Data whose parts lie in more buckets than this
/// at once is not known.
const KEPT: usize = 64;

/// Linked stores, by when they were last asked for.
#[derive(Debug, Default)]
struct Others {
    known: HashMap<Bucket, (Opening, u64)>,
    /// How often any was asked for.
    asked: u64,
}

impl Others {
    /// The store of `bucket`, with none but the latest kept beside it. Whoever reads from one that is not kept goes on.
    fn ask(&mut self, bucket: &Bucket) -> Opening {
        self.asked += 1;
        let now = self.asked;
        let (opening, last) = self.known.entry(bucket.clone()).or_default();
        *last = now;
        let opening = Arc::clone(opening);
        if self.known.len() > KEPT {
            // One that is being opened is waited for by somebody, and ends within the deadline.
            let idle = self.known.iter().filter(|(_, (other, last))| *last != now && other.try_lock().is_ok());
            let oldest = idle.min_by_key(|(_, (_, last))| *last).map(|(bucket, _)| bucket.clone());
            if let Some(bucket) = oldest {
                self.known.remove(&bucket);
            }
        }
        opening
    }
}

/// A store that is open, or locked by the thread that opens it.
type Opening = Arc<tokio::sync::Mutex<Option<Arc<Store>>>>;

impl Stores {
    /// Stores around `home`.
    pub fn new(home: Arc<Store>) -> Stores {
        let line = Mutex::new(home.line.clone());
        Stores { home, line, others: Mutex::default() }
    }

    /// The store that is shown.
    pub fn home(&self) -> &Arc<Store> {
        &self.home
    }

    /// The store of `bucket`, opened at first use with the settings of the home store, which say for each kind of service
    /// where and as whom it is asked.
    ///
    /// Links come from whoever wrote the store, so they may not lead just anywhere: see [`refusal`].
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] where a link may not lead there; [`StoreError::Timeout`] where opening takes longer
    /// than a request may.
    pub async fn get(&self, bucket: &Bucket) -> Result<Arc<Store>, StoreError> {
        if bucket == self.home.bucket() {
            return Ok(Arc::clone(&self.home));
        }
        if let Some(reason) = refusal(self.home.bucket(), bucket, &self.home.settings.access.allow_links) {
            return Err(StoreError::Unsupported { what: bucket.as_str().to_owned(), reason });
        }
        let opening = self.others().ask(bucket);
        let deadline = self.home.settings.deadline.max(self.home.settings.cloud_deadline);
        let opened = tokio::time::timeout(deadline, self.open(bucket, Arc::clone(&opening))).await;
        let location = || Location { bucket: bucket.clone(), key: Key::new("") };
        let opened =
            opened.unwrap_or_else(|_| Err(StoreError::Timeout { location: location(), seconds: deadline.as_secs() }));
        if opened.is_err() {
            // Only what can be opened is remembered, and what is still being opened: a store may name any number.
            let mut others = self.others();
            let idle = opening.try_lock().is_ok_and(|store| store.is_none());
            if idle && others.known.get(bucket).is_some_and(|(known, _)| Arc::ptr_eq(known, &opening)) {
                others.known.remove(bucket);
            }
        }
        opened
    }

    /// Opens a store in a task of its own, which holds `opening` until it is done: a store that hangs is asked once,
    /// however many wait for it.
    async fn open(&self, bucket: &Bucket, opening: Opening) -> Result<Arc<Store>, StoreError> {
        let mut opening = opening.lock_owned().await;
        if let Some(store) = opening.as_ref() {
            return Ok(Arc::clone(store));
        }
        // Nobody has just typed its name; a reader of linked data is as patient as any other.
        let first_deadline = Duration::MAX;
        let (bucket, settings) = (bucket.clone(), StoreSettings { first_deadline, ..self.home.settings.clone() });
        let location = Location { bucket: bucket.clone(), key: Key::new("") };
        let line = match scheme(&bucket) {
            "file" => None,
            _ => Some(self.line(&settings.access)?),
        };
        let done = tokio::spawn(async move {
            let store = Arc::new(Store::open_over(line, &bucket, settings).await?);
            *opening = Some(Arc::clone(&store));
            Ok(store)
        });
        done.await.unwrap_or_else(|stopped| Err(StoreError::Failed { location, reason: stopped.to_string() }))
    }

    /// The connections of all of them.
    fn line(&self, access: &Access) -> Result<Line, StoreError> {
        // Either there is a line, or none.
        let mut line = self.line.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &*line {
            Some(line) => Ok(line.clone()),
            None => Ok(line.insert(Line::new(access)?).clone()),
        }
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        // A panic while the lock is held can only come from the allocator; the map is whole either way.
        self.others.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Schemes of clouds, in whose buckets linked data may lie.
const CLOUDS: [&str; 3] = ["s3", "az", "gs"];

fn scheme(bucket: &Bucket) -> &str {
    bucket.as_str().split(':').next().unwrap_or_default()
}

/// Why data linked from `home` may not lie in `other`; `None` where it may.
///
/// - From a directory tree only in its sibling directories: HSDS keeps its buckets side by side.
/// - From a cloud only in buckets of the same cloud, which are read with the same credentials.
/// - Elsewhere if whoever mounts it said so: a scheme (`file:`), or the beginning of a URL.
pub fn refusal(home: &Bucket, other: &Bucket, allowed: &[String]) -> Option<String> {
    let (from, to) = (scheme(home), scheme(other));
    // `..` leads out of what was allowed.
    let plain = !other.as_str().split('/').any(|part| part == "." || part == "..");
    if plain && allowed.iter().any(|beginning| begins(other.as_str(), beginning)) {
        return None;
    }
    let same = from == to && CLOUDS.contains(&from);
    if same || root::are_siblings(home, other) {
        return None;
    }
    let rule = match from {
        "file" if to == "file" => "linked data on local disk must lie in the store or in a directory beside it",
        "file" => "a store on local disk may not link to other places",
        _ => "linked data must lie in the same cloud as the store",
    };
    Some(format!("{rule}; --allow-links {to}: (or the beginning of its URL) permits it"))
}

/// Whether `url` begins with `beginning`, and not only by chance: `https://data.org` is no beginning of
/// `https://data.org.example`.
fn begins(url: &str, beginning: &str) -> bool {
    let Some(rest) = url.strip_prefix(beginning) else { return false };
    !beginning.is_empty() && (rest.is_empty() || rest.starts_with('/') || beginning.ends_with(['/', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(home: &str, other: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|&allowed| allowed.to_owned()).collect();
        refusal(&Bucket::new(home), &Bucket::new(other), &allowed).is_none()
    }

    #[test]
    fn links_stay_in_their_cloud() {
        assert!(may("s3://a", "s3://b", &[]));
        assert!(may("az://account/a", "az://account/b", &[]));
        // The one way to name a container is `az://`: a host that a link names is never sent a token.
        for other in ["abfss://b@account.dfs.core.windows.net", "abfss://b@evil.example.org", "abfs://b@x"] {
            assert!(!may("az://account/a", other, &[]), "{other}");
        }
        assert!(may("gs://a", "gs://b", &[]));
        for other in ["file:///etc", "http://169.254.169.254", "https://x", "gs://b", "az://b/c", "x", ""] {
            assert!(!may("s3://a", other, &[]), "{other}");
            assert!(!may("https://a", other, &[]), "{other}");
        }
        assert!(!may("file:///srv/a", "s3://b", &[]));
        assert!(may("file:///srv/a", "file:///srv/b", &[]));
    }

    #[tokio::test]
    async fn a_store_of_another_kind_is_not_asked_where_and_as_whom_the_home_store_is() {
        use crate::store::access::Reach;
        use crate::store::{Access, Credentials};
        let s3 = Reach {
            endpoint: Some("http://127.0.0.1:1/account".to_owned()),
            credentials: Credentials::Profile("p".to_owned()),
            ..Reach::default()
        };
        let access = Access { s3, allow_links: vec!["https:".to_owned()], ..Access::default() };
        for other in ["https://host", "az://account/c", "gs://b"] {
            assert_eq!(access.of(&Bucket::new(other)), &Reach::default(), "{other}");
        }
        let settings = StoreSettings { access, ..StoreSettings::default() };
        let home = Store::open_with(&Bucket::new("s3://a"), settings).await.unwrap();
        // A web server takes no profile, so it would refuse to be opened with one.
        assert!(Stores::new(Arc::new(home)).get(&Bucket::new("https://host")).await.is_ok());
    }

    #[tokio::test]
    async fn of_the_stores_that_links_name_only_the_latest_are_kept() {
        let settings = StoreSettings::default();
        let home = Store::open_with(&Bucket::new("https://home"), settings).await.unwrap();
        let stores = Stores::new(Arc::new(home));
        let bucket = |number: usize| Bucket::new(format!("https://host{number}"));
        let first = stores.others().ask(&bucket(0));
        let being_opened = first.lock().await;
        for number in 1..1000 {
            drop(stores.others().ask(&bucket(number)));
            // Asked for again and again, so never the oldest.
            drop(stores.others().ask(&bucket(1)));
            assert!(stores.others().known.len() <= KEPT);
        }
        let kept = |number| stores.others().known.contains_key(&bucket(number));
        assert!(kept(0) && kept(1) && kept(999) && !kept(2));
        drop(being_opened);
    }

    #[test]
    fn what_was_allowed_is_a_scheme_or_the_beginning_of_a_url() {
        assert!(may("file:///srv/a", "s3://b", &["gs:", "s3:"]));
        assert!(may("s3://a", "https://data.org", &["https://data.org"]));
        assert!(may("s3://a", "file:///data/b", &["file:///data"]));
        assert!(may("s3://a", "file:///data/b", &["file:///data/"]));
        for (other, allowed) in [
            ("https://data.org.example", "https://data.org"),
            ("file:///database", "file:///data"),
            ("file:///data/../etc", "file:///data"),
            ("http://x", "https:"),
            ("file:///etc", ""),
        ] {
            assert!(!may("s3://a", other, &[allowed]), "{other}");
        }
        let reason = refusal(&Bucket::new("s3://a"), &Bucket::new("file:///etc"), &[]).unwrap();
        assert!(reason.contains("--allow-links file:"), "{reason}");
    }
}
