//! HDF5 structures as bytes, one file per structure of the specification.
//!
//! The room speaks of structures, never of datasets or stores: whoever uses it (the layout) decides which structures a
//! file has and where each one lies. That happens in two steps. First everything is *measured*: every structure tells
//! its length before any address is known. Then, with all addresses chosen, it is *encoded*. Structures that may be
//! larger than memory (chunk indexes of billions of entries) are plain arithmetic: any one page, block or node of them
//! is made on its own, from its number and a callback that gives the entries.
//!
//! The way back, from bytes to structures, stands beside it: `decode` functions read a [`cursor`] over bytes that a
//! [`bytes::Space`] finds by address. They believe nothing: every number passes a check before it sizes or places
//! anything, checksums are compared, every tree knows which nodes it has seen, and a [`FormatError`] names the structure
//! and the byte. A file need not be there whole: what is missing is asked for by its range ([`Kind::Needs`]).
//!
//! All files written use little-endian fields with 8-byte offsets and lengths. Section numbers in comments are those of the
//! HDF5 File Format Specification, version 3.0.

use std::ops::Range;

pub mod bytes;
pub mod cache_image;
pub mod checksum;
pub mod cursor;
pub mod dataspace;
pub mod datatype;
pub mod fields;
pub mod free_space;
pub mod heap;
pub mod index;
pub mod message;
pub mod object_header;
pub mod register;
pub mod selection;
pub mod shared_table;
pub mod superblock;

#[cfg(test)]
mod tests;

/// An address that leads nowhere: all bits set (specification V, "undefined address").
pub const UNDEFINED_ADDRESS: u64 = u64::MAX;

/// What is wrong with a structure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The format has no bytes for a value.
    Unencodable,
    /// These bytes of the file are not at hand yet: no fault, whoever has the file brings them and asks again.
    Needs(Range<u64>),
    /// The structure goes on past the end of the file, or of what holds it.
    Truncated,
    /// It does not begin as it should.
    Signature,
    /// A version that is not known.
    Version,
    /// Its checksum is another.
    Checksum,
    /// A field has a value that it may not have.
    Value,
    /// A number passes a limit that the room sets on what it takes in.
    Limit,
    /// A structure leads back to itself.
    Cycle,
    /// It is well formed, and something the room does not read.
    Unsupported,
}

/// Something that the format has no bytes for, or bytes that it has no meaning for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{structure}: {reason}{}", if *kind == Kind::Unencodable { String::new() } else { format!(" (at byte {at})") })]
pub struct FormatError {
    /// The cause.
    pub kind: Kind,
    /// The structure as the specification names it.
    pub structure: &'static str,
    /// Where the field stands or would have stood: when encoding, the byte in the structure (0 for the structure as a
    /// whole); when decoding, the byte in the file.
    pub at: u64,
    /// What does not fit, with the numbers.
    pub reason: String,
}

impl FormatError {
    /// An error about a structure as a whole.
    pub(crate) fn new(structure: &'static str, reason: impl Into<String>) -> Self {
        FormatError { kind: Kind::Unencodable, structure, at: 0, reason: reason.into() }
    }

    /// An error about the field that begins at byte `at`.
    pub(crate) fn at(structure: &'static str, at: usize, reason: impl Into<String>) -> Self {
        FormatError { kind: Kind::Unencodable, structure, at: at as u64, reason: reason.into() }
    }

    /// The bytes that are missing, where that is all that is wrong.
    pub fn needs(&self) -> Option<&Range<u64>> {
        match &self.kind {
            Kind::Needs(range) => Some(range),
            _ => None,
        }
    }
}
