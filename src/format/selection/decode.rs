//! Selections of all versions, and the heap objects of region references.

use super::{STRUCTURE, kind};
use crate::format::cursor::Cursor;
use crate::format::{FormatError, Kind};
use crate::model::limits::RANK;
use crate::model::selection::Selection;

/// Numbers of a selection that a file describes by fewer: a regular hyperslab stands for all its boxes. Eight megabytes
/// of them; larger ones are told of instead of taken in.
const NUMBERS: u64 = 1 << 20;
/// Flag: the hyperslab is regular.
const REGULAR: u8 = 0x01;

/// The heap object of a region reference: the address of the dataset, and the selection.
pub fn region(object: &mut Cursor<'_>) -> Result<(u64, Selection), FormatError> {
    let mut object = { *object }.named(STRUCTURE);
    Ok((object.address()?, decode(&mut object)?))
}

/// A selection.
pub fn decode(body: &mut Cursor<'_>) -> Result<Selection, FormatError> {
    let (class, version) = (body.u32()?, body.u32()?);
    match (class, version) {
        (kind::NONE, _) => Ok(Selection::None),
        (kind::ALL, _) => Ok(Selection::All),
        (kind::POINTS, 1) => {
            body.skip(8)?;
            let rank = rank(body)?;
            let count = body.u32()?.into();
            Ok(Selection::Points { rank, coordinates: numbers(body, count, rank.into(), 4)? })
        }
        (kind::POINTS, 2) => {
            let width = width(body)?;
            let rank = rank(body)?;
            let count = body.uint(width)?;
            Ok(Selection::Points { rank, coordinates: numbers(body, count, rank.into(), width)? })
        }
        (kind::HYPERSLAB, 1) => {
            body.skip(8)?;
            let rank = rank(body)?;
            let count = body.u32()?.into();
            boxes(body, rank, count, 4)
        }
        (kind::HYPERSLAB, 2) => {
            let flags = body.u8()?;
            body.skip(4)?;
            let rank = rank(body)?;
            if flags & REGULAR == 0 {
                return Err(body.bad("a hyperslab of version 2 that is not regular"));
            }
            regular(body, rank, 8)
        }
        (kind::HYPERSLAB, 3) => {
            let flags = body.u8()?;
            let width = width(body)?;
            let rank = rank(body)?;
            if flags & REGULAR != 0 {
                return regular(body, rank, width);
            }
            let count = body.uint(width)?;
            boxes(body, rank, count, width)
        }
        (kind::POINTS | kind::HYPERSLAB, version) => Err(body.fault(Kind::Version, format!("version {version}"))),
        _ => Err(body.bad(format!("a selection of type {class}"))),
    }
}

fn rank(body: &mut Cursor<'_>) -> Result<u32, FormatError> {
    let rank = body.u32()?;
    if rank == 0 || rank as usize > RANK {
        return Err(body.bad(format!("rank {rank}")));
    }
    Ok(rank)
}

fn width(body: &mut Cursor<'_>) -> Result<usize, FormatError> {
    match body.u8()? {
        width @ (2 | 4 | 8) => Ok(width.into()),
        width => Err(body.bad(format!("numbers of {width} bytes"))),
    }
}

/// `count` times `each` numbers, all of which stand in the body.
fn numbers(body: &mut Cursor<'_>, count: u64, each: u64, width: usize) -> Result<Vec<u64>, FormatError> {
    let bytes = count.checked_mul(each).and_then(|numbers| numbers.checked_mul(width as u64));
    let mut part = body.part(bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX))?;
    let mut found = Vec::with_capacity(part.left() / width.max(1));
    while part.left() > 0 {
        found.push(part.uint(width)?);
    }
    Ok(found)
}

fn boxes(body: &mut Cursor<'_>, rank: u32, count: u64, width: usize) -> Result<Selection, FormatError> {
    let corners = numbers(body, count, 2 * u64::from(rank), width)?;
    let dims = rank as usize;
    let turned =
        corners.chunks_exact(2 * dims).any(|each| each.iter().zip(&each[dims..]).any(|(start, end)| start > end));
    if turned {
        return Err(body.bad("a box that ends before it begins"));
    }
    Ok(if corners.is_empty() { Selection::None } else { Selection::Blocks { rank, corners } })
}

