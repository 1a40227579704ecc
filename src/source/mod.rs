//! What a store's objects mean: one trait, one folder per schema.
//!
//! Below lies `store`, which only knows keys and bytes; above lies `namespace`, which only knows folders, files and the
//! [`Contents`] of a file. A source reads the objects that describe a file and says where its chunks are; it never
//! fetches a chunk and knows nothing of the presented HDF5 file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::model::chunk::ChunkMap;
use crate::model::hierarchy::{Hierarchy, ObjectId};
use crate::model::location::{ETag, Key};
use crate::model::problem::Problem;
use crate::store::StoreError;
use shelf::Description;

pub mod hdf5;
pub mod hsds;
pub mod shelf;

/// A schema read from one store. Paths are `/`-separated, relative to the store's root, without a leading or trailing
/// `/`; the root folder is the empty path.
#[async_trait]
pub trait Source: Send + Sync {
    /// What `folder` holds, in no particular order, as soon as it is known. The stream runs ahead of whoever reads it by
    /// as many requests as the store may be asked at a time; an error is its end.
    fn list<'a>(&'a self, folder: &'a str) -> BoxStream<'a, Result<Entry, SourceError>>;

    /// The entry at `path`, without listing its folder; `None` where there is none.
    async fn find(&self, path: &str) -> Result<Option<Entry>, SourceError>;

    /// As [`find`](Self::find), where the answer was a file or folder that says what it is: likely it still is, so less
    /// need be asked for at once.
    async fn find_again(&self, path: &str) -> Result<Option<Entry>, SourceError> {
        self.find(path).await
    }

    /// Everything that describes the file at `path`.
    async fn open(&self, path: &str) -> Result<Contents, SourceError>;

    /// All that describes the file at `path` now, as one object that can be kept.
    ///
    /// # Errors
    /// [`SourceError::Invalid`] where files of this kind have no such form.
    async fn describe(&self, path: &str) -> Result<Description, SourceError> {
        Err(SourceError::Invalid { key: Key::new(path), reason: "files of this kind have no index".to_owned() })
    }

    /// Whether what `fingerprint` was taken of is still there unchanged.
    async fn still_holds(&self, fingerprint: &Fingerprint) -> Result<Freshness, SourceError>;
}

/// The path of `name` in `folder`.
pub fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Last segment of its path.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// When it was last changed, where the store says so.
    pub modified: Option<SystemTime>,
    /// Who the store says owns it.
    pub owner: Option<String>,
}

/// What a name in a folder leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A file that is shown as HDF5; open it to know its size.
    File,
    /// There, but whether file or folder could not be found out now. Only listings say so: whoever wants to know more
    /// looks it up by itself.
    Unclear,
    /// An object shown as it is.
    Plain {
        /// Its key.
        key: Key,
        /// Its bytes.
        size: u64,
        /// Its identity, where the store gives one.
        etag: Option<ETag>,
    },
}

/// All that describes one version of a file.
#[derive(Debug)]
pub struct Contents {
    /// Its objects.
    pub hierarchy: Hierarchy,
    /// Its chunks.
    pub chunks: Arc<dyn ChunkMap>,
    /// How it is shown.
    pub body: Body,
    /// What it was read from.
    pub fingerprint: Fingerprint,
    /// What of it cannot be shown as it is.
    pub problems: Vec<Problem>,
    /// Facts for people: `root`, `owner`, `acls`, `dialect`, `schema` …, by name.
    pub facts: BTreeMap<String, String>,
    /// When any of it was last changed.
    pub modified: Option<SystemTime>,
}

/// How a file is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// As an HDF5 file made of the hierarchy.
    Hierarchy,
    /// As the bytes of one dataset, which are a file already.
    Bytes {
        /// The dataset: one dimension, one byte an element.
        dataset: ObjectId,
        /// Bytes of the file.
        len: u64,
    },
    /// As an object of the store is, though it could have been shown otherwise; a fact `shown` says why.
    Object {
        /// Its key.
        key: Key,
        /// Its bytes.
        size: u64,
        /// Its identity, where the store gives one.
        etag: Option<ETag>,
    },
}

/// The objects a version was read from, each with its identity then. `None` as identity: it was absent.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// Identities by key.
    pub objects: BTreeMap<Key, Option<ETag>>,
    /// Whether a file of which only chunks change changes one of these objects too, sooner or later.
    pub tells_of_chunks: bool,
    /// Keys that begin so are few enough for one page of a listing, and most of these objects are among them.
    pub page: Option<Key>,
}

/// What became of a version in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Still as it was.
    Unchanged,
    /// Something of it differs.
    Changed,
    /// It is gone.
    Gone,
}

/// Why a source could not say.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// Nothing is at this path.
    #[error("{path}: no such file or folder in the store")]
    NotFound {
        /// The path.
        path: String,
    },
    /// What is there is not of the schema.
    #[error("{key}: {reason}")]
    Invalid {
        /// The key.
        key: Key,
        /// What is wrong with it.
        reason: String,
    },
    /// A limit of [`crate::model::limits`] was passed.
    #[error("{key}: {what} is past the limit of {limit}")]
    Limit {
        /// The key.
        key: Key,
        /// What is too large, with its value.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
