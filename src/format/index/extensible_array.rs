//! The extensible array (VII.D): the chunk index of datasets with one unlimited dimension.
//!
//! A header leads to an index block. That holds the first 4 entries, the addresses of the first 6 data blocks, and those
//! of 25 super blocks, each of which holds the addresses of its own data blocks. Blocks grow by the square root of two:
//! super block *u* (counting the first four, which have no block of their own) has 2^(u/2) data blocks of
//! 16 · 2^((u+1)/2) entries. Data blocks of more than 1024 entries are cut into pages with a checksum each.
//!
//! Entry *i* is chunk *i* counted with the unlimited dimension slowest, then row-major over the grid of the other
//! dimensions' maximum extents. Blocks exist as far as there are entries; the last one is filled up with absent chunks.

pub mod decode;

use std::ops::Range;

use super::element::put_absent;
use super::fixed_array::put_entries;
use crate::format::fields::{CHECKSUM_LEN, Fields};
use crate::format::{FormatError, UNDEFINED_ADDRESS};

/// Bytes of the header.
pub const HEADER_LEN: usize = 72;

/// log2 of the most entries an array may have. This and the next four are libhdf5's defaults; 32 is also its only
/// choice for chunks.
const MAX_BITS: u8 = 32;
/// Entries in the index block.
const INDEX_ELEMENTS: u64 = 4;
/// Data blocks of the smallest super block that has a block of its own.
const MIN_POINTERS: u8 = 4;
/// Entries of the smallest data block.
const MIN_ELEMENTS: u64 = 16;
/// log2 of the entries of a data block's page.
const PAGE_BITS: u8 = 10;

/// The parameters as the data layout message has them. The header has the two in the middle the other way round.
pub const LAYOUT_PARAMETERS: [u8; 5] = [MAX_BITS, INDEX_ELEMENTS as u8, MIN_POINTERS, MIN_ELEMENTS as u8, PAGE_BITS];

/// Super blocks of an array: 1 + 32 - log2(16).
const SUPER_BLOCKS: u32 = 29;
/// The first super block with a block of its own: 2 · log2(4).
const FIRST_SUPER_BLOCK: u32 = 4;
/// Data blocks whose addresses stand in the index block: 2 · (4 - 1).
const INDEX_DATA_BLOCKS: u64 = 6;
/// Bytes of a block's place in the array: 32 bits.
const OFFSET_LEN: usize = 4;
/// Signature, version, client, header address.
const BLOCK_PREFIX: usize = 14;

/// A block that an index block or a super block points at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Block {
    /// The super block of this number, 4 to 28.
    Super(u32),
    /// A data block.
    Data {
        /// The number of its super block, 0 to 28.
        super_block: u32,
        /// Its number in there.
        number: u64,
    },
}

/// An extensible array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtensibleArray {
    elements: u64,
    element_size: u8,
    filtered: bool,
}

impl ExtensibleArray {
    /// Entries that an array can hold: 4 in the index block, then 29 super blocks.
    pub const MAX_ELEMENTS: u64 = 1 << MAX_BITS;

    /// An array of so many entries of `element_size` bytes ([`super::element`]).
    pub fn new(elements: u64, element_size: u8, filtered: bool) -> Result<Self, FormatError> {
        if elements > Self::MAX_ELEMENTS || element_size == 0 {
            let reason = format!("{elements} entries of {element_size} bytes; the most is 2^{MAX_BITS} entries");
            return Err(FormatError::new("extensible array", reason));
        }
        Ok(ExtensibleArray { elements, element_size, filtered })
    }

    /// Entries.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Bytes of an entry.
    pub fn element_size(&self) -> u8 {
        self.element_size
    }

    /// Bytes of the index block.
    pub fn index_block_len(&self) -> u64 {
        let addresses = INDEX_DATA_BLOCKS + u64::from(SUPER_BLOCKS - FIRST_SUPER_BLOCK);
        (BLOCK_PREFIX + CHECKSUM_LEN) as u64 + INDEX_ELEMENTS * u64::from(self.element_size) + 8 * addresses
    }

    /// The numbers of all super blocks that have entries, those without a block of their own (0 to 3) among them.
    pub fn groups(&self) -> Range<u32> {
        0..(0..SUPER_BLOCKS).take_while(|&number| self.data_blocks(number) > 0).count() as u32
    }

    /// The numbers of the super blocks that exist as blocks.
    pub fn super_blocks(&self) -> Range<u32> {
        FIRST_SUPER_BLOCK..self.groups().end.max(FIRST_SUPER_BLOCK)
    }

    /// Bytes of super block `number`.
    pub fn super_block_len(&self, number: u32) -> u64 {
        let fixed = (BLOCK_PREFIX + OFFSET_LEN + CHECKSUM_LEN) as u64;
        fixed + bitmap_len(number) + 8 * block_count(number)
    }

    /// Data blocks of super block `number` that hold entries; they are its first.
    pub fn data_blocks(&self, number: u32) -> u64 {
        let entries = self.elements.saturating_sub(INDEX_ELEMENTS).saturating_sub(group_start(number));
        entries.div_ceil(block_elements(number)).min(block_count(number))
    }

