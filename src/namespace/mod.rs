//! The tree as users see it: folders and files of a source, versions of files and their freshness, and their bytes.
//!
//! Above stand `fs` (the kernel's questions) and `cli`; both speak of nodes, versions and byte ranges. Below stand a
//! `source` (names, and what describes a file), `layout` (where each structure and chunk of the presented file lies)
//! and `fetch` (bytes of chunks). Nothing of the kernel and nothing of a store's schema is known here.
//!
//! * A [`Node`] is a name that was looked up. A [`Listing`] is read ahead of whoever walks through it, and answers
//!   look-ups of the names it holds for as long as it is fresh: no name costs a request of its own after a listing.
//! * A [`Version`] is what a file was when it was opened. Everybody who opens an unchanged file shares one version;
//!   a changed file gives a new version with a new number, and what is open keeps its own.
//! * Whether a file changed is looked at when it is opened, at most once in [`NamespaceSettings::freshness`].

pub mod course;
mod error;
pub mod listing;
mod load;
pub mod node;
mod preface;
mod read;
mod reader;
mod seek;
pub mod version;
mod warm;
mod windows;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use error::{Cause, NamespaceError};
pub use listing::Listing;
pub use node::{File, FileKind, Folder, Node, NodeId};
pub use preface::Piece;
pub use reader::Reader;
pub use seek::Whence;
pub use version::{Stat, Version};
pub use warm::{GridTold, Verb, Warmed};

use crate::fetch::Fetcher;
use crate::layout::PresentOptions;
pub use crate::source::{Entry, EntryKind};

use crate::source::{Source, SourceError, join};
use crate::store::Stores;
use error::shown;
use listing::{Known, presentable};
use node::Table;
use version::Content;
use windows::Windows;

/// How the namespace behaves; resolved once by the configuration.
#[derive(Clone, Debug)]
pub struct NamespaceSettings {
    /// How long what was seen of the store is believed.
    pub freshness: Freshness,
    /// Refuse a file that cannot be shown completely.
    pub strict: bool,
    /// How files are laid out.
    pub present: PresentOptions,
    /// Bytes of placed variable-length chunks kept in memory.
    pub windows_bytes: u64,
    /// Bytes of descriptions of files that nobody has open, kept for the next opener.
    pub versions_bytes: u64,
    /// Chunks of one read that are asked for at a time.
    pub chunks_at_once: usize,
}

/// How long what was seen of the store is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// For this long.
    For(Duration),
    /// For ever: the store is promised not to change.
    Ever,
}

impl Freshness {
    /// Whether something seen at `then` is still believed.
    pub fn holds(self, then: Instant) -> bool {
        match self {
            Freshness::For(time) => then.elapsed() < time,
            Freshness::Ever => true,
        }
    }
}

impl Default for NamespaceSettings {
    fn default() -> Self {
        NamespaceSettings {
            // A person who changed a file sees it within a breath; a program that opens a file in a loop costs the
            // store one question per 5 s.
            freshness: Freshness::For(Duration::from_secs(5)),
            strict: false,
            present: PresentOptions::default(),
            // A window is needed whole to answer any part of it; 128 MiB hold those of some ten open datasets.
            windows_bytes: 128 << 20,
            // A description takes about 2 KiB an object, so this is some 60,000 objects.
            versions_bytes: 128 << 20,
            // As many as a store answers at once without queueing, at 1 MiB a read and small chunks.
            chunks_at_once: 64,
        }
    }
}

/// The tree.
pub struct Namespace {
    source: Arc<dyn Source>,
    stores: Arc<Stores>,
    fetcher: Arc<Fetcher>,
    settings: NamespaceSettings,
    table: Table,
    root: Arc<Folder>,
    windows: Windows,
    /// Versions that were used lately, so that the next opener finds them though nobody holds them.
    versions: moka::sync::Cache<NodeId, Arc<Version>>,
}

