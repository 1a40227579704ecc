//! Fletcher32 (HDF5 filter 3): four bytes of checksum after the data.
//!
//! The sums run over 16-bit big-endian words, an odd last byte counting as the upper half of a word; they are kept
//! little-endian. libhdf5 before 1.6.3 wrote them with the bytes of each half swapped on some machines, and still
//! accepts that form when it reads, so both are accepted here.

use bytes::Bytes;

use super::error::CodecError;

/// Bytes of the checksum.
pub const BYTES: usize = 4;

/// Words that are summed up side by side, each in a lane of its own. With so many the compiler keeps the loop over them
/// and makes vector instructions of it (17 GB/s); one of 16 it unrolls to single words, which is slower (6) than adding
/// word after word (8).
const LANES: usize = 32;

/// Words of a lane before its sums are reduced: the second sum is at most `65535 * words * (words + 1) / 2`, which stays
/// within 32 bits for up to 361 of them.
const BATCH: usize = 360;

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    // The first sum is that of the words; the second one that of all first sums, one after each word.
    let (mut first, mut second) = (0u64, 0u64);
    let (words, odd) = bytes.as_chunks::<2>();
    let (rows, tail) = words.as_chunks::<LANES>();
    for rows in rows.chunks(BATCH) {
        let (mut firsts, mut seconds) = ([0u32; LANES], [0u32; LANES]);
        for row in rows {
            for ((first, second), word) in firsts.iter_mut().zip(&mut seconds).zip(row) {
                *first += u32::from(u16::from_be_bytes(*word));
                *second += *first;
            }
        }
        // What came before counts once more for each word. A lane's second sum counts its last word once, the one before
        // twice; in a row of words the last one counts as often as lanes do, and each lane once less than its left one.
        second += first * (rows.len() * LANES) as u64;
        for (lane, (of_lane, twice)) in (0u64..).zip(firsts.into_iter().zip(seconds)) {
            first += u64::from(of_lane);
            second += LANES as u64 * u64::from(twice) - lane * u64::from(of_lane);
        }
        first = reduce(first);
        second = reduce(second);
    }
    let last = odd.first().map(|last| u64::from(*last) << 8);
    for word in tail.iter().map(|word| u64::from(u16::from_be_bytes(*word))).chain(last) {
        first += word;
        second += first;
    }
    (reduce(second) as u32) << 16 | reduce(first) as u32
}

/// A sum modulo 65535, where a sum other than 0 never becomes 0: adding the carries in, as libhdf5 does, leaves 65535.
fn reduce(sum: u64) -> u64 {
    if sum == 0 { 0 } else { (sum - 1) % 65535 + 1 }
}

/// Checks the checksum at the end of `stored` and cuts it off.
pub fn decode(stored: Bytes) -> Result<Bytes, CodecError> {
    let Some((data, trailer)) = stored.split_last_chunk::<BYTES>() else {
        let need = BYTES.saturating_sub(stored.len()) as u64;
        return Err(CodecError::Truncated { what: "Fletcher32 checksum", at: stored.len() as u64, need });
    };
    let expected = u32::from_le_bytes(*trailer);
    let computed = checksum(data);
    let [a, b, c, d] = computed.to_le_bytes();
    if *trailer == [a, b, c, d] || *trailer == [b, a, d, c] {
        Ok(stored.slice(..stored.len() - BYTES))
    } else {
        Err(CodecError::Checksum { at: data.len() as u64, stored: expected, computed })
    }
}

/// `plain` followed by its checksum.
pub fn encode(plain: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(plain.len() + BYTES);
    stored.extend_from_slice(plain);
    stored.extend_from_slice(&checksum(plain).to_le_bytes());
    stored
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word: carries added in after every word.
    fn by_definition(bytes: &[u8]) -> u32 {
        let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
        let (mut first, mut second) = (0u32, 0u32);
        for word in bytes.chunks(2) {
            first = fold(first + (u32::from(word[0]) << 8) + u32::from(word.get(1).copied().unwrap_or(0)));
            second = fold(second + first);
        }
        fold(second) << 16 | fold(first)
    }

    proptest! {
        #[test]
        fn batches_do_not_change_the_sum(bytes in proptest::collection::vec(prop_oneof![Just(255u8), any::<u8>()], 0..20_000)) {
            prop_assert_eq!(checksum(&bytes), by_definition(&bytes));
        }
    }

    #[test]
    fn long_runs_of_ones_do_not_overflow() {
        let bytes = vec![0xff; 5 * BATCH * LANES + 1];
        assert_eq!(checksum(&bytes), by_definition(&bytes));
    }

    #[test]
    fn the_old_byte_order_is_accepted_and_any_other_is_not() {
        let mut stored = encode(b"some plain bytes");
        let end = stored.len();
        stored.swap(end - 4, end - 3);
        stored.swap(end - 2, end - 1);
        assert_eq!(decode(stored.clone().into()).unwrap(), b"some plain bytes"[..]);
        stored[2] ^= 1;
        assert!(matches!(decode(stored.into()), Err(CodecError::Checksum { at: 16, .. })));
        assert!(matches!(decode(Bytes::from_static(b"abc")), Err(CodecError::Truncated { at: 3, need: 1, .. })));
    }
}
