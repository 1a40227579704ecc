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
    /// Something is there and can never be read as an object: a directory, a pipe, a device.
    #[error("{location}: {what} is there, and no object")]
    NoObject {
        /// The place.
        location: Location,
        /// What is there.
        what: &'static str,
    },
    /// The store refuses.
    #[error("{location}: {denial}: {reason}")]
    Forbidden {
        /// The object.
        location: Location,
        /// Why, as far as the store says.
        denial: Denial,
        /// The store's own word for it (`AccessDenied`), where it has one.
        code: Option<Box<str>>,
        /// The store's words.
        reason: String,
    },
    /// The service says that it cannot serve now: too many requests, or a fault of its own.
    #[error("{location}: the service cannot answer now: {reason}")]
    Unavailable {
        /// The object.
        location: Location,
        /// The service's words.
        reason: String,
    },
    /// The service was not reached: no such host, no connection, no trusted certificate.
    #[error("{location}: cannot reach the service: {reason}")]
    Unreachable {
        /// The object.
        location: Location,
        /// What failed, and what to do.
        reason: String,
    },
    /// An answer that ended early, or is none of this kind of service.
    #[error("{location}: a broken answer: {reason}")]
    Garbled {
        /// The object.
        location: Location,
        /// What is wrong with it.
        reason: String,
    },
    /// The object is not the one that was asked for (`If-Match` failed).
    #[error("{location}: changed in the store since it was first read")]
    Changed {
        /// The object.
        location: Location,
    },
    /// There is an object already where one was to be made.
    #[error("{location}: there is such an object already")]
    Exists {
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
        matches!(
            self,
            StoreError::Timeout { .. }
                | StoreError::Busy { .. }
                | StoreError::Unavailable { .. }
                | StoreError::Unreachable { .. }
                | StoreError::Garbled { .. }
        )
    }
}

/// Why a store refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// These credentials, or nobody, may do this. Of a store that may not be listed it can also mean that the object is
    /// not there.
    Rights,
    /// For a reason that is none of the others; the service's words say more.
    Other,
    /// The credentials were valid once.
    Expired,
    /// The credentials are unknown, malformed or wrongly signed.
    Credentials,
    /// The clocks of this machine and the service differ.
    Clock,
    /// The object lies in an archive and must be restored first.
    Archived,
    /// The object is encrypted with a key that may not be used.
    Encryption,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Denial::Rights => "access denied",
            Denial::Other => "refused",
            Denial::Expired => "the credentials have expired",
            Denial::Credentials => "the credentials are not accepted",
            Denial::Clock => "the clock of this machine is wrong",
            Denial::Archived => "the object is archived",
            Denial::Encryption => "the object's encryption key may not be used",
        })
    }
}
