//! Bits in a row, the lowest of each byte first.

/// Bits that are looked at together: a word of eight bytes less those of its first byte that were taken.
const TOGETHER: u32 = 56;

/// Takes numbers out of packed bits. Past the end it gives zeros: [`position`](Stream::position) tells whether that was.
#[derive(Clone, Debug)]
pub(super) struct Stream<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> Stream<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Stream { bytes, at: 0 }
    }

    /// Bits taken so far.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    /// Passes over bits.
    pub(super) fn skip(&mut self, bits: u32) {
        self.at += u64::from(bits);
    }

    /// What follows, [`TOGETHER`] bits of it at least.
    fn ahead(&self) -> u64 {
        let rest = usize::try_from(self.at / 8).ok().and_then(|at| self.bytes.get(at..)).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_le_bytes(*word),
            None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        word >> (self.at % 8)
    }

    /// A number of `width` bits, at most 64.
    pub(super) fn take(&mut self, width: u32) -> u64 {
        let first = width.min(TOGETHER);
        let low = self.ahead() & ((1 << first) - 1);
        self.skip(first);
        match width.min(u64::BITS) - first {
            0 => low,
            more => low | self.take(more) << first,
        }
    }

    /// One bit.
    pub(super) fn flag(&mut self) -> bool {
        let bit = self.ahead() & 1 == 1;
        self.skip(1);
        bit
    }

    /// How many zeros stand before the next one, and how many bits that took with the one; `most` bits are looked at.
    pub(super) fn zeros(&mut self, most: u32) -> (u32, u32) {
        let mut zeros = 0;
        while zeros < most {
            let looked = TOGETHER.min(most - zeros);
            let run = self.ahead().trailing_zeros();
            if run < looked {
                self.skip(run + 1);
                return (zeros + run, zeros + run + 1);
            }
            self.skip(looked);
            zeros += looked;
        }
        (zeros, zeros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bit_is_the_first() {
        let mut bits = Stream::new(&[0b1010_0001, 0b0000_0011, 0xff]);
        assert_eq!([1, 4, 3, 0, 3].map(|width| bits.take(width)), [1, 0, 0b101, 0, 3]);
        assert_eq!((bits.flag(), bits.position()), (false, 12));
        bits.skip(4);
        assert_eq!((bits.take(64), bits.position()), (0xff, 80));
        assert_eq!((bits.take(5), bits.flag()), (0, false));
    }

    #[test]
    fn zeros_are_counted_up_to_a_one_and_no_further_than_asked() {
        let bytes = [&[0; 20][..], &[0b100]].concat();
        let bits = || Stream::new(&bytes);
        for (most, found, position) in
            [(0, (0, 0), 0), (30, (30, 30), 30), (162, (162, 162), 162), (163, (162, 163), 163)]
        {
            let mut bits = bits();
            assert_eq!((bits.zeros(most), bits.position()), (found, position));
        }
        assert_eq!(Stream::new(&bytes[20..]).zeros(200), (2, 3));
        assert_eq!(Stream::new(&bytes[..1]).zeros(200), (200, 200));
    }

    #[test]
    fn words_of_all_widths_come_out() {
        let word = 0xfedc_ba98_7654_3210u64;
        for before in 0..9u32 {
            let bytes = (u128::from(word) << before).to_le_bytes();
            for width in 0..=64 {
                let mut bits = Stream::new(&bytes);
                bits.skip(before);
                assert_eq!(u128::from(bits.take(width)), u128::from(word) & ((1 << width) - 1), "{before} {width}");
            }
        }
    }
}
