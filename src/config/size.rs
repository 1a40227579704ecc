//! Numbers of bytes as people write them: `512M`, `16GiB`, `0`.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || "not a number of bytes like 512M, 16G or 2T".to_owned();
        let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(at);
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        // A letter alone means what memory is counted in.
        let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(unit).map(Size).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Size {
    /// As text, or a number of bytes.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "not a number of bytes, or text like \"16G\"")]
        enum Word {
            Number(u64),
            Text(String),
        }
        match Word::deserialize(deserializer)? {
            Word::Number(bytes) => Ok(Size(bytes)),
            Word::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_do() {
        for (text, bytes) in
            [("0", 0), ("1024", 1024), ("512M", 512 << 20), ("16GiB", 16 << 30), ("2 t", 2 << 40), ("3kb", 3000)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in ["", "G", "-1", "1.5G", "1X", "99999999999999999999", "99999999999T"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
