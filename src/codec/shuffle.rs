//! Shuffle (HDF5 filter 2): the first bytes of all elements, then all second bytes, and so on.
//!
//! Bytes after the last whole element stay where they are, at the end, as libhdf5 leaves them.

use super::error::CodecError;

/// Elements that are put together at once in the general case: for elements of up to 64 bytes, what is written stays
/// within 16 KiB, half of a small first-level cache.
const BLOCK: usize = 256;

/// Whether (un)shuffling `length` bytes in elements of `element` bytes changes nothing.
pub fn is_identity(length: usize, element: u32) -> bool {
    element <= 1 || length / (element as usize) <= 1
}

/// Undoes the shuffle of elements of `element` bytes.
pub fn decode(stored: &[u8], element: u32) -> Vec<u8> {
    if is_identity(stored.len(), element) {
        return stored.to_vec();
    }
    let size = element as usize;
    let count = stored.len() / size;
    let (planes, rest) = stored.split_at(count * size);
    let mut plain = Vec::with_capacity(stored.len());
    match size {
        2 => join::<2>(planes, count, &mut plain),
        4 => join::<4>(planes, count, &mut plain),
        8 => join::<8>(planes, count, &mut plain),
        _ => {
            plain.resize(count * size, 0);
            for (block, out) in plain.chunks_mut(BLOCK * size).enumerate() {
                let first = block * BLOCK;
                let elements = out.len() / size;
                for (byte, plane) in planes.chunks_exact(count).enumerate() {
                    let Some(source) = plane.get(first..first + elements) else { continue };
                    for (element, &value) in out.chunks_exact_mut(size).zip(source) {
                        if let Some(place) = element.get_mut(byte) {
                            *place = value;
                        }
                    }
                }
            }
        }
    }
    plain.extend_from_slice(rest);
    plain
}

/// Appends the elements whose bytes lie in `SIZE` planes of `count` bytes. With the size known when compiled and all
/// planes cut to one length, the loop below becomes vector instructions.
fn join<const SIZE: usize>(planes: &[u8], count: usize, plain: &mut Vec<u8>) {
    let mut split = planes.chunks_exact(count);
    let planes: [&[u8]; SIZE] = std::array::from_fn(|_| split.next().unwrap_or_default());
    if planes.iter().any(|plane| plane.len() != count) {
        return;
    }
    plain.resize(count * SIZE, 0);
    for (index, element) in plain.as_chunks_mut::<SIZE>().0.iter_mut().enumerate() {
        // `index` is below `count`, the length of every plane.
        *element = std::array::from_fn(|byte| planes[byte][index]);
    }
}

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
        fn shuffled_bytes_come_back(plain in proptest::collection::vec(any::<u8>(), 0..3000), element in 0u32..70) {
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
