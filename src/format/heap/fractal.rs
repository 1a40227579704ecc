//! The fractal heap (III.G): where dense groups keep their link messages and objects their dense attributes.
//!
//! A heap has an address space of its own, cut into direct blocks by a doubling table: rows of [`WIDTH`] blocks, the
//! first two rows of the starting size, each further row of twice the size before it. Rows of blocks larger than
//! [`MAX_DIRECT`] are nested indirect blocks. Objects fill the blocks in order, none cut in two. The smallest heaps are
//! one direct block alone. What is larger than [`MAX_MANAGED`] is a huge object: it lies by itself in the file and is
//! found through a v2 B-tree.
//!
//! [`FractalHeap::plan`] takes the objects' lengths and knows from then on every block's length and every object's heap
//! id; addresses and the objects' bytes are wanted only when encoding. Free space is not tracked: a writer that adds to
//! the heap begins a new block.

pub mod decode;

use std::ops::Range;

use crate::format::fields::{CHECKSUM_LEN, Fields};
use crate::format::index::btree2::{self, BTree2};
use crate::format::{FormatError, UNDEFINED_ADDRESS};

/// Bytes of the header.
pub const HEADER_LEN: usize = 146;
/// Bytes of a record of the v2 B-tree of huge objects: address, length, number.
pub const HUGE_RECORD_LEN: u16 = 24;

/// Bytes of the largest object inside a block; what libhdf5 uses for links and attributes.
pub const MAX_MANAGED: u64 = 4096;
/// Blocks of a row. With blocks of 8 to 256 KiB one indirect block then holds 32 MiB of objects, about a million links;
/// libhdf5 can nest blocks below only while this is at most twice `MAX_DIRECT` / starting size.
const WIDTH: u64 = 64;
/// Bytes of the largest direct block. A reader takes in and sums a whole block for each object it looks up.
const MAX_DIRECT: u64 = 256 << 10;
/// Bytes of the first blocks of a heap of many blocks: any managed object fits, so that none is skipped.
const START_BLOCK: u64 = 8 << 10;
/// Bytes of the smallest block that is a heap by itself; libhdf5's starting size for links.
const SMALLEST_BLOCK: u64 = 512;

/// Bits of the header's flags: direct blocks have checksums.
const CHECKSUMMED_BLOCKS: u8 = 0x02;
/// First byte of the id of a huge object; that of a managed object is 0.
const HUGE_ID: u8 = 0x10;
/// Bytes of an object's length in its id: enough for `MAX_MANAGED`.
const LENGTH_WIDTH: usize = 2;
/// Rows of the root indirect block that a writer starts with.
const START_ROWS: u16 = 1;

/// What a heap holds; it decides the sizes of heap ids and of the address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// Link messages: ids of 7 bytes, 32 bits of space.
    Links,
    /// Attribute messages: ids of 8 bytes, 40 bits of space.
    Attributes,
}

impl Client {
    /// Bytes of a heap id.
    pub const fn id_len(self) -> usize {
        match self {
            Client::Links => 7,
            Client::Attributes => 8,
        }
    }

    /// log2 of the heap's address space.
    const fn bits(self) -> u32 {
        match self {
            Client::Links => 32,
            Client::Attributes => 40,
        }
    }

    /// Bytes of a place in that space.
    const fn offset_width(self) -> usize {
        self.bits().div_ceil(8) as usize
    }

    /// Bytes of a direct block that are not objects.
    const fn block_overhead(self) -> u64 {
        (4 + 1 + 8 + self.offset_width() + CHECKSUM_LEN) as u64
    }
}

/// A heap id; its first [`Client::id_len`] bytes count.
pub type HeapId = [u8; 8];

/// Where an object is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// At this place in the heap's space.
    Managed(u64),
    /// On its own, with this number (from 1 on).
    Huge(u64),
}

/// A block of a heap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Where it begins in the heap's own address space.
    pub offset: u64,
    /// Its bytes in the file.
    pub len: u64,
    /// What it holds.
    pub content: Content,
}

/// What a block holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Objects, by their numbers; the huge ones among them are not in the block.
    Direct {
        /// First and one past the last object.
        objects: Range<usize>,
    },
    /// Addresses of blocks.
    Indirect {
        /// Rows of the doubling table.
        rows: u32,
        /// Its blocks that exist, by their numbers; they are the first entries of the table.
        children: Vec<usize>,
    },
}

