//! N-bit (HDF5 filter 5): of each number only the bits that count, packed one behind another.
//!
//! The filter's parameters describe the element type (specification IV.A.2.l): how many parameters there are, whether
//! nothing was packed at all, how many elements a chunk has, then the type itself, parts in parts. What is no number is
//! packed byte by byte. Bits that do not count come out as zeros.

use super::bits::Bits;
use super::error::{CodecError, zeros};

const WHAT: &str = "n-bit chunk";
/// Kinds of types, as the parameters number them.
const NUMBER: u32 = 1;
const ARRAY: u32 = 2;
const COMPOUND: u32 = 3;
const BYTES: u32 = 4;
/// Where the parameters say that nothing was packed, how many elements there are, and where the type begins.
const UNPACKED: usize = 1;
const COUNT: usize = 2;
const TYPE: usize = 3;
/// Types nest no deeper than in any file that is read.
const DEPTH: usize = 32;
/// Bytes of a number: libhdf5 packs larger ones, but no writer has any.
const LARGEST: u32 = 64;

/// A type, as parameters describe it.
#[derive(Debug)]
enum Type {
    /// A number of so many bytes, the highest first or last; so many bits of it count, from a bit on.
    Number { size: u32, big: bool, precision: u32, offset: u32 },
    /// So many of another.
    Array { size: u32, base: Box<Type>, each: u32 },
    /// Members at their offsets.
    Compound { size: u32, members: Vec<(u32, Type)> },
    /// Bytes without a number.
    Bytes { size: u32 },
}

/// Plain bytes; more than `bound` are an error.
pub fn decode(stored: &[u8], parameters: &[u32], bound: u64) -> Result<Vec<u8>, CodecError> {
    let parameter = |index: usize| parameters.get(index).copied().ok_or_else(undescribed);
    if parameter(UNPACKED)? != 0 {
        return Ok(stored.to_vec());
    }
    let mut at = TYPE;
    let kind = describe(parameters, &mut at, DEPTH)?;
    let (count, size) = (parameter(COUNT)?, kind.size());
    let bytes = u64::from(count) * u64::from(size);
    if bytes > bound {
        return Err(CodecError::TooLarge { at: 0, bytes, limit: bound });
    }
    let mut bits = Bits::new(WHAT, stored);
    // So that a few bytes do not ask for many: each element takes some bits, but where none of them count.
    let wanted = kind.bits().saturating_mul(count.into());
    if wanted == 0 && bytes > 0 {
        return Err(invalid(0, "elements of which no bit counts"));
    }
    if wanted > bits.left() {
        let need = (wanted - bits.left()).div_ceil(8);
        return Err(CodecError::Truncated { what: WHAT, at: stored.len() as u64, need });
    }
    let mut plain = zeros(bytes)?;
    for element in plain.chunks_exact_mut(size.max(1) as usize) {
        unpack(&kind, &mut bits, element)?;
    }
    Ok(plain)
}

impl Type {
    fn size(&self) -> u32 {
        match self {
            Type::Number { size, .. }
            | Type::Array { size, .. }
            | Type::Compound { size, .. }
            | Type::Bytes { size } => *size,
        }
    }

    /// Bits of an element that are packed.
    fn bits(&self) -> u64 {
        match self {
            Type::Number { precision, .. } => u64::from(*precision),
            Type::Array { size, base, each } => u64::from(size / each.max(&1)).saturating_mul(base.bits()),
            Type::Compound { members, .. } => {
                members.iter().fold(0, |bits, (_, member)| member.bits().saturating_add(bits))
            }
            Type::Bytes { size } => u64::from(*size) * 8,
        }
    }
}

/// The type that parameters from `at` on describe.
fn describe(parameters: &[u32], at: &mut usize, depth: usize) -> Result<Type, CodecError> {
    let depth = depth.checked_sub(1).ok_or_else(undescribed)?;
    let mut next = || {
        let value = parameters.get(*at).copied().ok_or_else(undescribed);
        *at += 1;
        value
    };
    match next()? {
        NUMBER => {
            let (size, order, precision, offset) = (next()?, next()?, next()?, next()?);
            let inside = precision.checked_add(offset).is_some_and(|end| end <= size.saturating_mul(8));
            if size == 0 || size > LARGEST || precision == 0 || !inside || order > 1 {
                return Err(invalid(0, "parameters of a number that cannot be"));
            }
            Ok(Type::Number { size, big: order == 1, precision, offset })
        }
        ARRAY => {
            let size = next()?;
            let base = describe(parameters, at, depth)?;
            // Of bytes that are no numbers, all are one run.
            let each = if matches!(base, Type::Bytes { .. }) { size } else { base.size() };
            let base = if matches!(base, Type::Bytes { .. }) { Type::Bytes { size } } else { base };
            if each == 0 || size == 0 || !size.is_multiple_of(each) {
                return Err(invalid(0, "parameters of an array that is not made of its elements"));
            }
            Ok(Type::Array { size, base: Box::new(base), each })
        }
        COMPOUND => {
            let (size, count) = (next()?, next()?);
            // Each takes at least four parameters.
            let most = parameters.len() / 4;
            if size == 0 || count as usize > most {
                return Err(invalid(0, "parameters of a compound that cannot be"));
            }
            let mut members = Vec::with_capacity(count as usize);
            for _ in 0..count {
                let offset = parameters.get(*at).copied().ok_or_else(undescribed)?;
                *at += 1;
                let member = describe(parameters, at, depth)?;
                if offset.checked_add(member.size()).is_none_or(|end| end > size) {
                    return Err(invalid(0, "parameters of a member outside its compound"));
                }
                members.push((offset, member));
            }
            Ok(Type::Compound { size, members })
        }
        BYTES => Ok(Type::Bytes { size: next()? }),
        _ => Err(undescribed()),
    }
}