    /// Entries of each data block of super block `number`.
    pub fn data_block_elements(&self, number: u32) -> u64 {
        block_elements(number)
    }

    /// True where the data blocks of super block `number` are paged.
    pub fn is_paged(&self, number: u32) -> bool {
        page_count(number) > 0
    }

    /// Pages of each data block of super block `number`; 0 where it is not paged.
    pub fn pages(&self, number: u32) -> u64 {
        page_count(number)
    }

    /// Bytes of each data block of super block `number`, pages included.
    pub fn data_block_len(&self, number: u32) -> u64 {
        self.data_block_prefix_len()
            + block_elements(number) * u64::from(self.element_size)
            + page_count(number) * CHECKSUM_LEN as u64
    }

    /// Bytes of a paged data block before its first page.
    pub fn data_block_prefix_len(&self) -> u64 {
        (BLOCK_PREFIX + OFFSET_LEN + CHECKSUM_LEN) as u64
    }

    /// Where page `page` of a data block begins, in bytes from the block's start.
    pub fn page_offset(&self, page: u64) -> u64 {
        self.data_block_prefix_len() + page * self.page_len()
    }

    /// Bytes of a page.
    pub fn page_len(&self) -> u64 {
        (u64::from(self.element_size) << PAGE_BITS) + CHECKSUM_LEN as u64
    }

    /// The entries of a data block, those behind the array's last one among them.
    pub fn data_block_range(&self, super_block: u32, number: u64) -> Range<u64> {
        let start = INDEX_ELEMENTS + group_start(super_block) + number * block_elements(super_block);
        start..start + block_elements(super_block)
    }

    /// The header.
    pub fn encode_header(&self, index_block: u64) -> Vec<u8> {
        let (mut data_blocks, mut data_bytes, mut realised) = (0, 0, INDEX_ELEMENTS);
        for number in self.groups() {
            let blocks = self.data_blocks(number);
            data_blocks += blocks;
            data_bytes += blocks * self.data_block_len(number);
            realised += blocks * block_elements(number);
        }
        let super_bytes: u64 = self.super_blocks().map(|number| self.super_block_len(number)).sum();
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.put_bytes(b"EAHD");
        out.put_bytes(&[0, self.client(), self.element_size]);
        out.put_bytes(&[MAX_BITS, INDEX_ELEMENTS as u8, MIN_ELEMENTS as u8, MIN_POINTERS, PAGE_BITS]);
        out.put_u64(self.super_blocks().len() as u64);
        out.put_u64(super_bytes);
        out.put_u64(data_blocks);
        out.put_u64(data_bytes);
        out.put_u64(self.elements);
        out.put_u64(realised);
        out.put_u64(index_block);
        out.put_checksum(0);
        out
    }

    /// The index block. `entries` fills the entries of a range, `address_of` tells where a block is.
    pub fn encode_index_block(
        &self,
        header: u64,
        entries: impl FnOnce(Range<u64>, &mut [u8]),
        address_of: impl Fn(Block) -> u64,
    ) -> Vec<u8> {
        let mut out = self.block_prefix(b"EAIB", header);
        self.put_entries(0..INDEX_ELEMENTS, entries, &mut out);
        for super_block in 0..FIRST_SUPER_BLOCK {
            self.put_data_addresses(super_block, &address_of, &mut out);
        }
        let existing = self.super_blocks();
        for number in FIRST_SUPER_BLOCK..SUPER_BLOCKS {
            out.put_u64(if existing.contains(&number) { address_of(Block::Super(number)) } else { UNDEFINED_ADDRESS });
        }
        out.put_checksum(0);
        out
    }

    /// Super block `number`: all pages of its data blocks are marked as written.
    pub fn encode_super_block(&self, number: u32, header: u64, address_of: impl Fn(Block) -> u64) -> Vec<u8> {
        let mut out = self.block_prefix(b"EASB", header);
        out.put_uint(group_start(number), OFFSET_LEN);
        let bitmap = out.len();
        out.resize(bitmap + bitmap_len(number) as usize, 0);
        // One bit a page, without gaps between data blocks, most significant bit first, though room is kept for whole
        // bytes a block.
        let written = self.data_blocks(number) * page_count(number);
        for (byte, first) in out[bitmap..].iter_mut().zip((0..written).step_by(8)) {
            let bits = (written - first).min(8) as u32;
            *byte = 0xffu8.checked_shr(bits).map_or(0xff, |unset| !unset);
        }
        self.put_data_addresses(number, &address_of, &mut out);
        out.put_checksum(0);
        out
    }

    /// A data block that is not paged. `entries` fills the entries of a range.
    pub fn encode_data_block(
        &self,
        super_block: u32,
        number: u64,
        header: u64,
        entries: impl FnOnce(Range<u64>, &mut [u8]),
    ) -> Vec<u8> {
        let mut out = self.data_block_prefix(super_block, number, header);
        self.put_entries(self.data_block_range(super_block, number), entries, &mut out);
        out.put_checksum(0);
        out
    }