/// The plan of a fractal heap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FractalHeap {
    client: Client,
    objects: Vec<(u64, Place)>,
    huge: Vec<usize>,
    start_block: u64,
    blocks: Vec<Block>,
    root: Option<usize>,
    /// Objects placed so far while planning, huge ones passed over.
    placed: usize,
}

impl FractalHeap {
    /// A heap of objects of these lengths, in this order.
    pub fn plan(client: Client, lengths: impl IntoIterator<Item = u64>) -> Result<Self, FormatError> {
        let error = |reason: String| FormatError::new("fractal heap", reason);
        let mut objects = Vec::new();
        let mut huge = Vec::new();
        let mut managed_len = 0u64;
        for len in lengths {
            if len == 0 {
                return Err(error(format!("object {} is empty", objects.len())));
            }
            if len > MAX_MANAGED {
                huge.push(objects.len());
                objects.push((len, Place::Huge(huge.len() as u64)));
            } else {
                managed_len += len;
                objects.push((len, Place::Managed(UNDEFINED_ADDRESS)));
            }
        }
        let single = (managed_len + client.block_overhead()).max(SMALLEST_BLOCK).next_power_of_two();
        let start_block = single.min(START_BLOCK);
        let mut heap = FractalHeap { client, objects, huge, start_block, blocks: Vec::new(), root: None, placed: 0 };
        if managed_len == 0 {
            return Ok(heap);
        }
        if single <= START_BLOCK {
            heap.root = Some(heap.add_direct(0, start_block));
            return Ok(heap);
        }
        let root = heap.add_indirect(0, heap.max_root_rows());
        heap.root = Some(root);
        if heap.placed < heap.objects.len() {
            return Err(error(format!("{managed_len} bytes of objects pass 2^{}", client.bits())));
        }
        Ok(heap)
    }

    /// What it holds.
    pub fn client(&self) -> Client {
        self.client
    }

    /// All blocks; their numbers are their places in this list. The root is the last one.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The number of the root block; `None` where all objects are huge.
    pub fn root(&self) -> Option<usize> {
        self.root
    }

    /// The huge objects by their numbers. Each lies by itself in the file; libhdf5 reads them as raw data.
    pub fn huge(&self) -> &[usize] {
        &self.huge
    }

    /// Bytes of an object.
    pub fn object_len(&self, object: usize) -> u64 {
        self.objects.get(object).map_or(0, |(len, _)| *len)
    }

    /// The v2 B-tree of huge objects, its records numbered like [`huge`](Self::huge) and filled by
    /// [`put_huge_record`](Self::put_huge_record). There is none without huge objects.
    pub fn huge_index(&self, node_size: u32) -> Result<BTree2, FormatError> {
        BTree2::new(btree2::kind::HUGE_OBJECT, HUGE_RECORD_LEN, node_size, self.huge.len() as u64)
    }

    /// Writes the record of a huge object that lies at `address`; `record` counts in [`huge`](Self::huge).
    pub fn put_huge_record(&self, record: usize, address: u64, out: &mut [u8]) {
        let len = self.huge.get(record).map_or(0, |&object| self.object_len(object));
        let fields = [address, len, record as u64 + 1];
        for (to, field) in out.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
    }

    /// The heap id of an object.
    pub fn id(&self, object: usize) -> HeapId {
        let mut id = HeapId::default();
        let Some(&(len, place)) = self.objects.get(object) else {
            debug_assert!(false, "the heap has no object {object}");
            return id;
        };
        match place {
            Place::Managed(offset) => {
                let width = self.client.offset_width();
                id[1..1 + width].copy_from_slice(&offset.to_le_bytes()[..width]);
                id[1 + width..][..LENGTH_WIDTH].copy_from_slice(&len.to_le_bytes()[..LENGTH_WIDTH]);
            }
            Place::Huge(number) => {
                id[0] = HUGE_ID;
                let width = self.client.id_len() - 1;
                id[1..1 + width].copy_from_slice(&number.to_le_bytes()[..width]);
            }
        }
        id
    }

