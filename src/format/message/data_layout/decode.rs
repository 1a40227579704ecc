//! Layouts of versions 1 to 5.

use std::ops::Range;

use super::{SINGLE_FILTERED, STRUCTURE};
use crate::format::cursor::Cursor;
use crate::format::{FormatError, Kind};
use crate::model::limits::RANK;

/// Flag: chunks that pass the extents are stored without filters.
const PLAIN_EDGES: u8 = 0x01;

/// Where elements are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredLayout {
    /// In the message: these bytes of the file.
    Compact(Range<u64>),
    /// In one piece.
    Contiguous {
        /// Its address, or undefined.
        address: u64,
        /// Its bytes; old versions leave them to the extents and the datatype.
        size: Option<u64>,
    },
    /// In chunks.
    Chunked(StoredChunks),
    /// In other datasets, by a list in a global heap.
    Virtual {
        /// Address of the heap collection, or undefined.
        heap: u64,
        /// Index of the object in it.
        index: u32,
    },
}

/// Chunks and how they are found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredChunks {
    /// Extents of a chunk, in elements.
    pub chunk: Vec<u64>,
    /// Bytes of an element, as the message has it.
    pub element_size: u64,
    /// Chunks that pass the extents are stored without filters.
    pub plain_edges: bool,
    /// Version of the message; it decides the width of a filtered chunk's size.
    pub version: u8,
    /// The index.
    pub index: StoredIndex,
    /// Its address, or undefined.
    pub address: u64,
}

impl StoredChunks {
    /// Bytes of a chunk before filters; `None` where they pass 64 bits.
    pub fn bytes(&self) -> Option<u64> {
        self.chunk.iter().try_fold(self.element_size, |bytes, &dim| bytes.checked_mul(dim))
    }
}

/// Kinds of chunk index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoredIndex {
    /// A v1 B-tree.
    BTree1,
    /// One chunk; with filters its stored size and filter mask.
    Single(Option<(u64, u32)>),
    /// One chunk after the other.
    Implicit,
    /// A fixed array.
    FixedArray,
    /// An extensible array.
    ExtensibleArray,
    /// A v2 B-tree.
    BTree2,
}

/// A message's body.
pub fn decode(body: &mut Cursor<'_>) -> Result<StoredLayout, FormatError> {
    let mut body = { *body }.named(STRUCTURE);
    let body = &mut body;
    let version = body.version(1..=5)?;
    if version < 3 {
        return old(body, version);
    }
    match body.u8()? {
        0 => {
            let len = body.u16()?.into();
            Ok(StoredLayout::Compact(compact(body, len)?))
        }
        1 => Ok(StoredLayout::Contiguous { address: body.address()?, size: Some(body.length()?) }),
        2 if version == 3 => {
            let dims = body.u8()?;
            let address = body.address()?;
            let (chunk, element_size) = extents(body, dims, 4)?;
            let index = StoredIndex::BTree1;
            Ok(StoredLayout::Chunked(StoredChunks { chunk, element_size, plain_edges: false, version, index, address }))
        }
        2 => chunked(body, version),
        3 if version >= 4 => Ok(StoredLayout::Virtual { heap: body.address()?, index: body.u32()? }),
        class => Err(body.bad(format!("class {class}"))),
    }
}

fn old(body: &mut Cursor<'_>, version: u8) -> Result<StoredLayout, FormatError> {
    let (dims, class) = (body.u8()?, body.u8()?);
    body.skip(5)?;
    if usize::from(dims) > RANK + 1 {
        return Err(body.bad(format!("rank {dims}")));
    }
    match class {
        0 => {
            body.skip(4 * usize::from(dims))?;
            let len = body.u32()? as usize;
            Ok(StoredLayout::Compact(compact(body, len)?))
        }
        1 => Ok(StoredLayout::Contiguous { address: body.address()?, size: None }),
        2 => {
            let address = body.address()?;
            let (chunk, element_size) = extents(body, dims, 4)?;
            let index = StoredIndex::BTree1;
            Ok(StoredLayout::Chunked(StoredChunks { chunk, element_size, plain_edges: false, version, index, address }))
        }
        class => Err(body.bad(format!("class {class}"))),
    }
}

fn compact(body: &mut Cursor<'_>, len: usize) -> Result<Range<u64>, FormatError> {
    let start = body.position();
    body.skip(len)?;
    Ok(start..body.position())
}

/// Extents of a chunk, and last the bytes of an element.
fn extents(body: &mut Cursor<'_>, dims: u8, width: usize) -> Result<(Vec<u64>, u64), FormatError> {
    if !(2..=RANK + 1).contains(&usize::from(dims)) || !(1..=8).contains(&width) {
        return Err(body.bad(format!("chunks with {dims} extents of {width} bytes each")));
    }
    let mut extents = (0..dims).map(|_| body.uint(width)).collect::<Result<Vec<_>, _>>()?;
    if extents.contains(&0) {
        return Err(body.bad(format!("chunks of {extents:?} elements and bytes")));
    }
    let element = extents.pop().unwrap_or(1);
    Ok((extents, element))
}

fn chunked(body: &mut Cursor<'_>, version: u8) -> Result<StoredLayout, FormatError> {
    let flags = body.u8()?;
    let (dims, width) = (body.u8()?, body.u8()?);
    let (chunk, element_size) = extents(body, dims, width.into())?;
    let index = match body.u8()? {
        1 if flags & SINGLE_FILTERED != 0 => StoredIndex::Single(Some((body.length()?, body.u32()?))),
        1 => StoredIndex::Single(None),
        2 => StoredIndex::Implicit,
        // Parameters stand in the index's header, too, and are taken from there.
        3 => body.skip(1).map(|()| StoredIndex::FixedArray)?,
        4 => body.skip(5).map(|()| StoredIndex::ExtensibleArray)?,
        5 => body.skip(6).map(|()| StoredIndex::BTree2)?,
        index => return Err(body.fault(Kind::Unsupported, format!("chunk index {index}"))),
    };
    let plain_edges = flags & PLAIN_EDGES != 0;
    let address = body.address()?;
    Ok(StoredLayout::Chunked(StoredChunks { chunk, element_size, plain_edges, version, index, address }))
}
