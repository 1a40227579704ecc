//! HDF5 structures as bytes, one file per structure of the specification.
//!
//! The room speaks of structures, never of datasets or stores: whoever uses it (the layout) decides which structures a
//! file has and where each one lies. That happens in two steps. First everything is *measured*: every structure tells
//! its length before any address is known. Then, with all addresses chosen, it is *encoded*. Structures that may be
//! larger than memory (chunk indexes of billions of entries) are plain arithmetic: any one page, block or node of them
//! is made on its own, from its number and a callback that gives the entries.
//!
//! All files use little-endian fields with 8-byte offsets and lengths. Section numbers in comments are those of the
//! HDF5 File Format Specification, version 3.0.

pub mod checksum;
pub mod dataspace;
pub mod datatype;
pub mod fields;
pub mod heap;
pub mod index;
pub mod message;
pub mod object_header;
pub mod selection;
pub mod superblock;

#[cfg(test)]
mod tests;

/// An address that leads nowhere: all bits set (specification V, "undefined address").
pub const UNDEFINED_ADDRESS: u64 = u64::MAX;

/// Something that the format has no bytes for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{structure}: {reason}")]
pub struct FormatError {
    /// The structure as the specification names it.
    pub structure: &'static str,
    /// Byte position in the structure where the field would have stood; 0 where the structure as a whole is at fault.
    pub at: u64,
    /// What does not fit, with the numbers.
    pub reason: String,
}

impl FormatError {
    /// An error about a structure as a whole.
    pub(crate) fn new(structure: &'static str, reason: impl Into<String>) -> Self {
        FormatError { structure, at: 0, reason: reason.into() }
    }

    /// An error about the field that begins at byte `at`.
    pub(crate) fn at(structure: &'static str, at: usize, reason: impl Into<String>) -> Self {
        FormatError { structure, at: at as u64, reason: reason.into() }
    }
}
