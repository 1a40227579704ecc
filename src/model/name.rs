//! Names of links, attributes, members and objects: bytes, as HDF5 has them.

use std::fmt;

/// A name as HDF5 stores it: any bytes but NUL, most often UTF-8.
///
/// Stores hold names that are not UTF-8 (Python's surrogate escapes), so a name is bytes and only its display is text.
/// Two names of the same bytes are one name, whatever they say of their character set.
#[derive(Clone, Default)]
pub struct Name {
    bytes: Box<[u8]>,
    /// What a file says of it, where that is known.
    declared: Option<CharacterSet>,
}

impl Name {
    /// A name of these bytes, unchanged.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Name { bytes: bytes.into().into_boxed_slice(), declared: None }
    }

    /// A name of these bytes whose file says in which character set it is.
    pub fn declared(bytes: impl Into<Vec<u8>>, charset: CharacterSet) -> Self {
        Name { bytes: bytes.into().into_boxed_slice(), declared: Some(charset) }
    }

    /// The bytes, without a terminator.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The character set that HDF5 should be told: what the name's file says, else ASCII where every byte is, else UTF-8.
    pub fn character_set(&self) -> CharacterSet {
        let plain = if self.bytes.is_ascii() { CharacterSet::Ascii } else { CharacterSet::Utf8 };
        self.declared.unwrap_or(plain)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Name {}

impl std::hash::Hash for Name {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name::new(text.as_bytes())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.bytes), f)
    }
}

/// The two character sets of HDF5 (specification IV.A.2.d, string bits 4 to 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CharacterSet {
    /// 7-bit ASCII.
    Ascii,
    /// UTF-8.
    Utf8,
}
