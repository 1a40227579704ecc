//! Base64 with the standard alphabet, as fill values, opaque values and encoded attributes use it.

/// The bytes of a padded or unpadded text; `None` where it is none.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let digits = &text[..text.len() - padding];
    if padding > 2 || digits.len() % 4 == 1 || (padding > 0 && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for &digit in group {
            bits = bits << 6 | u32::from(value(digit)?);
        }
        // Six bits a digit; the last group has fewer digits, its low bits say nothing.
        let whole = group.len() * 6 / 8;
        bits <<= 24 - 6 * group.len();
        bytes.extend_from_slice(&bits.to_be_bytes()[1..1 + whole]);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts() {
        assert_eq!(decode(b"Af8="), Some(vec![1, 0xff]));
        assert_eq!(decode(b"mpmZmZmZuT8=").map(|b| f64::from_le_bytes(b.try_into().unwrap())), Some(0.1));
        assert_eq!(decode(b"TWFu"), Some(b"Man".to_vec()));
        assert_eq!(decode(b"TQ"), Some(b"M".to_vec()));
        assert_eq!(decode(b""), Some(vec![]));
        for wrong in [&b"A"[..], b"TQ=", b"T===", b"T*==", b"TWFu=", b"\xff\xff\xff\xff"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }
}
