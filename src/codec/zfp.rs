//! ZFP (HDF5 filter 32013): numbers in blocks of four along each of one to four axes, each block brought to a common
//! exponent, decorrelated, and written plane by plane, the highest bits first.
//!
//! The filter's parameters are its version and the header that stands in front of other ZFP streams: the magic number, the
//! kind and the counts of numbers, and how much of them was kept. A chunk is the blocks alone, the first axis fastest, bits
//! lowest first. A machine with the highest byte first wrote the header's words in its own order; then elements have it too.

mod block;
mod header;
mod order;
mod stream;
mod word;

use super::error::{CodecError, zeros};
use block::{Block, Coding};
use header::Header;
use stream::Stream;

const WHAT: &str = "ZFP chunk";
/// Numbers of a block along an axis.
const SIDE: usize = 4;

/// Plain bytes; more than `bound` are an error.
pub fn decode(stored: &[u8], parameters: &[u32], bound: u64) -> Result<Vec<u8>, CodecError> {
    let Header { sides, coding, swapped } = Header::read(parameters)?;
    let size = coding.kind.bytes();
    let bytes = sides.iter().try_fold(size as u64, |bytes, side| bytes.checked_mul(*side)).unwrap_or(u64::MAX);
    if bytes > bound {
        return Err(CodecError::TooLarge { at: 0, bytes, limit: bound });
    }
    let blocks: u64 = sides.iter().map(|side| side.div_ceil(SIDE as u64)).product();
    // No block is shorter than it must be: what few bits cannot hold takes no memory.
    enough(stored, blocks.saturating_mul(coding.fewest().into()))?;
    let mut plain = zeros(bytes)?;
    let (sides, mut bits, mut block) = (sides.map(|side| side as usize), Stream::new(stored), Block::default());
    for number in 0..blocks as usize {
        coding.read(&mut bits, &mut block);
        enough(stored, bits.position())?;
        let mut rest = number;
        let corner = sides.map(|side| {
            let count = side.div_ceil(SIDE);
            let at = rest % count * SIDE;
            rest /= count;
            at
        });
        spread(&block, &coding, swapped, (sides, corner), &mut plain);
    }
    Ok(plain)
}

/// Puts the numbers of the block at `corner` where they stand among all; those past an edge are dropped.
fn spread(block: &Block, coding: &Coding, swapped: bool, (sides, corner): ([usize; 4], [usize; 4]), plain: &mut [u8]) {
    let size = coding.kind.bytes();
    let [width, height, depth, more] = std::array::from_fn(|axis| (sides[axis] - corner[axis]).min(SIDE));
    for w in 0..more {
        for z in 0..depth {
            for y in 0..height {
                let row = ((corner[3] + w) * sides[2] + corner[2] + z) * sides[1] + corner[1] + y;
                let first = row * sides[0] + corner[0];
                let out = plain.get_mut(first * size..(first + width) * size).unwrap_or_default();
                let numbers = block.row((w * SIDE + z) * SIDE + y);
                for (out, number) in out.chunks_exact_mut(size).zip(numbers) {
                    // The lowest bytes of the number, whichever end they are put at.
                    let lowest = number.to_le_bytes();
                    out.iter_mut().zip(lowest).for_each(|(out, byte)| *out = byte);
                    if swapped {
                        out.reverse();
                    }
                }
            }
        }
    }
}

/// Whether so many bits were stored.
fn enough(stored: &[u8], bits: u64) -> Result<(), CodecError> {
    let (at, bytes) = (stored.len() as u64, bits.div_ceil(8));
    if bytes > at { Err(CodecError::Truncated { what: WHAT, at, need: bytes - at }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