fn unpack(kind: &Type, bits: &mut Bits<'_>, out: &mut [u8]) -> Result<(), CodecError> {
    match kind {
        Type::Number { big, precision, offset, .. } => {
            // From the highest bit that counts: what of it lies in one byte at a time.
            let mut end = offset + precision;
            while end > *offset {
                let start = (end.div_ceil(8) * 8 - 8).max(*offset);
                let index = (start / 8) as usize;
                let index = if *big { out.len().saturating_sub(1 + index) } else { index };
                let part = bits.take(end - start)?;
                if let Some(byte) = out.get_mut(index) {
                    *byte = (part << (start % 8)) as u8;
                }
                end = start;
            }
            Ok(())
        }
        Type::Array { base, each, .. } => {
            out.chunks_exact_mut(*each as usize).try_for_each(|element| unpack(base, bits, element))
        }
        Type::Compound { members, .. } => members.iter().try_for_each(|(offset, member)| {
            let start = *offset as usize;
            let part = out.get_mut(start..start + member.size() as usize);
            unpack(member, bits, part.ok_or_else(undescribed)?)
        }),
        Type::Bytes { .. } => out.iter_mut().try_for_each(|byte| {
            *byte = bits.take(8)? as u8;
            Ok(())
        }),
    }
}

fn undescribed() -> CodecError {
    invalid(0, "parameters that describe no type")
}

fn invalid(at: u64, reason: &'static str) -> CodecError {
    CodecError::Invalid { what: WHAT, at, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_put_where_their_bits_count() {
        // Two little-endian numbers of 32 bits, of which 12 count from bit 4 on: 0xabc and 0x123.
        let little = [8, 0, 2, NUMBER, 4, 0, 12, 4];
        assert_eq!(decode(&[0xab, 0xc1, 0x23], &little, 8).unwrap(), [0xc0, 0xab, 0, 0, 0x30, 0x12, 0, 0]);
        let big = [8, 0, 2, NUMBER, 4, 1, 12, 4];
        assert_eq!(decode(&[0xab, 0xc1, 0x23], &big, 8).unwrap(), [0, 0, 0xab, 0xc0, 0, 0, 0x12, 0x30]);
        assert!(matches!(decode(&[0xab, 0xc1], &big, 8), Err(CodecError::Truncated { need: 1, .. })));
        assert!(matches!(decode(&[0xab, 0xc1, 0x23], &big, 7), Err(CodecError::TooLarge { bytes: 8, .. })));
        // Nothing was packed.
        assert_eq!(decode(&[1, 2], &[8, 1, 2, NUMBER, 1, 0, 8, 0], 2).unwrap(), [1, 2]);
    }

    #[test]
    fn compounds_and_arrays_are_unpacked_part_by_part() {
        // Three bits in byte 1, two bytes as they are, two numbers of one bit.
        let members = [1, NUMBER, 1, 0, 3, 0, 2, BYTES, 2, 4, ARRAY, 2, NUMBER, 1, 0, 1, 7];
        let parameters = [&[24, 0, 1, COMPOUND, 6, 3][..], &members].concat();
        // 101, 0x41, 0x42, 1, 0
        let stored = [0b1010_1000, 0b0010_1000, 0b0101_0000];
        assert_eq!(decode(&stored, &parameters, 6).unwrap(), [0, 5, 0x41, 0x42, 0x80, 0]);
    }

    #[test]
    fn parameters_that_mean_nothing_are_refused() {
        for bad in [
            &[][..],
            &[3, 0, 1],
            &[8, 0, u32::MAX, NUMBER, 4, 0, 33, 0],
            &[8, 0, 1, NUMBER, 4, 0, u32::MAX, 2],
            &[8, 0, 1, COMPOUND, 4, u32::MAX],
            &[8, 0, 1, ARRAY, 0, NUMBER, 1, 0, 1, 0],
            &[8, 0, 1, 9],
            &[8, 0, u32::MAX, COMPOUND, 1, 0],
        ] {
            assert!(decode(&[0; 8], bad, 1 << 40).is_err(), "{bad:?}");
        }
        let deep: Vec<u32> = [9, 0, 1].into_iter().chain([ARRAY, 4].into_iter().cycle().take(200)).collect();
        assert!(decode(&[0; 8], &deep, 1 << 40).is_err());
    }
}
