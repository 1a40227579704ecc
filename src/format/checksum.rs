//! The checksum of HDF5's metadata: Bob Jenkins' lookup3 (`hashlittle`, initial value 0).
//!
//! It ends almost every structure of the room and is the hash of link and attribute names in dense storage. A dataset of
//! 10^9 chunks has gigabytes of index pages, each summed when it is read, so this loop must not be slow.

/// What all three words start from, before the length is added.
const SEED: u32 = 0xdead_beef;
/// Bytes mixed at a time.
const BLOCK: usize = 12;

/// The checksum of `bytes`.
pub fn lookup3(bytes: &[u8]) -> u32 {
    // The length enters as 32 bits: that is the algorithm's definition, no structure is that long.
    let start = SEED.wrapping_add(bytes.len() as u32);
    let (mut a, mut b, mut c) = (start, start, start);
    // The last block, full or not, is mixed differently: it must not be taken by the loop.
    let whole = bytes.len().saturating_sub(1) / BLOCK * BLOCK;
    let (body, rest) = bytes.split_at(whole);
    for block in body.as_chunks::<BLOCK>().0 {
        let [x, y, z] = words(block);
        a = a.wrapping_add(x);
        b = b.wrapping_add(y);
        c = c.wrapping_add(z);
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
    }
    if rest.is_empty() {
        return c;
    }
    let mut last = [0; BLOCK];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let [x, y, z] = words(&last);
    a = a.wrapping_add(x);
    b = b.wrapping_add(y);
    c = c.wrapping_add(z);
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

/// Twelve bytes as three little-endian words.
fn words(block: &[u8; BLOCK]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *block;
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]), u32::from_le_bytes([i, j, k, l])]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published self-test of lookup3.c, and sums read out of files that libhdf5 wrote.
    #[test]
    fn sums_are_those_of_lookup3() {
        assert_eq!(lookup3(b""), 0xdead_beef);
        assert_eq!(lookup3(b"Four score and seven years ago"), 0x1777_0551);
    }

    /// `cargo test --release lookup3_speed -- --ignored --nocapture`
    #[test]
    #[ignore = "measures; meaningful in release only"]
    fn lookup3_speed() {
        let page = vec![0x5au8; 8192];
        let start = std::time::Instant::now();
        let mut sum = 0u32;
        let rounds = 200_000u64;
        for _ in 0..rounds {
            sum = sum.wrapping_add(lookup3(std::hint::black_box(&page)));
        }
        let speed = (rounds * 8192) as f64 / start.elapsed().as_secs_f64() / 1e9;
        println!("{speed:.2} GB/s ({sum:x})");
        assert!(speed >= 1.0, "{speed:.2} GB/s");
    }
}
