//! A version of a file: its bytes as they were when it was opened, for as long as somebody holds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::node::NodeId;
use crate::fetch::{FileChunks, PlainObject, Reservation};
use crate::layout::Image;
use crate::model::hierarchy::ObjectId;
use crate::model::problem::Problem;

/// Size and times of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of the presented file.
    pub len: u64,
    /// Bytes that take room in the store, as far as known.
    pub stored: u64,
    /// When any of it was last changed, where the store says so.
    pub modified: Option<SystemTime>,
}

/// One version of one file.
#[derive(Debug)]
pub struct Version {
    pub(crate) id: NodeId,
    pub(crate) path: String,
    pub(crate) content: Content,
    pub(crate) stat: Stat,
    pub(crate) facts: BTreeMap<String, String>,
    pub(crate) problems: Vec<Problem>,
    /// Estimated bytes in memory, for the budget of versions that nobody holds.
    pub(crate) weight: u64,
    /// Counts them as held.
    pub(crate) held: Option<Arc<Reservation>>,
    /// Some of its bytes were handed out.
    pub(crate) read: Arc<AtomicBool>,
    /// Something of it was found changed in the store, so that it cannot be read to its end.
    pub(crate) stale: Arc<AtomicBool>,
}

/// Where the bytes of a version come from.
#[derive(Debug)]
pub(crate) enum Content {
    /// An HDF5 file made of a hierarchy.
    Image {
        /// Where everything lies.
        image: Arc<Image>,
        /// Its chunks.
        chunks: Arc<FileChunks>,
    },
    /// The bytes of one dataset, cut into pieces of `piece` bytes.
    Bytes {
        /// The dataset.
        dataset: ObjectId,
        /// Bytes of one chunk.
        piece: u64,
        /// The byte that stands where nothing was written.
        fill: u8,
        /// Its chunks.
        chunks: Arc<FileChunks>,
    },
    /// An object as it is.
    Plain(Arc<PlainObject>),
}

impl Version {
    pub(crate) fn new(id: NodeId, path: String, content: Content, stat: Stat) -> Self {
        Version {
            id,
            path,
            content,
            stat,
            facts: BTreeMap::new(),
            problems: Vec::new(),
            weight: 0,
            held: None,
            read: Arc::default(),
            stale: Arc::default(),
        }
    }

    /// Its number; another version, another number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Path of its file from the store's root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Bytes of the presented file.
    pub fn len(&self) -> u64 {
        self.stat.len
    }

    /// Whether the presented file has no byte.
    pub fn is_empty(&self) -> bool {
        self.stat.len == 0
    }

    /// Bytes that may be read ahead of a sequential reader though nobody wants them.
    pub fn reach(&self) -> u64 {
        match &self.content {
            Content::Image { image, .. } => image.reach(),
            // There is nothing behind.
            Content::Bytes { .. } | Content::Plain(_) => u64::MAX,
        }
    }

    /// Size and times.
    pub fn stat(&self) -> Stat {
        self.stat
    }

    /// Facts for people, by name.
    pub fn facts(&self) -> &BTreeMap<String, String> {
        &self.facts
    }

    /// What of the file is not shown as it is stored, and what was met so far of the objects it is linked to.
    pub fn problems(&self) -> Vec<Problem> {
        let linked = self.chunks().map(|chunks| chunks.problems()).unwrap_or_default();
        self.problems.iter().cloned().chain(linked).collect()
    }

    /// Its chunks, unless it is an object shown as it is.
    pub(crate) fn chunks(&self) -> Option<&Arc<FileChunks>> {
        match &self.content {
            Content::Image { chunks, .. } | Content::Bytes { chunks, .. } => Some(chunks),
            Content::Plain(_) => None,
        }
    }

    /// Where its structures and chunks lie, for an HDF5 file made of a hierarchy.
    pub fn image(&self) -> Option<&Image> {
        match &self.content {
            Content::Image { image, .. } => Some(image),
            _ => None,
        }
    }

    /// The same version for new readers: another number, and nothing known yet of any chunk.
    pub(crate) fn renewed(&self, id: NodeId) -> Version {
        let content = match &self.content {
            Content::Image { image, chunks } => Content::Image { image: image.clone(), chunks: chunks.renewed() },
            Content::Bytes { dataset, piece, fill, chunks } => {
                Content::Bytes { dataset: *dataset, piece: *piece, fill: *fill, chunks: chunks.renewed() }
            }
            Content::Plain(object) => Content::Plain(object.renewed()),
        };
        let mut version = Version::new(id, self.path.clone(), content, self.stat);
        version.facts = self.facts.clone();
        version.problems = self.problems.clone();
        version.weight = self.weight;
        version.held = self.held.clone();
        version
    }

    /// Notes that bytes of it are handed out: from now on a reload could not prove to be the same.
    pub(crate) fn mark_read(&self) {
        self.read.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_read(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    pub(crate) fn mark_stale(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }
}
