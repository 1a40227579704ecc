//! Entries of an extensible array, by their numbers.

use std::collections::BTreeSet;

use crate::format::bytes::{Branches, Space};
use crate::format::cursor::Cursor;
use crate::format::fields::CHECKSUM_LEN;
use crate::format::index::element::StoredChunk;
use crate::format::index::fixed_array::decode::{size_width, take};
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS};

const HEADER: &str = "extensible array header";
const INDEX: &str = "extensible array index block";
const SUPER: &str = "extensible array super block";
const DATA: &str = "extensible array data block";
const PAGE: &str = "extensible array data block page";

/// What the header says of all blocks.
struct Array<'s, 'a> {
    space: &'s Space<'a>,
    client: u8,
    entry: u64,
    size_width: usize,
    offset_width: u64,
    page: u64,
    seen: BTreeSet<u64>,
}

/// Hands every entry of the array at `address` that leads somewhere to `found`.
pub fn chunks(space: &Space<'_>, address: u64, found: &mut dyn FnMut(u64, StoredChunk)) -> Result<(), FormatError> {
    if address == UNDEFINED_ADDRESS {
        return Ok(());
    }
    let sizes = space.sizes();
    let len = 16 + 6 * sizes.length() + sizes.offset();
    let mut header = space.cursor(HEADER, address, len as u64)?.checked()?;
    header.signature(b"EAHD")?;
    header.version(0..=0)?;
    let (client, entry, bits) = (header.u8()?, header.u8()?, header.u8()?);
    let (index_entries, least, pointers, page_bits) = (header.u8()?, header.u8()?, header.u8()?, header.u8()?);
    header.skip(6 * sizes.length())?;
    let index = header.address()?;
    let size_width = size_width(&header, client, entry)?;
    // libhdf5 asks the same: powers of two, and no more bits than an array of 2^64 entries would have.
    let sound = bits <= 64
        && page_bits < 32
        && least.is_power_of_two()
        && pointers.is_power_of_two()
        && pointers >= 2
        && u32::from(bits) >= u32::from(least).ilog2();
    if !sound {
        let reason = format!("2^{bits} entries, {least} in a block, {pointers} pointers, pages of 2^{page_bits}");
        return Err(header.bad(reason));
    }
    if index == UNDEFINED_ADDRESS {
        return Ok(());
    }
    let supers = 1 + u32::from(bits) - u32::from(least).ilog2();
    let first_super = (2 * u32::from(pointers).ilog2()).min(supers);
    let data = 2 * (u64::from(pointers) - 1);
    let mut array = Array {
        space,
        client,
        entry: entry.into(),
        size_width,
        offset_width: u64::from(bits).div_ceil(8),
        page: 1 << page_bits,
        seen: BTreeSet::new(),
    };
    let len = 6
        + sizes.offset() as u64 * (1 + data + u64::from(supers - first_super))
        + u64::from(index_entries) * u64::from(entry)
        + CHECKSUM_LEN as u64;
    let mut block = space.cursor(INDEX, index, len)?.checked()?;
    array.start(&mut block, b"EAIB")?;
    take(&mut block, 0, index_entries.into(), size_width, found)?;
    let mut first = u64::from(index_entries);
    let mut left = data;
    let mut branches = Branches::default();
    for number in 0..supers {
        let blocks = 1u64 << (number / 2);
        let too_large = || header.fault(Kind::Limit, format!("super block {number}"));
        let each = u64::from(least).checked_shl(number.div_ceil(2)).filter(|&each| each > 0 && each < 1 << 48);
        let each = each.ok_or_else(too_large)?;
        if number < first_super {
            for at in 0..blocks.min(left) {
                let address = block.address()?;
                let first = first.saturating_add(at.saturating_mul(each));
                branches.ended(array.data(address, first, each, None, found))?;
            }
            left = left.saturating_sub(blocks);
        } else {
            let address = block.address()?;
            branches.ended(array.super_block(address, first, blocks, each, found))?;
        }
        first = first.saturating_add(blocks.saturating_mul(each));
    }
    branches.end()
}

impl<'a> Array<'_, 'a> {
    fn start(&mut self, block: &mut Cursor<'a>, signature: &[u8]) -> Result<(), FormatError> {
        if !self.seen.insert(block.position()) {
            return Err(block.fault(Kind::Cycle, "the block stands twice in its array"));
        }
        block.signature(signature)?;
        block.version(0..=0)?;
        let client = block.u8()?;
        if client != self.client {
            return Err(block.bad(format!("client {client}, its header says {}", self.client)));
        }
        block.address().map(|_| ())
    }

    /// Pages of a data block of `entries` entries; 0 where it is one piece.
    fn pages(&self, entries: u64) -> u64 {
        if entries > self.page { entries / self.page } else { 0 }
    }

    fn super_block(
        &mut self,
        address: u64,
        first: u64,
        blocks: u64,
        each: u64,
        found: &mut dyn FnMut(u64, StoredChunk),
    ) -> Result<(), FormatError> {
        if address == UNDEFINED_ADDRESS {
            return Ok(());
        }
        let offset = self.space.sizes().offset() as u64;
        let pages = self.pages(each);
        let bitmap = blocks.saturating_mul(pages.div_ceil(8));
        let prefix = 6 + offset + self.offset_width + CHECKSUM_LEN as u64;
        let len = blocks.saturating_mul(offset).saturating_add(bitmap).saturating_add(prefix);
        let mut block = self.space.cursor(SUPER, address, len)?.checked()?;
        self.start(&mut block, b"EASB")?;
        block.skip(self.offset_width as usize)?;
        let made = block.take(bitmap as usize)?;
        let mut branches = Branches::default();
        for number in 0..blocks {
            let address = block.address()?;
            let first = first.saturating_add(number.saturating_mul(each));
            branches.ended(self.data(address, first, each, Some((made, number * pages)), found))?;
        }
        branches.end()
    }

    /// A data block. `made` tells which pages of a super block's data blocks are made, and the number of the first here.
    fn data(
        &mut self,
        address: u64,
        first: u64,
        entries: u64,
        made: Option<(&[u8], u64)>,
        found: &mut dyn FnMut(u64, StoredChunk),
    ) -> Result<(), FormatError> {
        if address == UNDEFINED_ADDRESS {
            return Ok(());
        }
        let prefix = 6 + self.space.sizes().offset() as u64 + self.offset_width;
        let pages = self.pages(entries);
        let own = if pages == 0 { entries * self.entry } else { 0 };
        let len = prefix + own + CHECKSUM_LEN as u64;
        let mut block = self.space.cursor(DATA, address, len)?.checked()?;
        self.start(&mut block, b"EADB")?;
        block.skip(self.offset_width as usize)?;
        if pages == 0 {
            return take(&mut block, first, entries, self.size_width, found);
        }
        let page_len = self.page * self.entry + CHECKSUM_LEN as u64;
        self.space.claim(DATA, address, len, len.saturating_add(pages.saturating_mul(page_len)));
        let mut branches = Branches::default();
        for page in 0..pages {
            let bit = made.is_none_or(|(made, from)| {
                let bit = from + page;
                made.get((bit / 8) as usize).is_some_and(|byte| byte & 0x80 >> (bit % 8) != 0)
            });
            if bit {
                let at = address.saturating_add(len).saturating_add(page.saturating_mul(page_len));
                let (first, body) = (first.saturating_add(page * self.page), self.space.within(PAGE, at, page_len));
                let taken = body.and_then(|body| take(&mut body.checked()?, first, self.page, self.size_width, found));
                branches.ended(taken)?;
            }
        }
        branches.end()
    }
}