    /// The header, with the addresses of the root block and of the huge objects' B-tree; each is ignored where there is
    /// none.
    pub fn encode_header(&self, root: u64, huge_index: u64) -> Vec<u8> {
        let huge_len: u64 = self.huge.iter().map(|&object| self.object_len(object)).sum();
        let managed = self.objects.len() - self.huge.len();
        let managed_len: u64 = self.objects.iter().map(|(len, _)| *len).sum::<u64>() - huge_len;
        let direct = || self.blocks.iter().filter(|block| matches!(block.content, Content::Direct { .. }));
        let allocated: u64 = direct().map(|block| block.len).sum();
        let next = direct().map(|block| block.offset + block.len).max().unwrap_or(0);
        let rows = match self.root.and_then(|root| self.blocks.get(root)) {
            Some(Block { content: Content::Indirect { rows, .. }, .. }) => *rows,
            _ => 0,
        };
        let (space, room) = if rows > 0 {
            (self.row_offset(rows), (0..rows).map(|row| self.row_room(row)).sum::<u64>())
        } else {
            (allocated, allocated.saturating_sub(self.client.block_overhead()))
        };
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.put_bytes(b"FRHP\0");
        out.put_u16(self.client.id_len() as u16);
        out.put_u16(0); // No filters.
        out.put_u8(CHECKSUMMED_BLOCKS);
        out.put_u32(MAX_MANAGED as u32);
        out.put_u64(self.huge.len() as u64); // The last number given to a huge object.
        out.put_u64(if self.huge.is_empty() { UNDEFINED_ADDRESS } else { huge_index });
        out.put_u64(room.saturating_sub(managed_len));
        out.put_u64(UNDEFINED_ADDRESS); // No free-space manager.
        out.put_u64(space);
        out.put_u64(allocated);
        out.put_u64(next);
        out.put_u64(managed as u64);
        out.put_u64(huge_len);
        out.put_u64(self.huge.len() as u64);
        out.put_u64(0); // No tiny objects.
        out.put_u64(0);
        out.put_u16(WIDTH as u16);
        out.put_u64(self.start_block);
        out.put_u64(MAX_DIRECT);
        out.put_u16(self.client.bits() as u16);
        out.put_u16(START_ROWS);
        out.put_u64(if self.root.is_some() { root } else { UNDEFINED_ADDRESS });
        out.put_u16(rows as u16);
        out.put_checksum(0);
        out
    }

    /// Block `block`, [`Block::len`] bytes: `address_of` tells where a block is, `object` fills the bytes of an object.
    pub fn encode_block(
        &self,
        block: usize,
        header: u64,
        address_of: impl Fn(usize) -> u64,
        mut object: impl FnMut(usize, &mut [u8]),
    ) -> Vec<u8> {
        let Some(Block { offset, len, content }) = self.blocks.get(block) else {
            debug_assert!(false, "the heap has no block {block}");
            return Vec::new();
        };
        let mut out = Vec::with_capacity(*len as usize);
        out.put_bytes(if matches!(content, Content::Direct { .. }) { b"FHDB\0" } else { b"FHIB\0" });
        out.put_u64(header);
        out.put_uint(*offset, self.client.offset_width());
        match content {
            Content::Direct { objects } => {
                // The checksum stands before the objects and is that of the block with zeros in its place.
                let sum_at = out.len();
                out.resize(*len as usize, 0);
                for number in objects.clone() {
                    if let Some(&(len, Place::Managed(place))) = self.objects.get(number) {
                        let from = (place - offset) as usize;
                        object(number, &mut out[from..from + len as usize]);
                    }
                }
                let sum = crate::format::checksum::lookup3(&out);
                out[sum_at..sum_at + CHECKSUM_LEN].copy_from_slice(&sum.to_le_bytes());
            }
            Content::Indirect { children, .. } => {
                for &child in children {
                    out.put_u64(address_of(child));
                }
                out.resize(*len as usize - CHECKSUM_LEN, 0xff); // Undefined addresses.
                out.put_checksum(0);
            }
        }
        out
    }

    /// Adds a direct block and puts into it what fits.
    fn add_direct(&mut self, offset: u64, len: u64) -> usize {
        let first = self.placed;
        let mut at = offset + self.client.block_overhead();
        while let Some((size, place)) = self.objects.get_mut(self.placed) {
            if let Place::Managed(place) = place {
                if at + *size > offset + len {
                    break;
                }
                *place = at;
                at += *size;
            }
            self.placed += 1;
        }
        self.blocks.push(Block { offset, len, content: Content::Direct { objects: first..self.placed } });
        self.blocks.len() - 1
    }

    /// Adds an indirect block of at most `rows` rows (exactly so many below the root) and the blocks it leads to, as
    /// long as there are objects. Its children come before it in the list.
    fn add_indirect(&mut self, offset: u64, rows: u32) -> usize {
        let mut children = Vec::new();
        let mut used_rows = 0;
        for row in 0..rows {
            if !self.is_unfinished() {
                break;
            }
            used_rows = row + 1;
            let len = self.row_block_len(row);
            for column in 0..WIDTH {
                if !self.is_unfinished() {
                    break;
                }
                let at = offset + self.row_offset(row) + column * len;
                children.push(if row < self.direct_rows() {
                    self.add_direct(at, len)
                } else {
                    self.add_indirect(at, self.rows_of(len))
                });
            }
        }
        let rows = if offset == 0 { used_rows } else { rows };
        let fixed = self.client.block_overhead();
        let len = fixed + u64::from(rows) * WIDTH * 8;
        self.blocks.push(Block { offset, len, content: Content::Indirect { rows, children } });
        self.blocks.len() - 1
    }

