//! Objects of a fractal heap, by their ids.
//!
//! Blocks are found and summed when the first object in them is asked for, each once. Heaps whose blocks went through
//! filters are told apart and refused: the room has no filters.

use std::collections::BTreeMap;

use super::CHECKSUMMED_BLOCKS;
use crate::format::bytes::Space;
use crate::format::cursor::Cursor;
use crate::format::fields::{CHECKSUM_LEN, width_of};
use crate::format::index::btree2;
use crate::format::register::Aside;
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS};

const HEADER: &str = "fractal heap header";
const INDIRECT: &str = "fractal heap indirect block";
const DIRECT: &str = "fractal heap direct block";
const ID: &str = "fractal heap id";
/// Longest object in an id of the plain form: its length has four bits, and is not 0.
const TINY: usize = 16;
/// Blocks within blocks. Each level at least doubles what is below, so 64 cover any space.
const DEPTH: u32 = 64;

/// A fractal heap of a file.
pub struct StoredHeap<'s, 'a> {
    space: &'s Space<'a>,
    address: u64,
    id_len: usize,
    checksummed: bool,
    huge_tree: u64,
    width: u64,
    start_block: u64,
    max_direct: u64,
    offset_width: usize,
    length_width: usize,
    root: u64,
    /// Rows of the root, 0 where it is a direct block.
    rows: u16,
    filtered: bool,
    /// Direct blocks that were read: where they begin in the heap, and their bytes.
    blocks: BTreeMap<u64, Cursor<'a>>,
    /// Indirect blocks that were read, by address.
    tables: BTreeMap<u64, Cursor<'a>>,
    /// Huge objects by number, once asked for.
    huge: Option<BTreeMap<u64, (u64, u64)>>,
}

impl<'s, 'a> StoredHeap<'s, 'a> {
    /// The heap at `address`.
    pub fn open(space: &'s Space<'a>, address: u64) -> Result<Self, FormatError> {
        let (o, l) = (space.sizes().offset(), space.sizes().length());
        let mut header = space.cursor(HEADER, address, 9)?;
        header.signature(b"FRHP")?;
        header.version(0..=0)?;
        let id_len = header.u16()?.into();
        let filter_len = header.u16()?;
        let extra = if filter_len > 0 { l + 4 + usize::from(filter_len) } else { 0 };
        let len = 26 + 3 * o + 12 * l + extra;
        let mut header = space.cursor(HEADER, address, len as u64)?.checked()?;
        header.skip(9)?;
        let flags = header.u8()?;
        let max_managed = header.u32()?;
        header.skip(l)?;
        let huge_tree = header.address()?;
        header.skip(l)?; // Free space and counts: only for writers.
        let free = header.address()?;
        header.skip(8 * l)?;
        let (width, start_block, max_direct) = (header.u16()?.into(), header.length()?, header.length()?);
        let (bits, _) = (header.u16()?, header.u16()?);
        let (root, rows) = (header.address()?, header.u16()?);
        let sound = width > 0
            && start_block.is_power_of_two()
            && max_direct.is_power_of_two()
            && start_block <= max_direct
            && max_direct < 1 << 32
            && (1..=64).contains(&bits);
        if !sound {
            let reason = format!("{width} blocks of {start_block} to {max_direct} bytes in a space of 2^{bits}");
            return Err(header.bad(reason));
        }
        space.aside(Aside::FreeSpace(free));
        space.aside(Aside::Tree(huge_tree));
        let offset_width = usize::from(bits).div_ceil(8);
        let direct_width = (max_direct.ilog2() as usize).div_ceil(8);
        Ok(StoredHeap {
            space,
            address,
            id_len,
            checksummed: flags & CHECKSUMMED_BLOCKS != 0,
            huge_tree,
            width,
            start_block,
            max_direct,
            offset_width,
            length_width: direct_width.min(width_of(max_managed.into())),
            root,
            rows,
            filtered: filter_len > 0,
            blocks: BTreeMap::new(),
            tables: BTreeMap::new(),
            huge: None,
        })
    }

    /// Bytes of a heap id.
    pub fn id_len(&self) -> usize {
        self.id_len
    }

