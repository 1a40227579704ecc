//! Bitshuffle with LZ4 (HDF5 filter 32008): the bits of each block's elements transposed, each block compressed.
//!
//! A chunk is its plain length (u64, big-endian), the plain bytes of a block (u32, big-endian), then for each block the
//! compressed length (u32, big-endian) and an LZ4 block. The last block may be shorter, down to eight elements; what
//! does not fill eight elements follows as it is.
//!
//! In a block of n elements, row `8 * byte + bit` of n/8 bytes holds that bit of that byte of every element.

use super::error::{CodecError, zeros};
use super::shuffle;

const WHAT: &str = "bitshuffle chunk";
const HEADER: usize = 12;
/// LZ4 makes at most 255 bytes of one: no chunk is larger than that, whatever its header claims.
const BEST_RATIO: u64 = 255;

/// Plain bytes; more than `bound` are an error. `element` is the size of an element in bytes.
pub fn decode(stored: &[u8], element: u32, bound: u64) -> Result<Vec<u8>, CodecError> {
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
    let most = (stored.len() as u64).saturating_mul(BEST_RATIO);
    if total > most {
        let need = (total - most).div_ceil(BEST_RATIO);
        return Err(CodecError::Truncated { what: WHAT, at: stored.len() as u64, need });
    }
    let block = match block_bytes as usize / size {
        0 => default_block(size),
        elements if elements % 8 == 0 => elements,
        _ => {
            return Err(CodecError::Invalid { what: WHAT, at: 8, reason: "its blocks are not of eight elements each" });
        }
    };
    let mut plain = zeros(total)?;
    let transposed = plain.len() / size / 8 * 8 * size;
    let (blocks, rest) = plain.split_at_mut(transposed);
    let (mut bits, mut planes) = (Vec::new(), Vec::new());
    for out in blocks.chunks_mut(block.saturating_mul(size)) {
        let length = u32::from_be_bytes(take(stored, &mut at)?) as usize;
        let packed = slice(stored, &mut at, length)?;
        let start = (at - length) as u64;
        bits.resize(out.len(), 0);
        match lz4_flex::block::decompress_into(packed, &mut bits) {
            Ok(made) if made == out.len() => {}
            Ok(_) => return Err(CodecError::Invalid { what: WHAT, at: start, reason: "a block is too short" }),
            Err(_) => return Err(CodecError::Invalid { what: WHAT, at: start, reason: "no valid LZ4 block" }),
        }
        join_bits(&bits, out.len() / size, &mut planes);
        if size == 1 {
            out.copy_from_slice(&planes);
        } else {
            out.copy_from_slice(&shuffle::decode(&planes, element));
        }
    }
    let length = rest.len();
    rest.copy_from_slice(slice(stored, &mut at, length)?);
    Ok(plain)
}

/// Elements of a block where the header names none: 8 KiB, in eights, at least 128 (the filter's own rule).
fn default_block(size: usize) -> usize {
    (8192 / size / 8 * 8).max(128)
}

/// Transposes bit rows of `count / 8` bytes, eight for each byte of an element, to planes of `count` bytes.
fn join_bits(rows: &[u8], count: usize, planes: &mut Vec<u8>) {
    planes.clear();
    planes.reserve(rows.len());
    let row = count / 8;
    for plane in rows.chunks_exact(row * 8) {
        for column in 0..row {
            let mut square = 0u64;
            for (bit, value) in plane.iter().skip(column).step_by(row).enumerate() {
                square |= u64::from(*value) << (8 * bit);
            }
            planes.extend_from_slice(&transpose(square).to_le_bytes());
        }
    }
}

/// Transposes eight by eight bits: bit `j` of byte `i` becomes bit `i` of byte `j`.
fn transpose(mut square: u64) -> u64 {
    // Swap the off-diagonal quarters of each 2x2, then 4x4, then 8x8 square of bits.
    for (shift, mask) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)] {
        let swap = (square ^ (square >> shift)) & mask;
        square ^= swap ^ (swap << shift);
    }
    square
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
    fn transposing_moves_every_bit_and_twice_is_nothing() {
        for from in 0..64 {
            let to = from % 8 * 8 + from / 8;
            assert_eq!(transpose(1 << from), 1 << to);
        }
        assert_eq!(transpose(transpose(0x0123_4567_89ab_cdef)), 0x0123_4567_89ab_cdef);
    }

    #[test]
    fn claims_are_checked_before_memory_is_taken() {
        let claim = |total: u64, block: u32| [&total.to_be_bytes()[..], &block.to_be_bytes()].concat();
        assert!(matches!(decode(&claim(1 << 60, 8192), 4, 1 << 30), Err(CodecError::TooLarge { .. })));
        assert!(matches!(decode(&claim(1 << 30, 8192), 4, 1 << 30), Err(CodecError::Truncated { .. })));
        assert!(matches!(decode(&claim(1 << 10, 12), 4, 1 << 30), Err(CodecError::Invalid { at: 8, .. })));
        assert!(matches!(decode(&claim(1 << 10, 64), 0, 1 << 30), Err(CodecError::Invalid { .. })));
        assert!(matches!(decode(&claim(9, 64), 4, 1 << 30), Err(CodecError::Invalid { at: 0, .. })));
    }
}
