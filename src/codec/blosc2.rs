//! Blosc2 (HDF5 filter 32026): a contiguous frame of one or more chunks.
//!
//! A frame is a header in MessagePack, whose fields of fixed width stand at fixed places, the chunks, a chunk that holds
//! where each of them begins, and a trailer. Elements of several dimensions are kept in blocks of a shape that the header
//! names ([`grid`]); those of a chunk are packed as [`chunk`] has it.
//!
//! All of it is read here, in safe code; the codecs are those of other filters, and [`blosclz`].

mod blosclz;
mod chunk;
mod grid;

use super::error::{CodecError, zeros};
use grid::Grid;

const WHAT: &str = "Blosc2 frame";
/// What a frame begins with, behind the byte that says how many fields follow.
const MAGIC: &[u8] = b"\xa8b2frame\0";
/// Where fields stand: bytes of the header, of the frame, of all elements, of all chunks, of one chunk; metadata layers.
const HEADER_LEN: usize = 11;
const FRAME_LEN: usize = 16;
const PLAIN_LEN: usize = 30;
const CHUNKS_LEN: usize = 39;
const CHUNK_LEN: usize = 58;
const LAYERS: usize = 87;
/// Bytes of the place of a chunk, and the bits that say that it is none, but one value over and over.
const PLACE: usize = 8;
const IS_SPECIAL: u64 = 1 << 63;
const SPECIAL: u64 = 0x7f << 56;
const ALL_ZEROS: u64 = 1 << 56;
const UNSET: u64 = 4 << 56;
/// A chunk of a file has some few chunks of a frame; each has a header of 32 bytes, or is told by its place alone.
const MOST_CHUNKS: u64 = 1 << 20;

/// Plain bytes of the frame at the start of `stored`; more than `bound` are an error.
pub fn decode(stored: &[u8], bound: u64) -> Result<Vec<u8>, CodecError> {
    if stored.get(1..1 + MAGIC.len()) != Some(MAGIC) {
        return Err(invalid(0, "it does not begin as one"));
    }
    let (header, frame) = (number(stored, HEADER_LEN, 4)?, number(stored, FRAME_LEN, 8)?);
    let (plain_len, packed) = (number(stored, PLAIN_LEN, 8)?, number(stored, CHUNKS_LEN, 8)?);
    let chunk_len = number(stored, CHUNK_LEN, 4)?;
    if frame > stored.len() as u64 {
        let need = frame - stored.len() as u64;
        return Err(CodecError::Truncated { what: WHAT, at: stored.len() as u64, need });
    }
    if plain_len > bound.saturating_mul(2).saturating_add(1 << 16) {
        return Err(CodecError::TooLarge { at: PLAIN_LEN as u64, bytes: plain_len, limit: bound });
    }
    if plain_len == 0 {
        return Ok(Vec::new());
    }
    let count = plain_len.div_ceil(chunk_len.max(1));
    if chunk_len == 0 || count > MOST_CHUNKS {
        return Err(invalid(CHUNK_LEN as u64, "chunks of an impossible size"));
    }
    let chunks = header.checked_add(packed).filter(|&end| end <= frame).and_then(|_| part(stored, header, frame));
    let chunks = chunks.ok_or_else(|| invalid(HEADER_LEN as u64, "its parts do not fit into it"))?;
    let places = chunks.get(packed as usize..).unwrap_or_default();
    let mut place = zeros(count * PLACE as u64)?;
    chunk::decode(places, header + packed, &mut place)?;
    let mut plain = zeros(plain_len)?;
    for (out, place) in plain.chunks_mut(chunk_len as usize).zip(place.chunks_exact(PLACE)) {
        let place = place.iter().rev().fold(0u64, |place, &byte| place << 8 | u64::from(byte));
        if place & IS_SPECIAL != 0 {
            match place & SPECIAL {
                ALL_ZEROS | UNSET => continue,
                _ => return Err(invalid(header + packed, "a chunk of a value that is not known")),
            }
        }
        let found = usize::try_from(place).ok().and_then(|place| chunks.get(place..));
        let found = found.ok_or_else(|| invalid(header + packed, "a chunk outside the frame"))?;
        chunk::decode(found, header.saturating_add(place), out)?;
    }
    let layers = part(stored, LAYERS as u64, header).unwrap_or_default();
    let plain = match Grid::read(layers, stored)? {
        Some(grid) => grid.ordered(plain)?,
        None => plain,
    };
    match plain.len() as u64 {
        bytes if bytes > bound => Err(CodecError::TooLarge { at: PLAIN_LEN as u64, bytes, limit: bound }),
        _ => Ok(plain),
    }
}

fn part(stored: &[u8], start: u64, end: u64) -> Option<&[u8]> {
    stored.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

/// A big-endian number of `width` bytes.
fn number(stored: &[u8], at: usize, width: usize) -> Result<u64, CodecError> {
    let bytes = stored.get(at..at + width);
    let truncated = CodecError::Truncated { what: WHAT, at: stored.len() as u64, need: 1 };
    Ok(bytes.ok_or(truncated)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn invalid(at: u64, reason: &'static str) -> CodecError {
    CodecError::Invalid { what: WHAT, at, reason }
}

#[cfg(test)]
mod tests;
