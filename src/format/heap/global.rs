//! The global heap (III.E): collections of numbered objects, where variable-length data and region references live.
//!
//! A collection is filled from its first object on; its address is not among its bytes, so it can be made before it has
//! a place.

pub mod decode;

use crate::format::FormatError;
use crate::format::fields::Fields;

/// Bytes of a collection's header, and of each object's.
pub const HEADER_LEN: u64 = 16;
/// Bytes of the smallest collection.
pub const MIN_LEN: u64 = 4096;
/// Objects of a collection: their index has 16 bits and 0 is free space.
pub const MAX_OBJECTS: u32 = u16::MAX as u32;

/// Bytes that an object of `data_len` bytes takes in a collection, header and padding included.
pub const fn object_len(data_len: u64) -> u64 {
    HEADER_LEN + data_len.next_multiple_of(8)
}

/// Bytes of a collection whose objects take `objects_len` bytes ([`object_len`] of each).
pub const fn collection_len(objects_len: u64) -> u64 {
    let len = HEADER_LEN + objects_len;
    if len < MIN_LEN { MIN_LEN } else { len.next_multiple_of(8) }
}

/// A collection being filled.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CollectionBuilder {
    /// Objects with headers and padding.
    objects: Vec<u8>,
    count: u16,
}

impl CollectionBuilder {
    /// An empty collection.
    pub fn new() -> Self {
        CollectionBuilder::default()
    }

    /// Objects in it.
    pub fn count(&self) -> u32 {
        self.count.into()
    }

    /// True where it holds no object.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the collection as it is.
    pub fn encoded_len(&self) -> u64 {
        collection_len(self.objects.len() as u64)
    }

    /// Bytes that its objects take.
    pub fn objects_len(&self) -> u64 {
        self.objects.len() as u64
    }

    /// Adds an object and returns its index, from 1 on; an error where the collection is full.
    pub fn push(&mut self, data: &[u8]) -> Result<u32, FormatError> {
        let Some(index) = self.count.checked_add(1) else {
            return Err(FormatError::new("global heap collection", format!("more than {MAX_OBJECTS} objects")));
        };
        self.count = index;
        self.objects.put_u16(index);
        self.objects.put_u16(1); // One reference.
        self.objects.put_u32(0);
        self.objects.put_u64(data.len() as u64);
        self.objects.put_bytes(data);
        self.objects.resize(self.objects.len().next_multiple_of(8), 0);
        Ok(index.into())
    }

    /// The collection's bytes, [`encoded_len`](Self::encoded_len) of them.
    pub fn encode(&self) -> Vec<u8> {
        let len = self.encoded_len();
        let mut out = Vec::with_capacity(len as usize);
        out.put_bytes(b"GCOL\x01\0\0\0");
        out.put_u64(len);
        out.put_bytes(&self.objects);
        let free = len - out.len() as u64;
        // Free space is object 0, whose size counts its own header; less than a header is free without saying so.
        if free >= HEADER_LEN {
            out.put_u64(0);
            out.put_u64(free);
        }
        out.resize(len as usize, 0);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_collection_is_4096_bytes_and_tells_its_free_space() {
        let mut collection = CollectionBuilder::new();
        assert_eq!(collection.push(b"hello").unwrap(), 1);
        assert_eq!(collection.push(&[7; 16]).unwrap(), 2);
        let bytes = collection.encode();
        assert_eq!(bytes.len() as u64, MIN_LEN);
        assert_eq!(collection.objects_len(), object_len(5) + object_len(16));
        let free = (HEADER_LEN + collection.objects_len()) as usize;
        assert_eq!(&bytes[free..free + 8], &[0; 8]);
        assert_eq!(bytes[free + 8..free + 16], (MIN_LEN - free as u64).to_le_bytes());
    }

    #[test]
    fn a_large_collection_has_no_free_space() {
        let mut collection = CollectionBuilder::new();
        collection.push(&[1; 8001]).unwrap();
        assert_eq!(collection.encode().len() as u64, HEADER_LEN + object_len(8001));
    }

    #[test]
    fn the_last_index_is_65535() {
        let mut collection = CollectionBuilder::new();
        for index in 1..=MAX_OBJECTS {
            assert_eq!(collection.push(b"").unwrap(), index);
        }
        assert!(collection.push(b"").is_err());
    }
}
