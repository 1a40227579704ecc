//! The bytes of a file, by address.
//!
//! [`Bytes`] is all that decoding knows of a file: its length, and ranges of it, which may not be there yet. A
//! [`Space`] is a file whose superblock is known: addresses count from its base address, fields have its widths.

use std::cell::Cell;
use std::ops::Range;

use super::cursor::Cursor;
use super::{FormatError, Kind};

/// A file, whole or in parts.
pub trait Bytes {
    /// Bytes of the file.
    fn len(&self) -> u64;

    /// True for a file of no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, which lies inside the file; `Err` where they are not at hand, with what is missing.
    fn get(&self, range: Range<u64>) -> Result<&[u8], Range<u64>>;
}

impl Bytes for &[u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn get(&self, range: Range<u64>) -> Result<&[u8], Range<u64>> {
        let inside = || Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?);
        inside().and_then(|inside| <[u8]>::get(self, inside)).ok_or(range.clone())
    }
}

/// Widths of fields, as the superblock says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Bytes of an address.
    pub offsets: u8,
    /// Bytes of a length.
    pub lengths: u8,
}

impl Sizes {
    /// What nearly all files have.
    pub const EIGHT: Sizes = Sizes { offsets: 8, lengths: 8 };

    /// Bytes of an address.
    pub fn offset(self) -> usize {
        self.offsets.into()
    }

    /// Bytes of a length.
    pub fn length(self) -> usize {
        self.lengths.into()
    }
}

/// How often the bytes of a file may be taken in before a decoder is taken to run in circles. Sound files stay below
/// two: only heap blocks and shared messages are read more than once.
const TIMES_TAKEN_IN: u64 = 32;
/// What may be taken in of a small file.
const ALWAYS_TAKEN_IN: u64 = 16 << 20;

/// A file's address space.
pub struct Space<'a> {
    bytes: &'a dyn Bytes,
    base: u64,
    sizes: Sizes,
    taken_in: Cell<u64>,
}

impl<'a> Space<'a> {
    /// The space of a file whose addresses count from byte `base`.
    pub fn new(bytes: &'a dyn Bytes, base: u64, sizes: Sizes) -> Self {
        Space { bytes, base, sizes, taken_in: Cell::new(0) }
    }

    /// Widths of its fields.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The byte of the file that address 0 is.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Addresses that there are: bytes from the base to the end of the file.
    pub fn len(&self) -> u64 {
        self.bytes.len().saturating_sub(self.base)
    }

    /// True where the file ends before its base address.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A cursor over `len` bytes of `structure` from `address` on.
    pub fn cursor(&self, structure: &'static str, address: u64, len: u64) -> Result<Cursor<'a>, FormatError> {
        let at = address.saturating_add(self.base);
        let error = |kind, reason| FormatError { kind, structure, at, reason };
        let start = self.base.checked_add(address);
        let range = start.and_then(|start| Some(start..start.checked_add(len)?));
        let Some(range) = range.filter(|range| range.end <= self.bytes.len()) else {
            let reason = format!("{len} bytes at address {address} end outside the file of {} bytes", self.bytes.len());
            return Err(error(Kind::Truncated, reason));
        };
        let taken_in = self.taken_in.get().saturating_add(len);
        if taken_in > self.bytes.len().saturating_mul(TIMES_TAKEN_IN).saturating_add(ALWAYS_TAKEN_IN) {
            return Err(error(Kind::Limit, format!("{taken_in} bytes of metadata in a file of {}", self.bytes.len())));
        }
        self.taken_in.set(taken_in);
        match self.bytes.get(range) {
            Ok(bytes) => Ok(Cursor::new(structure, bytes, at, self.sizes)),
            Err(missing) => {
                let reason = format!("bytes {} to {} are not at hand", missing.start, missing.end);
                Err(error(Kind::Needs(missing), reason))
            }
        }
    }

    /// As [`cursor`](Self::cursor), with fewer bytes where the file ends before.
    pub fn cursor_up_to(&self, structure: &'static str, address: u64, len: u64) -> Result<Cursor<'a>, FormatError> {
        self.cursor(structure, address, len.min(self.len().saturating_sub(address)))
    }
}
