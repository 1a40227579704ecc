//! JSON as HSDS writes it: one document from bytes, and the words in it.
//!
//! Python's `json.dumps` writes what no JSON standard knows: the tokens `NaN`, `Infinity` and `-Infinity`, and lone
//! surrogates (`\udc80` to `\udcff` are the bytes 0x80 to 0xff of a string that was no UTF-8). One linear pass rewrites
//! both into strings that serde_json takes, [`text`] and [`float`] undo it. The pass is injective: whatever stands for
//! something else is a code point of a private plane, and where a document holds one of these itself it is escaped.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::model::limits;
use crate::model::name::Name;

/// Escapes itself and the code points of raw bytes, and begins a token. From the end of private plane 16, which no
/// writer of scientific data has been seen to use.
const ESCAPE: char = '\u{10FE00}';
/// Raw byte `b` (0x80 to 0xff) stands as this plus `b`.
const RAW: u32 = 0x10FE00;
/// First byte of every code point from U+100000 on in UTF-8: a string without it holds nothing to undo.
const LEAD: u8 = 0xF4;

/// One JSON object of the store, parsed. Duplicate keys: the last one wins, as in Python.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Document(Map<String, Value>);

/// Why bytes are no document.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DocumentError {
    /// Empty, cut off or overwritten in part: HSDS writes files in place, so another try may find it whole.
    #[error("the JSON is not whole: {0}")]
    Torn(String),
    /// Whole, but no JSON object.
    #[error("the JSON is not an object")]
    NoObject,
    /// Lists or objects inside each other deeper than any document of the schema.
    #[error("the JSON is nested too deeply")]
    TooDeep,
    /// More bytes than [`limits::DOCUMENT_BYTES`].
    #[error("{0} bytes of JSON are past the limit of {limit}", limit = limits::DOCUMENT_BYTES)]
    TooLarge(u64),
}

impl Document {
    /// Parses the bytes of one object.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() as u64 > limits::DOCUMENT_BYTES {
            return Err(DocumentError::TooLarge(bytes.len() as u64));
        }
        if bytes.is_empty() {
            return Err(DocumentError::Torn("it is empty".into()));
        }
        match serde_json::from_slice(&sanitized(bytes)) {
            Ok(Value::Object(map)) => Ok(Document(map)),
            Ok(_) => Err(DocumentError::NoObject),
            // serde_json has no category of its own for its nesting limit (128); its message is part of its tests.
            Err(error) if error.to_string().starts_with("recursion limit exceeded") => Err(DocumentError::TooDeep),
            Err(error) => Err(DocumentError::Torn(error.to_string())),
        }
    }

    /// The value of `key`; an explicit `null` counts as absent.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// The members of the object at `key`; none where it is absent or no object.
    pub fn members(&self, key: &str) -> impl ExactSizeIterator<Item = (&String, &Value)> {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        self.0.get(key).and_then(Value::as_object).unwrap_or(&NONE).iter()
    }

    /// Its members.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl From<Map<String, Value>> for Document {
    fn from(map: Map<String, Value>) -> Self {
        Document(map)
    }
}

/// The bytes a string of a document stands for.
pub fn text(string: &str) -> Vec<u8> {
    if !string.as_bytes().contains(&LEAD) {
        return string.as_bytes().to_vec();
    }
    let mut bytes = Vec::with_capacity(string.len());
    let mut utf8 = [0; 4];
    let mut chars = string.chars();
    while let Some(char) = chars.next() {
        if char == ESCAPE {
            match chars.next() {
                Some('N') => bytes.extend_from_slice(b"NaN"),
                Some('I') => bytes.extend_from_slice(b"Infinity"),
                Some('M') => bytes.extend_from_slice(b"-Infinity"),
                Some(literal) => bytes.extend_from_slice(literal.encode_utf8(&mut utf8).as_bytes()),
                None => {}
            }
        } else if let Some(byte) = raw_byte(char) {
            bytes.push(byte);
        } else {
            bytes.extend_from_slice(char.encode_utf8(&mut utf8).as_bytes());
        }
    }
    bytes
}

/// The name a string of a document stands for.
pub fn name(string: &str) -> Name {
    Name::new(text(string))
}

