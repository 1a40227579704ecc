use proptest::prelude::*;

use super::*;

/// Parameters as the filter has them: its version and a header.
fn parameters(kind: u64, sides: &[u64], mode: u64) -> Vec<u32> {
    let width = 48 / sides.len() as u32;
    let counts = sides.iter().rev().fold(0u128, |counts, side| counts << width | u128::from(side - 1));
    let meta = counts << 4 | (sides.len() as u128 - 1) << 2 | u128::from(kind);
    let header = u128::from(u32::from_le_bytes(*b"zfp\x05")) | meta << 32 | u128::from(mode) << 84;
    // Long modes pass the end of 128 bits.
    let more = (mode >> 44) as u32;
    [0x1010_5110].into_iter().chain((0..4).map(|word| (header >> (32 * word)) as u32)).chain([more]).collect()
}

const INT32: u64 = 0;
const FLOAT32: u64 = 2;
const FLOAT64: u64 = 3;
const SIXTEEN_BITS: u64 = 15;
const REVERSIBLE: u64 = 2048 + 128;

fn long_mode(least: u64, most: u64, planes: u64, lowest: i64) -> u64 {
    0xfff | (least - 1) << 12 | (most - 1) << 27 | (planes - 1) << 42 | ((lowest + 16_495) as u64) << 49
}

#[test]
fn a_header_is_read_whichever_way_its_words_stand() {
    let long = long_mode(90, 700, 17, -20);
    for (kind, sides, mode) in [
        (INT32, &[7][..], SIXTEEN_BITS),
        (INT32, &[1 << 30], SIXTEEN_BITS),
        (1, &[3, 1 << 20], 2048 + 10),
        (FLOAT32, &[5, 6, 1 << 16], REVERSIBLE),
        (FLOAT64, &[1, 2, 3, 1 << 12], REVERSIBLE + 1 + 1074),
        (FLOAT64, &[1, 2, 3, 4], long),
    ] {
        let mut values = parameters(kind, sides, mode);
        let header = Header::read(&values).unwrap();
        assert!(!header.swapped);
        assert_eq!(header.sides[..sides.len()], *sides);
        assert!(header.sides[sides.len()..].iter().all(|side| *side == 1));
        let Coding { axes, least, most, planes, lowest, reversible, .. } = header.coding;
        assert_eq!(axes, sides.len());
        let found = (least, most, planes, lowest, reversible);
        match mode {
            SIXTEEN_BITS => assert_eq!(found, (16, 16, 64, -1074, false)),
            REVERSIBLE => assert_eq!((reversible, planes), (true, 64)),
            _ if mode == long => assert_eq!(found, (90, 700, 17, -20, false)),
            2058 => assert_eq!(found, (1, 16_658, 11, -1074, false)),
            _ => assert_eq!(found, (1, 16_658, 64, 0, false)),
        }
        values[1..].iter_mut().for_each(|word| *word = word.swap_bytes());
        let turned = Header::read(&values).unwrap();
        assert!(turned.swapped);
        assert_eq!((turned.sides, turned.coding), (header.sides, header.coding));
    }
}

#[test]
fn parameters_that_mean_nothing_are_refused() {
    let good = parameters(INT32, &[7], SIXTEEN_BITS);
    for end in 0..4 {
        assert!(matches!(Header::read(&good[..end]), Err(CodecError::Invalid { .. })), "{end}");
    }
    assert!(Header::read(&good[..4]).is_ok());
    let mut other = good.clone();
    other[1] = u32::from_le_bytes(*b"zfp\x04");
    assert!(Header::read(&other).is_err());
    for mode in [long_mode(9, 8, 17, 0), long_mode(8, 9, 65, 0)] {
        assert!(Header::read(&parameters(INT32, &[7], mode)).is_err());
    }
    // A long mode that the words end within.
    assert!(Header::read(&parameters(INT32, &[7], long_mode(8, 9, 10, 0))[..4]).is_err());
}

