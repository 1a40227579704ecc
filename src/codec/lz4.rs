//! LZ4 (HDF5 filter 32004): blocks, each compressed by itself.
//!
//! A chunk is its plain length (u64, big-endian), the plain bytes of a block (u32, big-endian), then for each block its
//! stored length (u32, big-endian) and an LZ4 block; one that would not shrink stands as it is, with its plain length.

use super::error::{CodecError, zeros};

const WHAT: &str = "LZ4 chunk";
/// LZ4 makes at most 255 bytes of one: no chunk is larger than that, whatever its header claims.
const BEST_RATIO: u64 = 255;

/// Plain bytes; more than `bound` are an error.
pub fn decode(stored: &[u8], bound: u64) -> Result<Vec<u8>, CodecError> {
    let mut at = 0;
    let total = number(stored, &mut at, 8)?;
    let block = number(stored, &mut at, 4)?;
    if total > bound {
        return Err(CodecError::TooLarge { at: 0, bytes: total, limit: bound });
    }
    let most = (stored.len() as u64).saturating_mul(BEST_RATIO);
    if total > most {
        let need = (total - most).div_ceil(BEST_RATIO);
        return Err(CodecError::Truncated { what: WHAT, at: stored.len() as u64, need });
    }
    if block == 0 {
        return Err(CodecError::Invalid { what: WHAT, at: 8, reason: "its blocks have no bytes" });
    }
    let mut plain = zeros(total)?;
    for out in plain.chunks_mut(usize::try_from(block).unwrap_or(usize::MAX)) {
        let length = usize::try_from(number(stored, &mut at, 4)?).unwrap_or(usize::MAX);
        let begin = at as u64;
        let packed = take(stored, &mut at, length)?;
        if length == out.len() {
            out.copy_from_slice(packed);
            continue;
        }
        match lz4_flex::block::decompress_into(packed, out) {
            Ok(made) if made == out.len() => {}
            Ok(_) => return Err(CodecError::Invalid { what: WHAT, at: begin, reason: "a block is too short" }),
            Err(_) => return Err(CodecError::Invalid { what: WHAT, at: begin, reason: "no valid LZ4 block" }),
        }
    }
    Ok(plain)
}

/// A big-endian number of `width` bytes.
fn number(stored: &[u8], at: &mut usize, width: usize) -> Result<u64, CodecError> {
    Ok(take(stored, at, width)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn take<'a>(stored: &'a [u8], at: &mut usize, length: usize) -> Result<&'a [u8], CodecError> {
    let end = at.saturating_add(length);
    let need = end.saturating_sub(stored.len()) as u64;
    let taken = stored.get(*at..end);
    *at = end;
    taken.ok_or(CodecError::Truncated { what: WHAT, at: stored.len() as u64, need })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_compressed_or_stand_as_they_are() {
        let plain: Vec<u8> = (0..100).map(|number| if number < 64 { 7 } else { number }).collect();
        let mut stored = [&100u64.to_be_bytes()[..], &64u32.to_be_bytes()].concat();
        let packed = lz4_flex::block::compress(&plain[..64]);
        for part in [&packed[..], &plain[64..]] {
            stored.extend((part.len() as u32).to_be_bytes());
            stored.extend(part);
        }
        assert_eq!(decode(&stored, 100).unwrap(), plain);
        assert!(matches!(decode(&stored, 99), Err(CodecError::TooLarge { bytes: 100, .. })));
        for end in 0..stored.len() {
            assert!(decode(&stored[..end], 100).is_err(), "{end}");
        }
        stored[8..12].fill(0);
        assert!(matches!(decode(&stored, 100), Err(CodecError::Invalid { at: 8, .. })));
    }
}
