//! Elements of several dimensions, cut into blocks of one shape: the layer `b2nd` of a frame's metadata.
//!
//! A layer's place stands behind its name; there, behind a length, are in MessagePack: a version, how many dimensions, the
//! extents, the extents of a chunk, those of a block. A frame of a file's chunk has one chunk.

use super::super::error::{CodecError, zeros};
use super::invalid;

const NAME: &[u8] = b"\xa4b2nd\xd2";
/// Dimensions that Blosc2 has at most.
const MOST: usize = 16;

/// How elements are cut into blocks.
#[derive(Debug)]
pub(super) struct Grid {
    shape: Vec<usize>,
    block: Vec<usize>,
}

impl Grid {
    /// The grid that the metadata `layers` of `frame` name, where they do.
    pub(super) fn read(layers: &[u8], frame: &[u8]) -> Result<Option<Grid>, CodecError> {
        let Some(place) = layers.windows(NAME.len()).position(|window| window == NAME) else { return Ok(None) };
        let bad = || invalid(super::LAYERS as u64, "its dimensions are not told as they should be");
        let mut layer = layers.get(place + NAME.len()..).unwrap_or_default();
        let place = take(&mut layer, 4).ok_or_else(bad)?;
        let mut fields = usize::try_from(place).ok().and_then(|place| frame.get(place..)).ok_or_else(bad)?;
        // A string of bytes with a length of four, an array of seven, and the version.
        let start = (take(&mut fields, 1), take(&mut fields, 4), take(&mut fields, 1), take(&mut fields, 1));
        let (Some(0xc6), Some(_), Some(0x90..=0x9f), Some(0)) = start else { return Err(bad()) };
        let rank = take(&mut fields, 1).and_then(|rank| usize::try_from(rank).ok()).filter(|&rank| rank <= MOST);
        let rank = rank.ok_or_else(bad)?;
        let shape = extents(&mut fields, rank, (0xd3, 8)).ok_or_else(bad)?;
        let chunk = extents(&mut fields, rank, (0xd2, 4)).ok_or_else(bad)?;
        let block = extents(&mut fields, rank, (0xd2, 4)).ok_or_else(bad)?;
        let cut = chunk.iter().zip(&block).all(|(&chunk, &block)| block > 0 && block <= chunk);
        if rank == 0 || !cut || shape != chunk {
            return Err(invalid(super::LAYERS as u64, "its elements are not one chunk"));
        }
        Ok(Some(Grid { shape, block }))
    }

    /// Elements in C order, of those block behind block.
    pub(super) fn ordered(&self, cut: Vec<u8>) -> Result<Vec<u8>, CodecError> {
        let bad = || invalid(super::LAYERS as u64, "its dimensions do not go with its bytes");
        let product = |extents: &[usize]| extents.iter().try_fold(1usize, |all, &extent| all.checked_mul(extent));
        let counts: Vec<usize> = self.shape.iter().zip(&self.block).map(|(all, block)| all.div_ceil(*block)).collect();
        let (elements, in_block) = (product(&self.shape).ok_or_else(bad)?, product(&self.block).ok_or_else(bad)?);
        let padded = product(&counts).and_then(|blocks| blocks.checked_mul(in_block)).ok_or_else(bad)?;
        if elements == 0 || padded == 0 || !cut.len().is_multiple_of(padded) || cut.is_empty() {
            return Err(bad());
        }
        let size = cut.len() / padded;
        let mut plain = zeros(elements as u64 * size as u64)?;
        let row = self.block.last().copied().unwrap_or(1);
        // Row by row of each block, as far as it lies within the shape.
        for (number, from) in cut.chunks_exact(row * size).enumerate() {
            let (mut block, mut inner) = (number / (in_block / row), number % (in_block / row));
            let (mut at, mut stride, mut inside, mut width) = (0, 1, true, row);
            for (dimension, (&all, &extent)) in self.shape.iter().zip(&self.block).enumerate().rev() {
                let count = counts.get(dimension).copied().unwrap_or(1);
                let mut start = block % count * extent;
                block /= count;
                if dimension + 1 == self.shape.len() {
                    width = row.min(all.saturating_sub(start));
                } else {
                    start += inner % extent;
                    inner /= extent;
                }
                inside &= start < all;
                at += start * stride;
                stride *= all;
            }
            if inside && let Some(to) = plain.get_mut(at * size..(at + width) * size) {
                to.copy_from_slice(from.get(..width * size).unwrap_or_default());
            }
        }
        Ok(plain)
    }
}

/// A big-endian number of `width` bytes off the front.
fn take(fields: &mut &[u8], width: usize) -> Option<u64> {
    let (number, rest) = fields.split_at_checked(width)?;
    *fields = rest;
    Some(number.iter().fold(0, |all, &byte| all << 8 | u64::from(byte)))
}

/// An array of `rank` numbers, each behind a mark and of some bytes.
fn extents(fields: &mut &[u8], rank: usize, (mark, width): (u64, usize)) -> Option<Vec<usize>> {
    take(fields, 1).filter(|&array| array == 0x90 + rank as u64)?;
    let one = |_| {
        take(fields, 1).filter(|&found| found == mark)?;
        usize::try_from(take(fields, width)?).ok()
    };
    (0..rank).map(one).collect()
}