    /// True while managed objects are without a place; passes over huge ones.
    fn is_unfinished(&mut self) -> bool {
        while matches!(self.objects.get(self.placed), Some((_, Place::Huge(_)))) {
            self.placed += 1;
        }
        self.placed < self.objects.len()
    }

    /// Bytes of each block of a row.
    fn row_block_len(&self, row: u32) -> u64 {
        self.start_block << row.saturating_sub(1)
    }

    /// Where a row begins, from the start of its table.
    fn row_offset(&self, row: u32) -> u64 {
        if row == 0 { 0 } else { WIDTH * self.row_block_len(row) }
    }

    /// Rows of direct blocks; the rows behind them are indirect.
    fn direct_rows(&self) -> u32 {
        (MAX_DIRECT / self.start_block).ilog2() + 2
    }

    /// Rows of the indirect block that stands for `len` bytes of the heap's space.
    fn rows_of(&self, len: u64) -> u32 {
        (len / (self.start_block * WIDTH)).max(1).ilog2() + 1
    }

    /// Rows with which the root stands for all of the heap's space.
    fn max_root_rows(&self) -> u32 {
        self.rows_of(1 << self.client.bits())
    }

    /// Bytes for objects in all blocks of a row.
    fn row_room(&self, row: u32) -> u64 {
        let block = if row < self.direct_rows() {
            self.row_block_len(row) - self.client.block_overhead()
        } else {
            (0..self.rows_of(self.row_block_len(row))).map(|row| self.row_room(row)).sum()
        };
        WIDTH * block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn managed(heap: &FractalHeap) -> Vec<(u64, u64)> {
        let places = heap.objects.iter().filter_map(|&(len, place)| match place {
            Place::Managed(offset) => Some((offset, len)),
            Place::Huge(_) => None,
        });
        places.collect()
    }

    fn check(heap: &FractalHeap) {
        for (offset, len) in managed(heap) {
            let inside = heap.blocks.iter().filter(|block| {
                matches!(block.content, Content::Direct { .. })
                    && offset >= block.offset + heap.client.block_overhead()
                    && offset + len <= block.offset + block.len
            });
            assert_eq!(inside.count(), 1, "object at {offset}");
        }
        assert!(managed(heap).is_sorted_by(|(a, len), (b, _)| a + len <= *b));
    }

    proptest! {
        #[test]
        fn every_managed_object_lies_in_one_block(lengths in prop::collection::vec(1u64..9000, 0..600)) {
            let heap = FractalHeap::plan(Client::Attributes, lengths.iter().copied()).unwrap();
            check(&heap);
            prop_assert_eq!(heap.huge().len(), lengths.iter().filter(|&&len| len > MAX_MANAGED).count());
            for (number, block) in heap.blocks().iter().enumerate() {
                let bytes = heap.encode_block(number, 0, |_| 0, |_, out| out.fill(1));
                prop_assert_eq!(bytes.len() as u64, block.len);
            }
        }
    }

    #[test]
    fn a_large_heap_nests_indirect_blocks() {
        let heap = FractalHeap::plan(Client::Links, (0..50_000).map(|_| 4000)).unwrap();
        let depth = heap.blocks.iter().filter(|block| matches!(block.content, Content::Indirect { .. })).count();
        assert!(depth > 1, "{depth} indirect blocks");
        let ends = heap.blocks.iter().filter(|block| matches!(block.content, Content::Direct { .. }));
        // Blocks follow each other in the heap's space without gaps.
        assert_eq!(
            ends.fold(0, |at, block| {
                assert_eq!(block.offset, at);
                at + block.len
            }),
            heap_end(&heap)
        );
    }

    fn heap_end(heap: &FractalHeap) -> u64 {
        heap.blocks
            .iter()
            .map(|block| if let Content::Direct { .. } = block.content { block.offset + block.len } else { 0 })
            .max()
            .unwrap()
    }

    #[test]
    fn more_than_the_space_is_refused() {
        let heap = FractalHeap::plan(Client::Links, (0..1_100_000).map(|_| 4096));
        assert!(heap.is_err());
    }
}
