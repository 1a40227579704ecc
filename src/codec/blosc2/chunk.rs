//! A chunk of a frame: a header, where each block begins, and the blocks, each in one part or in one for each byte of an
//! element.

use super::super::error::{CodecError, zeros};
use super::super::{bitshuffle, blosc, deflate, shuffle, zstd};
use super::{blosclz, invalid};

/// Bytes of a header, and of one as Blosc1 has it.
const HEADER: usize = 32;
/// Oldest version of chunks that this reads; older ones are those of Blosc1.
const OLDEST: u8 = 3;
/// Bits of the flags: both together tell a header of 32 bytes; plain bytes follow; blocks are in one part.
const LONG: u8 = 0b101;
const STORED: u8 = 1 << 1;
const UNDIVIDED: u8 = 1 << 4;
/// Bits of the flags at the header's end: a dictionary; one value over and over, and which.
const DICTIONARY: u8 = 1;
const SPECIAL: u8 = 0b111 << 4;
const ZEROS: u8 = 1 << 4;
const NANS: u8 = 2 << 4;
const REPEATED: u8 = 3 << 4;
const UNSET: u8 = 4 << 4;
/// Filters of a chunk, the first one first, and what each does.
const FILTERS: std::ops::Range<usize> = 16..22;
const NOTHING: u8 = 0;
const SHUFFLE: u8 = 1;
const BITSHUFFLE: u8 = 2;
/// Cut bits off when it was written.
const TRUNCATE: u8 = 4;

/// What a chunk's header says.
struct Header {
    flags: u8,
    element: u32,
    block: usize,
}

/// The chunk at the start of `stored`, which is at byte `at` of the frame, into `plain`.
pub(super) fn decode(stored: &[u8], at: u64, plain: &mut [u8]) -> Result<(), CodecError> {
    let Some(header) = stored.first_chunk::<HEADER>() else {
        let need = HEADER.saturating_sub(stored.len()) as u64;
        return Err(CodecError::Truncated { what: super::WHAT, at: at + stored.len() as u64, need });
    };
    let field = |from: usize| {
        let bytes = header.get(from..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
    };
    let [version, _, flags, element, ..] = *header;
    if version < OLDEST || flags & LONG != LONG {
        let made = blosc::decode(&stored.to_vec().into(), plain.len() as u64)?;
        if made.len() != plain.len() {
            return Err(invalid(at, "a chunk of another length than the frame says"));
        }
        plain.copy_from_slice(&made);
        return Ok(());
    }
    let (bytes, block, packed) = (field(4), field(8), field(12));
    let stored = stored.get(..packed).ok_or_else(|| invalid(at + 12, "a chunk that passes its frame"))?;
    let body = stored.get(HEADER..).ok_or_else(|| invalid(at + 12, "a chunk shorter than its header"))?;
    if bytes != plain.len() {
        return Err(invalid(at + 4, "a chunk of another length than the frame says"));
    }
    let special = header.last().copied().unwrap_or(0);
    match special & SPECIAL {
        0 => {}
        ZEROS | UNSET => return Ok(()),
        NANS => {
            let nan = [&f32::NAN.to_le_bytes()[..], &f64::NAN.to_le_bytes()];
            let nan = nan.into_iter().find(|nan| nan.len() == usize::from(element));
            let nan = nan.ok_or_else(|| invalid(at + 3, "elements that cannot be NaN"))?;
            plain.chunks_exact_mut(nan.len()).for_each(|out| out.copy_from_slice(nan));
            return Ok(());
        }
        REPEATED => {
            let value = body.get(..usize::from(element)).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| invalid(at + 12, "the value that it repeats is missing"))?;
            plain.chunks_exact_mut(value.len()).for_each(|out| out.copy_from_slice(value));
            return Ok(());
        }
        _ => return Err(invalid(at + 31, "a value over and over that is not known")),
    }
    if special & DICTIONARY != 0 {
        return Err(invalid(at + 31, "a chunk with a dictionary"));
    }
    if flags & STORED != 0 {
        let body = body.get(..bytes).ok_or_else(|| invalid(at + 12, "a chunk shorter than its bytes"))?;
        plain.copy_from_slice(body);
        return Ok(());
    }
    let filters = header.get(FILTERS).unwrap_or_default();
    if filters.iter().any(|filter| !matches!(*filter, NOTHING | SHUFFLE | BITSHUFFLE | TRUNCATE)) {
        return Err(invalid(at + FILTERS.start as u64, "a filter that is not known"));
    }
    // Each block has its place in front of them all.
    if element == 0 || block == 0 || bytes.div_ceil(block) > body.len() / 4 {
        return Err(invalid(at + 8, "blocks of an impossible size"));
    }
    let header = Header { flags, element: element.into(), block };
    for (number, out) in plain.chunks_mut(block).enumerate() {
        let start = field_at(body, number * 4).unwrap_or(usize::MAX);
        let place = at.saturating_add(start as u64);
        let packed = stored.get(start..).ok_or_else(|| invalid(place, "a block outside its chunk"))?;
        let mut undone = zeros(out.len() as u64)?;
        unpack(&header, packed, place, &mut undone)?;
        for filter in filters.iter().rev().filter(|filter| matches!(**filter, SHUFFLE | BITSHUFFLE)) {
            let mut next = zeros(out.len() as u64)?;
            match *filter {
                SHUFFLE => shuffle::decode_into(&undone, header.element, &mut next),
                _ => unshuffle_bits(&undone, header.element, &mut next),
            }
            undone = next;
        }
        out.copy_from_slice(&undone);
    }
    Ok(())
}