/// A number: of JSON, one of the three tokens, or their names as text (`"nan"` is a fill value h5pyd writes).
pub fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(u8::from(*truth).into()),
        Value::String(string) => match text(string).to_ascii_lowercase().as_slice() {
            b"nan" => Some(f64::NAN),
            b"inf" | b"infinity" | b"+inf" => Some(f64::INFINITY),
            b"-inf" | b"-infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// A whole number, a boolean as 0 or 1; also a float that is whole.
pub fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Bool(truth) => Some((*truth).into()),
        Value::Number(number) => number
            .as_u64()
            .map(i128::from)
            .or_else(|| number.as_i64().map(i128::from))
            // 2^64 bounds every integer type of the schema, and all doubles below it convert exactly.
            .or_else(|| {
                number.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 18446744073709551616.0).map(|x| x as i128)
            }),
        _ => None,
    }
}

/// A whole number from 0 to 2^64-1 that is written as one.
pub fn unsigned(value: &Value) -> Option<u64> {
    integer(value).filter(|_| value.is_number()).and_then(|number| u64::try_from(number).ok())
}

fn raw_byte(char: char) -> Option<u8> {
    (RAW + 0x80..=RAW + 0xFF).contains(&u32::from(char)).then(|| (u32::from(char) - RAW) as u8)
}

/// The document as serde_json takes it; borrowed where nothing had to change.
fn sanitized(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut pass = Pass { bytes, out: Vec::new(), copied: 0 };
    let mut at = 0;
    let mut inside = false;
    while let Some(&byte) = bytes.get(at) {
        at = match (inside, byte) {
            (_, b'"') => {
                inside = !inside;
                at + 1
            }
            (false, b'N' | b'I' | b'-') => pass.token(at),
            (true, b'\\') => pass.escape(at),
            (true, 0x80..) => pass.beyond_ascii(at),
            _ => at + 1,
        };
    }
    if pass.copied == 0 {
        return Cow::Borrowed(bytes);
    }
    pass.replace(bytes.len(), bytes.len(), &[]);
    Cow::Owned(pass.out)
}

/// The rewriting pass: what is copied so far, and where the rest begins.
struct Pass<'a> {
    bytes: &'a [u8],
    out: Vec<u8>,
    copied: usize,
}

impl Pass<'_> {
    /// Copies up to `from`, then `chars` instead of `from..to`. Returns `to`.
    fn replace(&mut self, from: usize, to: usize, chars: &[char]) -> usize {
        self.out.extend_from_slice(&self.bytes[self.copied..from]);
        let mut utf8 = [0; 4];
        for char in chars {
            self.out.extend_from_slice(char.encode_utf8(&mut utf8).as_bytes());
        }
        self.copied = to;
        to
    }

    /// Outside a string: a token that JSON lacks becomes a string.
    fn token(&mut self, at: usize) -> usize {
        let rest = &self.bytes[at..];
        for (token, letter) in [("NaN", 'N'), ("Infinity", 'I'), ("-Infinity", 'M')] {
            if rest.starts_with(token.as_bytes()) {
                return self.replace(at, at + token.len(), &['"', ESCAPE, letter, '"']);
            }
        }
        at + 1
    }

    /// Inside a string: a backslash and what it escapes.
    fn escape(&mut self, at: usize) -> usize {
        let Some(unit) = self.unit(at) else { return at + 2 };
        let next = self.unit(at + 6);
        match (unit, next) {
            (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                let point = 0x10000 + ((u32::from(unit) - 0xD800) << 10) + (u32::from(low) - 0xDC00);
                match char::from_u32(point).filter(|&char| is_ours(char)) {
                    Some(char) => self.replace(at, at + 12, &[ESCAPE, char]),
                    None => at + 12,
                }
            }
            (0xDC80..=0xDCFF, _) => self.replace(at, at + 6, &[raw_char(unit as u8)]),
            // Any other lone surrogate has no bytes; the three that UTF-8 would give it keep it apart from the rest.
            (0xD800..=0xDFFF, _) => {
                let bytes = [0xE0 | (unit >> 12) as u8, 0x80 | (unit >> 6 & 0x3F) as u8, 0x80 | (unit & 0x3F) as u8];
                self.replace(at, at + 6, &bytes.map(raw_char))
            }
            _ => at + 6,
        }
    }

    /// The UTF-16 unit of a `\uXXXX` at `at`.
    fn unit(&self, at: usize) -> Option<u16> {
        let escape = self.bytes.get(at..at.checked_add(6)?)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0u16, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)? as u16))
    }

    /// Inside a string: a sequence of UTF-8, or a byte that is none.
    fn beyond_ascii(&mut self, at: usize) -> usize {
        let window = &self.bytes[at..self.bytes.len().min(at + 4)];
        let valid = match std::str::from_utf8(window) {
            Ok(valid) => valid,
            Err(error) => std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or_default(),
        };
        match valid.chars().next() {
            Some(char) if is_ours(char) => self.replace(at, at + 4, &[ESCAPE, char]),
            Some(char) => at + char.len_utf8(),
            None => self.replace(at, at + 1, &[raw_char(self.bytes[at])]),
        }
    }
}

