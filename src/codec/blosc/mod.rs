//! Blosc-1 frames: what HSDS writes under every compressor, and HDF5 filter 32001.
//!
//! A frame is a header of 16 bytes, then either the plain bytes ("stored"), or a table with the start of each block and
//! the blocks; a block is one split, or one for each byte of an element, and a split is its length and its compressed
//! bytes. Header, table and split lengths are read here, in safe code (`header`, `blocks`). Splits of zlib are inflated
//! here as well (`inflate`); those of the other codecs are decoded by c-blosc, which gets only frames in which everything
//! that it follows on its way lies inside the bytes at hand.

mod blocks;
mod header;
mod inflate;
#[cfg(test)]
mod tests;

use std::sync::Once;

use bytes::Bytes;

use super::error::{CodecError, zeros};
use header::{BYTE_SHUFFLE, Codec, HEADER, Header, MOST_BLOCK, MOST_BYTES, NEVER_SPLIT, STORED, invalid};

/// First byte of a frame: the version of its format. All of c-blosc 1.x write this one.
pub const FORMAT_VERSION: u8 = 2;

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
    blocks::check(&header, &frame)?;
    let mut plain = zeros(u64::from(header.plain))?;
    match header.codec()? {
        Codec::Zlib => inflate::decode(&header, &frame, &mut plain)?,
        Codec::BloscLz | Codec::Lz4 | Codec::Snappy | Codec::Zstd => decode_in_c(&header, &frame, &mut plain)?,
    }
    Ok(plain.into())
}

/// Lets c-blosc decode a frame that was checked.
fn decode_in_c(header: &Header, frame: &[u8], plain: &mut [u8]) -> Result<(), CodecError> {
    prepare();
    match call(frame, plain) {
        made if made == i64::from(header.plain) => Ok(()),
        // It does not tell which block: the first one starts here.
        _ => Err(invalid(HEADER as u64, "a block that its codec cannot decode")),
    }
}

/// Bytes of the frame at the start of `stored`, where there is one of `plain` bytes that is there to its end. Its blocks
/// are not looked at.
pub fn frame_len(stored: &[u8], plain: u64) -> Option<usize> {
    let header = Header::read(stored, plain).ok()?;
    (u64::from(header.plain) == plain).then_some(header.stored as usize)
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
    // is the length of the slice, and `blocks::check` that every offset and length read on the way stays inside it. It
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