#[test]
fn a_constant_and_zeros_are_few_bits() {
    // A block that is not zero, 2^0 with its bias, and of 2^30 the digits to the base of -2: the first of 32 planes has no
    // bit, the second one at the first number, the others none.
    let mut bits = String::from("1") + "11111110" + "0" + "11" + "0" + "0";
    bits += &"00".repeat(29);
    let digits: Vec<u8> = bits.bytes().map(|digit| digit - b'0').collect();
    let packed = |digits: &[u8]| -> Vec<u8> {
        digits.chunks(8).map(|byte| byte.iter().rev().fold(0, |all, bit| all << 1 | bit)).collect()
    };
    let values = parameters(FLOAT32, &[5], 2048 + 31);
    let stored = packed(&[&digits[..], &[0]].concat());
    let plain = decode(&stored, &values, 20).unwrap();
    let numbers: Vec<f32> = plain.chunks(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect();
    assert_eq!(numbers[4], 0.0);
    assert!(numbers[..4].iter().all(|number| *number == numbers[0] && *number != 0.0), "{numbers:?}");
    // The same for a writer with the highest byte first.
    let turned: Vec<u32> = values.iter().map(|word| word.swap_bytes()).collect();
    let plain = decode(&stored, &turned, 20).unwrap();
    assert_eq!(f32::from_be_bytes(plain[..4].try_into().unwrap()), numbers[0]);
    assert!(matches!(decode(&stored, &values, 19), Err(CodecError::TooLarge { bytes: 20, limit: 19, .. })));
}

#[test]
fn reversible_zeros_are_one_bit_whatever_a_block_has_at_least() {
    let values = parameters(FLOAT64, &[64], long_mode(80, 9000, 64, -2000));
    assert_eq!(decode(&[0; 2], &values, 512).unwrap(), [0; 512]);
    assert!(matches!(decode(&[0; 1], &values, 512), Err(CodecError::Truncated { at: 1, need: 1, .. })));
    let values = parameters(INT32, &[4], long_mode(80, 9000, 64, -2000));
    assert!(matches!(decode(&[0; 9], &values, 16), Err(CodecError::Truncated { at: 9, need: 1, .. })));
    assert_eq!(decode(&[0; 10], &values, 16).unwrap(), [0; 16]);
}

#[test]
fn few_bytes_that_claim_much_take_no_memory() {
    // 2^42 blocks of one bit at least.
    let values = parameters(FLOAT64, &[1 << 24, 1 << 22], REVERSIBLE);
    let limit = 1 << 60;
    assert!(matches!(decode(&[0; 100], &values, limit), Err(CodecError::Truncated { at: 100, .. })));
    // A fixed rate says how many bits there are.
    let values = parameters(FLOAT64, &[64], SIXTEEN_BITS);
    assert_eq!(decode(&[0; 32], &values, 512).unwrap(), [0; 512]);
    assert_eq!(decode(&[0; 31], &values, 512), Err(CodecError::Truncated { what: WHAT, at: 31, need: 1 }));
    // More numbers than can be counted.
    let values = parameters(FLOAT64, &[1 << 16, 1 << 16, 1 << 16], REVERSIBLE);
    assert!(matches!(decode(&[0; 100], &values, 1 << 40), Err(CodecError::TooLarge { .. })));
    assert!(decode(&[], &parameters(INT32, &[1], REVERSIBLE), 4).is_err());
}

proptest! {
    #[test]
    fn any_bytes_give_numbers_or_an_error(
        stored in prop::collection::vec(any::<u8>(), 0..400),
        kind in 0u64..4,
        sides in prop::collection::vec(1u64..10, 1..5),
        mode in prop_oneof![
            0u64..4096,
            (1u64..=64, 0u64..400, 1u64..=64, -1200i64..1200)
                .prop_map(|(least, more, planes, lowest)| long_mode(least, least + more, planes, lowest)),
            any::<u64>(),
        ],
        turned in any::<bool>(),
    ) {
        let mut values = parameters(kind, &sides, mode);
        if turned {
            values.iter_mut().for_each(|word| *word = word.swap_bytes());
        }
        let bytes = sides.iter().product::<u64>() * if kind % 2 == 0 { 4 } else { 8 };
        if let Ok(plain) = decode(&stored, &values, bytes) {
            prop_assert_eq!(plain.len() as u64, bytes);
        }
        prop_assert!(decode(&stored, &values, bytes - 1).is_err());
    }

    #[test]
    fn any_parameters_give_bytes_or_an_error(
        stored in prop::collection::vec(any::<u8>(), 0..100),
        more in prop::collection::vec(any::<u32>(), 0..7),
    ) {
        let values: Vec<u32> = [0, u32::from_le_bytes(*b"zfp\x05")].into_iter().chain(more).collect();
        if let Ok(plain) = decode(&stored, &values, 4096) {
            prop_assert!(plain.len() <= 4096);
        }
    }
}
