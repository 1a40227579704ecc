//! szip (HDF5 filter 4): the extended Rice code of CCSDS 121.0-B, as the Consultative Committee for Space Data Systems
//! has it: of each block of samples, the best of a few codes, and before that each sample less the one before.
//!
//! A chunk is its plain length (u32, little-endian) and the coded bits, the highest first. Words of 32 and 64 bits are
//! taken apart into bytes first: all first bytes, then all second ones. A row of samples (a scanline) is filled up to
//! whole blocks.

use super::bits::Bits;
use super::error::{CodecError, zeros};

const WHAT: &str = "szip chunk";
/// Where parameters stand.
const OPTIONS: usize = 0;
const BLOCK: usize = 1;
const WIDTH: usize = 2;
const ROW: usize = 3;
/// Options: the highest byte of a sample first; samples less the ones before.
const BIG: u32 = 16;
const DIFFERENCES: u32 = 32;
/// Samples of a block at most, and blocks between samples that stand as they are (the rest of the standard's limits
/// follows from these).
const MOST_SAMPLES: usize = 64;
const MOST_BLOCKS: usize = 4096;
/// A run of this many blocks of zeros means: up to the end of the segment of 64 blocks, or of all.
const REST_OF_SEGMENT: usize = 5;
const SEGMENT: usize = 64;
/// Samples that one bit makes at most: a run of zeros of a whole segment takes some eight bits.
const MOST_OF_BIT: u64 = (SEGMENT * MOST_SAMPLES) as u64;

/// How samples are coded.
struct Code {
    /// Samples of a block.
    block: usize,
    /// Blocks between samples that stand as they are.
    interval: usize,
    /// Bits of a sample.
    width: u32,
    differences: bool,
    big: bool,
}

/// Plain bytes; more than `bound` are an error.
pub fn decode(stored: &[u8], parameters: &[u32], bound: u64) -> Result<Vec<u8>, CodecError> {
    let parameter = |index: usize| parameters.get(index).copied().ok_or_else(|| invalid(0, "parameters are missing"));
    let (options, block, width) = (parameter(OPTIONS)?, parameter(BLOCK)? as usize, parameter(WIDTH)?);
    let row = parameter(ROW)? as usize;
    // Words of these widths are coded byte by byte.
    let word = if matches!(width, 32 | 64) { width as usize / 8 } else { 1 };
    let width = if word > 1 { 8 } else { width };
    if block == 0 || block > MOST_SAMPLES || block % 2 != 0 || row == 0 || !(1..=24).contains(&width) {
        return Err(invalid(0, "parameters that cannot be"));
    }
    let interval = row.div_ceil(block);
    if interval > MOST_BLOCKS {
        return Err(invalid(0, "rows of too many samples"));
    }
    let code = Code { block, interval, width, differences: options & DIFFERENCES != 0, big: options & BIG != 0 };
    let Some((length, packed)) = stored.split_first_chunk::<4>() else {
        let at = stored.len() as u64;
        return Err(CodecError::Truncated { what: WHAT, at, need: 4 - at });
    };
    let bytes = u64::from(u32::from_le_bytes(*length));
    if bytes > bound {
        return Err(CodecError::TooLarge { at: 0, bytes, limit: bound });
    }
    let size = code.size();
    let samples = bytes / size as u64;
    // Rows are filled up to whole blocks.
    let (filled, rows) = (interval * block, samples.div_ceil(row as u64));
    let padded = if row.is_multiple_of(block) { samples } else { rows * filled as u64 };
    if padded > (packed.len() as u64).saturating_mul(8).saturating_mul(MOST_OF_BIT) {
        return Err(invalid(0, "more bytes than it can hold"));
    }
    let mut plain = code.samples(packed, padded)?;
    if !row.is_multiple_of(block) {
        let (from, to) = (filled * size, row * size);
        for number in 0..rows as usize {
            plain.copy_within(number * from..number * from + to, number * to);
        }
    }
    plain.truncate(bytes as usize);
    if word == 1 {
        return Ok(plain);
    }
    let mut words = zeros(plain.len() as u64)?;
    let count = plain.len() / word;
    for (byte, plane) in plain.chunks_exact(count.max(1)).take(word).enumerate() {
        for (out, value) in words.chunks_exact_mut(word).zip(plane) {
            if let Some(out) = out.get_mut(byte) {
                *out = *value;
            }
        }
    }
    Ok(words)
}

impl Code {
    /// Bytes of a sample.
    fn size(&self) -> usize {
        match self.width {
            ..=8 => 1,
            9..=16 => 2,
            _ => 4,
        }
    }

    /// Bits that say which code a block has.
    fn choice(&self) -> u32 {
        match self.width {
            ..=8 => 3,
            9..=16 => 4,
            _ => 5,
        }
    }

    /// The bytes of so many samples.
    fn samples(&self, packed: &[u8], count: u64) -> Result<Vec<u8>, CodecError> {
        let mut bits = Bits::new(WHAT, packed);
        let size = self.size();
        let mut plain = zeros(count * size as u64)?;
        let most = self.interval * self.block;
        for out in plain.chunks_mut(most * size) {
            let wanted = out.len() / size;
            let mut coded = Vec::with_capacity(most);
            while coded.len() < wanted {
                self.block(&mut bits, &mut coded)?;
            }
            if self.differences {
                self.add_up(&mut coded);
            }
            for (out, sample) in out.chunks_exact_mut(size).zip(&coded) {
                let bytes = sample.to_le_bytes();
                for (place, byte) in bytes.iter().take(size).enumerate() {
                    let place = if self.big { size - 1 - place } else { place };
                    if let Some(out) = out.get_mut(place) {
                        *out = *byte;
                    }
                }
            }
        }
        Ok(plain)
    }

