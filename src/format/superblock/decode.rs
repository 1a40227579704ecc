//! Superblocks of versions 0 to 3, with what precedes them (a user block) taken into account.

use super::SIGNATURE;
use crate::format::bytes::{Bytes, Ranks, Sizes, Space};
use crate::format::cursor::Cursor;
use crate::format::index::symbol_node::SymbolEntry;
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS};

const STRUCTURE: &str = "superblock";
/// Bytes from the signature to the widths of addresses and lengths, in any version.
const START_LEN: u64 = 16;
/// Bytes of the widest integers a file may declare; libhdf5's own limit.
const WIDEST: u8 = 32;

/// What a file begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredSuperblock {
    /// 0 to 3.
    pub version: u8,
    /// The byte where the signature stands.
    pub position: u64,
    /// Widths of the file's fields.
    pub sizes: Sizes,
    /// The byte that address 0 is.
    pub base: u64,
    /// Bit 0: open for writing, or not closed since; bit 2: written while others read.
    pub status: u32,
    /// Address of the file's end, as a writer left it; from the base on, like all addresses.
    pub end_of_file: u64,
    /// Address of the root group's object header.
    pub root: u64,
    /// The root group's symbol table entry (versions 0 and 1).
    pub root_entry: Option<SymbolEntry>,
    /// Address of the extension's object header (versions 2 and 3), or undefined.
    pub extension: u64,
    /// Address of the driver information block (versions 0 and 1), or undefined.
    pub driver_info: u64,
    /// Room of nodes of the old trees, as far as the superblock says (versions 0 and 1).
    pub ranks: Ranks,
    /// Its bytes.
    pub len: u64,
}

/// Where the signature is: at byte 0, 512, or a power of two behind that.
///
/// # Errors
/// [`Kind::Signature`] where the file is no HDF5 file, [`Kind::Needs`].
pub fn find(bytes: &dyn Bytes) -> Result<u64, FormatError> {
    let mut at = 0u64;
    while at.checked_add(SIGNATURE.len() as u64).is_some_and(|end| end <= bytes.len()) {
        let space = Space::new(bytes, 0, Sizes::EIGHT);
        if space.cursor(STRUCTURE, at, SIGNATURE.len() as u64)?.rest() == SIGNATURE {
            return Ok(at);
        }
        at = if at == 0 { 512 } else { at.saturating_mul(2) };
    }
    let reason = "no HDF5 signature at byte 0, 512, 1024 …".to_owned();
    Err(FormatError { kind: Kind::Signature, structure: STRUCTURE, at: 0, reason })
}

/// The superblock of a file.
pub fn decode(bytes: &dyn Bytes) -> Result<StoredSuperblock, FormatError> {
    let position = find(bytes)?;
    let space = Space::new(bytes, position, Sizes::EIGHT);
    let mut start = space.cursor(STRUCTURE, 0, START_LEN)?;
    start.skip(SIGNATURE.len())?;
    let version = start.version(0..=3)?;
    if version < 2 {
        start.skip(4)?;
    }
    let (offsets, lengths) = (start.u8()?, start.u8()?);
    for width in [offsets, lengths] {
        if !(2..=WIDEST).contains(&width) || !width.is_power_of_two() {
            return Err(start.bad(format!("numbers of {width} bytes")));
        }
    }
    let sizes = Sizes { offsets, lengths };
    let o = u64::from(offsets);
    let len = match version {
        0 => 24 + 4 * o + SymbolEntry::len(sizes),
        1 => 28 + 4 * o + SymbolEntry::len(sizes),
        _ => 12 + 4 * o + 4,
    };
    let mut cursor = Space::new(bytes, position, sizes).cursor(STRUCTURE, 0, len)?;
    let mut found = if version < 2 { old(&mut cursor, version)? } else { new(cursor, version)? };
    (found.position, found.len) = (position, len);
    // The only address that a writer counts from the start of the file.
    if found.end_of_file != UNDEFINED_ADDRESS {
        found.end_of_file = found.end_of_file.saturating_sub(found.base);
    }
    // Files are put behind other bytes, or cut free of them, without anybody telling them: like libhdf5, the signature's
    // place is believed, not the field.
    found.base = position;
    Ok(found)
}

fn old(cursor: &mut Cursor<'_>, version: u8) -> Result<StoredSuperblock, FormatError> {
    let sizes = cursor.sizes();
    cursor.skip(16)?; // Signature, versions, widths.
    let mut ranks = Ranks { leaf: cursor.u16()?, group: cursor.u16()?, ..Ranks::USUAL };
    let status = cursor.u32()?;
    if version == 1 {
        ranks.chunk = cursor.u16()?;
        cursor.skip(2)?;
    }
    let base = cursor.address()?;
    cursor.skip(sizes.offset())?; // Free space: never used.
    let end_of_file = cursor.address()?;
    let driver_info = cursor.address()?;
    let entry = SymbolEntry::decode(cursor)?;
    Ok(StoredSuperblock {
        version,
        position: 0,
        sizes,
        base,
        status,
        end_of_file,
        root: entry.header,
        root_entry: Some(entry),
        extension: UNDEFINED_ADDRESS,
        driver_info,
        ranks,
        len: 0,
    })
}

fn new(cursor: Cursor<'_>, version: u8) -> Result<StoredSuperblock, FormatError> {
    let sizes = cursor.sizes();
    let mut cursor = cursor.checked()?;
    cursor.skip(11)?;
    let status = cursor.u8()?.into();
    let base = cursor.address()?;
    let extension = cursor.address()?;
    let end_of_file = cursor.address()?;
    let root = cursor.address()?;
    Ok(StoredSuperblock {
        version,
        position: 0,
        sizes,
        base,
        status,
        end_of_file,
        root,
        root_entry: None,
        extension,
        driver_info: UNDEFINED_ADDRESS,
        ranks: Ranks::USUAL,
        len: 0,
    })
}
