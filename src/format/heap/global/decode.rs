//! Objects of a global heap collection, by their index.

use std::collections::BTreeMap;

use crate::format::FormatError;
use crate::format::bytes::Space;
use crate::format::cursor::Cursor;

const STRUCTURE: &str = "global heap collection";

/// A collection.
#[derive(Clone, Debug)]
pub struct StoredCollection<'a> {
    /// Bytes of the objects.
    pub objects: BTreeMap<u16, Cursor<'a>>,
}

/// The collection at `address`.
pub fn decode<'a>(space: &Space<'a>, address: u64) -> Result<StoredCollection<'a>, FormatError> {
    let header_len = 8 + space.sizes().length();
    let mut header = space.cursor(STRUCTURE, address, header_len as u64)?;
    header.signature(b"GCOL")?;
    header.version(1..=1)?;
    header.skip(3)?;
    let len = header.length()?;
    let mut body = space.cursor(STRUCTURE, address, len)?;
    body.skip(header_len)?;
    let mut objects = BTreeMap::new();
    while body.left() >= header_len {
        let index = body.u16()?;
        body.skip(2 + 4)?;
        let len = body.length()?;
        if index == 0 {
            break; // Free space, always last.
        }
        let Ok(len) = usize::try_from(len) else { return Err(body.bad(format!("an object of {len} bytes"))) };
        objects.insert(index, body.part(len)?);
        body.skip((len.next_multiple_of(8) - len).min(body.left()))?;
    }
    Ok(StoredCollection { objects })
}
