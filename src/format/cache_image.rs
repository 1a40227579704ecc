//! The image of a metadata cache: structures that a writer left in one block at the end of the file, so that the next
//! opening reads them at once. What stands at their own addresses is older, or was never written.
//!
//! The specification leaves the block to the library. Each entry is one structure as it would stand at its address, so a
//! reader asks here first, by address, and for the rest the file.

use std::collections::BTreeMap;

use ::bytes::Bytes as Plain;

use super::bytes::Space;
use super::cursor::Cursor;
use super::{FormatError, Kind, UNDEFINED_ADDRESS};

/// Type of the message of a superblock's extension that leads to the block.
pub const KIND: u8 = 0x18;
const STRUCTURE: &str = "metadata cache image";
/// What a heap collection begins with.
const COLLECTION: &[u8] = b"GCOL";
/// Structures of one image. A cache of the largest size that libhdf5 allows (128 MiB) has fewer; each takes some sixty bytes
/// of memory beside its own.
const ENTRIES: u32 = 1 << 20;

/// Structures by the addresses where they belong; no two share a byte.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CacheImage {
    entries: BTreeMap<u64, Plain>,
}

impl CacheImage {
    /// The image that a message leads to.
    pub fn decode(space: &Space<'_>, message: &mut Cursor<'_>) -> Result<CacheImage, FormatError> {
        message.version(0..=0)?;
        let (address, len) = (message.address()?, message.length()?);
        // So a writer leaves the message that has taken the image in.
        if address == UNDEFINED_ADDRESS || len == 0 {
            return Ok(CacheImage::default());
        }
        let block = space.cursor(STRUCTURE, address, len)?;
        let bytes = Plain::copy_from_slice(block.rest());
        let mut block = block.checked()?;
        block.signature(b"MDCI")?;
        block.version(0..=0)?;
        block.skip(1)?; // Whether sizes of the cache follow: no writer has them follow.
        let own = block.length()?;
        if own != len {
            return Err(block.bad(format!("{own} bytes, its message says {len}")));
        }
        let count = block.u32()?;
        if count > ENTRIES {
            return Err(block.fault(Kind::Limit, format!("{count} structures")));
        }
        let mut image = CacheImage::default();
        for _ in 0..count {
            let (at, structure) = entry(space, &mut block, &bytes)?;
            image.put(at, structure, &block)?;
        }
        Ok(image)
    }

    fn put(&mut self, at: u64, structure: Plain, block: &Cursor<'_>) -> Result<(), FormatError> {
        let end = at.saturating_add(structure.len() as u64);
        let before = self.entries.range(..end).next_back();
        if before.is_some_and(|(start, before)| start.saturating_add(before.len() as u64) > at) {
            return Err(block.bad(format!("two structures with the bytes at address {at}")));
        }
        self.entries.insert(at, structure);
        Ok(())
    }

    /// The bytes from `address` to the end of the structure that it lies in; `None` where the file has what counts.
    pub fn from(&self, address: u64) -> Option<&[u8]> {
        let (start, structure) = self.entries.range(..=address).next_back()?;
        let inside = usize::try_from(address - start).ok()?;
        structure.get(inside..).filter(|rest| !rest.is_empty())
    }

    /// The heap collections alone, which elements lead to long after all else was read; `None` where there are none.
    pub fn collections(&self) -> Option<CacheImage> {
        let held = self.entries.iter().filter(|(_, structure)| structure.starts_with(COLLECTION));
        // Copied, so that they do not hold the whole block.
        let entries: BTreeMap<u64, Plain> = held.map(|(&at, bytes)| (at, Plain::copy_from_slice(bytes))).collect();
        (!entries.is_empty()).then_some(CacheImage { entries })
    }

    /// Bytes of memory that it takes.
    pub fn weight(&self) -> u64 {
        let each = size_of::<(u64, Plain)>() as u64;
        self.entries.values().fold(0, |sum: u64, bytes| sum.saturating_add(each + bytes.len() as u64))
    }
}

