//! The data layout message (IV.A.2.i): where a dataset's elements are. Version 3 for contiguous and
//! compact data, version 4 for chunks, whose index it names, and for virtual datasets.

pub mod decode;

use crate::format::FormatError;
use crate::format::fields::{Fields, width_of};
use crate::format::index::{extensible_array, fixed_array};
use crate::model::limits::RANK;

/// Type of the message in an object header.
pub const KIND: u8 = 0x08;

const STRUCTURE: &str = "data layout message";
/// Flag: the single chunk is filtered, and its size and filter mask follow.
const SINGLE_FILTERED: u8 = 0x02;
/// Percent of a v2 B-tree node at which libhdf5 splits it; its default for chunk indexes.
pub const SPLIT_PERCENT: u8 = 100;
/// Percent of a v2 B-tree node at which libhdf5 merges it; its default for chunk indexes.
pub const MERGE_PERCENT: u8 = 40;

/// Elements in one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contiguous {
    /// Their address, undefined where nothing is allocated.
    pub address: u64,
    /// Their bytes.
    pub size: u64,
}

impl Contiguous {
    /// The message's body.
    pub fn body(&self) -> Vec<u8> {
        let mut out = vec![3, 1];
        out.put_u64(self.address);
        out.put_u64(self.size);
        out
    }
}

/// Elements in the message itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compact<'a> {
    /// Their bytes.
    pub data: &'a [u8],
}

impl Compact<'_> {
    /// Bytes that a message has room for, with the fields before them.
    pub const MOST: usize = u16::MAX as usize - 8;

    /// The message's body.
    pub fn body(&self) -> Result<Vec<u8>, FormatError> {
        let len = u16::try_from(self.data.len()).ok().filter(|&len| usize::from(len) <= Self::MOST);
        let len = len.ok_or_else(|| FormatError::new(STRUCTURE, format!("{} compact bytes", self.data.len())))?;
        let mut out = vec![3, 0];
        out.put_bytes(&len.to_le_bytes());
        out.put_bytes(self.data);
        Ok(out)
    }
}

/// Elements in other datasets: where the heap object lies that says in which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Virtual {
    /// Address of the heap collection; undefined where no dataset is named.
    pub heap: u64,
    /// Index of the object in it.
    pub index: u32,
}

impl Virtual {
    /// The message's body.
    pub fn body(&self) -> Vec<u8> {
        let mut out = vec![4, 3];
        out.put_u64(self.heap);
        out.put_u32(self.index);
        out
    }
}

/// How chunks are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkIndexKind {
    /// The dataset has one chunk; the address leads to it. With filters its stored size and filter mask stand here.
    Single {
        /// Stored bytes and filter mask of a filtered chunk.
        filtered: Option<(u64, u32)>,
    },
    /// Chunks lie one behind the other in row-major order; the address leads to the first.
    Implicit,
    /// A [fixed array](crate::format::index::fixed_array) over the grid of the maximum extents.
    FixedArray,
    /// An [extensible array](crate::format::index::extensible_array): exactly one dimension is unlimited.
    ExtensibleArray,
    /// A [v2 B-tree](crate::format::index::btree2) of types 10 and 11.
    BTree2 {
        /// Bytes of a node.
        node_size: u32,
    },
}

/// Elements in chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunked<'a> {
    /// Extents of a chunk, in elements.
    pub chunk: &'a [u64],
    /// Bytes of an element.
    pub element_size: u32,
    /// The index.
    pub index: ChunkIndexKind,
    /// Its address (of its header; of the chunk or the first chunk where it has none).
    pub address: u64,
}

impl Chunked<'_> {
    /// The message's body.
    pub fn body(&self) -> Result<Vec<u8>, FormatError> {
        let rank = self.chunk.len();
        if rank == 0 || rank > RANK {
            return Err(FormatError::new(STRUCTURE, format!("chunks of rank {rank}")));
        }
        // libhdf5 keeps chunk extents and chunk bytes in 32 bits (layout version 4).
        let bytes = self.chunk.iter().try_fold(u64::from(self.element_size), |bytes, &dim| bytes.checked_mul(dim));
        if !bytes.is_some_and(|bytes| bytes > 0 && bytes <= u64::from(u32::MAX)) {
            let reason = format!("a chunk of {:?} elements of {} bytes", self.chunk, self.element_size);
            return Err(FormatError::new(STRUCTURE, reason));
        }
        let widest = self.chunk.iter().copied().fold(u64::from(self.element_size), u64::max);
        let width = width_of(widest);
        let flags = match self.index {
            ChunkIndexKind::Single { filtered: Some(_) } => SINGLE_FILTERED,
            _ => 0,
        };
        let mut out = vec![4, 2, flags, rank as u8 + 1, width as u8];
        for &dim in self.chunk {
            out.put_uint(dim, width);
        }
        out.put_uint(self.element_size.into(), width);
        match self.index {
            ChunkIndexKind::Single { filtered } => {
                out.put_u8(1);
                if let Some((size, mask)) = filtered {
                    out.put_u64(size);
                    out.put_u32(mask);
                }
            }
            ChunkIndexKind::Implicit => out.put_u8(2),
            ChunkIndexKind::FixedArray => out.put_bytes(&[3, fixed_array::PAGE_BITS]),
            ChunkIndexKind::ExtensibleArray => {
                out.put_u8(4);
                out.put_bytes(&extensible_array::LAYOUT_PARAMETERS);
            }
            ChunkIndexKind::BTree2 { node_size } => {
                out.put_u8(5);
                out.put_u32(node_size);
                out.put_bytes(&[SPLIT_PERCENT, MERGE_PERCENT]);
            }
        }
        out.put_u64(self.address);
        Ok(out)
    }
}
