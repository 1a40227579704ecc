//! Nodes of the tree: folders and files, each known by its path for as long as somebody holds it.
//!
//! A file node outlives its versions: it remembers which version is the current one, what it was read from, and when
//! that was last compared with the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Instant, SystemTime};

use super::error::NamespaceError;
use super::listing::Listing;
use super::load::Loading;
use super::version::{Stat, Version};
use crate::model::location::{ETag, Key};
use crate::source::Fingerprint;

/// Number of a node or a version; unique in one namespace, never used again. The kernel sees it as inode number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeId(pub u64);

/// A name that was looked up.
#[derive(Clone, Debug)]
pub enum Node {
    /// A folder.
    Folder(Arc<Folder>),
    /// A file, made of a hierarchy or shown as it is.
    File(Arc<File>),
}

impl Node {
    /// Path from the store's root, without a leading `/`.
    pub fn path(&self) -> &str {
        match self {
            Node::Folder(folder) => &folder.path,
            Node::File(file) => &file.path,
        }
    }

    /// Whether an object of the store says what it is: files made of a hierarchy, and folders with a time.
    pub(crate) fn describes_itself(&self) -> bool {
        match self {
            Node::Folder(folder) => folder.modified.is_some(),
            Node::File(file) => file.kind == FileKind::Described,
        }
    }
}

/// A folder.
#[derive(Debug)]
pub struct Folder {
    pub(crate) id: NodeId,
    pub(crate) path: String,
    pub(crate) modified: Option<SystemTime>,
    pub(crate) listing: Mutex<Option<Arc<Listing>>>,
    /// When somebody last walked through the folder.
    walked: Mutex<Option<Instant>>,
}

impl Folder {
    pub(crate) fn new(id: NodeId, path: String, modified: Option<SystemTime>) -> Self {
        Folder { id, path, modified, listing: Mutex::default(), walked: Mutex::default() }
    }

    /// Its number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its path from the store's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// When it was last changed, where the store says so.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Notes that somebody walks through it.
    pub(crate) fn walk(&self) {
        *lock(&self.walked) = Some(Instant::now());
    }

    /// When somebody last walked through it.
    pub(crate) fn walked(&self) -> Option<Instant> {
        *lock(&self.walked)
    }
}

/// What kind of file a name leads to.
#[derive(Clone, PartialEq, Debug)]
pub enum FileKind {
    /// Described by the source.
    Described,
    /// An object shown as it is.
    Plain {
        /// Its key.
        key: Key,
        /// Its bytes.
        size: u64,
        /// Its identity, where the store gives one.
        etag: Option<ETag>,
        /// When it was last changed.
        modified: Option<SystemTime>,
    },
}

/// A file.
#[derive(Debug)]
pub struct File {
    pub(crate) path: String,
    pub(crate) kind: FileKind,
    pub(crate) owner: Option<String>,
    /// Held while a version is loaded or compared with the store, so that many openers cause one load. What is under way
    /// stays here when its opener gives up, and the next one waits for it.
    pub(crate) gate: tokio::sync::Mutex<Option<Loading>>,
    record: Mutex<Record>,
}

/// What a file node knows of its current version.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Number of the current version, or of the one to come where none was loaded yet.
    pub id: NodeId,
    /// Size and times of the current version; `None` until it was loaded.
    pub stat: Option<Stat>,
    /// What it was read from.
    pub fingerprint: Option<Fingerprint>,
    /// The version, while somebody holds it.
    pub version: Weak<Version>,
    /// When it was last found unchanged.
    pub checked: Option<Instant>,
    /// Whether bytes of it were handed out.
    pub read: Arc<AtomicBool>,
    /// Whether its version was found to be another one than the store's.
    pub stale: Arc<AtomicBool>,
    /// The last load's failure, and when.
    pub failure: Option<(Instant, NamespaceError)>,
}

impl File {
    pub(crate) fn new(id: NodeId, path: String, kind: FileKind, owner: Option<String>) -> Self {
        let record = Record {
            id,
            stat: None,
            fingerprint: None,
            version: Weak::new(),
            checked: None,
            read: Arc::default(),
            stale: Arc::default(),
            failure: None,
        };
        File { path, kind, owner, gate: tokio::sync::Mutex::default(), record: Mutex::new(record) }
    }

    /// Its path from the store's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What kind of file it is.
    pub fn kind(&self) -> &FileKind {
        &self.kind
    }

    /// Who the store says owns it.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Number of its current version, or of its first one before that is loaded.
    pub fn current(&self) -> NodeId {
        self.record().id
    }

    /// Size and times of the current version, where it was loaded before.
    pub fn stat(&self) -> Option<Stat> {
        self.record().stat
    }

    /// Number of the current version together with its size and times, where it was loaded before.
    pub fn current_stat(&self) -> (NodeId, Option<Stat>) {
        let record = self.record();
        (record.id, record.stat)
    }

    /// Forgets that it was compared with the store.
    #[cfg(test)]
    pub(crate) fn expire(&self) {
        self.record().checked = None;
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

/// Nodes by path, as long as somebody holds them.
#[derive(Debug, Default)]
pub(crate) struct Table {
    nodes: Mutex<HashMap<String, Held>>,
    numbers: AtomicU64,
}

#[derive(Debug)]
struct Held {
    node: WeakNode,
    seen: Instant,
}

#[derive(Debug)]
enum WeakNode {
    Folder(Weak<Folder>),
    File(Weak<File>),
}

impl WeakNode {
    fn upgrade(&self) -> Option<Node> {
        match self {
            WeakNode::Folder(folder) => folder.upgrade().map(Node::Folder),
            WeakNode::File(file) => file.upgrade().map(Node::File),
        }
    }
}

impl Table {
    /// First number handed out: 1 is the root's, which the kernel knows without asking.
    const FIRST: u64 = 2;
    /// Dead names are swept when the table has grown to twice the live ones, and not below this size.
    const SWEEP: usize = 1024;

    pub(crate) fn number(&self) -> NodeId {
        NodeId(Self::FIRST + self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// The node at `path`, and when its entry was last seen in the store.
    pub(crate) fn get(&self, path: &str) -> Option<(Node, Instant)> {
        let nodes = lock(&self.nodes);
        let held = nodes.get(path)?;
        Some((held.node.upgrade()?, held.seen))
    }

    pub(crate) fn put(&self, node: &Node, seen: Instant) {
        let weak = match node {
            Node::Folder(folder) => WeakNode::Folder(Arc::downgrade(folder)),
            Node::File(file) => WeakNode::File(Arc::downgrade(file)),
        };
        let mut nodes = lock(&self.nodes);
        if nodes.len() >= Self::SWEEP && nodes.len() == nodes.capacity() {
            nodes.retain(|_, held| held.node.upgrade().is_some());
        }
        nodes.insert(node.path().to_owned(), Held { node: weak, seen });
    }

    pub(crate) fn remove(&self, path: &str) {
        lock(&self.nodes).remove(path);
    }
}

/// Locks; a poisoned lock is taken all the same, since nothing here leaves a value half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
