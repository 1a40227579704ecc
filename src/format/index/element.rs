//! Entries of fixed and extensible arrays (VII.C): where a chunk is and, with filters, its stored size and filter mask.
//! A record of a v2 B-tree of type 10 or 11 begins with the same bytes.

use crate::format::bytes::Sizes;
use crate::format::cursor::Cursor;
use crate::format::{FormatError, UNDEFINED_ADDRESS};

/// Bytes of an entry without filters: an address.
pub const PLAIN_LEN: u8 = 8;

/// Bytes of the field for the stored size of a filtered chunk, in layout message version 4: one more than the plain
/// chunk's size needs, because a filter may make it larger.
pub const fn size_bytes(chunk_bytes: u64) -> u8 {
    let bytes = match chunk_bytes.checked_ilog2() {
        Some(log) => 1 + (log + 8) / 8,
        None => 2,
    };
    if bytes > 8 { 8 } else { bytes as u8 }
}

/// Bytes of an entry with filters: address, stored size, filter mask.
pub const fn filtered_len(chunk_bytes: u64) -> u8 {
    8 + size_bytes(chunk_bytes) + 4
}

/// Writes an entry without filters into the first 8 bytes of `out`.
pub fn put_plain(address: u64, out: &mut [u8]) {
    put(out, 0, &address.to_le_bytes());
}

/// Writes an entry with filters into `out`; `size_width` is [`size_bytes`] of the plain chunk.
pub fn put_filtered(address: u64, size: u64, size_width: u8, mask: u32, out: &mut [u8]) {
    let width = usize::from(size_width.min(8));
    put(out, 0, &address.to_le_bytes());
    put(out, 8, &size.to_le_bytes()[..width]);
    put(out, 8 + width, &mask.to_le_bytes());
}

/// Fills entries of `len` bytes that stand for no chunk: an undefined address, and zero behind it.
pub fn put_absent(len: u8, out: &mut [u8]) {
    out.fill(0);
    for entry in out.chunks_mut(usize::from(len.max(1))) {
        put_plain(UNDEFINED_ADDRESS, entry);
    }
}

/// Where a chunk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredChunk {
    /// Its address; undefined where it was never written.
    pub address: u64,
    /// Its bytes, where they are not those of a plain chunk.
    pub size: Option<u64>,
    /// Bits of the filters that were passed over.
    pub mask: u32,
}

/// Reads an entry; `size_width` is that of a filtered chunk's size, 0 for entries without.
pub fn decode(entry: &mut Cursor<'_>, size_width: usize) -> Result<StoredChunk, FormatError> {
    let address = entry.address()?;
    if size_width == 0 {
        return Ok(StoredChunk { address, size: None, mask: 0 });
    }
    Ok(StoredChunk { address, size: Some(entry.uint(size_width)?), mask: entry.u32()? })
}

/// Bytes of the field for a filtered chunk's size in entries of `len` bytes; `None` where there is no room for one.
pub fn size_width(len: usize, sizes: Sizes) -> Option<usize> {
    len.checked_sub(sizes.offset() + 4).filter(|width| (1..=8).contains(width))
}

/// Copies what fits: an entry that is shorter than its fields is the caller's mistake, and no reason to stop the program.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = out.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    } else {
        debug_assert!(false, "an entry of {} bytes has no room for {} at {at}", out.len(), bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filtered_size_has_one_byte_more_than_the_chunk() {
        for (chunk, bytes) in [(1, 2), (255, 2), (256, 3), (400, 3), (65_536, 4), (1 << 20, 4), (1 << 24, 5)] {
            assert_eq!(size_bytes(chunk), bytes, "{chunk}");
        }
    }

    #[test]
    fn absent_entries_are_undefined_addresses() {
        let mut out = [7; 30];
        put_absent(15, &mut out);
        for entry in out.chunks(15) {
            assert_eq!(entry, [[0xff; 8].as_slice(), &[0; 7]].concat());
        }
    }
}
