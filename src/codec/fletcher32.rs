//! Fletcher32 (HDF5 filter 3): four bytes of checksum after the data.
//!
//! The sums run over 16-bit big-endian words, an odd last byte counting as the upper half of a word; they are kept
//! little-endian. libhdf5 before 1.6.3 wrote them with the bytes of each half swapped on some machines, and still
//! accepts that form when it reads, so both are accepted here.

use bytes::Bytes;

use super::error::CodecError;

/// Bytes of the checksum.
pub const BYTES: usize = 4;

/// Words summed up before the sums are reduced: the second sum grows by at most `65535 * (words + 1) / 2` a word, which
/// stays far inside 64 bits for this many.
const BATCH: usize = 1 << 16;

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    let (mut first, mut second) = (0u64, 0u64);
    for batch in bytes.chunks(BATCH * 2) {
        let (words, odd) = batch.as_chunks::<2>();
        for word in words {
            first += u64::from(u16::from_be_bytes(*word));
            second += first;
        }
        if let [last] = odd {
            first += u64::from(*last) << 8;
            second += first;
        }
        first = reduce(first);
        second = reduce(second);
    }
    (second as u32) << 16 | first as u32
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
        fn batches_do_not_change_the_sum(bytes in proptest::collection::vec(prop_oneof![Just(255u8), any::<u8>()], 0..999)) {
            prop_assert_eq!(checksum(&bytes), by_definition(&bytes));
        }
    }

    #[test]
    fn long_runs_of_ones_do_not_overflow() {
        let bytes = vec![0xff; 5 * BATCH + 1];
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
