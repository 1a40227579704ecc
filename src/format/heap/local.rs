//! The local heap (III.D): names of an old group's links and of external files, each up to its NUL.

use crate::format::bytes::Space;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;
use crate::format::{FormatError, Kind};

const STRUCTURE: &str = "local heap";
/// Where the free list would begin, in a heap that has none, and where each other one leads from its last block.
const NONE_FREE: u64 = 1;
/// Texts begin at multiples of this; the first of them is empty.
const ALIGNMENT: usize = 8;

/// A heap of these texts, as it stands at `address`, and where each text begins in its data.
pub fn encode<'t>(address: u64, texts: impl Iterator<Item = &'t [u8]>) -> (Vec<u8>, Vec<u64>) {
    let (mut data, mut offsets) = (vec![0; ALIGNMENT], Vec::new());
    for text in texts {
        offsets.push(data.len() as u64);
        data.extend_from_slice(text);
        data.push(0);
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
    }
    let mut heap = b"HEAP\0\0\0\0".to_vec();
    heap.put_u64(data.len() as u64);
    heap.put_u64(NONE_FREE);
    // The data follow at once.
    heap.put_u64(address.saturating_add(heap.len() as u64 + 8));
    heap.extend_from_slice(&data);
    (heap, offsets)
}

/// The data of the heap at `address`.
pub fn decode<'a>(space: &Space<'a>, address: u64) -> Result<LocalHeap<'a>, FormatError> {
    let len = 8 + 2 * space.sizes().length() + space.sizes().offset();
    let mut header = space.cursor(STRUCTURE, address, len as u64)?;
    header.signature(b"HEAP")?;
    header.version(0..=0)?;
    header.skip(3)?;
    let size = header.length()?;
    let free = header.length()?;
    let data = header.address()?;
    Ok(LocalHeap { data: space.cursor("local heap data segment", data, size)?, free })
}

/// A local heap.
#[derive(Clone, Copy, Debug)]
pub struct LocalHeap<'a> {
    data: Cursor<'a>,
    /// Where the first free block stands, which only a writer asks.
    free: u64,
}

impl<'a> LocalHeap<'a> {
    /// Follows the list of free blocks, which readers do without: each must lie in the heap.
    pub fn check_free(&self) -> Result<(), FormatError> {
        let (mut at, least) = (self.free, 2 * self.data.sizes().length());
        // No more blocks than the heap has room for, or they lead in a circle.
        for _ in 0..=self.data.left() / least {
            if at == NONE_FREE || at == u64::MAX {
                return Ok(());
            }
            let mut block = self.data;
            block.skip(usize::try_from(at).unwrap_or(usize::MAX))?;
            let here = block;
            let (next, len) = (block.length()?, block.length()?);
            if usize::try_from(len).map_or(true, |len| len > here.left()) {
                return Err(here.bad(format!("a free block of {len} bytes at {at}, {} are left", here.left())));
            }
            at = next;
        }
        Err(self.data.fault(Kind::Cycle, "the list of free blocks has no end"))
    }

    /// The text that begins at `offset`.
    pub fn text(&self, offset: u64) -> Result<&'a [u8], FormatError> {
        let mut data = self.data;
        data.skip(usize::try_from(offset).unwrap_or(usize::MAX))?;
        data.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::bytes::Sizes;

    #[test]
    fn texts_are_read_as_they_were_written() {
        let texts = [&b"a.raw"[..], b"", b"folder/longer name.raw"];
        let (heap, offsets) = encode(16, texts.into_iter());
        let file = [&[0xff; 16][..], &heap].concat();
        let file = file.as_slice();
        let space = Space::new(&file, 0, Sizes::EIGHT);
        let read = decode(&space, 16).unwrap();
        assert_eq!(offsets, [8, 16, 24]);
        assert_eq!(offsets.iter().map(|&at| read.text(at).unwrap()).collect::<Vec<_>>(), texts);
        assert_eq!(encode(0, std::iter::empty()).0.len(), 40);
    }
}
