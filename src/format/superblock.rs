//! The superblock, version 2 (II.A): the first bytes of the file, which lead to its root group and its extension.
//!
//! Its extension is an ordinary [object header](super::object_header) with a [file space info
//! message](super::message::file_space_info).

pub mod decode;

use super::checksum::lookup3;

/// Bytes of a superblock of version 2 with 8-byte offsets and lengths.
pub const SUPERBLOCK_LEN: usize = 48;

/// What every HDF5 file begins with: it betrays a file cut to seven bits or with translated line ends.
pub const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// A superblock of version 2; its status flags are clear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// Where it stands in the file: bytes of the user block before it, from whose end addresses count.
    pub base: u64,
    /// Address of the extension's object header.
    pub extension: u64,
    /// First byte behind everything that the file holds, as an address.
    pub end_of_file: u64,
    /// Address of the root group's object header.
    pub root: u64,
}

impl Superblock {
    /// The bytes.
    pub fn encode(&self) -> [u8; SUPERBLOCK_LEN] {
        let mut out = [0; SUPERBLOCK_LEN];
        out[..8].copy_from_slice(&SIGNATURE);
        // Version 2, offsets of 8 bytes, lengths of 8 bytes, status 0: closed cleanly.
        out[8..12].copy_from_slice(&[2, 8, 8, 0]);
        out[12..20].copy_from_slice(&self.base.to_le_bytes());
        out[20..28].copy_from_slice(&self.extension.to_le_bytes());
        // The only number that counts from the start of the file.
        out[28..36].copy_from_slice(&self.end_of_file.saturating_add(self.base).to_le_bytes());
        out[36..44].copy_from_slice(&self.root.to_le_bytes());
        let sum = lookup3(&out[..44]);
        out[44..].copy_from_slice(&sum.to_le_bytes());
        out
    }
}
