//! The blocks of a frame and the splits of a block: where each lies, and whether it can be what it says.

use super::super::error::CodecError;
use super::header::{Codec, HEADER, Header, WHAT, invalid};

/// A part of a block that was compressed by itself.
pub(super) struct Split<'a> {
    /// Where its bytes start in the frame.
    pub(super) at: u64,
    /// Its bytes: plain ones where there are `plain` of them.
    pub(super) packed: &'a [u8],
    /// Plain bytes.
    pub(super) plain: u32,
}

/// Checks that every block, split and length lies where a decoder will look for it.
pub(super) fn check(header: &Header, frame: &[u8]) -> Result<(), CodecError> {
    let codec = header.codec()?;
    if table_end(header) > frame.len() as u64 {
        return Err(invalid(12, "too short for the table of its blocks"));
    }
    for number in 0..header.plain.div_ceil(header.block) {
        splits(header, frame, number, |split| {
            if split.packed.len() == split.plain as usize {
                return Ok(());
            }
            check_split(codec, split.packed, split.plain).map_err(|reason| invalid(split.at, reason))
        })?;
    }
    Ok(())
}

fn table_end(header: &Header) -> u64 {
    HEADER as u64 + 4 * u64::from(header.plain.div_ceil(header.block))
}

/// Hands the splits of block `number` to `each`, in their order.
pub(super) fn splits<'a>(
    header: &Header,
    frame: &'a [u8],
    number: u32,
    mut each: impl FnMut(Split<'a>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let codec = header.codec()?;
    let field = HEADER as u64 + 4 * u64::from(number);
    let mut at = u64::from(read_u32(frame, field)?);
    if at < table_end(header) {
        return Err(invalid(field, "a block that starts before the end of the table"));
    }
    let bytes = header.block.min(header.plain.saturating_sub(number.saturating_mul(header.block)));
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
            let need = at - frame.len() as u64;
            return Err(CodecError::Truncated { what: WHAT, at: frame.len() as u64, need });
        };
        each(Split { at: start, packed, plain })?;
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
