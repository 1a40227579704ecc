//! Why a chunk could not be had, by cause.

use crate::model::chunk::ChunkId;
use crate::model::location::Location;
use crate::store::StoreError;

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
    /// The chunk table that says where the chunk lies is itself at fault.
    #[error("chunk {} of object {}: its chunk table: {reason}", .id.number, .id.dataset.0)]
    Table {
        /// The chunk.
        id: ChunkId,
        /// What is wrong.
        reason: String,
    },
    /// A chunk that is computed where it is not stored, and cannot be.
    #[error("chunk {} of object {}: not stored, and its initializer: {reason}", .id.number, .id.dataset.0)]
    Initializer {
        /// The chunk.
        id: ChunkId,
        /// What is wrong.
        reason: String,
    },
    /// No such chunk in this file, or no such bytes in the chunk: the caller's fault.
    #[error("chunk {} of object {}: {reason}", .id.number, .id.dataset.0)]
    Outside {
        /// The chunk.
        id: ChunkId,
        /// What was wanted.
        reason: String,
    },
    /// Plain bytes past the limit for one chunk in memory.
    #[error("chunk {} of object {}: {size} bytes are past the limit of {limit}", .id.number, .id.dataset.0)]
    TooLarge {
        /// The chunk.
        id: ChunkId,
        /// Its plain bytes.
        size: u64,
        /// The limit.
        limit: u64,
    },
}