impl Namespace {
    /// A folder with more entries than this is walked, not looked at: while somebody walks through it, sizes of its
    /// files are estimates. Smaller ones are opened for their size, which costs less than a wrong one.
    const WALKED_ENTRIES: usize = 256;
    /// How long after its last step a walk is over.
    const WALK_PAUSE: Duration = Duration::from_secs(2);

    /// The tree of `source`.
    pub fn new(
        source: Arc<dyn Source>,
        stores: Arc<Stores>,
        fetcher: Arc<Fetcher>,
        settings: NamespaceSettings,
    ) -> Namespace {
        let root = Arc::new(Folder::new(NodeId(1), String::new(), None));
        // A version heavier than the budget would never be kept, and each of its openers would load it anew: weights
        // stop at half the budget.
        let half = u32::try_from(settings.versions_bytes / 2).unwrap_or(u32::MAX);
        let versions = moka::sync::Cache::builder()
            .max_capacity(settings.versions_bytes)
            .weigher(move |_, version: &Arc<Version>| u32::try_from(version.weight).unwrap_or(u32::MAX).min(half))
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .build();
        let windows = Windows::new(settings.windows_bytes);
        Namespace { source, stores, fetcher, settings, table: Table::default(), root, windows, versions }
    }

    /// The root folder.
    pub fn root(&self) -> &Arc<Folder> {
        &self.root
    }

    /// The settings.
    pub fn settings(&self) -> &NamespaceSettings {
        &self.settings
    }

    /// The source it shows.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The listing of a folder: the one that was started lately, or a new one.
    pub fn list(&self, folder: &Folder) -> Arc<Listing> {
        let mut held = node::lock(&folder.listing);
        if let Some(listing) = &*held
            && self.settings.freshness.holds(listing.started())
            && !listing.failed()
        {
            return listing.clone();
        }
        let listing = Listing::start(self.source.clone(), folder.path.clone());
        *held = Some(listing.clone());
        listing
    }

    /// Notes that somebody walks through `folder`, so that sizes of the files in it may be estimates for a while.
    pub fn walk(&self, folder: &Folder) {
        folder.walk();
    }

    /// Whether `folder` is large and being walked through.
    pub fn is_walked(&self, folder: &Folder) -> bool {
        let large =
            node::lock(&folder.listing).as_ref().is_some_and(|listing| listing.arrived() > Self::WALKED_ENTRIES);
        large && folder.walked().is_some_and(|last| last.elapsed() < Self::WALK_PAUSE)
    }

    /// What `name` in `folder` leads to.
    pub async fn lookup(&self, folder: &Folder, name: &str) -> Result<Node, NamespaceError> {
        let path = join(&folder.path, name);
        let absent = || NamespaceError::NotFound { path: shown(&path) };
        if presentable(name).is_err() {
            return Err(absent());
        }
        // The guard ends with the statement: nothing waits while it is held.
        let listing = node::lock(&folder.listing).clone();
        if let Some(listing) = listing
            && self.settings.freshness.holds(listing.started())
        {
            match listing.known(name) {
                Known::Entry(entry) => return Ok(self.node(path, &entry, listing.started())),
                Known::Absent => return Err(absent()),
                Known::Unknown => {}
            }
        }
        let before = self.table.get(&path);
        match before {
            Some((node, seen)) if self.settings.freshness.holds(seen) => Ok(node),
            Some((node, _)) if node.describes_itself() => {
                let asked = Instant::now();
                self.found(&path, asked, self.source.find_again(&path).await)
            }
            _ => self.look_up_anew(&path).await,
        }
    }

    /// What `path` leads to now, by the store and nothing that was seen before.
    async fn look_up_anew(&self, path: &str) -> Result<Node, NamespaceError> {
        let asked = Instant::now();
        self.found(path, asked, self.source.find(path).await)
    }

    /// The node of what the source found at `path`.
    fn found(
        &self,
        path: &str,
        asked: Instant,
        found: Result<Option<Entry>, SourceError>,
    ) -> Result<Node, NamespaceError> {
        match found {
            Ok(Some(entry)) => Ok(self.node(path.to_owned(), &entry, asked)),
            Ok(None) => {
                self.table.remove(path);
                Err(NamespaceError::NotFound { path: shown(path) })
            }
            Err(error) => Err(NamespaceError::source(path, error)),
        }
    }

