//! Bitshuffle (HDF5 filter 32008): the bits of each block's elements transposed, and each block compressed by LZ4 or
//! zstd, or not at all.
//!
//! A chunk that was compressed is its plain length (u64, big-endian), the plain bytes of a block (u32, big-endian), then
//! for each block the compressed length (u32, big-endian) and an LZ4 block or a zstd frame. One that was not is its
//! blocks. The last block may be shorter, down to eight elements; what does not fill eight elements follows as it is.

use super::error::{CodecError, zeros};
use super::{bitshuffle, shuffle, zstd};

const WHAT: &str = "bitshuffle chunk";
const HEADER: usize = 12;
const EIGHTS: &str = "its blocks are not of eight elements each";
/// LZ4 makes at most 255 bytes of one: no chunk is larger than that, whatever its header claims.
const LZ4_RATIO: u64 = 255;
/// zstd makes any block of a frame of 13 bytes, where all bytes are equal.
const ZSTD_RATIO: u64 = 128 << 10;

/// What packs a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// Plain bytes of a chunk whose blocks of `block` elements are not packed; 0 for as many as the filter chooses itself.
pub fn decode_unpacked(stored: &[u8], element: u32, block: u32) -> Result<Vec<u8>, CodecError> {
    let size = shuffle::element_size(element)?;
    let block = match block as usize {
        0 => default_block(size),
        block if block.is_multiple_of(8) => block,
        _ => return Err(CodecError::Invalid { what: WHAT, at: 0, reason: EIGHTS }),
    };
    let mut plain = zeros(stored.len() as u64)?;
    let transposed = stored.len() / size / 8 * 8 * size;
    let (blocks, rest) = stored.split_at(transposed);
    let (out, left) = plain.split_at_mut(transposed);
    let bytes = block.saturating_mul(size);
    for (bits, out) in blocks.chunks(bytes).zip(out.chunks_mut(bytes)) {
        bitshuffle::decode_into(bits, element, out);
    }
    left.copy_from_slice(rest);
    Ok(plain)
}

/// Plain bytes; more than `bound` are an error. `element` is the size of an element in bytes.
pub fn decode(stored: &[u8], element: u32, packing: Packing, bound: u64) -> Result<Vec<u8>, CodecError> {
    let size = shuffle::element_size(element)?;
    let mut at = 0;
    let total = u64::from_be_bytes(take(stored, &mut at)?);
    let block_bytes = u32::from_be_bytes(take(stored, &mut at)?);
    if total > bound {
        return Err(CodecError::TooLarge { at: 0, bytes: total, limit: bound });
    }
    if !total.is_multiple_of(size as u64) {
        return Err(CodecError::Invalid { what: WHAT, at: 0, reason: "its length is no whole number of elements" });
    }
    let ratio = match packing {
        Packing::Lz4 => LZ4_RATIO,
        Packing::Zstd => ZSTD_RATIO,
    };
    let most = (stored.len() as u64).saturating_mul(ratio);
    if total > most {
        let need = (total - most).div_ceil(ratio);
        return Err(CodecError::Truncated { what: WHAT, at: stored.len() as u64, need });
    }
    let block = match block_bytes as usize / size {
        0 => default_block(size),
        elements if elements % 8 == 0 => elements,
        _ => return Err(CodecError::Invalid { what: WHAT, at: 8, reason: EIGHTS }),
    };
    let mut plain = zeros(total)?;
    let transposed = plain.len() / size / 8 * 8 * size;
    let (blocks, rest) = plain.split_at_mut(transposed);
    let mut bits = Vec::new();
    for out in blocks.chunks_mut(block.saturating_mul(size)) {
        let length = u32::from_be_bytes(take(stored, &mut at)?) as usize;
        let packed = slice(stored, &mut at, length)?;
        let start = (at - length) as u64;
        bits.resize(out.len(), 0);
        let made = match packing {
            Packing::Lz4 => lz4_flex::block::decompress_into(packed, &mut bits).ok(),
            Packing::Zstd => zstd::decode_into(packed, &mut bits),
        };
        match made {
            Some(made) if made == out.len() => {}
            Some(_) => return Err(CodecError::Invalid { what: WHAT, at: start, reason: "a block is too short" }),
            None => {
                return Err(CodecError::Invalid { what: WHAT, at: start, reason: "a block that cannot be unpacked" });
            }
        }
        bitshuffle::decode_into(&bits, element, out);
    }
    let length = rest.len();
    rest.copy_from_slice(slice(stored, &mut at, length)?);
    Ok(plain)
}

/// Elements of a block where the header names none: 8 KiB, in eights, at least 128 (the filter's own rule).
fn default_block(size: usize) -> usize {
    (8192 / size / 8 * 8).max(128)
}

fn take<const N: usize>(stored: &[u8], at: &mut usize) -> Result<[u8; N], CodecError> {
    let bytes = slice(stored, at, N)?;
    bytes.try_into().map_err(|_| CodecError::Truncated { what: WHAT, at: stored.len() as u64, need: HEADER as u64 })
}

fn slice<'a>(stored: &'a [u8], at: &mut usize, length: usize) -> Result<&'a [u8], CodecError> {
    let end = at.saturating_add(length);
    let bytes = stored.get(*at..end).ok_or_else(|| CodecError::Truncated {
        what: WHAT,
        at: stored.len() as u64,
        need: (end - stored.len()) as u64,
    })?;
    *at = end;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_checked_before_memory_is_taken() {
        let decode = |stored: &[u8], element, bound| decode(stored, element, Packing::Lz4, bound);
        let claim = |total: u64, block: u32| [&total.to_be_bytes()[..], &block.to_be_bytes()].concat();
        assert!(matches!(decode(&claim(1 << 60, 8192), 4, 1 << 30), Err(CodecError::TooLarge { .. })));
        assert!(matches!(decode(&claim(1 << 30, 8192), 4, 1 << 30), Err(CodecError::Truncated { .. })));
        assert!(matches!(decode(&claim(1 << 10, 12), 4, 1 << 30), Err(CodecError::Invalid { at: 8, .. })));
        assert!(matches!(decode(&claim(1 << 10, 64), 0, 1 << 30), Err(CodecError::Invalid { .. })));
        assert!(matches!(decode(&claim(9, 64), 4, 1 << 30), Err(CodecError::Invalid { at: 0, .. })));
    }
}
