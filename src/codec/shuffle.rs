//! Shuffle (HDF5 filter 2): the first bytes of all elements, then all second bytes, and so on.
//!
//! Bytes after the last whole element stay where they are, at the end, as libhdf5 leaves them.
//!
//! Elements of 2, 4, 8 and 16 bytes are put together as numbers, two halves at a time, in loops that become vector
//! instructions; bytes of other elements are placed one by one. `examples/codec_speed.rs` measures both.

use super::error::CodecError;

/// Elements that are put together at once: those of 16 bytes and their halves take 4 KiB, which stays in the first-level
/// cache, and the loops are long enough for any vector unit.
const BLOCK: usize = 128;

/// Whether (un)shuffling `length` bytes in elements of `element` bytes changes nothing.
pub fn is_identity(length: usize, element: u32) -> bool {
    element <= 1 || length / (element as usize) <= 1
}

/// Undoes the shuffle of elements of `element` bytes.
pub fn decode(stored: &[u8], element: u32) -> Vec<u8> {
    let mut plain = vec![0; stored.len()];
    decode_into(stored, element, &mut plain);
    plain
}

/// Undoes the shuffle of elements of `element` bytes, into `plain`. Where that is not as long as `stored`, what is past
/// the shorter one is left alone.
pub(super) fn decode_into(stored: &[u8], element: u32, plain: &mut [u8]) {
    let length = stored.len().min(plain.len());
    let (stored, plain) = (&stored[..length], &mut plain[..length]);
    if is_identity(length, element) {
        return plain.copy_from_slice(stored);
    }
    let size = element as usize;
    let count = length / size;
    let (planes, rest) = stored.split_at(count * size);
    let (elements, plain_rest) = plain.split_at_mut(count * size);
    plain_rest.copy_from_slice(rest);
    let done = match size {
        2 => join_blocks(planes, count, elements, |planes| join2(planes).map(u16::to_le_bytes)),
        4 => join_blocks(planes, count, elements, |planes| join4(planes).map(u32::to_le_bytes)),
        8 => join_blocks(planes, count, elements, |planes| join8(planes).map(u64::to_le_bytes)),
        16 => join_blocks(planes, count, elements, |planes| join16(planes).map(u128::to_le_bytes)),
        _ => 0,
    };
    for (block, out) in elements[done * size..].chunks_mut(BLOCK * size).enumerate() {
        let first = done + block * BLOCK;
        for (byte, plane) in planes.chunks_exact(count).enumerate() {
            for (element, &value) in out.chunks_exact_mut(size).zip(&plane[first..]) {
                element[byte] = value;
            }
        }
    }
}

/// One block of one plane.
type Lane = [u8; BLOCK];

/// Fills `elements` with whole blocks, as `join` makes them of the `count` bytes of each plane; returns how many elements
/// it made.
#[inline(always)] // so that each element size has a loop of its own
fn join_blocks<const SIZE: usize>(
    planes: &[u8],
    count: usize,
    elements: &mut [u8],
    join: impl Fn(&[&Lane]) -> [[u8; SIZE]; BLOCK],
) -> usize {
    let mut split = planes.chunks_exact(count);
    let planes: [&[Lane]; SIZE] = std::array::from_fn(|_| split.next().unwrap_or_default().as_chunks().0);
    let blocks = count / BLOCK;
    for (block, out) in (0..blocks).zip(elements.as_chunks_mut::<SIZE>().0.as_chunks_mut::<BLOCK>().0) {
        // Each plane has as many blocks.
        *out = join(&planes.map(|plane| &plane[block]));
    }
    blocks * BLOCK
}

fn join1(planes: &[&Lane]) -> Lane {
    planes.first().map_or([0; BLOCK], |plane| **plane)
}

/// Defines the function that makes one number of the planes of each of its halves; the first planes are the low ones.
macro_rules! join {
    ($name:ident, $half:ident, $part:ty, $whole:ty) => {
        fn $name(planes: &[&Lane]) -> [$whole; BLOCK] {
            let (low, high) = planes.split_at(planes.len() / 2);
            let (low, high) = ($half(low), $half(high));
            let mut numbers = [0; BLOCK];
            for ((number, low), high) in numbers.iter_mut().zip(low).zip(high) {
                *number = <$whole>::from(low) | <$whole>::from(high) << <$part>::BITS;
            }
            numbers
        }
    };
}

join!(join2, join1, u8, u16);
join!(join4, join2, u16, u32);
join!(join8, join4, u32, u64);
join!(join16, join8, u64, u128);

/// Shuffles elements of `element` bytes.
pub fn encode(plain: &[u8], element: u32) -> Vec<u8> {
    if is_identity(plain.len(), element) {
        return plain.to_vec();
    }
    let size = element as usize;
    let count = plain.len() / size;
    let (elements, rest) = plain.split_at(count * size);
    let mut stored = Vec::with_capacity(plain.len());
    for byte in 0..size {
        stored.extend(elements.iter().skip(byte).step_by(size));
    }
    stored.extend_from_slice(rest);
    stored
}

/// Checks an element size that comes from outside.
pub fn element_size(element: u32) -> Result<usize, CodecError> {
    match element {
        0 => Err(CodecError::Invalid { what: "filter parameters", at: 0, reason: "elements of no bytes" }),
        size => Ok(size as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shuffled_bytes_come_back(
            plain in proptest::collection::vec(any::<u8>(), 0..5000),
            element in prop_oneof![0u32..70, Just(2), Just(4), Just(8), Just(16)],
        ) {
            prop_assert_eq!(decode(&encode(&plain, element), element), plain);
        }
    }

    #[test]
    fn bytes_after_the_last_whole_element_stay_at_the_end() {
        assert_eq!(encode(b"aAbBcC.", 2), b"abcABC.");
        assert_eq!(decode(b"abcABC.", 2), b"aAbBcC.");
        assert_eq!(decode(b"abcdefg", 4), b"abcdefg");
    }
}