    /// One block, or a run of blocks of zeros; `coded` holds those of the interval so far.
    fn block(&self, bits: &mut Bits<'_>, coded: &mut Vec<u32>) -> Result<(), CodecError> {
        let (choice, uncoded) = (bits.take(self.choice())? as u32, (1 << self.choice()) - 1);
        let end = coded.len() + self.block;
        if choice == uncoded {
            for _ in 0..self.block {
                coded.push(bits.take(self.width)? as u32);
            }
            return Ok(());
        }
        let second = choice == 0 && bits.flag()?;
        let number = coded.len() / self.block;
        if self.differences && number == 0 {
            coded.push(bits.take(self.width)? as u32);
        }
        // No value of a code is longer than this.
        let longest = 1u64 << self.width.min(16) << 1;
        if choice > 0 {
            let (split, first) = (choice - 1, coded.len());
            while coded.len() < end {
                let high = bits.zeros(longest)? as u32;
                coded.push(high.checked_shl(split).unwrap_or(0));
            }
            for sample in coded.get_mut(first..).unwrap_or_default() {
                *sample |= bits.take(split)? as u32;
            }
        } else if second {
            // Two samples by their sum, and the second of them.
            while coded.len() < end {
                let pair = bits.zeros(longest)?;
                let sum = ((8 * pair + 1).isqrt() - 1) / 2;
                let last = pair - sum * (sum + 1) / 2;
                if coded.len().is_multiple_of(2) {
                    coded.push((sum - last) as u32);
                }
                coded.push(last as u32);
            }
        } else {
            let left = self.interval - number;
            let blocks = match bits.zeros(SEGMENT as u64)? as usize + 1 {
                REST_OF_SEGMENT => left.min(SEGMENT - number % SEGMENT),
                blocks if blocks > REST_OF_SEGMENT => blocks - 1,
                blocks => blocks,
            };
            if blocks > left {
                return Err(invalid(bits.position(), "a run of blocks past the end of its row"));
            }
            coded.resize((number + blocks) * self.block, 0);
        }
        Ok(())
    }

    /// Undoes differences: those near the ends of what a sample can be are folded to one side.
    fn add_up(&self, coded: &mut [u32]) {
        let most = u32::MAX >> (32 - self.width);
        let mut last: Option<u32> = None;
        for sample in coded {
            if let Some(before) = last {
                let (step, upper) = (*sample, before > most / 2);
                let room = if upper { most - before } else { before };
                *sample = match step {
                    _ if step.div_ceil(2) > room && upper => most.wrapping_sub(step) & most,
                    _ if step.div_ceil(2) > room => step & most,
                    _ if step % 2 == 0 => before + step / 2,
                    _ => before - step.div_ceil(2),
                };
            }
            last = Some(*sample);
        }
    }
}

fn invalid(at: u64, reason: &'static str) -> CodecError {
    CodecError::Invalid { what: WHAT, at, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bits: &str) -> Vec<u8> {
        let digits: Vec<u8> = bits.bytes().filter(|digit| *digit != b' ').map(|digit| digit - b'0').collect();
        digits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |all, (at, bit)| all | bit << (7 - at))).collect()
    }

    fn chunk(bytes: u32, bits: &str) -> Vec<u8> {
        [&bytes.to_le_bytes()[..], &packed(bits)].concat()
    }

    #[test]
    fn each_code_gives_its_samples() {
        // Blocks of four bytes, two a row, as they are: one split by one bit, one as it stands.
        let plain = [0, 4, 8];
        let stored = chunk(8, "010 1 01 001 0001 0 1 1 0  111 00000001 00000010 00000011 11111111");
        assert_eq!(decode(&stored, &[plain[2], 4, 8, 8], 8).unwrap(), [0, 3, 5, 6, 1, 2, 3, 255]);
        // Zeros to the end of the row; two pairs of samples: 1 and 0, 1 and 1.
        let stored = chunk(16, "000 0 00001  000 1 01 00001  000 0 1");
        let samples = [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0];
        assert_eq!(decode(&stored, &[plain[2], 4, 8, 8], 16).unwrap(), samples);
        assert!(matches!(decode(&stored, &[plain[2], 4, 8, 8], 15), Err(CodecError::TooLarge { bytes: 16, .. })));
        assert!(decode(&stored[..5], &[plain[2], 4, 8, 8], 16).is_err());
    }

    #[test]
    fn differences_are_added_up() {
        // 100, then one up, one down, and past what one side has room for.
        let code = Code { block: 4, interval: 1, width: 8, differences: true, big: false };
        let mut coded = [100, 2, 1, 201, 250];
        code.add_up(&mut coded);
        assert_eq!(coded, [100, 101, 100, 201, 5]);
        // The first block of a row begins with a sample as it is.
        let stored = chunk(4, "001 01100100 001 01 1");
        assert_eq!(decode(&stored, &[32, 4, 8, 4], 4).unwrap(), [100, 101, 100, 100]);
    }

    #[test]
    fn parameters_that_mean_nothing_are_refused() {
        for bad in
            [&[][..], &[0, 0, 8, 8], &[0, 66, 8, 8], &[0, 3, 8, 8], &[0, 4, 25, 8], &[0, 4, 0, 8], &[0, 2, 8, u32::MAX]]
        {
            assert!(decode(&[4, 0, 0, 0, 0, 0], bad, 1 << 20).is_err(), "{bad:?}");
        }
        assert!(decode(&[255, 255, 255, 15, 0, 0], &[0, 4, 8, 8], 1 << 40).is_err());
    }
}