    /// A paged data block before its first page.
    pub fn encode_data_block_prefix(&self, super_block: u32, number: u64, header: u64) -> Vec<u8> {
        let mut out = self.data_block_prefix(super_block, number, header);
        out.put_checksum(0);
        out
    }

    /// Appends page `page` of a paged data block. `entries` fills the entries of a range; it is not called for a page
    /// that lies wholly behind the array's last entry.
    pub fn encode_page(
        &self,
        super_block: u32,
        number: u64,
        page: u64,
        entries: impl FnOnce(Range<u64>, &mut [u8]),
        out: &mut Vec<u8>,
    ) {
        let from = out.len();
        let block = self.data_block_range(super_block, number);
        let start = (block.start + (page << PAGE_BITS)).min(block.end);
        self.put_entries(start..(start + (1 << PAGE_BITS)).min(block.end), entries, out);
        out.put_checksum(from);
    }

    /// Entries that exist are asked for, the others are absent.
    fn put_entries(&self, range: Range<u64>, entries: impl FnOnce(Range<u64>, &mut [u8]), out: &mut Vec<u8>) {
        let last = self.elements.clamp(range.start, range.end);
        if range.start < last {
            put_entries(range.start..last, self.element_size, entries, out);
        }
        put_entries(last..range.end, self.element_size, |_, rest| put_absent(self.element_size, rest), out);
    }

    fn put_data_addresses(&self, super_block: u32, address_of: &impl Fn(Block) -> u64, out: &mut Vec<u8>) {
        let existing = self.data_blocks(super_block);
        for number in 0..block_count(super_block) {
            let address =
                if number < existing { address_of(Block::Data { super_block, number }) } else { UNDEFINED_ADDRESS };
            out.put_u64(address);
        }
    }

    fn client(&self) -> u8 {
        u8::from(self.filtered)
    }

    fn block_prefix(&self, signature: &[u8; 4], header: u64) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_bytes(signature);
        out.put_bytes(&[0, self.client()]);
        out.put_u64(header);
        out
    }

    fn data_block_prefix(&self, super_block: u32, number: u64, header: u64) -> Vec<u8> {
        let mut out = self.block_prefix(b"EADB", header);
        out.put_uint(group_start(super_block) + number * block_elements(super_block), OFFSET_LEN);
        out
    }
}

/// Data blocks of super block `number`, existing or not.
fn block_count(number: u32) -> u64 {
    1 << (number.min(SUPER_BLOCKS) / 2)
}

/// Entries of a data block of super block `number`.
fn block_elements(number: u32) -> u64 {
    MIN_ELEMENTS << number.min(SUPER_BLOCKS).div_ceil(2)
}

/// The first entry of super block `number`, not counting those of the index block.
fn group_start(number: u32) -> u64 {
    MIN_ELEMENTS * ((1 << number.min(SUPER_BLOCKS)) - 1)
}

/// Pages of a data block of super block `number`, 0 where it is not paged.
fn page_count(number: u32) -> u64 {
    let elements = block_elements(number);
    if elements > 1 << PAGE_BITS { elements >> PAGE_BITS } else { 0 }
}

/// Bytes of the page bitmap of super block `number`.
fn bitmap_len(number: u32) -> u64 {
    block_count(number) * page_count(number).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_entry_once_and_in_order() {
        for elements in [0, 1, 4, 5, 20, 21, 200, 200_000, 3_000_000, ExtensibleArray::MAX_ELEMENTS] {
            let array = ExtensibleArray::new(elements, 8, false).unwrap();
            let mut next = INDEX_ELEMENTS;
            for number in array.groups() {
                for block in 0..array.data_blocks(number) {
                    let range = array.data_block_range(number, block);
                    assert_eq!(range.start, next, "{elements}: {number}/{block}");
                    assert!(range.start < elements);
                    next = range.end;
                }
            }
            assert!(next >= elements, "{elements}: covered {next}");
        }
    }

    #[test]
    fn lengths_are_known_before_encoding() {
        for (elements, size) in [(0, 8), (3, 15), (17, 8), (5_000, 15), (200_000, 8)] {
            let array = ExtensibleArray::new(elements, size, size != 8).unwrap();
            let absent = |_: Range<u64>, out: &mut [u8]| put_absent(size, out);
            assert_eq!(array.encode_header(0).len(), HEADER_LEN);
            assert_eq!(array.encode_index_block(0, absent, |_| 0).len() as u64, array.index_block_len());
            for number in array.groups() {
                if array.super_blocks().contains(&number) {
                    let block = array.encode_super_block(number, 0, |_| 0);
                    assert_eq!(block.len() as u64, array.super_block_len(number), "{elements}: super block {number}");
                }
                let mut block = if array.is_paged(number) {
                    array.encode_data_block_prefix(number, 0, 0)
                } else {
                    array.encode_data_block(number, 0, 0, absent)
                };
                for page in 0..array.pages(number) {
                    assert_eq!(block.len() as u64, array.page_offset(page));
                    array.encode_page(number, 0, page, absent, &mut block);
                }
                assert_eq!(block.len() as u64, array.data_block_len(number), "{elements}: data block of {number}");
            }
        }
    }
}
