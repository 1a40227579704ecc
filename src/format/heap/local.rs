//! The local heap (III.D): names of an old group's links and of external files, each up to its NUL.

use crate::format::FormatError;
use crate::format::bytes::Space;
use crate::format::cursor::Cursor;

const STRUCTURE: &str = "local heap";

/// The data of the heap at `address`.
pub fn decode<'a>(space: &Space<'a>, address: u64) -> Result<LocalHeap<'a>, FormatError> {
    let len = 8 + 2 * space.sizes().length() + space.sizes().offset();
    let mut header = space.cursor(STRUCTURE, address, len as u64)?;
    header.signature(b"HEAP")?;
    header.version(0..=0)?;
    header.skip(3)?;
    let size = header.length()?;
    header.skip(space.sizes().length())?; // Free blocks: only for writers.
    let data = header.address()?;
    Ok(LocalHeap { data: space.cursor("local heap data segment", data, size)? })
}

/// A local heap.
#[derive(Clone, Copy, Debug)]
pub struct LocalHeap<'a> {
    data: Cursor<'a>,
}

impl<'a> LocalHeap<'a> {
    /// The text that begins at `offset`.
    pub fn text(&self, offset: u64) -> Result<&'a [u8], FormatError> {
        let mut data = self.data;
        data.skip(usize::try_from(offset).unwrap_or(usize::MAX))?;
        data.text()
    }
}
