//! LZF (HDF5 filter 32000, h5py's own): runs of bytes, and copies of what came before.
//!
//! A byte below 32 is followed by one more literal bytes than it says. Any other holds in its upper three bits two less
//! than the length of a copy (7: the next byte adds to it), and in its lower five the upper bits of how far back, less
//! one, it begins; the next byte has the lower eight.

use super::error::{CodecError, room};

const WHAT: &str = "LZF chunk";
/// Bytes that a byte of LZF makes at most: a copy of 264 bytes takes three.
const BEST_RATIO: u64 = 88;
/// Control bytes below this lead to literal bytes.
const COPY: usize = 32;

/// Plain bytes; more than `bound` are an error.
pub fn decode(stored: &[u8], bound: u64) -> Result<Vec<u8>, CodecError> {
    let most = (stored.len() as u64).saturating_mul(BEST_RATIO);
    let mut plain = room(bound.min(most))?;
    let mut at = 0;
    while at < stored.len() {
        let begin = at as u64;
        let control = usize::from(byte(stored, &mut at)?);
        let length = match control >> 5 {
            0 => control + 1,
            7 => 9 + usize::from(byte(stored, &mut at)?),
            length => length + 2,
        };
        let bytes = plain.len() as u64 + length as u64;
        if bytes > bound {
            return Err(CodecError::TooLarge { at: begin, bytes, limit: bound });
        }
        if control < COPY {
            let literal = stored.get(at..at + length).ok_or_else(|| truncated(stored, at + length))?;
            plain.extend_from_slice(literal);
            at += length;
            continue;
        }
        let back = ((control & 0x1f) << 8 | usize::from(byte(stored, &mut at)?)) + 1;
        let Some(start) = plain.len().checked_sub(back) else {
            let reason = "a copy of what came before the first byte";
            return Err(CodecError::Invalid { what: WHAT, at: begin, reason });
        };
        // A copy may overlap what it makes.
        for from in start..start + length {
            plain.push(plain.get(from).copied().unwrap_or_default());
        }
    }
    Ok(plain)
}

fn byte(stored: &[u8], at: &mut usize) -> Result<u8, CodecError> {
    let byte = stored.get(*at).copied().ok_or_else(|| truncated(stored, *at + 1))?;
    *at += 1;
    Ok(byte)
}

fn truncated(stored: &[u8], end: usize) -> CodecError {
    let at = stored.len() as u64;
    CodecError::Truncated { what: WHAT, at, need: (end as u64).saturating_sub(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies_become_bytes() {
        // "abc", then five bytes from three back, then ten from one back.
        let stored = [2, b'a', b'b', b'c', 3 << 5, 2, 7 << 5, 1, 0];
        assert_eq!(decode(&stored, 100).unwrap(), b"abcabcabbbbbbbbbbb"[..18].to_vec());
        assert!(matches!(decode(&stored, 17), Err(CodecError::TooLarge { bytes: 18, limit: 17, .. })));
        for end in [2, 5, 7, 8] {
            assert!(matches!(decode(&stored[..end], 100), Err(CodecError::Truncated { .. })), "{end}");
        }
        assert!(matches!(decode(&[0, b'a', 1 << 5, 1], 100), Err(CodecError::Invalid { at: 2, .. })));
    }
}
