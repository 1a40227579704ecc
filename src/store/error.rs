//! Why the store did not answer as asked, by cause.

use crate::model::location::Location;

/// A failed request. Cheap to clone, since every waiter of a shared request gets the same one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No such object.
    #[error("{location}: no such object")]
    NotFound {
        /// The object.
        location: Location,
    },
    /// The store refuses: credentials, permissions, an archived object.
    #[error("{location}: access denied: {reason}")]
    Forbidden {
        /// The object.
        location: Location,
        /// The store's words.
        reason: String,
    },
    /// The object is not the one that was asked for (`If-Match` failed).
    #[error("{location}: changed in the store since it was first read")]
    Changed {
        /// The object.
        location: Location,
    },
    /// A range outside the object.
    #[error("{location}: bytes {start}..{end} are past its end")]
    Range {
        /// The object.
        location: Location,
        /// First byte wanted.
        start: u64,
        /// One past the last byte wanted.
        end: u64,
    },
    /// This kind of store, or this key, cannot be handled.
    #[error("{what}: {reason}")]
    Unsupported {
        /// The URL or key.
        what: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// No answer within the deadline.
    #[error("{location}: no answer within {seconds} s")]
    Timeout {
        /// The object.
        location: Location,
        /// The deadline.
        seconds: u64,
    },
    /// Anything else that failed: the disk, the network, the service.
    #[error("{location}: {reason}")]
    Failed {
        /// The object.
        location: Location,
        /// What failed.
        reason: String,
    },
    /// The object was rewritten again and again while it was read, so that no reading of it was of one version.
    #[error("{location}: being rewritten while it is read")]
    Busy {
        /// The object.
        location: Location,
    },
    /// An object larger than the caller can take.
    #[error("{location}: {size} bytes are past the limit of {limit}")]
    TooLarge {
        /// The object.
        location: Location,
        /// Its bytes.
        size: u64,
        /// The most that was asked for.
        limit: u64,
    },
}

impl StoreError {
    /// Whether the store said that there is no such object. Nothing else means absence: what is forbidden, late or
    /// broken may well be there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, StoreError::NotFound { .. })
    }

    /// Whether the same request may succeed a moment later with nobody repairing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Timeout { .. } | StoreError::Busy { .. })
    }
}
