//! Blosc-1 frames: what HSDS writes under every compressor, and HDF5 filter 32001.
//!
//! A frame is a header of 16 bytes, then either the plain bytes ("stored"), or a table with the start of each block and
//! the blocks; a block is one split, or one for each byte of an element, and a split is its length and its compressed
//! bytes. The compressed bytes are decoded by c-blosc, behind a check of everything that it follows on the way there:
//! this file first reads header, table and split lengths itself, in safe code, and calls C only for a frame in which all
//! of them lie inside the bytes at hand.

use std::sync::Once;

use bytes::Bytes;

use super::error::{CodecError, zeros};

/// First byte of a frame: the version of its format. All of c-blosc 1.x write this one.
pub const FORMAT_VERSION: u8 = 2;

const WHAT: &str = "Blosc frame";
const HEADER: usize = 16;
/// Most plain bytes of a frame (`BLOSC_MAX_BUFFERSIZE`: 2^31 - 1 less the header).
const MOST_BYTES: u32 = i32::MAX as u32 - HEADER as u32;
/// Largest block (`BLOSC_MAX_BLOCKSIZE`): so that a block and its scratch space stay within 31 bits.
const MOST_BLOCK: u32 = (i32::MAX as u32 - 255 * 4) / 3;
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
const BYTE_SHUFFLE: u8 = 1 << 0;
/// The plain bytes follow the header.
const STORED: u8 = 1 << 1;
/// Unknown to c-blosc 1.x, which refuses it.
const RESERVED: u8 = 1 << 3;
/// One split a block, whatever the size of an element.
const NEVER_SPLIT: u8 = 1 << 4;

/// The codec inside, as bits 5 to 7 of the flags number it. lz4hc writes lz4's format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Codec {
    BloscLz,
    Lz4,
    Snappy,
    Zlib,
    Zstd,
}

