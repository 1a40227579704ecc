//! What the filter's parameters say: they are the header of a ZFP stream, in words of 32 bits.

use super::super::error::CodecError;
use super::WHAT;
use super::block::{Coding, Kind};
use super::stream::Stream;

/// What a header begins with; the last byte is the version of the code, the same since 2015.
const MAGIC: [u8; 4] = *b"zfp\x05";
/// Words of the longest header, rounded up.
const WORDS: usize = 5;
/// Bits of a count by the number of axes; in all always the same.
const COUNTS: [u32; 4] = [48, 24, 16, 12];
/// Bits of how much was kept: the short form, which as all ones says that the long one follows.
const SHORT: u32 = 12;
const LONG: u64 = 0xfff;
/// Where kinds of short forms begin: so many bits a block; so many planes; everything; planes down to a power of two.
const PLANES: u64 = 2048;
const REVERSIBLE: u64 = 2048 + 128;
/// Bits of a block where nobody limits them.
const FEWEST_BITS: u32 = 1;
const MOST_BITS: u32 = 16_658;
/// Planes that are kept at most.
const MOST_PLANES: u32 = 64;
/// The power of two of the lowest bit of any double.
const LOWEST: i32 = -1074;
/// In the long form, the power of two that zero stands for.
const LONG_LOWEST: i32 = -16_495;

/// A header.
#[derive(Debug)]
pub(super) struct Header {
    /// Numbers along each axis, the fastest first; one along those that there are not.
    pub(super) sides: [u64; 4],
    pub(super) coding: Coding,
    /// The writer had the highest byte first.
    pub(super) swapped: bool,
}

impl Header {
    /// The header in `parameters`, behind the filter's version.
    pub(super) fn read(parameters: &[u32]) -> Result<Header, CodecError> {
        let words = || parameters.iter().skip(1).take(WORDS);
        let mut bytes: Vec<u8> = words().flat_map(|word| word.to_le_bytes()).collect();
        let swapped = !bytes.starts_with(&MAGIC);
        if swapped {
            bytes = words().flat_map(|word| word.to_be_bytes()).collect();
        }
        let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| invalid("parameters of another version"))?;
        let mut bits = Stream::new(rest);
        let kind = match bits.take(2) {
            0 => Kind::Int32,
            1 => Kind::Int64,
            2 => Kind::Float32,
            _ => Kind::Float64,
        };
        let axes = bits.take(2) as usize + 1;
        let (mut sides, width) = ([1; 4], COUNTS[axes - 1]);
        sides.iter_mut().take(axes).for_each(|side| *side = bits.take(width) + 1);
        let unlimited = Coding {
            kind,
            axes,
            least: FEWEST_BITS,
            most: MOST_BITS,
            planes: MOST_PLANES,
            lowest: LOWEST,
            reversible: false,
        };
        let coding = match bits.take(SHORT) {
            LONG => {
                let (least, most) = (bits.take(15) as u32 + 1, bits.take(15) as u32 + 1);
                let (planes, lowest) = (bits.take(7) as u32 + 1, bits.take(15) as i32 + LONG_LOWEST);
                Coding { least, most, planes, lowest, reversible: lowest < LOWEST, ..unlimited }
            }
            rate @ ..PLANES => Coding { least: rate as u32 + 1, most: rate as u32 + 1, ..unlimited },
            planes @ ..REVERSIBLE => Coding { planes: (planes - PLANES) as u32 + 1, ..unlimited },
            REVERSIBLE => Coding { reversible: true, ..unlimited },
            power => Coding { lowest: LOWEST + (power - REVERSIBLE - 1) as i32, ..unlimited },
        };
        if bits.position() > rest.len() as u64 * 8 {
            return Err(invalid("parameters end too early"));
        }
        if coding.least > coding.most || coding.planes > MOST_PLANES {
            return Err(invalid("parameters that cannot be"));
        }
        Ok(Header { sides, coding, swapped })
    }
}

fn invalid(reason: &'static str) -> CodecError {
    CodecError::Invalid { what: WHAT, at: 0, reason }
}
