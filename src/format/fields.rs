//! Fields: integers of one to eight bytes, least significant byte first, and the checksum that ends most structures.
//!
//! Every encoder of the room writes through these, so that a byte order or a width is decided in one place.

use super::checksum::lookup3;

/// Bytes of the checksum at the end of a structure.
pub const CHECKSUM_LEN: usize = 4;

/// Appending of little-endian fields.
pub trait Fields {
    /// One byte.
    fn put_u8(&mut self, value: u8);
    /// Two bytes.
    fn put_u16(&mut self, value: u16);
    /// Four bytes.
    fn put_u32(&mut self, value: u32);
    /// Eight bytes: an address or a length.
    fn put_u64(&mut self, value: u64);
    /// The low `width` bytes (at most 8) of a number.
    fn put_uint(&mut self, value: u64, width: usize);
    /// Bytes as they are.
    fn put_bytes(&mut self, bytes: &[u8]);
    /// The checksum of everything from byte `from` on.
    fn put_checksum(&mut self, from: usize);
}

impl Fields for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_uint(&mut self, value: u64, width: usize) {
        let bytes = value.to_le_bytes();
        self.extend_from_slice(bytes.get(..width).unwrap_or(&bytes));
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn put_checksum(&mut self, from: usize) {
        let sum = lookup3(self.get(from..).unwrap_or_default());
        self.put_u32(sum);
    }
}

/// Bytes that hold every number up to `limit`: at least one (`H5VM_limit_enc_size` in libhdf5, where the widths of
/// member offsets, v2 B-tree counts and heap lengths come from).
pub const fn width_of(limit: u64) -> usize {
    match limit.checked_ilog2() {
        Some(log) => log as usize / 8 + 1,
        None => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_change_at_powers_of_256() {
        for (limit, width) in [(0, 1), (1, 1), (255, 1), (256, 2), (65535, 2), (65536, 3), (u64::MAX, 8)] {
            assert_eq!(width_of(limit), width, "{limit}");
        }
    }

    #[test]
    fn numbers_are_little_endian_and_cut_to_their_width() {
        let mut out = Vec::new();
        out.put_uint(0x0102_0304, 3);
        out.put_u16(0x0506);
        assert_eq!(out, [4, 3, 2, 6, 5]);
    }
}
