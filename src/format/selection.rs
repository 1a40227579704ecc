//! Selections as region references hold them (VIII.A "Dataspace Selection", VIII.C).
//!
//! Version 1 has 32-bit numbers and every libhdf5 reads it. Where a number does not fit: one box is a regular hyperslab
//! of version 2 (libhdf5 1.10), several boxes are version 3 and points version 2 (libhdf5 1.12).

pub mod decode;

use super::FormatError;
use super::fields::Fields;
use crate::model::limits::RANK;
use crate::model::selection::Selection;

const STRUCTURE: &str = "dataspace selection";

/// Types of selection.
mod kind {
    pub const NONE: u32 = 0;
    pub const POINTS: u32 = 1;
    pub const HYPERSLAB: u32 = 2;
    pub const ALL: u32 = 3;
}

/// Bytes of the heap object of a region reference (`H5R_DATASET_REGION1`): the dataset's address, then the selection.
pub fn encode_region(dataset: u64, selection: &Selection, out: &mut Vec<u8>) -> Result<(), FormatError> {
    out.put_u64(dataset);
    encode(selection, out)
}

/// Appends a selection.
pub fn encode(selection: &Selection, out: &mut Vec<u8>) -> Result<(), FormatError> {
    match selection {
        Selection::None => put_words(&[kind::NONE, 1, 0, 0], out),
        Selection::All => put_words(&[kind::ALL, 1, 0, 0], out),
        Selection::Points { rank, coordinates } => {
            let count = count(*rank, coordinates.len(), 1)?;
            match narrow(coordinates, count, 8) {
                Some(len) => {
                    put_words(&[kind::POINTS, 1, 0, len, *rank, count as u32], out);
                    put_numbers(coordinates, 4, out);
                }
                None => {
                    put_words(&[kind::POINTS, 2], out);
                    out.put_u8(8);
                    out.put_u32(*rank);
                    out.put_u64(count);
                    put_numbers(coordinates, 8, out);
                }
            }
        }
        Selection::Blocks { rank, corners } => {
            let count = count(*rank, corners.len(), 2)?;
            let rank_len = *rank as usize;
            let boxes = || corners.chunks_exact(2 * rank_len).map(|each| each.split_at(rank_len));
            if let Some((start, end)) = boxes().find(|(start, end)| start.iter().zip(*end).any(|(s, e)| s > e)) {
                return Err(FormatError::new(STRUCTURE, format!("a box from {start:?} to {end:?}")));
            }
            match (narrow(corners, count, 8), count) {
                (Some(len), _) => {
                    put_words(&[kind::HYPERSLAB, 1, 0, len, *rank, count as u32], out);
                    put_numbers(corners, 4, out);
                }
                (None, 1) => {
                    put_words(&[kind::HYPERSLAB, 2], out);
                    out.put_u8(1); // Regular.
                    out.put_u32(4 + 32 * rank);
                    out.put_u32(*rank);
                    for (start, end) in boxes().flat_map(|(start, end)| start.iter().zip(end)) {
                        let Some(extent) = (end - start).checked_add(1) else {
                            return Err(FormatError::new(STRUCTURE, format!("a box from {start} to {end}")));
                        };
                        // One block, so its stride (at least 1) is never taken.
                        put_numbers(&[*start, 1, 1, extent], 8, out);
                    }
                }
                (None, _) => {
                    put_words(&[kind::HYPERSLAB, 3], out);
                    out.put_bytes(&[0, 8]); // Irregular, numbers of 8 bytes.
                    out.put_u32(*rank);
                    out.put_u64(count);
                    put_numbers(corners, 8, out);
                }
            }
        }
    }
    Ok(())
}

/// Points, or boxes of two corners.
fn count(rank: u32, numbers: usize, corners: usize) -> Result<u64, FormatError> {
    let each = rank as usize * corners;
    if rank == 0 || rank as usize > RANK || numbers == 0 || !numbers.is_multiple_of(each) {
        return Err(FormatError::new(STRUCTURE, format!("{numbers} numbers in rank {rank}")));
    }
    Ok((numbers / each) as u64)
}

/// The length field of version 1 (bytes behind it, of which `fixed` before the numbers), where all fits into 32 bits.
fn narrow(numbers: &[u64], count: u64, fixed: u64) -> Option<u32> {
    let fits = numbers.iter().all(|&number| number <= u64::from(u32::MAX)) && count <= u64::from(u32::MAX);
    if fits { u32::try_from(fixed + 4 * numbers.len() as u64).ok() } else { None }
}

fn put_words(words: &[u32], out: &mut Vec<u8>) {
    for &word in words {
        out.put_u32(word);
    }
}

fn put_numbers(numbers: &[u64], width: usize, out: &mut Vec<u8>) {
    for &number in numbers {
        out.put_uint(number, width);
    }
}
