//! Symbol nodes and their entries (III.B, III.C): the links of an old group, as the leaves of its v1 B-tree hold them.

use crate::format::bytes::{Sizes, Space};
use crate::format::cursor::Cursor;
use crate::format::{FormatError, Kind};

const STRUCTURE: &str = "symbol table node";
/// Signature, version, reserved, number of entries.
const PREFIX_LEN: u64 = 8;

/// A link of an old group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SymbolEntry {
    /// Where its name stands in the group's local heap.
    pub name: u64,
    /// Address of the object's header; undefined for a soft link.
    pub header: u64,
    /// Where the path of a soft link stands in the heap.
    pub soft: Option<u32>,
}

impl SymbolEntry {
    /// Bytes of an entry.
    pub fn len(sizes: Sizes) -> u64 {
        u64::from(sizes.offsets) * 2 + 24
    }

    /// An entry.
    pub fn decode(body: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let (name, header) = (body.address()?, body.address()?);
        let cached = body.u32()?;
        body.skip(4)?;
        let mut scratch = body.part(16)?;
        let soft = match cached {
            0 | 1 => None,
            2 => Some(scratch.u32()?),
            _ => return Err(body.bad(format!("an entry of type {cached}"))),
        };
        Ok(SymbolEntry { name, header, soft })
    }
}

/// The entries of the node at `address`.
pub fn decode(space: &Space<'_>, address: u64) -> Result<Vec<SymbolEntry>, FormatError> {
    let mut prefix = space.cursor(STRUCTURE, address, PREFIX_LEN)?;
    prefix.signature(b"SNOD")?;
    prefix.version(1..=1)?;
    prefix.skip(1)?;
    let count = prefix.u16()?;
    let at = address.checked_add(PREFIX_LEN).ok_or_else(|| prefix.fault(Kind::Limit, "passes 64 bits"))?;
    let entry = SymbolEntry::len(space.sizes());
    let len = entry * u64::from(count);
    let mut body = space.within(STRUCTURE, at, len)?;
    space.claim(STRUCTURE, address, PREFIX_LEN + len, PREFIX_LEN + 2 * u64::from(space.ranks().leaf) * entry);
    (0..count).map(|_| SymbolEntry::decode(&mut body)).collect()
}
