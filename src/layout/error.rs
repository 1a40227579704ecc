//! What can go wrong while a file is laid out, and what is left out of it rather than refused.

use crate::format::FormatError;
use crate::model::chunk::ChunkId;
use crate::model::hierarchy::ObjectId;

/// Why an image could not be made, or a chunk not be placed in it.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum LayoutError {
    /// Object 0 is missing or no group.
    #[error("the hierarchy has no root group")]
    NoRoot,
    /// More bytes than a file can have.
    #[error("{path}: the presented file would be longer than {limit} bytes")]
    TooLong {
        /// The object that did not fit.
        path: String,
        /// [`FILE_BYTES`](crate::model::limits::FILE_BYTES).
        limit: u64,
    },
    /// A structure that the format has no room for.
    #[error("{path}: {source}")]
    Unencodable {
        /// The object it belongs to.
        path: String,
        /// The structure and the reason.
        source: FormatError,
    },
    /// Not a chunk of a dataset of this image.
    #[error("dataset {} has no chunk {}", id.dataset.0, id.number)]
    NoSuchChunk {
        /// What was asked for.
        id: ChunkId,
    },
    /// Elements that are not those of a chunk of the dataset.
    #[error("chunk {} of dataset {}: {reason}", id.number, id.dataset.0)]
    BadElements {
        /// The chunk.
        id: ChunkId,
        /// What is wrong with them.
        reason: String,
    },
    /// Variable-length data that outgrows the room kept for it.
    #[error("chunk {} of dataset {}: its variable-length data takes more than the {window} bytes kept for it", id.number, id.dataset.0)]
    WindowOverflow {
        /// The chunk.
        id: ChunkId,
        /// Bytes of its window.
        window: u64,
    },
}

/// Something of a hierarchy that the presented file does not show, or shows otherwise. The file opens without it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Omission {
    /// The object it is, or hangs on.
    pub object: ObjectId,
    /// Path in the file (`/group/dataset`, `/dataset@attribute`, `/group/link`).
    pub path: String,
    /// What is wrong and what was done about it, as a sentence.
    pub reason: String,
}
