//! Entries of a fixed array, by their numbers.

use crate::format::bytes::{Branches, Space};
use crate::format::cursor::Cursor;
use crate::format::fields::CHECKSUM_LEN;
use crate::format::index::element::{self, StoredChunk};
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS};

const HEADER: &str = "fixed array header";
const BLOCK: &str = "fixed array data block";
const PAGE: &str = "fixed array data block page";

/// Hands every entry of the array at `address` that leads somewhere to `found`.
pub fn chunks(space: &Space<'_>, address: u64, found: &mut dyn FnMut(u64, StoredChunk)) -> Result<(), FormatError> {
    if address == UNDEFINED_ADDRESS {
        return Ok(());
    }
    let sizes = space.sizes();
    let len = 12 + sizes.offset() + sizes.length();
    let mut header = space.cursor(HEADER, address, len as u64)?.checked()?;
    header.signature(b"FAHD")?;
    header.version(0..=0)?;
    let (client, entry, page_bits) = (header.u8()?, header.u8()?, header.u8()?);
    let (count, block) = (header.length()?, header.address()?);
    let size_width = size_width(&header, client, entry)?;
    if block == UNDEFINED_ADDRESS {
        return Ok(());
    }
    let page = 1u64.checked_shl(page_bits.into()).ok_or_else(|| header.bad(format!("pages of 2^{page_bits}")))?;
    let prefix = 6 + sizes.offset() as u64;
    let entries = |count: u64| count.checked_mul(entry.into());
    let too_many = || header.fault(Kind::Limit, format!("{count} entries"));
    if count <= page {
        let len = entries(count).and_then(|len| len.checked_add(prefix + CHECKSUM_LEN as u64)).ok_or_else(too_many)?;
        let mut body = space.cursor(BLOCK, block, len)?.checked()?;
        start(&mut body, client)?;
        return take(&mut body, 0, count, size_width, found);
    }
    let pages = count.div_ceil(page);
    let bitmap = pages.div_ceil(8);
    let len = prefix + bitmap + CHECKSUM_LEN as u64;
    let mut body = space.cursor(BLOCK, block, len)?.checked()?;
    start(&mut body, client)?;
    let made = body.rest();
    let page_len = entries(page).ok_or_else(too_many)? + CHECKSUM_LEN as u64;
    // Room for pages that were not made is there too.
    let all = entries(count).and_then(|all| all.checked_add(len + pages * CHECKSUM_LEN as u64)).ok_or_else(too_many)?;
    space.claim(BLOCK, block, len, all);
    let mut branches = Branches::default();
    for number in 0..pages {
        // Most significant bit first.
        let bit = made.get((number / 8) as usize).is_some_and(|byte| byte & 0x80 >> (number % 8) != 0);
        if !bit {
            continue;
        }
        let first = number * page;
        let own = page.min(count - first);
        let at = number.checked_mul(page_len).and_then(|at| at.checked_add(block)?.checked_add(len));
        let page = space.within(PAGE, at.ok_or_else(too_many)?, own * u64::from(entry) + CHECKSUM_LEN as u64);
        let taken = page.and_then(|page| take(&mut page.checked()?, first, own, size_width, found));
        branches.ended(taken)?;
    }
    branches.end()
}

fn start(body: &mut Cursor<'_>, client: u8) -> Result<(), FormatError> {
    body.signature(b"FADB")?;
    body.version(0..=0)?;
    let found = body.u8()?;
    if found != client {
        return Err(body.bad(format!("client {found}, its header says {client}")));
    }
    body.address().map(|_| ())
}

/// Width of a filtered chunk's size in an array's entries, 0 for an array of plain chunks.
pub(in crate::format::index) fn size_width(header: &Cursor<'_>, client: u8, entry: u8) -> Result<usize, FormatError> {
    let sizes = header.sizes();
    match client {
        0 if usize::from(entry) == sizes.offset() => Ok(0),
        1 => element::size_width(entry.into(), sizes).ok_or_else(|| header.bad(format!("entries of {entry} bytes"))),
        _ => Err(header.bad(format!("client {client} with entries of {entry} bytes"))),
    }
}

/// Reads `count` entries, the first of them number `first`.
pub(in crate::format::index) fn take(
    body: &mut Cursor<'_>,
    first: u64,
    count: u64,
    size_width: usize,
    found: &mut dyn FnMut(u64, StoredChunk),
) -> Result<(), FormatError> {
    for number in first..first.saturating_add(count) {
        let chunk = element::decode(body, size_width)?;
        if chunk.address != UNDEFINED_ADDRESS {
            found(number, chunk);
        }
    }
    Ok(())
}
