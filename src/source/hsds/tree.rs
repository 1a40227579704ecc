//! Folders and names: what a store's keys look like as a tree.
//!
//! * `db/` and the hashed keys of the first schema are hidden at the root of the store, `.domain.json` everywhere.
//! * A prefix whose `.domain.json` names a root is a file; any other prefix is a folder, with or without such an object.
//!   Where a `.domain.json` is there but cannot be read, the entry is a file that cannot be opened: it may be one, and
//!   a name that is there must not vanish because of a fault.
//! * Every other object is shown as it is.
//! * Where an object `a` lies beside keys `a/…` (no directory tree can have that), the folder or file keeps the name
//!   and the object is shown as `a%object`. If that name is taken too, the object is left out, with a warning.

use std::collections::HashSet;
use std::time::SystemTime;

use futures::stream::{self, StreamExt};

use super::domain::Domain;
use super::loader::Read;
use super::{HsdsSource, is_nothing, key};
use crate::model::location::Key;
use crate::source::{Cursor, Entry, EntryKind, Page, SourceError, join};
use crate::store::Meta;

/// What is put behind the name of an object that lies beside a folder or file of the same name.
const BESIDE: &str = "%object";

impl HsdsSource {
    /// One page of a folder. A page is a page of the store's listing, so it may hold no entry at all and still have a
    /// next one.
    pub(super) async fn list_folder(&self, folder: &str, after: Option<&Cursor>) -> Result<Page, SourceError> {
        let path = self.path_in_store(folder);
        let listing = match self.store.list(&path, after.map(|cursor| cursor.0.as_str())).await {
            Ok(listing) => listing,
            Err(error) if is_nothing(&error) && path.is_empty() => return Ok(Page::default()),
            Err(error) if is_nothing(&error) => return Err(SourceError::NotFound { path: folder.to_owned() }),
            Err(error) => return Err(error.into()),
        };
        let names: HashSet<&str> = listing.folders.iter().map(String::as_str).collect();
        let shown: Vec<String> = listing.folders.iter().filter(|name| !is_hidden(&path, name)).cloned().collect();
        let base = path.as_str();
        let found: Vec<Option<Entry>> = stream::iter(shown)
            .map(|name| async move { self.prefix(join(base, &name), &name).await })
            .buffer_unordered(self.settings.in_flight.max(1))
            .collect()
            .await;
        let mut entries: Vec<Entry> = found.into_iter().flatten().collect();
        let last = listing.through.as_deref();
        let objects: HashSet<&str> = listing.objects.iter().map(|(name, _)| name.as_str()).collect();
        for (name, meta) in &listing.objects {
            if is_hidden(&path, name) {
                continue;
            }
            let mut beside = names.contains(name.as_str());
            let directories = self.store.capabilities().directories;
            if !beside && !directories && last.is_some_and(|last| format!("{name}/").as_str() > last) {
                // The prefix of the same name sorts behind this page.
                beside = self.store.list(&join(&path, name), None).await.is_ok();
            }
            let shown = if beside { format!("{name}{BESIDE}") } else { name.clone() };
            if beside && (names.contains(shown.as_str()) || objects.contains(shown.as_str())) {
                tracing::warn!(key = join(&path, name), "left out: its name and the one it would have are taken");
                continue;
            }
            entries.push(plain(shown, Key::new(join(&path, name)), meta));
        }
        Ok(Page { entries, next: listing.next.map(Cursor) })
    }

    /// The entry at a path, by asking for the two objects that can make it one; a LIST only where neither is there.
    pub(super) async fn find_entry(&self, path: &str) -> Result<Option<Entry>, SourceError> {
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
        let (domain, object) = tokio::join!(self.read_document(&domain_key), self.store.head(&at));
        match domain {
            Ok(Read::Absent) => {}
            Ok(Read::Whole { document, meta }) => {
                return Ok(Some(entry_of(name, &Domain::of(&document), Some(meta.modified))));
            }
            Ok(Read::Broken { meta, reason }) => {
                tracing::warn!(key = %domain_key, reason, "shown as a file that cannot be opened");
                return Ok(Some(broken(name, Some(meta.modified))));
            }
            // A name that no key can have is not there.
            Err(error) if is_nothing(&error) => {}
            Err(error) => return Err(error.into()),
        }
        match object {
            // Without listing, a prefix of the same name that is no domain cannot be known; a directory tree has none.
            Ok(meta) if self.store.capabilities().directories || !self.is_prefix(&full).await? => {
                return Ok(Some(plain(name.to_owned(), at, &meta)));
            }
            Ok(_) => return Ok(Some(folder(name, None, None))),
            Err(error) if is_nothing(&error) => {}
            Err(error) => return Err(error.into()),
        }
        if self.is_prefix(&full).await? {
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
            Err(error) if is_nothing(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether keys lie below a path. An empty directory is what HSDS leaves of a deleted domain, and no folder.
    async fn is_prefix(&self, path: &str) -> Result<bool, SourceError> {
        match self.store.holds_any(path).await {
            Ok(any) => Ok(any),
            Err(error) if is_nothing(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The entry of a prefix met in a listing; `None` for an empty directory.
    async fn prefix(&self, path: String, name: &str) -> Option<Entry> {
        let key = key::domain(&path);
        match self.read_document(&key).await {
            Ok(Read::Whole { document, meta }) => Some(entry_of(name, &Domain::of(&document), Some(meta.modified))),
            Ok(Read::Absent) => {
                let empty = self.store.capabilities().directories && matches!(self.is_prefix(&path).await, Ok(false));
                (!empty).then(|| folder(name, None, None))
            }
            Ok(Read::Broken { meta, reason }) => {
                tracing::warn!(%key, reason, "shown as a file that cannot be opened");
                Some(broken(name, Some(meta.modified)))
            }
            Err(error) => {
                tracing::warn!(%key, %error, "shown as a file that cannot be opened");
                Some(broken(name, None))
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
