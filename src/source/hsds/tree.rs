//! Folders and names: what a store's keys look like as a tree.
//!
//! * `db/` and the hashed keys of the first schema are hidden at the root of the store, `.domain.json` everywhere.
//! * A prefix whose `.domain.json` names a root is a file; any other prefix is a folder, with or without such an object.
//!   Where a `.domain.json` is there but cannot be read, the entry is a file that cannot be opened: it may be one, and
//!   a name that is there must not vanish because of a fault.
//! * Every other object is shown as it is.
//! * Where an object `a` lies beside keys `a/…` (no directory tree can have that), the folder or file keeps the name
//!   and the object is shown as `a%object`. If that name is taken too, the object is left out, with a warning.

use std::collections::{HashSet, VecDeque};
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::{BoxFuture, Either, OptionFuture, select};
use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::documents::{Read, identity};
use super::domain::Domain;
use super::{HsdsSource, is_no_plain, is_nothing, is_refused, key};
use crate::model::location::Key;
use crate::source::{Entry, EntryKind, SourceError, join};
use crate::store::{Listing, Meta, StoreError};

/// What is put behind the name of an object that lies beside a folder or file of the same name.
const BESIDE: &str = "%object";
/// A page of a listing is asked for while no more names than this wait to be looked into: a page of S3's, so that there
/// is always enough to ask for while it is under way, and not a whole bucket in memory.
const NAMES_AHEAD: usize = 1000;

/// What is known of a path from before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    /// Nothing, or that no domain was there.
    Unknown,
    /// There was a domain.
    Domain,
}

impl HsdsSource {
    /// What a folder holds: pages of the store's listing, and of every prefix in them what its `.domain.json` makes of
    /// it. The next page is asked for while the names of this one are looked into.
    pub(super) fn list_folder<'a>(&'a self, folder: &'a str) -> BoxStream<'a, Result<Entry, SourceError>> {
        let path = self.path_in_store(folder);
        let first = self.names(path.clone(), None);
        let reading = Folder {
            source: self,
            folder,
            path,
            page: Some(first).into(),
            next: None,
            waiting: VecDeque::new(),
            asked: FuturesUnordered::new(),
            ready: VecDeque::new(),
        };
        stream::try_unfold(reading, |mut reading| async move {
            let entry = reading.next_entry().await?;
            Ok(entry.map(|entry| (entry, reading)))
        })
        .boxed()
    }

