//! Entries of fixed and extensible arrays (VII.C): where a chunk is and, with filters, its stored size and filter mask.
//! A record of a v2 B-tree of type 10 or 11 begins with the same bytes.

use crate::format::UNDEFINED_ADDRESS;

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
