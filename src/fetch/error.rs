//! Why a chunk could not be had, by cause.

use std::fmt;

use crate::model::location::Location;
use crate::store::StoreError;

/// A chunk as people know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkName {
    /// Path of the dataset in its file.
    pub dataset: String,
    /// Number of the chunk in the dataset's grid, in C order.
    pub number: u64,
    /// Its coordinates in that grid, as the schema writes them in keys.
    pub coordinates: String,
    /// The object it is looked for in, where that is known without reading anything.
    pub key: Option<String>,
}

impl fmt::Display for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} chunk {}", self.dataset, self.coordinates)?;
        self.key.as_ref().map_or(Ok(()), |key| write!(f, " ({key})"))
    }
}

/// A chunk, or bytes of an object, that could not be had. Cloned to everyone who waits for them; never kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bytes are there but do not mean a chunk.
    #[error("{location}: cannot be decoded: {reason}")]
    Undecodable {
        /// The object that holds them.
        location: Location,
        /// What is wrong with them.
        reason: String,
    },
    /// The object is another one than this version was read from; opening the file again shows the new one.
    #[error("{location}: changed since this version of the file was opened; open the file again")]
    Stale {
        /// The object.
        location: Location,
    },
    /// An object that linked data lie in is not there.
    #[error("{location}: linked data are gone: the dataset's bytes lie in this object, which must be restored")]
    Gone {
        /// The object.
        location: Location,
    },
    /// Linked data that this mount does not follow.
    #[error("{location}: linked data are not followed: {reason}")]
    NotFollowed {
        /// The object.
        location: Location,
        /// Why not, and what to do.
        reason: String,
    },
    /// Linked data younger than what describes them, where that is refused.
    #[error(
        "{location}: linked data were written later than what describes them; refused because of --strict (mount without it to read them all the same)"
    )]
    Younger {
        /// The object.
        location: Location,
    },
    /// The chunk table that says where the chunk lies is itself at fault.
    #[error("{chunk}: its chunk table: {reason}")]
    Table {
        /// The chunk.
        chunk: Box<ChunkName>,
        /// What is wrong.
        reason: String,
    },
    /// A chunk that is computed where it is not stored, and cannot be.
    #[error("{chunk}: not stored, and its initializer: {reason}")]
    Initializer {
        /// The chunk.
        chunk: Box<ChunkName>,
        /// What is wrong.
        reason: String,
    },
    /// No such chunk in this file, or no such bytes in the chunk: the caller's fault.
    #[error("{chunk}: {reason}")]
    Outside {
        /// The chunk.
        chunk: Box<ChunkName>,
        /// What was wanted.
        reason: String,
    },
    /// Plain bytes past the limit for one chunk in memory.
    #[error("{chunk}: {size} bytes are past the limit of {limit}")]
    TooLarge {
        /// The chunk.
        chunk: Box<ChunkName>,
        /// Its plain bytes.
        size: u64,
        /// The limit.
        limit: u64,
    },
}

impl FetchError {
    /// Whether the error tells which chunk it is about; the others tell which object.
    pub fn names_chunk(&self) -> bool {
        matches!(
            self,
            FetchError::Table { .. }
                | FetchError::Initializer { .. }
                | FetchError::Outside { .. }
                | FetchError::TooLarge { .. }
        )
    }
}
