//! Why the namespace could not answer, by cause.

use crate::fetch::{ChunkName, FetchError};
use crate::model::location::Location;
use crate::source::SourceError;
use crate::store::{Denial, StoreError};

/// A failed question to the namespace. Cheap enough to clone: everybody who waits for one load gets the same one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NamespaceError {
    /// Nothing has this name.
    #[error("{path}: no such file or folder")]
    NotFound {
        /// The path.
        path: String,
    },
    /// A folder was needed and it is a file.
    #[error("{path}: is a file, not a folder")]
    NotAFolder {
        /// The path.
        path: String,
    },
    /// A file was needed and it is a folder.
    #[error("{path}: is a folder, not a file")]
    IsAFolder {
        /// The path.
        path: String,
    },
    /// What describes the file or folder could not be read.
    #[error("{path}: {error}")]
    Source {
        /// The path.
        path: String,
        /// What failed.
        #[source]
        error: SourceError,
    },
    /// The file cannot be laid out as HDF5.
    #[error("{path}: cannot be shown as an HDF5 file: {reason}")]
    Layout {
        /// The path.
        path: String,
        /// Why.
        reason: String,
    },
    /// The file has problems and `strict` was asked for.
    #[error(
        "{path}: refused, because it cannot be shown completely ({count} problems, first: {first}); mount without --strict to read the rest"
    )]
    Strict {
        /// The path.
        path: String,
        /// How many problems.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// Bytes of a chunk or object could not be had.
    #[error("{path}: {}bytes at {at}: {error}", of(.chunk))]
    Fetch {
        /// The path.
        path: String,
        /// Position in the presented file.
        at: u64,
        /// The chunk they are of, where the error itself does not tell.
        chunk: Option<Box<ChunkName>>,
        /// What failed.
        #[source]
        error: FetchError,
    },
    /// The elements of a chunk could not be placed in the presented file.
    #[error("{path}: {chunk}, bytes at {at}: {reason}")]
    Window {
        /// The path.
        path: String,
        /// Position in the presented file.
        at: u64,
        /// The chunk.
        chunk: Box<ChunkName>,
        /// Why.
        reason: String,
    },
    /// The work broke off by a fault of this program.
    #[error("{path}: broken off by a fault of h5mount itself; what the log says before this is worth a report")]
    Stopped {
        /// The path.
        path: String,
    },
    /// The work was given up, because the program is ending.
    #[error("{path}: given up while the program ends")]
    Ended {
        /// The path.
        path: String,
    },
}

impl NamespaceError {
    /// Whether the thing asked for does not exist (any more).
    pub fn is_not_found(&self) -> bool {
        match self {
            NamespaceError::NotFound { .. } => true,
            NamespaceError::Source { error, .. } => matches!(error, SourceError::NotFound { .. }),
            _ => false,
        }
    }

    /// What the complaint is about: the same for all requests that fail for the same reason, wherever they read.
    pub fn subject(&self) -> String {
        match (self.of_store().and_then(service_wide), self) {
            (Some((location, word, _)), _) => format!("{} {word}", location.bucket.as_str()),
            (None, NamespaceError::Fetch { path, error, .. }) => format!("{path} {error}"),
            (None, NamespaceError::Window { path, chunk, .. }) => format!("{path} {chunk}"),
            (None, other) => other.to_string(),
        }
    }

    /// What to do about it, where the error itself does not say.
    pub fn remedy(&self) -> Option<&'static str> {
        self.of_store().and_then(service_wide).map(|(_, _, remedy)| remedy)
    }

    fn of_store(&self) -> Option<&StoreError> {
        match self {
            NamespaceError::Source { error: SourceError::Store(error), .. } => Some(error),
            NamespaceError::Fetch { error: FetchError::Store(error), .. } => Some(error),
            _ => None,
        }
    }

    /// What kind of failure it is, for whoever has only few words for it.
    pub fn cause(&self) -> Cause {
        match self {
            NamespaceError::NotFound { .. } => Cause::Absent,
            NamespaceError::NotAFolder { .. } => Cause::NotAFolder,
            NamespaceError::IsAFolder { .. } => Cause::IsAFolder,
            NamespaceError::Source { error: SourceError::NotFound { .. }, .. } => Cause::Absent,
            NamespaceError::Source { error: SourceError::Store(error), .. } => match error {
                StoreError::Forbidden { .. } => Cause::Denied,
                error => of_store(error),
            },
            NamespaceError::Fetch { error, .. } => match error {
                FetchError::Stale { .. } => Cause::Changed,
                FetchError::Store(error) => of_store(error),
                _ => Cause::Broken,
            },
            _ => Cause::Broken,
        }
    }

    pub(crate) fn source(path: &str, error: SourceError) -> Self {
        match error {
            SourceError::NotFound { .. } => NamespaceError::NotFound { path: shown(path) },
            error => NamespaceError::Source { path: shown(path), error },
        }
    }
}

/// Kinds of failure that a program can tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Nothing of this name.
    Absent,
    /// A folder was needed.
    NotAFolder,
    /// A file was needed.
    IsAFolder,
    /// The store does not let us read what describes the file.
    Denied,
    /// The store holds something else by now.
    Changed,
    /// No answer in time.
    TimedOut,
    /// It cannot be read.
    Broken,
}

/// Part of an open file that the store refuses or lacks is broken, not absent: the name is there.
fn of_store(error: &StoreError) -> Cause {
    match error {
        StoreError::Changed { .. } => Cause::Changed,
        // All that was tried within the deadline failed, and may succeed at any later time.
        StoreError::Timeout { .. } | StoreError::Unavailable { .. } | StoreError::Unreachable { .. } => Cause::TimedOut,
        _ => Cause::Broken,
    }
}

/// Failures of a whole service rather than of one object: where, in a word, and what to do.
fn service_wide(error: &StoreError) -> Option<(&Location, &'static str, &'static str)> {
    const AGAIN: &str = "it is asked again by the next read, without a remount";
    Some(match error {
        StoreError::Timeout { location, .. } => (location, "late", AGAIN),
        StoreError::Unavailable { location, .. } => (location, "unavailable", AGAIN),
        StoreError::Unreachable { location, .. } => (
            location,
            "unreachable",
            "check network, endpoint and proxy (h5mount doctor does); it is asked again by the next read, without a remount",
        ),
        StoreError::Garbled { location, .. } => {
            (location, "garbled", "check that the endpoint is the service itself and no proxy answers for it")
        }
        StoreError::Forbidden { location, denial, .. } => match denial {
            // Rights may differ from key to key.
            Denial::Rights | Denial::Other | Denial::Archived | Denial::Encryption => return None,
            Denial::Expired => {
                (location, "expired", "renew the credentials where they come from; the next request looks there again")
            }
            Denial::Credentials => (location, "credentials", "h5mount doctor tells whose credentials are used"),
            Denial::Clock => (location, "clock", "set the clock of this machine"),
        },
        _ => return None,
    })
}

fn of(chunk: &Option<Box<ChunkName>>) -> String {
    chunk.as_ref().map_or_else(String::new, |chunk| format!("{chunk}, "))
}

/// A path as people write it: the root is `/`.
pub(crate) fn shown(path: &str) -> String {
    format!("/{path}")
}
