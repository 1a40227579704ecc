//! Names of links, attributes, members and objects: bytes, as HDF5 has them.

use std::fmt;

/// A name as HDF5 stores it: any bytes but NUL, most often UTF-8.
///
/// Stores hold names that are not UTF-8 (Python's surrogate escapes), so a name is bytes and only its display is text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Name(Box<[u8]>);

impl Name {
    /// A name of these bytes, unchanged.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Name(bytes.into().into_boxed_slice())
    }

    /// The bytes, without a terminator.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The character set that HDF5 should be told: ASCII where every byte is, else UTF-8.
    pub fn character_set(&self) -> CharacterSet {
        if self.0.is_ascii() { CharacterSet::Ascii } else { CharacterSet::Utf8 }
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name::new(text.as_bytes())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
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
