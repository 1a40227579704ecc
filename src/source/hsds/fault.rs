//! Why a part of the schema cannot be taken as it stands.
//!
//! Every parser of this folder answers with a [`Fault`]; the assembler turns it into a
//! [`Problem`](crate::model::problem::Problem) that names the object and its key.

/// What is wrong with a piece of JSON that describes a file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// A key that the schema requires is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value is not what the schema allows there.
    #[error("{what}: {reason}")]
    Malformed {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// It is valid, but cannot be shown.
    #[error("{0} cannot be shown")]
    Unsupported(String),
    /// A limit is passed.
    #[error("{what} is past the limit of {limit}")]
    Limit {
        /// What is too large, with its value where it has one.
        what: String,
        /// The limit.
        limit: u64,
    },
}

/// Characters of a reason that are shown: it may quote a value as long as its document.
const REASON_CHARACTERS: usize = 400;

impl Fault {
    /// The same with its texts cut, for where it is kept.
    pub fn shortened(self) -> Self {
        let cut = |text: String| match text.char_indices().nth(REASON_CHARACTERS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        match self {
            Fault::Malformed { what, reason } => Fault::Malformed { what, reason: cut(reason) },
            Fault::Unsupported(what) => Fault::Unsupported(cut(what)),
            Fault::Limit { what, limit } => Fault::Limit { what: cut(what), limit },
            missing @ Fault::Missing(_) => missing,
        }
    }

    /// A value that is not what the schema allows.
    pub fn malformed(what: &'static str, reason: impl Into<String>) -> Self {
        Fault::Malformed { what, reason: reason.into() }
    }

    /// A limit that is passed.
    pub fn limit(what: impl Into<String>, limit: u64) -> Self {
        Fault::Limit { what: what.into(), limit }
    }
}
