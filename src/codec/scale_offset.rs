//! Scale-offset (HDF5 filter 6): numbers less their minimum, in as few bits as the largest of them takes; of floats, a
//! fixed number of decimal digits.
//!
//! A chunk is the bits of a number (u32), how many bytes the minimum has (one byte), the minimum, unused bytes up to
//! [`HEADER`], then the numbers, the highest bit first; everything else is little-endian. The number with all its bits
//! set stands for the fill value, where there is one.

use super::bits::Bits;
use super::error::{CodecError, zeros};

const WHAT: &str = "scale-offset chunk";
const HEADER: usize = 21;
/// Where parameters stand: how numbers were scaled, by what, how many there are, and what they are.
const SCALE: usize = 0;
const FACTOR: usize = 1;
const COUNT: usize = 2;
const CLASS: usize = 3;
const SIZE: usize = 4;
const ORDER: usize = 6;
const HAS_FILL: usize = 7;
const FILL: usize = 8;
/// Ways of scaling: floats by a power of ten; integers. The third, by a power of two, no library ever had.
const DECIMAL: u32 = 0;
const INTEGER: u32 = 2;
/// Class of floats.
const FLOAT: u32 = 1;

/// Plain bytes; more than `bound` are an error.
pub fn decode(stored: &[u8], parameters: &[u32], bound: u64) -> Result<Vec<u8>, CodecError> {
    let parameter = |index: usize| parameters.get(index).copied().ok_or_else(|| invalid(0, "parameters are missing"));
    let (count, size) = (parameter(COUNT)?, parameter(SIZE)?);
    match (parameter(SCALE)?, parameter(CLASS)?, size) {
        (DECIMAL, FLOAT, 4 | 8) | (INTEGER, 0, 1 | 2 | 4 | 8) => {}
        _ => return Err(invalid(0, "numbers scaled in a way that is not known")),
    }
    let bytes = u64::from(count) * u64::from(size);
    if bytes > bound {
        return Err(CodecError::TooLarge { at: 0, bytes, limit: bound });
    }
    let Some((header, packed)) = stored.split_first_chunk::<HEADER>() else {
        let at = stored.len() as u64;
        return Err(CodecError::Truncated { what: WHAT, at, need: HEADER as u64 - at });
    };
    let [a, b, c, d, width, rest @ ..] = header;
    let precision = u32::from_le_bytes([*a, *b, *c, *d]);
    let kept = rest.iter().take(usize::from(*width).min(8));
    let minimum = kept.rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    if precision > size * 8 {
        return Err(invalid(0, "numbers of more bits than elements have"));
    }
    let need = (u64::from(count) * u64::from(precision)).div_ceil(8);
    if need > packed.len() as u64 {
        let need = need - packed.len() as u64;
        return Err(CodecError::Truncated { what: WHAT, at: stored.len() as u64, need });
    }
    let big = parameter(ORDER)? == 1;
    let mut plain = zeros(bytes)?;
    let elements = plain.chunks_exact_mut(size as usize);
    if precision == size * 8 {
        for (element, whole) in elements.zip(packed.chunks_exact(size as usize)) {
            element.copy_from_slice(whole);
            if big {
                element.reverse();
            }
        }
        return Ok(plain);
    }
    let fill = match parameter(HAS_FILL)? {
        1 => {
            let high = if size > 4 { parameter(FILL + 1)? } else { 0 };
            Some(u64::from(high) << 32 | u64::from(parameter(FILL)?))
        }
        _ => None,
    };
    let filled = (1u64 << precision) - 1;
    let unscaled = unscale(parameter(CLASS)? == FLOAT, size, parameter(FACTOR)? as i32, minimum);
    let mut bits = Bits::new(WHAT, packed);
    for element in elements {
        let number = bits.take(precision)?;
        let value = match fill {
            Some(fill) if number == filled => fill,
            _ => unscaled(number),
        };
        let value = value.to_le_bytes();
        element.copy_from_slice(value.get(..size as usize).unwrap_or(&value));
        if big {
            element.reverse();
        }
    }
    Ok(plain)
}