/// The boxes that a start, a stride, a count and a block a dimension stand for.
fn regular(body: &mut Cursor<'_>, rank: u32, width: usize) -> Result<Selection, FormatError> {
    let mut dims = Vec::with_capacity(rank as usize);
    let mut total = 2 * u64::from(rank);
    for _ in 0..rank {
        let (start, stride) = (body.uint(width)?, body.uint(width)?);
        let (mut count, mut block) = (body.uint(width)?, body.uint(width)?);
        if count == 0 || block == 0 {
            return Ok(Selection::None);
        }
        // Boxes without a gap between them are one.
        if stride == block {
            block = count.checked_mul(block).ok_or_else(|| body.bad("a box past 64 bits"))?;
            count = 1;
        }
        let last = (count - 1).checked_mul(stride).and_then(|at| at.checked_add(start)?.checked_add(block - 1));
        if last.is_none() {
            return Err(body.fault(Kind::Unsupported, "a selection without an end"));
        }
        total = total.checked_mul(count).filter(|&total| total <= NUMBERS).ok_or_else(|| {
            body.fault(Kind::Limit, format!("a selection of more than {} boxes", NUMBERS / (2 * u64::from(rank))))
        })?;
        dims.push((start, stride, count, block));
    }
    let mut corners = Vec::with_capacity(total as usize);
    let mut at = vec![0u64; dims.len()];
    loop {
        let first = || dims.iter().zip(&at).map(|((start, stride, ..), at)| start + at * stride);
        corners.extend(first());
        corners.extend(first().zip(&dims).map(|(first, (.., block))| first + (block - 1)));
        // The last dimension is the fastest.
        let Some(grows) = (0..dims.len()).rev().find(|&dim| at[dim] + 1 < dims[dim].2) else { break };
        at[grows] += 1;
        at[grows + 1..].fill(0);
    }
    Ok(Selection::Blocks { rank, corners })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::bytes::Sizes;
    use crate::format::selection::encode_region;

    #[test]
    fn what_is_encoded_is_decoded() {
        let far = u64::from(u32::MAX) + 7;
        for selection in [
            Selection::None,
            Selection::All,
            Selection::Points { rank: 2, coordinates: vec![1, 2, 3, 4] },
            Selection::Points { rank: 1, coordinates: vec![far] },
            Selection::Blocks { rank: 2, corners: vec![0, 0, 1, 1, 4, 4, 5, 9] },
            Selection::Blocks { rank: 1, corners: vec![3, far] },
            Selection::Blocks { rank: 1, corners: vec![3, 4, 9, far] },
        ] {
            let mut bytes = Vec::new();
            encode_region(0x1234, &selection, &mut bytes).unwrap();
            let mut cursor = Cursor::new("test", &bytes, 0, Sizes::EIGHT);
            assert_eq!(region(&mut cursor).unwrap(), (0x1234, selection));
            for len in 0..bytes.len().min(16) {
                assert!(region(&mut Cursor::new("test", &bytes[..len], 0, Sizes::EIGHT)).is_err());
            }
        }
    }

    #[test]
    fn regular_hyperslabs_are_their_boxes() {
        let hyperslab = |dims: &[[u64; 4]]| {
            let mut bytes: Vec<u8> = [2u32, 2].iter().flat_map(|word| word.to_le_bytes()).collect();
            bytes.push(1);
            bytes.extend((0u32).to_le_bytes());
            bytes.extend((dims.len() as u32).to_le_bytes());
            bytes.extend(dims.iter().flatten().flat_map(|number| number.to_le_bytes()));
            decode(&mut Cursor::new("test", &bytes, 0, Sizes::EIGHT))
        };
        assert_eq!(
            hyperslab(&[[1, 5, 2, 2], [0, 3, 4, 3]]).unwrap(),
            Selection::Blocks { rank: 2, corners: vec![1, 0, 2, 11, 6, 0, 7, 11] }
        );
        assert_eq!(hyperslab(&[[1, 5, 0, 2]]).unwrap(), Selection::None);
        assert_eq!(hyperslab(&[[0, 2, u64::MAX, 1]]).unwrap_err().kind, Kind::Unsupported);
        assert_eq!(hyperslab(&[[0, 2, 1 << 40, 1]]).unwrap_err().kind, Kind::Limit);
    }
}
