//! Managers of free space, as far as a reader checks them (specification III.I).

use super::FormatError;
use super::UNDEFINED_ADDRESS;
use super::bytes::Space;

const HEADER: &str = "free-space manager header";
const SECTIONS: &str = "free-space section list";

/// Reads the manager whose header is at `address`, with its list of sections: sums and signatures must hold.
pub fn decode(space: &Space<'_>, address: u64) -> Result<(), FormatError> {
    let (o, l) = (space.sizes().offset(), space.sizes().length());
    let len = 6 + 4 * l + 4 * 2 + l + o + 2 * l + 4;
    let mut header = space.cursor(HEADER, address, len as u64)?.checked()?;
    header.signature(b"FSHD")?;
    header.version(0..=0)?;
    header.skip(1 + 4 * l + 4 * 2 + l)?; // Client, and counts of space and sections.
    let (list, used, room) = (header.address()?, header.length()?, header.length()?);
    if list == UNDEFINED_ADDRESS {
        return Ok(());
    }
    if used > room {
        return Err(header.bad(format!("{used} bytes of sections in {room}")));
    }
    let mut sections = space.cursor(SECTIONS, list, used)?.checked()?;
    space.claim(SECTIONS, list, used, room);
    sections.signature(b"FSSE")?;
    sections.version(0..=0)?;
    let owner = sections.address()?;
    if owner != address {
        return Err(sections.bad(format!("sections of the manager at {owner}, not {address}")));
    }
    Ok(())
}
