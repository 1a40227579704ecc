//! The bytes of a file, by address.
//!
//! [`Bytes`] is all that decoding knows of a file: its length, and ranges of it, which may not be there yet. A
//! [`Space`] is a file whose superblock is known: addresses count from its base address, fields have its widths.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use super::cache_image::CacheImage;
use super::cursor::Cursor;
use super::register::{Aside, Register};
use super::{FormatError, Kind};
use crate::model::extents::Extents;

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

impl Bytes for Extents {
    fn len(&self) -> u64 {
        Extents::len(self)
    }

    fn get(&self, range: Range<u64>) -> Result<&[u8], Range<u64>> {
        Extents::get(self, &range).ok_or(range)
    }
}

/// Errors of a walk over branches, of which those that only lack bytes do not end it.
#[derive(Debug, Default)]
pub struct Branches(Option<FormatError>);

impl Branches {
    /// Takes in how a branch ended: the walk goes on past one whose bytes are not at hand.
    pub fn ended(&mut self, branch: Result<(), FormatError>) -> Result<(), FormatError> {
        self.value(branch).map(|_| ())
    }

    /// What a branch gave; `None` where its bytes are not at hand.
    pub fn value<T>(&mut self, branch: Result<T, FormatError>) -> Result<Option<T>, FormatError> {
        match branch {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.needs().is_some() => {
                self.0.get_or_insert(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The first error of a branch, where there was one.
    pub fn end(self) -> Result<(), FormatError> {
        self.0.map_or(Ok(()), Err)
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

/// How many entries nodes of the old trees have room for: half of those in a tree, and in a leaf of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranks {
    /// Half the links of a symbol table node.
    pub leaf: u16,
    /// Half the children of a node of a group's tree.
    pub group: u16,
    /// Half the children of a node of a tree of chunks.
    pub chunk: u16,
}

impl Ranks {
    /// What a file has that does not say (specification IV.A.2.t, and libhdf5's defaults).
    pub const USUAL: Ranks = Ranks { leaf: 4, group: 16, chunk: 32 };
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
    ranks: Ranks,
    register: Option<&'a Register>,
    /// Structures that count instead of what stands at their addresses.
    image: Option<&'a CacheImage>,
    taken_in: Cell<u64>,
    /// What was asked for and is not at hand.
    missing: RefCell<Vec<Range<u64>>>,
}

impl<'a> Space<'a> {
    /// The space of a file whose addresses count from byte `base`.
    pub fn new(bytes: &'a dyn Bytes, base: u64, sizes: Sizes) -> Self {
        let (ranks, taken_in) = (Ranks::USUAL, Cell::new(0));
        Space { bytes, base, sizes, ranks, register: None, image: None, taken_in, missing: RefCell::default() }
    }

    /// The same, with every structure noted in `register`; `ranks` tell how large nodes are.
    pub fn noting(self, ranks: Ranks, register: Option<&'a Register>) -> Self {
        Space { ranks, register, ..self }
    }

    /// The same, where structures of `image` count instead of what stands at their addresses.
    pub fn imaged(self, image: Option<&'a CacheImage>) -> Self {
        Space { image, ..self }
    }

    /// The bytes that an image has from `address` on.
    pub fn in_image(&self, address: u64) -> Option<&'a [u8]> {
        self.image?.from(address)
    }

    /// Room of nodes of the old trees.
    pub fn ranks(&self) -> Ranks {
        self.ranks
    }

    /// Notes that the structure at `address` has `len` bytes, and room for `room`.
    pub fn claim(&self, structure: &'static str, address: u64, len: u64, room: u64) {
        if let Some(register) = self.register {
            register.note(structure, self.base.saturating_add(address), len, room);
        }
    }

    /// Notes a structure that only writers read.
    pub fn aside(&self, aside: Aside) {
        let (Aside::FreeSpace(address) | Aside::Tree(address)) = aside;
        if let Some(register) = self.register.filter(|_| address != super::UNDEFINED_ADDRESS) {
            register.aside(aside);
        }
    }

    /// Notes whose the structures are that follow.
    pub fn belongs_to(&self, owner: u64) {
        if let Some(register) = self.register {
            register.belongs_to(owner);
        }
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

    /// Bytes of metadata that were taken in so far.
    pub fn taken_in(&self) -> u64 {
        self.taken_in.get()
    }

    /// All ranges that were asked for and are not at hand. Walks over trees go on past such, so that a whole level is
    /// asked for at once.
    pub fn take_missing(&self) -> Vec<Range<u64>> {
        self.missing.take()
    }

    /// A cursor over the `len` bytes of `structure` at `address`.
    pub fn cursor(&self, structure: &'static str, address: u64, len: u64) -> Result<Cursor<'a>, FormatError> {
        let cursor = self.within(structure, address, len)?;
        self.claim(structure, address, len, len);
        Ok(cursor)
    }

    /// A cursor over `len` bytes from `address` on that are a part of `structure`, or may pass its end.
    pub fn within(&self, structure: &'static str, address: u64, len: u64) -> Result<Cursor<'a>, FormatError> {
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
        if let Some(held) = self.in_image(address) {
            let part = usize::try_from(len).ok().and_then(|len| held.get(..len)).ok_or_else(|| {
                let reason = format!("{len} bytes at address {address}, of which the cache's image has {}", held.len());
                error(Kind::Truncated, reason)
            })?;
            return Ok(Cursor::new(structure, part, at, self.sizes));
        }
        match self.bytes.get(range) {
            Ok(bytes) => Ok(Cursor::new(structure, bytes, at, self.sizes)),
            Err(missing) => {
                let reason = format!("bytes {} to {} are not at hand", missing.start, missing.end);
                self.missing.borrow_mut().push(missing.clone());
                Err(error(Kind::Needs(missing), reason))
            }
        }
    }

    /// As [`cursor`](Self::cursor), with fewer bytes where the file or a structure of an image ends before.
    pub fn cursor_up_to(&self, structure: &'static str, address: u64, len: u64) -> Result<Cursor<'a>, FormatError> {
        let end = self.in_image(address).map_or(self.len().saturating_sub(address), |held| held.len() as u64);
        self.within(structure, address, len.min(end))
    }
}
