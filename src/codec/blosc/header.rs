//! The header of a frame: 16 bytes, checked against themselves and the bytes at hand.

use super::super::error::CodecError;
use super::FORMAT_VERSION;

pub(super) const WHAT: &str = "Blosc frame";
pub(super) const HEADER: usize = 16;
/// Most plain bytes of a frame (`BLOSC_MAX_BUFFERSIZE`: 2^31 - 1 less the header).
pub(super) const MOST_BYTES: u32 = i32::MAX as u32 - HEADER as u32;
/// Largest block (`BLOSC_MAX_BLOCKSIZE`): so that a block and its scratch space stay within 31 bits.
pub(super) const MOST_BLOCK: u32 = (i32::MAX as u32 - 255 * 4) / 3;
/// Smallest block of a frame that has several, but for a handful of tiny ones: c-blosc makes none below 128 bytes, less
/// what rounding down to whole elements takes (at most half). Without it a few bytes can ask for millions of blocks.
const LEAST_BLOCK: u32 = 64;
/// Frames up to this many plain bytes may have blocks of any size: c-blosc gives less than one element blocks of a byte.
const TINY: u32 = 256;
/// Blocks are split only where elements have at most this many bytes (`MAX_SPLITS`) …
const MOST_SPLITS: u32 = 16;
/// … and each split has at least this many (`MIN_BUFFERSIZE`).
const LEAST_SPLIT: u32 = 128;

/// Byte shuffle.
pub(super) const BYTE_SHUFFLE: u8 = 1 << 0;
/// The plain bytes follow the header.
pub(super) const STORED: u8 = 1 << 1;
/// Bit shuffle, where bytes are not shuffled.
pub(super) const BIT_SHUFFLE: u8 = 1 << 2;
/// Unknown to c-blosc 1.x, which refuses it.
const RESERVED: u8 = 1 << 3;
/// One split a block, whatever the size of an element.
pub(super) const NEVER_SPLIT: u8 = 1 << 4;

/// The codec inside, as bits 5 to 7 of the flags number it. lz4hc writes lz4's format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Codec {
    BloscLz,
    Lz4,
    Snappy,
    Zlib,
    Zstd,
}

impl Codec {
    /// Most bytes of a split of `plain` bytes. c-blosc keeps no split that grew (it stores it), but for snappy, which it
    /// gives the room that snappy asks for (`snappy_max_compressed_length`).
    pub(super) fn longest(self, plain: u32) -> u32 {
        match self {
            Codec::Snappy => plain.saturating_add(plain / 6).saturating_add(32),
            Codec::BloscLz | Codec::Lz4 | Codec::Zlib | Codec::Zstd => plain,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) flags: u8,
    pub(super) element: u32,
    pub(super) plain: u32,
    pub(super) block: u32,
    pub(super) stored: u32,
}

impl Header {
    /// The header of `frame`, checked against itself, the bytes at hand and `bound`.
    pub(super) fn read(frame: &[u8], bound: u64) -> Result<Header, CodecError> {
        let Some(header) = frame.first_chunk::<HEADER>() else {
            let need = HEADER.saturating_sub(frame.len()) as u64;
            return Err(CodecError::Truncated { what: WHAT, at: frame.len() as u64, need });
        };
        let [version, codec_version, flags, element, p0, p1, p2, p3, b0, b1, b2, b3, s0, s1, s2, s3] = *header;
        let header = Header {
            flags,
            element: u32::from(element),
            plain: u32::from_le_bytes([p0, p1, p2, p3]),
            block: u32::from_le_bytes([b0, b1, b2, b3]),
            stored: u32::from_le_bytes([s0, s1, s2, s3]),
        };
        if version != FORMAT_VERSION {
            return Err(invalid(0, "its format version is not 2"));
        }
        if flags & RESERVED != 0 {
            return Err(invalid(2, "flags of a later format"));
        }
        if u64::from(header.plain) > bound {
            return Err(CodecError::TooLarge { at: 4, bytes: u64::from(header.plain), limit: bound });
        }
        if header.plain > MOST_BYTES {
            return Err(invalid(4, "its plain length is past what the format allows"));
        }
        // Bytes after the frame are ignored, as numcodecs (and so HSDS) ignores them.
        if u64::from(header.stored) > frame.len() as u64 {
            let need = u64::from(header.stored) - frame.len() as u64;
            return Err(CodecError::Truncated { what: WHAT, at: frame.len() as u64, need });
        }
        if (header.stored as usize) < HEADER {
            return Err(invalid(12, "it says that it is shorter than its own header"));
        }
        if header.plain == 0 || flags & STORED != 0 {
            return Ok(header);
        }
        // Each codec's format has a version of its own; there is only the first.
        if codec_version != 1 {
            return Err(invalid(1, "its codec's format version is not 1"));
        }
        if header.element == 0 {
            return Err(invalid(3, "elements of no bytes"));
        }
        if header.block == 0 || header.block > header.plain.min(MOST_BLOCK) {
            return Err(invalid(8, "blocks of an impossible size"));
        }
        if header.block < LEAST_BLOCK && header.block < header.plain && header.plain > TINY {
            return Err(invalid(8, "blocks too small for any writer"));
        }
        Ok(header)
    }

    pub(super) fn codec(&self) -> Result<Codec, CodecError> {
        match self.flags >> 5 {
            0 => Ok(Codec::BloscLz),
            1 => Ok(Codec::Lz4),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Zlib),
            4 => Ok(Codec::Zstd),
            _ => Err(invalid(2, "a codec that is not known")),
        }
    }

    /// Splits of a block of `bytes` plain bytes. Only a whole block is split.
    pub(super) fn splits(&self, bytes: u32) -> u32 {
        let split = self.flags & NEVER_SPLIT == 0
            && self.element <= MOST_SPLITS
            && self.block / self.element.max(1) >= LEAST_SPLIT
            && bytes == self.block;
        if split { self.element.max(1) } else { 1 }
    }
}

pub(super) fn invalid(at: u64, reason: &'static str) -> CodecError {
    CodecError::Invalid { what: WHAT, at, reason }
}