    fn names<'a>(&'a self, path: String, after: Option<String>) -> BoxFuture<'a, Result<Listing, StoreError>> {
        async move { self.store.list(&path, after.as_deref()).await }.boxed()
    }

    /// The entry at a path, by asking for the two objects that can make it one, and for a name below it; the last only
    /// where neither is there, if the store is near. Where there was a domain `before`, that is asked for first.
    pub(super) async fn find_entry(&self, path: &str, before: Before) -> Result<Option<Entry>, SourceError> {
        let full = self.path_in_store(path);
        let name = path.rsplit('/').next().unwrap_or_default();
        if full.is_empty() {
            return Ok(Some(folder("", None, None)));
        }
        let (parent, last) = full.rsplit_once('/').unwrap_or(("", &full));
        let first = full.split('/').next().unwrap_or_default();
        if is_hidden("", first) || is_hidden(parent, last) {
            return Ok(None);
        }
        let at = Key::new(&full);
        let domain_key = key::domain(&full);
        let near = self.store.capabilities().directories;
        let asked = Instant::now();
        let waiting = self.waiting();
        let domain = std::pin::pin!(async {
            let ahead = OptionFuture::from((before == Before::Unknown).then(|| self.compare_ahead(&domain_key)));
            tokio::join!(self.read_document(&domain_key, &waiting), ahead).0
        });
        let beside = std::pin::pin!(async {
            let below = OptionFuture::from((!near).then(|| self.is_prefix(&full)));
            tokio::join!(self.store.head(&at), below)
        });
        // Where there is a domain, that is the answer, however long the rest takes.
        let (domain, beside) = match before {
            Before::Domain => (domain.await, Either::Left(beside)),
            Before::Unknown => match select(domain, beside).await {
                Either::Left((domain, beside)) => (domain, Either::Left(beside)),
                Either::Right((beside, domain)) => (domain.await, Either::Right(beside)),
            },
        };
        let unsure = match &domain {
            Ok(Read::Absent) => true,
            Err(error) => is_nothing(error) || is_refused(error),
            _ => false,
        };
        let beside = match beside {
            Either::Right(found) => Some(found),
            Either::Left(asking) if unsure => Some(asking.await),
            Either::Left(_) => None,
        };
        match domain {
            Ok(Read::Absent) => {}
            // Refused as what is absent may be; but a listing that was granted shows nothing there.
            Err(error) if is_refused(&error) && matches!(beside, Some((_, Some(Ok(false))))) => {}
            Ok(Read::Whole { document, meta }) => {
                let domain = Domain::of(&document);
                let entry = entry_of(name, &domain, Some(meta.modified));
                if domain.root.is_some() {
                    self.recent.put(domain_key.clone(), asked, domain, meta);
                }
                return Ok(Some(entry));
            }
            Ok(Read::Broken { meta, reason }) => {
                self.tell_broken(&domain_key, &meta, &reason);
                return Ok(Some(broken(name, Some(meta.modified))));
            }
            // A name that no key can have is not there.
            Err(error) if is_nothing(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let Some((object, below)) = beside else { return Ok(None) };
        let mut below = below;
        let mut is_prefix = async || match below.take() {
            Some(below) => below,
            None => self.is_prefix(&full).await,
        };
        match object {
            // Without listing, a prefix of the same name that is no domain cannot be known; a directory tree has none.
            Ok(meta) if near || !is_prefix().await? => return Ok(Some(plain(name.to_owned(), at.clone(), &meta))),
            Ok(_) => return Ok(Some(folder(name, None, None))),
            Err(error) if is_no_plain(&error) => {}
            Err(error) if is_refused(&error) && !near && self.lists_no(&at).await => {}
            Err(error) => return Err(error.into()),
        }
        if is_prefix().await? {
            return Ok(Some(folder(name, None, None)));
        }
        self.find_beside(&full, name).await
    }

    /// The object behind a name like `a%object`, where it lies beside a prefix `a/`.
    async fn find_beside(&self, full: &str, name: &str) -> Result<Option<Entry>, SourceError> {
        let Some(stem) = full.strip_suffix(BESIDE).filter(|stem| !stem.is_empty() && !stem.ends_with('/')) else {
            return Ok(None);
        };
        let key = Key::new(stem);
        match self.store.head(&key).await {
            Ok(meta) if self.is_prefix(stem).await? => Ok(Some(plain(name.to_owned(), key, &meta))),
            Ok(_) => Ok(None),
            Err(error) if is_no_plain(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a listing is granted and does not have `key`, which would come first.
    async fn lists_no(&self, key: &Key) -> bool {
        let first = self.store.list_below(key.as_str()).try_next().await;
        first.is_ok_and(|first| first.is_none_or(|(first, _)| first != *key))
    }

    /// Whether keys lie below a path. An empty directory is what HSDS leaves of a deleted domain, and no folder.
    async fn is_prefix(&self, path: &str) -> Result<bool, SourceError> {
        match self.store.holds_any(path).await {
            Ok(any) => Ok(any),
            Err(error) if is_nothing(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells of a name that could not be looked into, not of every one: while a store is away it is all of them.
    fn tell_unclear(&self, key: &Key, error: &StoreError) {
        // Nothing that panics runs under the lock.
        let due = is_due(&mut self.unclear.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if due {
            tracing::warn!(%key, %error, "whether it is a file could not be found out; others like it are not named for 10 s");
        } else {
            tracing::debug!(%key, %error, "whether it is a file could not be found out");
        }
    }

    /// Tells once of each version of a domain that cannot be read.
    fn tell_broken(&self, key: &Key, meta: &Meta, reason: &str) {
        if self.recent.put_broken(key, identity(meta)) {
            tracing::warn!(%key, reason, "shown as a file that cannot be opened");
        }
    }

    /// The entry of a prefix met in a listing; `None` for an empty directory.
    async fn prefix(&self, path: String, name: String) -> Option<Entry> {
        let key = key::domain(&path);
        match self.read_document(&key, &self.waiting()).await {
            Ok(Read::Whole { document, meta }) => Some(entry_of(&name, &Domain::of(&document), Some(meta.modified))),
            Ok(Read::Absent) => {
                let empty = self.store.capabilities().directories && matches!(self.is_prefix(&path).await, Ok(false));
                (!empty).then(|| folder(&name, None, None))
            }
            Ok(Read::Broken { meta, reason }) => {
                self.tell_broken(&key, &meta, &reason);
                Some(broken(&name, Some(meta.modified)))
            }
            Err(error) => {
                self.tell_unclear(&key, &error);
                Some(Entry { name, kind: EntryKind::Unclear, modified: None, owner: None })
            }
        }
    }
}

/// Between two warnings of names that could not be looked into: as often as a store that is away is warned of itself.
const WARNINGS: Duration = Duration::from_secs(10);

/// Whether it is time for another warning, of which the last was `told`.
fn is_due(told: &mut Option<Instant>, now: Instant) -> bool {
    let due = told.is_none_or(|then| now.saturating_duration_since(then) >= WARNINGS);
    if due {
        *told = Some(now);
    }
    due
}

/// A folder that is being listed.
struct Folder<'a> {
    source: &'a HsdsSource,
    folder: &'a str,
    path: String,
    /// The page that is under way.
    page: OptionFuture<BoxFuture<'a, Result<Listing, StoreError>>>,
    /// Where the one after it goes on.
    next: Option<String>,
    /// Names that are still to be looked into.
    waiting: VecDeque<Unsure>,
    asked: FuturesUnordered<BoxFuture<'a, Result<Option<Entry>, SourceError>>>,
    ready: VecDeque<Entry>,
}

/// A name of a page that the page alone does not explain.
enum Unsure {
    /// A prefix.
    Prefix(String),
    /// An object, the last of its page: a prefix of the same name may begin the next one.
    Object(String, Meta),
}

impl<'a> Folder<'a> {
    async fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            let most = self.source.settings.in_flight.max(1);
            while self.asked.len() < most
                && let Some(name) = self.waiting.pop_front()
            {
                self.asked.push(self.look_into(name));
            }
            tokio::select! {
                Some(listing) = &mut self.page => {
                    self.page = None.into();
                    self.sort(listing)?;
                }
                Some(entry) = self.asked.next() => self.ready.extend(entry?),
                else => return Ok(None),
            }
            if self.waiting.len() <= NAMES_AHEAD
                && let Some(after) = self.next.take()
            {
                self.page = Some(self.source.names(self.path.clone(), Some(after))).into();
            }
        }
    }

    /// Sorts a page into what is known and what is to be looked into.
    fn sort(&mut self, listing: Result<Listing, StoreError>) -> Result<(), SourceError> {
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) if is_nothing(&error) && self.path.is_empty() => return Ok(()),
            Err(error) if is_nothing(&error) => {
                return Err(SourceError::NotFound { path: self.folder.to_owned() });
            }
            Err(error) => return Err(error.into()),
        };
        let names: HashSet<&str> = listing.folders.iter().map(String::as_str).collect();
        let objects: HashSet<&str> = listing.objects.iter().map(|(name, _)| name.as_str()).collect();
        let directories = self.source.store.capabilities().directories;
        for (name, meta) in &listing.objects {
            let key = Key::new(join(&self.path, name));
            if is_hidden(&self.path, name) {
                continue;
            }
            if !names.contains(name.as_str()) {
                let cut = listing.through.as_deref().is_some_and(|last| format!("{name}/").as_str() > last);
                match cut && !directories {
                    true => self.waiting.push_back(Unsure::Object(name.clone(), meta.clone())),
                    false => self.ready.push_back(plain(name.clone(), key, meta)),
                }
                continue;
            }
            let shown = format!("{name}{BESIDE}");
            if names.contains(shown.as_str()) || objects.contains(shown.as_str()) {
                tracing::warn!(%key, "left out: its name and the one it would have are taken");
                continue;
            }
            self.ready.push_back(plain(shown, key, meta));
        }
        let shown = listing.folders.into_iter().filter(|name| !is_hidden(&self.path, name));
        self.waiting.extend(shown.map(Unsure::Prefix));
        self.next = listing.next;
        Ok(())
    }

    fn look_into(&self, name: Unsure) -> BoxFuture<'a, Result<Option<Entry>, SourceError>> {
        let source = self.source;
        match name {
            Unsure::Prefix(name) => {
                let path = join(&self.path, &name);
                async move { Ok(source.prefix(path, name).await) }.boxed()
            }
            Unsure::Object(name, meta) => {
                let path = join(&self.path, &name);
                async move {
                    let beside = source.is_prefix(&path).await?;
                    let shown = if beside { format!("{name}{BESIDE}") } else { name };
                    Ok(Some(plain(shown, Key::new(path), &meta)))
                }
                .boxed()
            }
        }
    }
}

/// Whether a name in a folder of the store belongs to the schema and not to the tree.
fn is_hidden(folder: &str, name: &str) -> bool {
    name == ".domain.json" || (folder.is_empty() && (name == "db" || is_hashed(name)))
}

/// Whether a name is a key of the first schema: five hexadecimal digits, a kind, perhaps a partition, an id.
fn is_hashed(name: &str) -> bool {
    let mut parts = name.splitn(3, '-');
    let (Some(hash), Some(kind), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let kind_fits = match kind.as_bytes() {
        [b'g' | b'd' | b't' | b'c'] => true,
        [b'c', partition @ ..] => partition.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    kind_fits
        && hash.len() == 5
        && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && rest.bytes().take_while(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')).count() >= 36
}

fn entry_of(name: &str, domain: &Domain, modified: Option<SystemTime>) -> Entry {
    let kind = if domain.root.is_some() { EntryKind::File } else { EntryKind::Folder };
    Entry { name: name.to_owned(), kind, modified, owner: domain.owner.clone() }
}

fn folder(name: &str, modified: Option<SystemTime>, owner: Option<String>) -> Entry {
    Entry { name: name.to_owned(), kind: EntryKind::Folder, modified, owner }
}

fn broken(name: &str, modified: Option<SystemTime>) -> Entry {
    Entry { name: name.to_owned(), kind: EntryKind::File, modified, owner: None }
}

fn plain(name: String, key: Key, meta: &Meta) -> Entry {
    let kind = EntryKind::Plain { key, size: meta.size, etag: meta.etag.clone() };
    Entry { name, kind, modified: Some(meta.modified), owner: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_names_that_cannot_be_looked_into_make_one_warning() {
        let (mut told, began) = (None, Instant::now());
        let warnings = (0..10_000).filter(|&ms| is_due(&mut told, began + Duration::from_millis(ms))).count();
        assert_eq!(warnings, 1);
        assert!(is_due(&mut told, began + WARNINGS));
    }

    #[test]
    fn keys_of_the_schema_are_hidden_and_names_like_them_are_not() {
        for name in ["db", "5c9c0-g-c815c3d8-e525-11f1-878b-02fc00000001", ".domain.json"] {
            assert!(is_hidden("", name), "{name}");
        }
        assert!(is_hidden("", "01f01-c-c815c7f2-e525-11f1-878b-02fc00000001_1_2"));
        assert!(is_hidden("", "01f01-c12-c815c7f2-e525-11f1-878b-02fc00000001_1_2"));
        for name in ["dbx", "5c9c0-g-report", "5c9c-g-c815c3d8-e525-11f1-878b-02fc00000001", "readme", ".hidden"] {
            assert!(!is_hidden("", name), "{name}");
        }
        assert!(!is_hidden("home", "db") && is_hidden("home", ".domain.json"));
    }
}
