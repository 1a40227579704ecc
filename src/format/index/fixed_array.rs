//! The fixed array (VII.C): the chunk index of datasets that cannot grow.
//!
//! A header, and one data block with an entry for every chunk of the grid, row-major. Up to one page's worth of entries
//! stand in the block itself; more are cut into pages with a checksum each, behind the block's prefix. A page depends on
//! its own entries only.

pub mod decode;

use std::ops::Range;

use crate::format::FormatError;
use crate::format::fields::{CHECKSUM_LEN, Fields};

/// Bytes of the header.
pub const HEADER_LEN: usize = 28;
/// log2 of a page's entries. libhdf5's default, and with 8-byte entries two file-space pages of 4096 bytes: a
/// page-buffered reader takes a smaller one that straddles two pages for a torn one.
pub const PAGE_BITS: u8 = 10;
/// Signature, version, client and header address of the data block.
const BLOCK_PREFIX: usize = 14;

/// A fixed array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixedArray {
    elements: u64,
    element_size: u8,
    filtered: bool,
    page_bits: u8,
}

impl FixedArray {
    /// An array of so many entries of `element_size` bytes ([`super::element`]), in pages of [`PAGE_BITS`].
    pub fn new(elements: u64, element_size: u8, filtered: bool) -> Result<Self, FormatError> {
        let error = |reason: String| FormatError::new("fixed array", reason);
        if elements == 0 || element_size == 0 {
            return Err(error(format!("{elements} entries of {element_size} bytes")));
        }
        // With one checksum and one bit a page the block stays below twice its entries: half of u64 is room enough.
        match elements.checked_mul(element_size.into()) {
            Some(bytes) if bytes < 1 << 62 => {}
            _ => return Err(error(format!("{elements} entries of {element_size} bytes pass the file"))),
        }
        Ok(FixedArray { elements, element_size, filtered, page_bits: PAGE_BITS })
    }

    /// Entries.
    pub fn elements(&self) -> u64 {
        self.elements
    }

    /// Bytes of an entry.
    pub fn element_size(&self) -> u8 {
        self.element_size
    }

    /// Entries of a full page.
    pub fn page_elements(&self) -> u64 {
        1 << self.page_bits
    }

    /// True where entries stand in pages, not in the data block.
    pub fn is_paged(&self) -> bool {
        self.elements > self.page_elements()
    }

    /// Pages; 0 where the array is not paged.
    pub fn pages(&self) -> u64 {
        if self.is_paged() { self.elements.div_ceil(self.page_elements()) } else { 0 }
    }

    /// Bytes of the data block before its first page, checksum included; of all of it where the array is not paged.
    pub fn prefix_len(&self) -> u64 {
        let fixed = (BLOCK_PREFIX + CHECKSUM_LEN) as u64;
        if self.is_paged() {
            fixed + self.pages().div_ceil(8)
        } else {
            fixed + self.elements * u64::from(self.element_size)
        }
    }

    /// Bytes of the data block with all its pages.
    pub fn data_block_len(&self) -> u64 {
        if self.is_paged() {
            self.prefix_len() + self.elements * u64::from(self.element_size) + self.pages() * CHECKSUM_LEN as u64
        } else {
            self.prefix_len()
        }
    }

    /// The entries of page `page`.
    pub fn page_range(&self, page: u64) -> Range<u64> {
        let start = page.saturating_mul(self.page_elements()).min(self.elements);
        start..start.saturating_add(self.page_elements()).min(self.elements)
    }

    /// Where page `page` begins, in bytes from the start of the data block.
    pub fn page_offset(&self, page: u64) -> u64 {
        self.prefix_len() + page * self.full_page_len()
    }

    /// Bytes of page `page`, checksum included; the last one is shorter.
    pub fn page_len(&self, page: u64) -> u64 {
        let range = self.page_range(page);
        (range.end - range.start) * u64::from(self.element_size) + CHECKSUM_LEN as u64
    }

    /// Bytes of every page but the last.
    pub fn full_page_len(&self) -> u64 {
        self.page_elements() * u64::from(self.element_size) + CHECKSUM_LEN as u64
    }

    /// The header.
    pub fn encode_header(&self, data_block: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.put_bytes(b"FAHD");
        out.put_bytes(&[0, self.client(), self.element_size, self.page_bits]);
        out.put_u64(self.elements);
        out.put_u64(data_block);
        out.put_checksum(0);
        out
    }

    /// The data block before its first page: every page is marked as written.
    pub fn encode_prefix(&self, header: u64) -> Vec<u8> {
        let mut out = self.block_prefix(header);
        let pages = self.pages();
        out.resize(out.len() + (pages / 8) as usize, 0xff);
        if !pages.is_multiple_of(8) {
            // Most significant bit first.
            out.put_u8(!(0xff >> (pages % 8)));
        }
        out.put_checksum(0);
        out
    }

    /// The data block of an array that is not paged. `entries` fills the entries of a range.
    pub fn encode_unpaged(&self, header: u64, entries: impl FnOnce(Range<u64>, &mut [u8])) -> Vec<u8> {
        let mut out = self.block_prefix(header);
        put_entries(0..self.elements, self.element_size, entries, &mut out);
        out.put_checksum(0);
        out
    }

    /// Appends page `page`. `entries` fills the entries of a range.
    pub fn encode_page(&self, page: u64, entries: impl FnOnce(Range<u64>, &mut [u8]), out: &mut Vec<u8>) {
        let from = out.len();
        put_entries(self.page_range(page), self.element_size, entries, out);
        out.put_checksum(from);
    }

    fn client(&self) -> u8 {
        u8::from(self.filtered)
    }

    fn block_prefix(&self, header: u64) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_bytes(b"FADB");
        out.put_bytes(&[0, self.client()]);
        out.put_u64(header);
        out
    }
}

/// Appends room for a range of entries and has it filled.
pub(super) fn put_entries(
    range: Range<u64>,
    element_size: u8,
    entries: impl FnOnce(Range<u64>, &mut [u8]),
    out: &mut Vec<u8>,
) {
    let from = out.len();
    out.resize(from + (range.end - range.start) as usize * usize::from(element_size), 0);
    entries(range, &mut out[from..]);
}