/// What brings a number to the bits of its element; arithmetic as libhdf5's, in the element's own width.
fn unscale(float: bool, size: u32, digits: i32, minimum: u64) -> impl Fn(u64) -> u64 {
    let power = 10f64.powi(digits);
    move |number| match (float, size) {
        (true, 4) => u64::from((number as i32 as f32 / power as f32 + f32::from_bits(minimum as u32)).to_bits()),
        (true, _) => (number as i64 as f64 / power + f64::from_bits(minimum)).to_bits(),
        (false, _) => number.wrapping_add(minimum),
    }
}

fn invalid(at: u64, reason: &'static str) -> CodecError {
    CodecError::Invalid { what: WHAT, at, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(
        scale: u32,
        factor: u32,
        count: u32,
        class: u32,
        size: u32,
        order: u32,
        fill: Option<u32>,
    ) -> Vec<u32> {
        vec![scale, factor, count, class, size, 1, order, u32::from(fill.is_some()), fill.unwrap_or(0), 0]
    }

    fn chunk(precision: u32, minimum: u64, packed: &[u8]) -> Vec<u8> {
        let header = [&precision.to_le_bytes()[..], &[8], &minimum.to_le_bytes(), &[0; 8]].concat();
        [&header[..], packed].concat()
    }

    #[test]
    fn integers_are_their_minimum_and_a_few_bits() {
        // 4 bits each: 0, 5, and 15 for the fill value.
        let stored = chunk(4, (-3i64) as u64, &[0x05, 0xf0]);
        let plain = decode(&stored, &parameters(INTEGER, 0, 3, 0, 2, 0, Some(99)), 6).unwrap();
        assert_eq!(plain, [(-3i16).to_le_bytes(), 2i16.to_le_bytes(), 99i16.to_le_bytes()].concat());
        let plain = decode(&stored, &parameters(INTEGER, 0, 3, 0, 2, 1, None), 6).unwrap();
        assert_eq!(plain, [(-3i16).to_be_bytes(), 2i16.to_be_bytes(), 12i16.to_be_bytes()].concat());
        // All are the minimum; and none is packed.
        assert_eq!(decode(&chunk(0, 7, &[]), &parameters(INTEGER, 0, 2, 0, 1, 0, None), 2).unwrap(), [7, 7]);
        assert_eq!(decode(&chunk(16, 7, &[1, 2]), &parameters(INTEGER, 0, 1, 0, 2, 1, None), 2).unwrap(), [2, 1]);
    }

    #[test]
    fn floats_have_decimal_digits() {
        let stored = chunk(8, u64::from(1.5f32.to_bits()), &[0, 25]);
        let plain = decode(&stored, &parameters(DECIMAL, 1, 2, FLOAT, 4, 0, None), 8).unwrap();
        assert_eq!(plain, [1.5f32.to_le_bytes(), 4.0f32.to_le_bytes()].concat());
        let stored = chunk(8, 1.5f64.to_bits(), &[0, 25]);
        let plain = decode(&stored, &parameters(DECIMAL, 1, 2, FLOAT, 8, 0, None), 16).unwrap();
        assert_eq!(plain, [1.5f64.to_le_bytes(), 4.0f64.to_le_bytes()].concat());
    }

    #[test]
    fn claims_are_checked_before_memory_is_taken() {
        let known = parameters(INTEGER, 0, u32::MAX, 0, 8, 0, None);
        assert!(matches!(decode(&chunk(4, 0, &[0; 9]), &known, 1 << 20), Err(CodecError::TooLarge { .. })));
        assert!(matches!(decode(&chunk(4, 0, &[0; 9]), &known, u64::MAX), Err(CodecError::Truncated { .. })));
        assert!(matches!(decode(&chunk(65, 0, &[0; 9]), &known, u64::MAX), Err(CodecError::Invalid { .. })));
        assert!(matches!(decode(&[0; 20], &known, u64::MAX), Err(CodecError::Truncated { need: 1, .. })));
        assert!(decode(&[0; 30], &parameters(1, 0, 1, FLOAT, 4, 0, None), 99).is_err());
        assert!(decode(&[0; 30], &[], u64::MAX).is_err());
    }
}