    /// The object that `id` names; its bytes, of any length.
    pub fn object(&mut self, mut id: Cursor<'a>) -> Result<Cursor<'a>, FormatError> {
        id = id.named(ID);
        let first = id.u8()?;
        if first >> 6 != 0 {
            return Err(id.fault(Kind::Version, format!("version {}", first >> 6)));
        }
        match first >> 4 & 3 {
            0 => {
                let (offset, len) = (id.uint(self.offset_width)?, id.uint(self.length_width)?);
                self.managed(offset, len, &id)
            }
            1 => self.huge(id),
            2 => {
                let len = if self.id_len <= TINY + 1 {
                    usize::from(first & 0x0f) + 1
                } else {
                    (usize::from(first & 0x0f) << 8 | usize::from(id.u8()?)) + 1
                };
                id.part(len)
            }
            kind => Err(id.bad(format!("type {kind}"))),
        }
    }

    fn refuse_filters(&self, at: &Cursor<'_>) -> Result<(), FormatError> {
        if self.filtered { Err(at.fault(Kind::Unsupported, "a heap whose blocks are filtered")) } else { Ok(()) }
    }

    fn huge(&mut self, mut id: Cursor<'a>) -> Result<Cursor<'a>, FormatError> {
        self.refuse_filters(&id)?;
        let sizes = self.space.sizes();
        // An id that has room for address and length holds them.
        let (address, len) = if self.id_len > sizes.offset() + sizes.length() {
            (id.address()?, id.length()?)
        } else {
            let number = id.uint((self.id_len - 1).min(sizes.length()))?;
            if self.huge.is_none() {
                let mut all = BTreeMap::new();
                btree2::decode::records(
                    self.space,
                    self.huge_tree,
                    &[btree2::kind::HUGE_OBJECT],
                    &mut |_, mut record| {
                        let place = (record.address()?, record.length()?);
                        all.insert(record.length()?, place);
                        Ok(())
                    },
                )?;
                self.huge = Some(all);
            }
            let found = self.huge.as_ref().and_then(|all| all.get(&number));
            *found.ok_or_else(|| id.bad(format!("no huge object {number}")))?
        };
        self.space.cursor("huge object of a fractal heap", address, len)
    }

    fn managed(&mut self, offset: u64, len: u64, id: &Cursor<'_>) -> Result<Cursor<'a>, FormatError> {
        self.refuse_filters(id)?;
        let outside = || id.bad(format!("{len} bytes at {offset} lie outside the heap's blocks"));
        let known = self.blocks.range(..=offset).next_back().map(|(start, block)| (*start, *block));
        let (start, block) = match known.filter(|(start, block)| offset - start < block.left() as u64) {
            Some(known) => known,
            None => self.find(offset)?.ok_or_else(outside)?,
        };
        let overhead = 5 + self.space.sizes().offset() + self.offset_width + if self.checksummed { 4 } else { 0 };
        let mut object = block;
        // Within a block that was read, so both are small.
        if offset - start < overhead as u64 {
            return Err(outside());
        }
        object.skip((offset - start) as usize)?;
        object.part(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Bytes of the blocks of a row.
    fn row_block(&self, row: u64) -> u64 {
        let shift = row.saturating_sub(1);
        if shift < u64::from(self.start_block.leading_zeros()) { self.start_block << shift } else { u64::MAX }
    }

    /// The direct block that holds place `offset` of the heap; `None` where there is none.
    fn find(&mut self, offset: u64) -> Result<Option<(u64, Cursor<'a>)>, FormatError> {
        if self.root == UNDEFINED_ADDRESS {
            return Ok(None);
        }
        if self.rows == 0 {
            let inside = offset < self.start_block;
            return if inside { self.direct(self.root, 0, self.start_block).map(Some) } else { Ok(None) };
        }
        let (mut address, mut rows, mut base) = (self.root, u64::from(self.rows), 0u64);
        for _ in 0..DEPTH {
            let inside = offset - base;
            // The row: rows 0 and 1 have blocks of the starting size, each further one of twice the size.
            let first_row = self.start_block.saturating_mul(self.width);
            let row = if inside < first_row { 0 } else { u64::from((inside / first_row).ilog2()) + 1 };
            let row_start = if row == 0 { 0 } else { first_row << (row - 1) };
            let size = self.row_block(row);
            let column = (inside - row_start) / size;
            if row >= rows || column >= self.width {
                return Ok(None);
            }
            let start = base + row_start + column * size;
            let child = self.child(address, rows, base, row * self.width + column)?;
            if child == UNDEFINED_ADDRESS {
                return Ok(None);
            }
            if size <= self.max_direct {
                return self.direct(child, start, size).map(Some);
            }
            // A nested block spans what its rows span: 2^(rows - 1) times the first row.
            let spans = size / first_row;
            if spans == 0 {
                return Ok(None);
            }
            (address, rows, base) = (child, u64::from(spans.ilog2()) + 1, start);
        }
        Ok(None)
    }

    /// The address of entry `entry` of the indirect block at `address`.
    fn child(&mut self, address: u64, rows: u64, base: u64, entry: u64) -> Result<u64, FormatError> {
        let offset = self.space.sizes().offset();
        let mut block = match self.tables.get(&address) {
            Some(block) => *block,
            None => {
                let entries = rows.saturating_mul(self.width).saturating_mul(offset as u64);
                let len = entries.saturating_add((5 + offset + self.offset_width + CHECKSUM_LEN) as u64);
                let mut block = self.space.cursor(INDIRECT, address, len)?.checked()?;
                block.signature(b"FHIB")?;
                self.start(&mut block, base)?;
                self.tables.insert(address, block);
                block
            }
        };
        block.skip(usize::try_from(entry).unwrap_or(usize::MAX).saturating_mul(offset))?;
        block.address()
    }

    fn start(&self, block: &mut Cursor<'_>, base: u64) -> Result<(), FormatError> {
        block.version(0..=0)?;
        let heap = block.address()?;
        let own = block.uint(self.offset_width)?;
        if heap != self.address || own != base {
            let reason = format!("a block of the heap at {heap} from {own} on, not of {} from {base}", self.address);
            return Err(block.bad(reason));
        }
        Ok(())
    }

    fn direct(&mut self, address: u64, start: u64, len: u64) -> Result<(u64, Cursor<'a>), FormatError> {
        let block = self.space.cursor(DIRECT, address, len)?;
        let mut head = block;
        head.signature(b"FHDB")?;
        self.start(&mut head, start)?;
        if self.checksummed {
            let at = head.read();
            let stored = head.u32()?;
            // The sum is of the whole block with zeros where it stands itself.
            let mut bytes = block.rest().to_vec();
            if let Some(own) = bytes.get_mut(at..at + CHECKSUM_LEN) {
                own.fill(0);
            }
            let sum = crate::format::checksum::lookup3(&bytes);
            if sum != stored {
                return Err(head.fault(Kind::Checksum, format!("checksum {stored:08x}, its bytes give {sum:08x}")));
            }
        }
        self.blocks.insert(start, block);
        Ok((start, block))
    }
}
