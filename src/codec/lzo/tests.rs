use super::*;

fn trailed(packed: &[u8], plain: &[u8]) -> Vec<u8> {
    [packed, &adler32(plain).to_le_bytes(), &(plain.len() as u32).to_le_bytes()].concat()
}

/// Literal bytes, each form of a near copy, and of a run all but its last bytes.
#[rustfmt::skip]
const PACKED: &[u8] = &[
    21, b'a', b'b', b'c', b'd',
    // Three bytes from one back, and two literal bytes.
    0x42, 0, b'x', b'y',
    // Behind few literal bytes: two bytes from six back.
    0x04, 1,
    // Behind none: a run of four.
    1, b'p', b'q', b'r', b's',
    // Five bytes from four back, and one literal byte.
    0x8d, 0, b'z',
    // Six bytes from two back.
    0x24, 4, 0,
    // A run of more bytes than the instruction has room for: 18 and 1.
    0, 1, b'0', b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'8', b'9', b'A',
];

#[test]
fn each_instruction_does_what_it_says() {
    let mut packed = PACKED.to_vec();
    packed.extend_from_slice(b"BCDEFGHI");
    packed.extend_from_slice(&[17, 0, 0]);
    let mut plain = b"abcdddd".to_vec();
    plain.extend_from_slice(b"xy");
    let two = plain[plain.len() - 6..][..2].to_vec();
    plain.extend_from_slice(&two);
    plain.extend_from_slice(b"pqrs");
    plain.extend_from_slice(b"pqrsp");
    plain.extend_from_slice(b"z");
    plain.extend_from_slice(b"pzpzpz");
    plain.extend_from_slice(b"0123456789ABCDEFGHI");
    let found = decode(&packed, 1 << 20).unwrap();
    assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&plain));
    let length = plain.len() as u64;
    assert!(matches!(decode(&packed, length - 1), Err(CodecError::TooLarge { .. })));
    // With its checksum, and its length behind it.
    let stored = trailed(&packed, &plain);
    for end in 0..=stored.len() {
        let whole = [0, 4, 8].map(|trailer| packed.len() + trailer).contains(&end);
        match decode(&stored[..end], length) {
            Ok(found) => assert!(whole && found == plain, "{end}"),
            Err(error) => assert!(!whole, "{end}: {error}"),
        }
    }
    let mut turned = stored.clone();
    turned[packed.len()..].chunks_mut(4).for_each(<[u8]>::reverse);
    assert_eq!(decode(&turned, length).unwrap(), plain);
    let longer = [&stored[..], &[0]].concat();
    assert!(matches!(decode(&longer, length), Err(CodecError::Invalid { .. })));
}

#[test]
fn no_damaged_chunk_passes_for_a_good_one() {
    let plain = b"abcdddd";
    let good = trailed(&[21, b'a', b'b', b'c', b'd', 0x40, 0, 17, 0, 0], plain);
    assert_eq!(decode(&good, 100).unwrap(), plain);
    for bit in 0..good.len() * 8 {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(!decode(&damaged, 100).is_ok_and(|found| found != plain), "{bit}");
    }
    // One literal byte, then a copy from two back.
    assert!(matches!(decode(&[18, b'a', 0x44, 0], 100), Err(CodecError::Invalid { at: 4, .. })));
    assert!(matches!(decode(&[18, b'a', 0x44], 100), Err(CodecError::Truncated { at: 3, need: 1, .. })));
    assert!(decode(&[17, 0, 0], 100).unwrap().is_empty());
}

#[test]
fn adler_sums_stay_within_their_bits() {
    assert_eq!(adler32(b""), 1);
    assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    // By hand: sums of 255 for a million bytes.
    let bytes = 1_000_000u64;
    let low = (1 + 255 * bytes) % 65_521;
    let high = (bytes + 255 * (bytes * (bytes + 1) / 2)) % 65_521;
    assert_eq!(u64::from(adler32(&vec![255; bytes as usize])), high << 16 | low);
}
