//! Bits in a row, the highest of each byte first, as bzip2, n-bit, scale-offset and szip pack them.

use super::error::CodecError;

/// Takes numbers out of packed bits.
#[derive(Clone, Debug)]
pub(super) struct Bits<'a> {
    what: &'static str,
    bytes: &'a [u8],
    /// Bits taken so far.
    at: u64,
}

impl<'a> Bits<'a> {
    /// The bits of `bytes`; errors name `what`.
    pub(super) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Bits { what, bytes, at: 0 }
    }

    /// The byte at which the next bit stands.
    pub(super) fn position(&self) -> u64 {
        self.at / 8
    }

    /// Bits that are left.
    pub(super) fn left(&self) -> u64 {
        (self.bytes.len() as u64 * 8).saturating_sub(self.at)
    }

    /// A number of `width` bits, at most 64.
    pub(super) fn take(&mut self, width: u32) -> Result<u64, CodecError> {
        let width = width.min(64);
        if u64::from(width) > self.left() {
            let need = (u64::from(width) - self.left()).div_ceil(8);
            return Err(CodecError::Truncated { what: self.what, at: self.bytes.len() as u64, need });
        }
        let (mut number, mut wanted) = (0u64, width);
        while wanted > 0 {
            let skipped = (self.at % 8) as u32;
            let some = wanted.min(8 - skipped);
            let byte = self.bytes.get((self.at / 8) as usize).copied().unwrap_or_default();
            let part = u64::from(byte) >> (8 - skipped - some) & ((1 << some) - 1);
            number = number << some | part;
            wanted -= some;
            self.at += u64::from(some);
        }
        Ok(number)
    }

    /// One bit.
    pub(super) fn flag(&mut self) -> Result<bool, CodecError> {
        Ok(self.take(1)? == 1)
    }

    /// How many zeros stand before the next one, which is taken too; at most `most`.
    pub(super) fn zeros(&mut self, most: u64) -> Result<u64, CodecError> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > most {
                return Err(CodecError::Invalid {
                    what: self.what,
                    at: self.position(),
                    reason: "a run of too many zeros",
                });
            }
        }
        Ok(zeros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_cross_bytes() {
        let mut bits = Bits::new("bits", &[0b1010_0001, 0b1100_0000, 0xff]);
        assert_eq!([3, 6, 0, 2].map(|width| bits.take(width).unwrap()), [0b101, 0b000011, 0, 0b10]);
        assert_eq!((bits.position(), bits.left()), (1, 13));
        assert_eq!(bits.clone().zeros(5).unwrap(), 5);
        assert!(matches!(bits.clone().zeros(4), Err(CodecError::Invalid { at: 2, .. })));
        assert!(matches!(bits.take(22), Err(CodecError::Truncated { at: 3, need: 2, .. })));
        assert_eq!(bits.take(13).unwrap(), 0xff);
        assert!(bits.flag().is_err());
    }
}
