//! Problems: what of a file cannot be shown, and why.

use std::fmt;

use serde::Serialize;

/// Something that is left out or shown otherwise than stored.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize)]
pub struct Problem {
    /// The object, link or attribute, as a path in the file (`/group/dataset`, `/dataset@attribute`).
    pub path: String,
    /// The key of the store's object that holds it.
    pub key: String,
    /// What is wrong and what was done about it, as a sentence.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (in {})", self.path, self.reason, self.key)
    }
}
