//! VBZ (HDF5 filter 32020), which sequencers of nanopores write: numbers less the ones before, in as few bytes as each
//! takes, and all of that in a zstd frame.
//!
//! A chunk is its plain length (u32, little-endian) and the frame. In it stand two bits for each number, the lowest of a
//! byte first, which say how many bytes it has less one; then those bytes, the lowest first. A difference has its sign in
//! the lowest bit.

use super::error::{CodecError, zeros};
use super::zstd;

const WHAT: &str = "VBZ chunk";
/// Where parameters stand: bytes of a number, whether differences are packed, and how hard zstd works.
const SIZE: usize = 1;
const DIFFERENCES: usize = 2;
const LEVEL: usize = 3;
/// Numbers whose two bits share a byte.
const SHARED: u64 = 4;
/// Bytes that a number has at most, when it is packed.
const MOST: u64 = 4;

/// Plain bytes; more than `bound` are an error.
pub fn decode(stored: &[u8], parameters: &[u32], bound: u64) -> Result<Vec<u8>, CodecError> {
    let parameter = |index: usize| parameters.get(index).copied().unwrap_or(0);
    let Some((length, frame)) = stored.split_first_chunk::<4>() else {
        let at = stored.len() as u64;
        return Err(CodecError::Truncated { what: WHAT, at, need: 4 - at });
    };
    let bytes = u64::from(u32::from_le_bytes(*length));
    if bytes > bound {
        return Err(CodecError::TooLarge { at: 0, bytes, limit: bound });
    }
    let size = match parameter(SIZE) {
        size @ (2 | 4) if bytes.is_multiple_of(size.into()) => size as usize,
        _ => return Err(invalid(0, "numbers of a size that is not known")),
    };
    let count = bytes / size as u64;
    let unframed;
    let packed = if parameter(LEVEL) == 0 {
        frame
    } else {
        unframed = zstd::decode(frame, count.div_ceil(SHARED) + count * MOST)?;
        &unframed
    };
    let lengths = usize::try_from(count.div_ceil(SHARED)).unwrap_or(usize::MAX);
    let (lengths, mut packed) = packed.split_at_checked(lengths).ok_or_else(|| invalid(4, "it lacks lengths"))?;
    let mut plain = zeros(bytes)?;
    let mut last = 0u32;
    for (place, out) in plain.chunks_exact_mut(size).enumerate() {
        let length = lengths.get(place / 4).map_or(0, |lengths| lengths >> (place % 4 * 2) & 3);
        let number = packed.split_at_checked(usize::from(length) + 1);
        let (number, rest) = number.ok_or_else(|| invalid(4, "it lacks numbers"))?;
        packed = rest;
        let number = number.iter().rev().fold(0u32, |number, &byte| number << 8 | u32::from(byte));
        last = match parameter(DIFFERENCES) {
            0 => number,
            _ => last.wrapping_add(number >> 1 ^ (number & 1).wrapping_neg()),
        };
        out.iter_mut().zip(last.to_le_bytes()).for_each(|(out, byte)| *out = byte);
    }
    match packed {
        [] => Ok(plain),
        _ => Err(invalid(4, "it has more numbers than it says")),
    }
}

fn invalid(at: u64, reason: &'static str) -> CodecError {
    CodecError::Invalid { what: WHAT, at, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_added_up() {
        // 437, eleven less, three more; one byte each but for the first.
        let packed = [0b0000_0001, 0x6a, 0x03, 0x15, 0x06];
        let stored = [&6u32.to_le_bytes()[..], &packed].concat();
        let plain = [437u16, 426, 429].map(u16::to_le_bytes).concat();
        assert_eq!(decode(&stored, &[1, 2, 1, 0], 6).unwrap(), plain);
        let plain = [0x36au16, 0x15, 6].map(u16::to_le_bytes).concat();
        assert_eq!(decode(&stored, &[0, 2, 0, 0], 6).unwrap(), plain);
        assert!(matches!(decode(&stored, &[1, 2, 1, 0], 5), Err(CodecError::TooLarge { bytes: 6, .. })));
        for end in 0..stored.len() {
            assert!(decode(&stored[..end], &[1, 2, 1, 0], 6).is_err(), "{end}");
        }
        assert!(decode(&[&stored[..], &[0]].concat(), &[1, 2, 1, 0], 6).is_err());
        assert!(decode(&stored, &[1, 1, 1, 0], 6).is_err());
        // As a sequencer's program wrote it: 20 numbers in a frame.
        let hex = "2800000028b52ffd201ad1000001000000006a03150615113f60170a11071017120d03070a08";
        let mut stored: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        stored.push(0x09);
        let plain = decode(&stored, &[1, 2, 1, 1], 40).unwrap();
        assert_eq!(plain[..6], [437u16, 426, 429].map(u16::to_le_bytes).concat());
    }
}
