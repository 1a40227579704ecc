//! Why there are no credentials, and how that travels through `object_store` to whoever asked for an object.

use std::error::Error;

use crate::model::location::Location;
use crate::store::{Denial, StoreError, causes};

/// There are no credentials. One sentence, for whoever has to repair it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The places say that there are none, or that they are not good any more.
    #[error("{reason}")]
    Refused {
        /// [`Denial::Credentials`] or [`Denial::Expired`].
        denial: Denial,
        /// Which places were asked, and what to do.
        reason: String,
    },
    /// The place that has them did not answer.
    #[error("{reason}")]
    Unreachable {
        /// Which place, and what failed.
        reason: String,
    },
}

/// Longest reason, in characters: a `credential_process` may print pages.
const LONGEST: usize = 800;

impl Fault {
    /// No usable credentials.
    pub(super) fn refused(reason: impl Into<String>) -> Fault {
        Fault::Refused { denial: Denial::Credentials, reason: bounded(reason.into()) }
    }

    /// No answer.
    pub(super) fn unreachable(reason: impl Into<String>) -> Fault {
        Fault::Unreachable { reason: bounded(reason.into()) }
    }

    /// The fault inside an error of `object_store`, wherever in its chain of causes it lies.
    pub(in crate::store) fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Fault> {
        causes::causes(error).find_map(|cause| cause.downcast_ref::<Fault>())
    }

    /// What the fault means for a request for the object at `location`. Never that it is not there.
    pub(in crate::store) fn at(self, location: Location) -> StoreError {
        match self {
            Fault::Refused { denial, reason } => StoreError::Forbidden { location, denial, code: None, reason },
            Fault::Unreachable { reason } => StoreError::Unreachable { location, reason },
        }
    }
}

impl From<Fault> for object_store::Error {
    fn from(fault: Fault) -> object_store::Error {
        object_store::Error::Generic { store: "credentials", source: Box::new(fault) }
    }
}

/// An error with its causes as one sentence of bounded length.
pub(super) fn sentence(error: &(dyn Error + 'static)) -> String {
    bounded(causes::sentence(error))
}

fn bounded(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