impl Codec {
    /// Most bytes of a split of `plain` bytes. c-blosc keeps no split that grew (it stores it), but for snappy, which it
    /// gives the room that snappy asks for (`snappy_max_compressed_length`).
    fn longest(self, plain: u32) -> u32 {
        match self {
            Codec::Snappy => plain.saturating_add(plain / 6).saturating_add(32),
            Codec::BloscLz | Codec::Lz4 | Codec::Zlib | Codec::Zstd => plain,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Header {
    flags: u8,
    element: u32,
    plain: u32,
    block: u32,
    stored: u32,
}

impl Header {
    /// The header of `frame`, checked against itself, the bytes at hand and `bound`.
    fn read(frame: &[u8], bound: u64) -> Result<Header, CodecError> {
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

    fn codec(&self) -> Result<Codec, CodecError> {
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
    fn splits(&self, bytes: u32) -> u32 {
        let split = self.flags & NEVER_SPLIT == 0
            && self.element <= MOST_SPLITS
            && self.block / self.element.max(1) >= LEAST_SPLIT
            && bytes == self.block;
        if split { self.element.max(1) } else { 1 }
    }
}

fn invalid(at: u64, reason: &'static str) -> CodecError {
    CodecError::Invalid { what: WHAT, at, reason }
}

/// Plain bytes of the frame at the start of `stored`; more than `bound` are an error. The frame's own shuffle is undone.
/// A stored frame is not copied.
pub fn decode(stored: &Bytes, bound: u64) -> Result<Bytes, CodecError> {
    let header = Header::read(stored, bound)?;
    if header.plain == 0 {
        return Ok(Bytes::new());
    }
    let frame = stored.slice(..header.stored as usize);
    if header.flags & STORED != 0 {
        if header.stored - HEADER as u32 != header.plain {
            return Err(invalid(12, "a stored frame whose lengths do not agree"));
        }
        return Ok(frame.slice(HEADER..));
    }
    check_blocks(&header, &frame)?;
    prepare();
    let mut plain = zeros(u64::from(header.plain))?;
    match call(&frame, &mut plain) {
        made if made == header.plain as i64 => Ok(plain.into()),
        // c-blosc does not tell which block: the first one starts here.
        _ => Err(invalid(HEADER as u64, "a block that its codec cannot decode")),
    }
}

/// Bytes of the frame at the start of `stored`, where there is one of `plain` bytes that is there to its end. Its blocks
/// are not looked at.
pub fn frame_len(stored: &[u8], plain: u64) -> Option<usize> {
    let header = Header::read(stored, plain).ok()?;
    (u64::from(header.plain) == plain).then_some(header.stored as usize)
}

/// Checks that every block, split and length lies where c-blosc will look for it.
fn check_blocks(header: &Header, frame: &[u8]) -> Result<(), CodecError> {
    let codec = header.codec()?;
    let blocks = header.plain.div_ceil(header.block);
    let table_end = HEADER as u64 + 4 * u64::from(blocks);
    if table_end > frame.len() as u64 {
        return Err(invalid(12, "too short for the table of its blocks"));
    }
    for number in 0..blocks {
        let field = HEADER as u64 + 4 * u64::from(number);
        let mut at = u64::from(read_u32(frame, field)?);
        if at < table_end {
            return Err(invalid(field, "a block that starts before the end of the table"));
        }
        let bytes = header.block.min(header.plain - number * header.block);
        let splits = header.splits(bytes);
        if !bytes.is_multiple_of(splits) {
            return Err(invalid(8, "blocks that are no whole number of elements"));
        }
        let plain = bytes / splits;
        for _ in 0..splits {
            let length = read_u32(frame, at)?;
            let start = at + 4;
            if length == 0 || length > codec.longest(plain) {
                return Err(invalid(at, "a split of an impossible length"));
            }
            at = start + u64::from(length);
            let Some(packed) = frame.get(start as usize..at as usize) else {
                return Err(CodecError::Truncated {
                    what: WHAT,
                    at: frame.len() as u64,
                    need: at - frame.len() as u64,
                });
            };
            if length != plain {
                check_split(codec, packed, plain).map_err(|reason| invalid(start, reason))?;
            }
        }
    }
    Ok(())
}

/// What c-blosc, or the library behind it, would not check itself.
fn check_split(codec: Codec, packed: &[u8], plain: u32) -> Result<(), &'static str> {
    match codec {
        // blosclz_decompress adds up a match's length in 31 bits, 255 for each byte 0xff, before it compares it with the
        // space left: 8.4 million such bytes make it negative. A match that fits has no more of them than this; other
        // runs of 0xff (literals, at most 32 bytes; distances) are short.
        Codec::BloscLz => {
            let longest = plain as usize / 255 + 64;
            let mut run = 0;
            for &byte in packed {
                run = if byte == 0xff { run + 1 } else { 0 };
                if run > longest {
                    return Err("a match longer than its block");
                }
            }
            Ok(())
        }
        // ZSTD_decompress hands other magic numbers to its decoders of formats before 1.0, which no Blosc ever wrote,
        // and goes on with a second frame after the first.
        Codec::Zstd if !is_one_zstd_frame(packed) => Err("no single zstd frame"),
        Codec::Lz4 | Codec::Snappy | Codec::Zlib | Codec::Zstd => Ok(()),
    }
}

/// Whether `packed` is exactly one frame of zstd's format (RFC 8878, section 3.1.1), by its headers.
fn is_one_zstd_frame(packed: &[u8]) -> bool {
    let Some((&descriptor, magic)) = packed.get(..5).and_then(|start| start.split_last()) else { return false };
    if magic != [0x28, 0xb5, 0x2f, 0xfd] {
        return false;
    }
    let single = descriptor >> 5 & 1;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = [usize::from(single), 2, 4, 8][usize::from(descriptor >> 6)];
    let mut at = 5 + usize::from(1 - single) + dictionary + content;
    loop {
        let Some(&[a, b, c]) = packed.get(at..at + 3) else { return false };
        let block = u32::from_le_bytes([a, b, c, 0]);
        at += 3 + match block >> 1 & 3 {
            0 | 2 => (block >> 3) as usize,
            1 => 1,
            _ => return false,
        };
        if block & 1 == 1 {
            let checksum = if descriptor & 4 == 0 { 0 } else { 4 };
            return at + checksum == packed.len();
        }
    }
}

fn read_u32(frame: &[u8], at: u64) -> Result<u32, CodecError> {
    let bytes = usize::try_from(at).ok().and_then(|at| frame.get(at..)).and_then(|rest| rest.first_chunk::<4>());
    bytes.map(|bytes| u32::from_le_bytes(*bytes)).ok_or(CodecError::Truncated {
        what: WHAT,
        at: frame.len() as u64,
        need: (at + 4).saturating_sub(frame.len() as u64),
    })
}

/// c-blosc picks its shuffle routines in the first call that needs one and keeps them in a plain global variable: that
/// call is made here, once, before others run beside it.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let flags = BYTE_SHUFFLE | NEVER_SPLIT;
        let fields = [4u32, 4, 28, 20, 4].map(u32::to_le_bytes);
        let frame = [&[FORMAT_VERSION, 1, flags, 2][..], fields.as_flattened(), b"abcd"].concat();
        let mut plain = [0; 4];
        let made = call(&frame, &mut plain);
        debug_assert!(made == 4 && plain == *b"acbd");
    });
}

/// Lets c-blosc decode `frame` into `plain` and returns how many bytes it made, or a negative number.
#[allow(unsafe_code)] // the C codec; decision: docs/decisions/001-dependencies.md
fn call(frame: &[u8], plain: &mut [u8]) -> i64 {
    // SAFETY: both pointers are valid for their lengths and do not overlap, being a shared and a unique borrow, and the
    // function keeps neither. It reads as many bytes of `frame` as the header says: `Header::read` made sure that this
    // is the length of the slice, and `check_blocks` that every offset and length read on the way stays inside it. It
    // writes at most `plain.len()` bytes, which is the header's plain length; all of `plain` is initialised before. One
    // thread (the last argument) means that no thread pool or other global state is used but the choice of shuffle
    // routines, which `prepare` had made. Scratch space that it cannot allocate is not handled by c-blosc; it asks for
    // about twice a block, and `plain`, at least as large as a block, was allocated just before.
    let made =
        unsafe { ::blosc::blosc_decompress_ctx(frame.as_ptr().cast(), plain.as_mut_ptr().cast(), plain.len(), 1) };
    i64::from(made)
}

/// A stored frame of `plain`: valid for every compressor that HSDS knows, without compressing.
pub fn encode_stored(plain: &[u8]) -> Result<Vec<u8>, CodecError> {
    let length = u32::try_from(plain.len()).ok().filter(|&length| length <= MOST_BYTES);
    let Some(length) = length else {
        return Err(CodecError::TooLarge { at: 0, bytes: plain.len() as u64, limit: u64::from(MOST_BYTES) });
    };
    let mut frame = Vec::with_capacity(HEADER + plain.len());
    // Elements of one byte, as HSDS has it: the frame is not shuffled.
    frame.extend_from_slice(&[FORMAT_VERSION, 1, STORED, 1]);
    // A single block; c-blosc refuses blocks of no bytes, but does not look at them where there is nothing in them.
    for field in [length, length.clamp(1, MOST_BLOCK), length + HEADER as u32] {
        frame.extend_from_slice(&field.to_le_bytes());
    }
    frame.extend_from_slice(plain);
    Ok(frame)
}