    /// Forgets what was seen of `path`, since it is another object by now: the next look-up asks the store.
    fn doubt(&self, path: &str) {
        self.table.remove(path);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = match folder {
            "" => Some(self.root.clone()),
            folder => match self.table.get(folder) {
                Some((Node::Folder(folder), _)) => Some(folder),
                // A folder that nobody holds has no listing.
                _ => None,
            },
        };
        if let Some(listing) = folder.and_then(|folder| node::lock(&folder.listing).clone()) {
            listing.doubt(name);
        }
    }

    /// What `path` (from the shown root, `/`-separated) leads to.
    pub async fn resolve(&self, path: &str) -> Result<Node, NamespaceError> {
        let mut node = Node::Folder(self.root.clone());
        for name in path.split('/').filter(|name| !name.is_empty()) {
            node = match &node {
                Node::Folder(folder) => self.lookup(folder, name).await?,
                Node::File(file) => return Err(NamespaceError::NotAFolder { path: shown(&file.path) }),
            };
        }
        Ok(node)
    }

    /// How much longer what was seen of `node` is believed without asking the store; the kernel may believe it as long.
    pub fn believed_for(&self, node: &Node) -> Duration {
        /// What "for ever" is told as: the kernel counts in seconds, and a day later costs nothing.
        const EVER: Duration = Duration::from_secs(86_400);
        match self.settings.freshness {
            Freshness::Ever => EVER,
            Freshness::For(time) => {
                let seen = self.table.get(node.path()).map(|(_, seen)| seen);
                let checked = match node {
                    Node::Folder(_) => seen,
                    Node::File(file) => match (seen, file.record().checked) {
                        (Some(seen), Some(checked)) => Some(seen.min(checked)),
                        (seen, _) => seen,
                    },
                };
                checked.map_or(Duration::ZERO, |then| time.saturating_sub(then.elapsed()))
            }
        }
    }

    /// The node of `entry` at `path`: the one that is held already, if it is still of that kind.
    fn node(&self, path: String, entry: &Entry, seen: Instant) -> Node {
        let held = self.table.get(&path);
        if let Some((node, before)) = &held {
            let same = match (node, &entry.kind) {
                (Node::Folder(_), EntryKind::Folder) => true,
                (Node::File(file), EntryKind::File) => file.kind == FileKind::Described,
                // A changed object is another node, so that its bytes get another number.
                (Node::File(file), EntryKind::Plain { .. }) => file.kind == plain(entry),
                _ => false,
            };
            if same {
                if *before < seen {
                    self.table.put(node, seen);
                }
                return node.clone();
            }
        }
        let id = self.table.number();
        let node = match &entry.kind {
            EntryKind::Folder => Node::Folder(Arc::new(Folder::new(id, path, entry.modified))),
            EntryKind::File | EntryKind::Unclear => {
                Node::File(Arc::new(File::new(id, path, FileKind::Described, entry.owner.clone())))
            }
            EntryKind::Plain { .. } => Node::File(Arc::new(File::new(id, path, plain(entry), entry.owner.clone()))),
        };
        self.table.put(&node, seen);
        node
    }
}

#[cfg(test)]
impl Namespace {
    pub(crate) fn folder_for_tests(id: NodeId, path: &str) -> Arc<Folder> {
        Arc::new(Folder::new(id, path.to_owned(), None))
    }
}

/// The kind of a file that `entry` shows as it is.
fn plain(entry: &Entry) -> FileKind {
    match &entry.kind {
        EntryKind::Plain { key, size, etag } => {
            FileKind::Plain { key: key.clone(), size: *size, etag: etag.clone(), modified: entry.modified }
        }
        _ => FileKind::Described,
    }
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace").field("settings", &self.settings).finish_non_exhaustive()
    }
}
