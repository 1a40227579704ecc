//! Where bytes are kept: a bucket, a key in it, and the identity of what was found there.

use std::fmt;
use std::sync::Arc;

/// A key of an object, without a leading `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Key(Arc<str>);

impl Key {
    /// A key of this text, unchanged.
    pub fn new(key: impl AsRef<str>) -> Self {
        Key(Arc::from(key.as_ref()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A bucket: the part of a location that names a store. The text is a URL without the key (`file:///srv/bucket`,
/// `s3://bucket`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Bucket(Arc<str>);

impl Bucket {
    /// A bucket of this URL.
    pub fn new(url: impl AsRef<str>) -> Self {
        Bucket(Arc::from(url.as_ref().trim_end_matches('/')))
    }

    /// The URL, without a trailing `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An object: bucket and key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Location {
    /// The bucket.
    pub bucket: Bucket,
    /// The key in it.
    pub key: Key,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket.0, self.key)
    }
}

/// The entity tag of an object: differs when its bytes differ.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ETag(Arc<str>);

impl ETag {
    /// A tag of this text, unchanged.
    pub fn new(tag: impl AsRef<str>) -> Self {
        ETag(Arc::from(tag.as_ref()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both name the same state of an object. Some services quote a tag in one answer and not in another.
    pub fn names_same(&self, other: &ETag) -> bool {
        self.0.trim_matches('"') == other.0.trim_matches('"')
    }

    /// Whether equal tags mean equal bytes. Weak tags (`W/"…"`) mean equal content only, and no request can be bound
    /// to one.
    pub fn is_strong(&self) -> bool {
        !self.0.starts_with("W/")
    }
}

/// What a percent-encoded part of a web address stands for (RFC 3986, section 2.1). `None` where what follows a `%` is no
/// byte, or the bytes are no text.
pub fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}