/// An entry: where the structure belongs, and its bytes, as a part of those of the `whole` block.
fn entry(space: &Space<'_>, block: &mut Cursor<'_>, whole: &Plain) -> Result<(u64, Plain), FormatError> {
    // What it was to the cache: its type and flags, its ring, its age; how many wait for it to be written, dirty ones among them.
    block.skip(1 + 1 + 1 + 1 + 2 + 2)?;
    let parents = usize::from(block.u16()?);
    block.skip(4)?; // Its place among the least recently used.
    let here = *block;
    let (at, len) = (block.address()?, block.length()?);
    let end = at.checked_add(len).filter(|&end| len > 0 && end <= space.len());
    if end.is_none() {
        return Err(here.bad(format!("{len} bytes at address {at}, in a file of {}", space.len())));
    }
    block.skip(parents.saturating_mul(block.sizes().offset()))?;
    let from = block.read();
    let len = usize::try_from(len).map_err(|_| here.bad(format!("{len} bytes")))?;
    block.skip(len)?;
    Ok((at, whole.slice(from..from + len)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::bytes::Sizes;
    use crate::format::checksum::lookup3;

    /// Bytes of the file before the block.
    const BEFORE: usize = 256;

    /// A block of structures, each with its address.
    fn block(structures: &[(u64, &[u8])]) -> Vec<u8> {
        let mut entries = Vec::new();
        for (at, bytes) in structures {
            entries.extend_from_slice(&[5, 3, 1, 0, 0, 0, 0, 0]);
            entries.extend_from_slice(&[1, 0, 0xff, 0xff, 0xff, 0xff]); // One parent.
            entries.extend_from_slice(&at.to_le_bytes());
            entries.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            entries.extend_from_slice(&7u64.to_le_bytes());
            entries.extend_from_slice(bytes);
        }
        let mut block = b"MDCI\0\0".to_vec();
        block.extend_from_slice(&(18 + entries.len() as u64 + 4).to_le_bytes());
        block.extend_from_slice(&(structures.len() as u32).to_le_bytes());
        block.extend_from_slice(&entries);
        let sum = lookup3(&block);
        block.extend_from_slice(&sum.to_le_bytes());
        block
    }

    /// The image in a file whose other bytes are 0xee.
    fn decoded(block: &[u8]) -> Result<(Vec<u8>, CacheImage), FormatError> {
        let file = [&[0xee; BEFORE][..], block].concat();
        let mut message = vec![0];
        message.extend_from_slice(&(BEFORE as u64).to_le_bytes());
        message.extend_from_slice(&(block.len() as u64).to_le_bytes());
        let whole = file.as_slice();
        let image = CacheImage::decode(
            &Space::new(&whole, 0, Sizes::EIGHT),
            &mut Cursor::new("message", &message, 0, Sizes::EIGHT),
        )?;
        Ok((file, image))
    }

    #[test]
    fn structures_of_the_image_count_instead_of_what_stands_at_their_addresses() {
        let (file, image) = decoded(&block(&[(40, b"GCOLabcdef"), (8, b"xyz"), (50, b"next")])).unwrap();
        let whole = file.as_slice();
        let space = Space::new(&whole, 0, Sizes::EIGHT).imaged(Some(&image));
        let read = |at, len| space.within("test", at, len).map(|cursor| cursor.rest().to_vec());
        assert_eq!(read(8, 3).unwrap(), b"xyz");
        assert_eq!(read(42, 5).unwrap(), b"OLabc");
        assert_eq!(read(50, 4).unwrap(), b"next");
        assert_eq!(read(11, 2).unwrap(), [0xee; 2]);
        // No structure goes on in another one, nor in the file.
        assert_eq!(read(8, 4).unwrap_err().kind, Kind::Truncated);
        assert_eq!(read(48, 4).unwrap_err().kind, Kind::Truncated);
        assert_eq!(space.cursor_up_to("test", 8, 34).unwrap().rest(), b"xyz");
        let heaps = image.collections().unwrap();
        assert_eq!((heaps.from(40), heaps.from(8)), (Some(&b"GCOLabcdef"[..]), None));
        assert!(heaps.weight() > 10);
        assert_eq!(decoded(&block(&[(8, b"xyz")])).unwrap().1.collections(), None);
    }

    #[test]
    fn structures_that_cannot_be_are_refused() {
        let (far, largest) = (BEFORE as u64 * 2, u64::MAX);
        let kinds = [
            &[(8, &b"abc"[..]), (10, b"d")][..],
            &[(10, b"d"), (8, b"abc")],
            &[(8, b"")],
            &[(far, b"a")],
            &[(largest, b"a")],
        ];
        for structures in kinds {
            let error = decoded(&block(structures)).unwrap_err();
            assert!(error.at > BEFORE as u64, "{error}");
            assert_eq!((error.kind, error.structure), (Kind::Value, STRUCTURE), "{structures:?}");
        }
    }

    #[test]
    fn a_damaged_block_is_an_error() {
        let sound = block(&[(8, b"xyz")]);
        for at in 0..sound.len() {
            let mut turned = sound.clone();
            turned[at] ^= 0x10;
            assert_eq!(decoded(&turned).unwrap_err().kind, Kind::Checksum, "{at}");
        }
        // Under a right checksum: more structures than there are bytes for, or than memory is taken for.
        for (count, kind) in [(2, Kind::Truncated), (u32::MAX, Kind::Limit)] {
            let mut forged = sound.clone();
            forged[14..18].copy_from_slice(&count.to_le_bytes());
            let end = forged.len() - 4;
            let sum = lookup3(&forged[..end]);
            forged[end..].copy_from_slice(&sum.to_le_bytes());
            assert_eq!(decoded(&forged).unwrap_err().kind, kind);
        }
    }

    #[test]
    fn a_message_that_leads_nowhere_has_no_image() {
        let message = [&[0][..], &[0xff; 8], &[0; 8]].concat();
        let none = &b"nothing"[..];
        let image = CacheImage::decode(
            &Space::new(&none, 0, Sizes::EIGHT),
            &mut Cursor::new("message", &message, 0, Sizes::EIGHT),
        );
        assert_eq!(image, Ok(CacheImage::default()));
    }
}
