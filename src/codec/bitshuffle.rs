//! Bitshuffle: the bits of a block's elements transposed, as the filter of that name and Blosc do it.
//!
//! In a block of n elements, row `8 * byte + bit` of n/8 bytes holds that bit of that byte of every element.

use super::shuffle;

/// Undoes the bitshuffle of one block of elements of `element` bytes, a multiple of eight of them, into `plain`, which is
/// as long. Bytes after the last element stay where they are.
pub(super) fn decode_into(block: &[u8], element: u32, plain: &mut [u8]) {
    let size = element.max(1) as usize;
    let count = block.len() / size;
    let (rows, rest) = block.split_at(count * size);
    let mut planes = vec![0; rows.len()];
    join_bits(rows, count, &mut planes);
    planes.extend_from_slice(rest);
    shuffle::decode_into(&planes, element, plain);
}

/// Transposes bit rows of `count / 8` bytes, eight for each byte of an element, to planes of `count` bytes.
fn join_bits(rows: &[u8], count: usize, planes: &mut [u8]) {
    let row = count / 8;
    if row == 0 {
        return;
    }
    for (rows, plane) in rows.chunks_exact(row * 8).zip(planes.chunks_exact_mut(count)) {
        let mut split = rows.chunks_exact(row);
        let rows: [&[u8]; 8] = std::array::from_fn(|_| split.next().unwrap_or_default());
        for (column, out) in plane.as_chunks_mut().0.iter_mut().enumerate() {
            // Each row has as many bytes as a plane has eights.
            *out = transpose(u64::from_le_bytes(rows.map(|row| row[column]))).to_le_bytes();
        }
    }
}

/// Transposes eight by eight bits: bit `j` of byte `i` becomes bit `i` of byte `j`.
fn transpose(mut square: u64) -> u64 {
    // Swap the off-diagonal quarters of each 2x2, then 4x4, then 8x8 square of bits.
    for (shift, mask) in [(7, 0x00aa_00aa_00aa_00aa), (14, 0x0000_cccc_0000_cccc), (28, 0x0000_0000_f0f0_f0f0)] {
        let swap = (square ^ (square >> shift)) & mask;
        square ^= swap ^ (swap << shift);
    }
    square
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_moves_every_bit_and_twice_is_nothing() {
        for from in 0..64 {
            let to = from % 8 * 8 + from / 8;
            assert_eq!(transpose(1 << from), 1 << to);
        }
        assert_eq!(transpose(transpose(0x0123_4567_89ab_cdef)), 0x0123_4567_89ab_cdef);
    }

    #[test]
    fn rows_of_bits_become_elements() {
        // Eight elements of two bytes: the lowest bit of the first byte is set in element 0, the highest of the second
        // one in element 7. One byte is left over.
        let mut block = [0; 17];
        (block[0], block[15], block[16]) = (1, 0x80, b'.');
        let mut plain = [0xff; 17];
        decode_into(&block, 2, &mut plain);
        let mut expected = [0; 17];
        (expected[0], expected[15], expected[16]) = (1, 0x80, b'.');
        assert_eq!(plain, expected);
        // Too few elements for a row.
        decode_into(b"abc", 4, &mut plain[..3]);
        assert_eq!(plain[..3], *b"abc");
    }
}