/// The parts of a block.
fn unpack(header: &Header, mut packed: &[u8], at: u64, plain: &mut [u8]) -> Result<(), CodecError> {
    let whole = plain.len() == header.block;
    let parts = if header.flags & UNDIVIDED == 0 && whole { header.element as usize } else { 1 };
    let bytes = plain.len() / parts;
    if bytes == 0 || bytes * parts != plain.len() {
        return Err(invalid(at, "a block that is not made of its parts"));
    }
    for out in plain.chunks_mut(bytes) {
        let length = field_at(packed, 0).ok_or_else(|| invalid(at, "a part without a length"))? as u32 as i32;
        packed = packed.get(4..).unwrap_or_default();
        if length <= 0 {
            // One byte over and over: nothing for zeros, else a byte that says so.
            let known = length == 0 || packed.first().is_some_and(|token| token & 1 == 1);
            let value = u8::try_from(-i64::from(length)).ok().filter(|_| known);
            out.fill(value.ok_or_else(|| invalid(at, "a run that means nothing"))?);
            packed = packed.get(usize::from(length != 0)..).unwrap_or_default();
            continue;
        }
        let (part, rest) =
            packed.split_at_checked(length as usize).ok_or_else(|| invalid(at, "a part that passes its chunk"))?;
        packed = rest;
        if part.len() == out.len() {
            out.copy_from_slice(part);
            continue;
        }
        let made = match header.flags >> 5 {
            0 => blosclz::decode(part, out),
            1 => lz4_flex::block::decompress_into(part, out).ok(),
            3 => deflate::decode(part, out.len() as u64).ok().map(|made| {
                out.iter_mut().zip(&made).for_each(|(out, made)| *out = *made);
                made.len()
            }),
            4 => zstd::decode_into(part, out),
            _ => return Err(invalid(at, "a codec that is not known")),
        };
        if made != Some(out.len()) {
            return Err(invalid(at, "a part that its codec cannot decode"));
        }
    }
    Ok(())
}

/// What does not fill eight elements is left as it is.
fn unshuffle_bits(block: &[u8], element: u32, plain: &mut [u8]) {
    let size = element.max(1) as usize;
    let whole = block.len() / size / 8 * 8 * size;
    let (bits, rest) = block.split_at(whole);
    let (out, left) = plain.split_at_mut(whole);
    bitshuffle::decode_into(bits, element, out);
    left.copy_from_slice(rest);
}

fn field_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field) as usize)
}
