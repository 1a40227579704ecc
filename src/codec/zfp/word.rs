//! Integers of a block, of 32 or 64 bits, and the numbers that they stand for.

use std::num::Wrapping;
use std::ops::{Add, Shr, Sub};

/// An integer of a block. Sums that pass its ends come in on the other side, as they do where ZFP was written.
pub(super) trait Word:
    Copy + Default + Add<Output = Self> + Sub<Output = Self> + Shr<usize, Output = Self>
{
    /// Its bits, those of a float's exponent, and those that count its own.
    const WIDTH: u32;
    const EXPONENT: u32;
    const PRECISION: u32;
    /// An integer written to the base of -2.
    fn from_negabinary(number: u64) -> Self;
    /// Its bits.
    fn bits(self) -> u64;
    /// The bits of the float that is it times 2 to a power.
    fn times(self, power: i32) -> u64;
    /// The bits of the float that it was made of, sign and all: those below zero stand the other way round.
    fn reinterpreted(self) -> u64;
}

impl Word for Wrapping<i32> {
    const WIDTH: u32 = 32;
    const EXPONENT: u32 = 8;
    const PRECISION: u32 = 5;

    fn from_negabinary(number: u64) -> Self {
        const ODD: u32 = 0xaaaa_aaaa;
        Wrapping((number as u32 ^ ODD).wrapping_sub(ODD) as i32)
    }

    fn bits(self) -> u64 {
        (self.0 as u32).into()
    }

    fn times(self, power: i32) -> u64 {
        // Twice rounded, as ZFP does: the power to what a float holds, then the product.
        (two_to(power) as f32 * self.0 as f32).to_bits().into()
    }

    fn reinterpreted(self) -> u64 {
        let turned = if self.0 < 0 { self.0 ^ i32::MAX } else { self.0 };
        (turned as u32).into()
    }
}

impl Word for Wrapping<i64> {
    const WIDTH: u32 = 64;
    const EXPONENT: u32 = 11;
    const PRECISION: u32 = 6;

    fn from_negabinary(number: u64) -> Self {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        Wrapping((number ^ ODD).wrapping_sub(ODD) as i64)
    }

    fn bits(self) -> u64 {
        self.0 as u64
    }

    fn times(self, power: i32) -> u64 {
        (two_to(power) * self.0 as f64).to_bits()
    }

    fn reinterpreted(self) -> u64 {
        (if self.0 < 0 { self.0 ^ i64::MAX } else { self.0 }) as u64
    }
}

/// 2 to a power; zero below what a double holds.
fn two_to(power: i32) -> f64 {
    match power {
        ..-1074 => 0.0,
        -1074..-1022 => f64::from_bits(1 << (power + 1074)),
        _ => f64::from_bits(((power.min(1024) + 1023) as u64) << 52),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two() {
        for power in -1074..=1023 {
            assert_eq!(two_to(power).log2(), f64::from(power));
        }
        assert_eq!([two_to(-1075), two_to(1024), two_to(i32::MAX)], [0.0, f64::INFINITY, f64::INFINITY]);
    }

    #[test]
    fn digits_of_minus_two() {
        // 1, -2, 4, -8 and so on.
        for (number, value) in [(0b0, 0), (0b1, 1), (0b10, -2), (0b11, -1), (0b110, 2), (0b1101, -3)] {
            assert_eq!(<Wrapping<i32> as Word>::from_negabinary(number).0, value);
            assert_eq!(<Wrapping<i64> as Word>::from_negabinary(number).0, i64::from(value));
        }
    }

    #[test]
    fn floats_in_their_order() {
        for value in [0.0f32, -0.0, 1.5, -1.5, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE] {
            let bits = value.to_bits() as i32;
            let word = Wrapping(if bits < 0 { bits ^ i32::MAX } else { bits });
            assert_eq!(word.reinterpreted(), u64::from(value.to_bits()));
        }
    }
}