/// True for the code points that stand for something else here.
fn is_ours(char: char) -> bool {
    char == ESCAPE || raw_byte(char).is_some()
}

/// What stands for a raw byte from 0x80 on.
fn raw_char(byte: u8) -> char {
    debug_assert!(byte >= 0x80);
    char::from_u32(RAW + u32::from(byte)).unwrap_or(ESCAPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(json: &str) -> Value {
        Document::parse(format!("{{\"x\": {json}}}").as_bytes()).unwrap().as_map()["x"].clone()
    }

    #[test]
    fn tokens_that_json_lacks_are_numbers() {
        assert!(float(&value("NaN")).unwrap().is_nan());
        assert_eq!(float(&value("-Infinity")), Some(f64::NEG_INFINITY));
        assert_eq!(float(&value("[Infinity]")[0]), Some(f64::INFINITY));
        assert_eq!(value("\"-Infinity NaN \\\" NaN\""), Value::String("-Infinity NaN \" NaN".into()));
        assert_eq!(float(&value("\"nan\"")).map(f64::is_nan), Some(true));
    }

    #[test]
    fn numbers_keep_every_bit() {
        assert_eq!(unsigned(&value("18446744073709551615")), Some(u64::MAX));
        assert_eq!(integer(&value("-9223372036854775808")), Some(i64::MIN.into()));
        assert!(float(&value("-0.0")).unwrap().is_sign_negative());
        assert_eq!(float(&value("5e-324")), Some(f64::from_bits(1)));
        assert_eq!(float(&value("0.10000000149011612")).map(|x| x as f32), Some(0.1));
        assert_eq!(unsigned(&value("true")), None);
    }

    #[test]
    fn surrogates_are_bytes_and_our_own_code_points_survive() {
        let bytes = |json: &str| text(value(json).as_str().unwrap());
        assert_eq!(bytes(r#""a\udcffb""#), b"a\xffb");
        assert_eq!(bytes(r#""\ud83d\ude00""#), "😀".as_bytes());
        assert_eq!(bytes(r#""\ud800x""#), b"\xed\xa0\x80x");
        assert_eq!(bytes(r#""\udbff\ude80 \udbff\ude00""#), "\u{10FE80} \u{10FE00}".as_bytes());
        assert_eq!(bytes("\"\u{10FEFF}\u{10FE00}N\""), "\u{10FEFF}\u{10FE00}N".as_bytes());
        assert_eq!(bytes(r#""a\u0000b\\ud800""#), b"a\0b\\ud800");
        let raw = Document::parse(b"{\"\xff\xc3\xa9\": 1}").unwrap();
        assert_eq!(name(raw.as_map().keys().next().unwrap()).as_bytes(), b"\xff\xc3\xa9");
    }

    #[test]
    fn torn_deep_and_foreign_documents_are_told_apart() {
        assert!(matches!(Document::parse(b""), Err(DocumentError::Torn(_))));
        assert!(matches!(Document::parse(br#"{"a": "\ud8"#), Err(DocumentError::Torn(_))));
        assert_eq!(Document::parse(b"[1]"), Err(DocumentError::NoObject));
        let deep = [&b"{\"a\":"[..], &b"[".repeat(1000), &b"]".repeat(1000), b"}"].concat();
        assert_eq!(Document::parse(&deep), Err(DocumentError::TooDeep));
        assert_eq!(value("1, \"x\": 2"), Value::from(2));
    }

    proptest! {
        #[test]
        fn every_string_comes_back(string: String, raw in proptest::collection::vec(0x80u8.., 0..4)) {
            let mut json = serde_json::to_string(&string).unwrap();
            json.pop();
            let mut expected = string.into_bytes();
            for byte in raw {
                json.push_str(&format!("\\udc{byte:02x}"));
                expected.push(byte);
            }
            json.push('"');
            prop_assert_eq!(text(value(&json).as_str().unwrap()), expected);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Document::parse(&bytes);
            let _ = Document::parse(&[&b"{\"k\":\""[..], &bytes, b"\"}"].concat());
        }
    }
}
