//! The chunk index of one dataset, placed: where its blocks lie, and their bytes on demand.
//!
//! Nothing of an index is kept: an index of a billion entries is 8 to 40 GB in the presented file, and a few numbers
//! here. Blocks of one size stand in a row at an even distance (a *part*), so that the block at an offset is a division.

use crate::format::FormatError;
use crate::format::UNDEFINED_ADDRESS;
use crate::format::index::btree2::{self, BTree2};
use crate::format::index::element;
use crate::format::index::extensible_array::{self, Block, ExtensibleArray};
use crate::format::index::fixed_array::{self, FixedArray};
use crate::format::message::data_layout::ChunkIndexKind;
use crate::model::limits::RANK;

use super::numbering::Numbering;
use super::pages::{Full, PAGE, Pages};
use super::storage::{Index, Storage};

/// Bytes of a node of a v2 B-tree of chunks: libhdf5's default, and half a page.
const NODE_SIZE: u32 = 2048;

/// Why an index could not be placed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// The file is too long.
    #[error("the file would be too long")]
    Full,
    /// The format has no room for it.
    #[error(transparent)]
    Format(FormatError),
}

impl From<Full> for IndexError {
    fn from(_: Full) -> Self {
        IndexError::Full
    }
}

impl From<FormatError> for IndexError {
    fn from(error: FormatError) -> Self {
        IndexError::Format(error)
    }
}

/// What kind of blocks a part consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PartKind {
    Header,
    /// The data block of a fixed array with its pages.
    FixedData,
    /// The index block of an extensible array.
    IndexBlock,
    /// A super block of an extensible array.
    SuperBlock(u32),
    /// The data blocks of a super block.
    DataBlocks(u32),
    /// The nodes of a level of a tree.
    Nodes(usize),
}

/// Blocks of one size at an even distance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// Where the first one is in the file.
    pub(crate) start: u64,
    /// Bytes to the next one.
    stride: u64,
    /// Bytes of each.
    len: u64,
    count: u64,
    kind: PartKind,
}

impl Part {
    /// Bytes from the start of the first block to the end of the last.
    pub(crate) fn total(&self) -> u64 {
        (self.count - 1) * self.stride + self.len
    }
}

#[derive(Clone, PartialEq, Debug)]
enum Shape {
    Fixed(FixedArray, Numbering),
    Extensible(ExtensibleArray, Numbering),
    Tree(BTree2),
}

/// Where chunks are and what an entry says of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks<'a> {
    /// Address of the first.
    pub(crate) base: u64,
    /// The rest.
    pub(crate) storage: &'a Storage,
}

/// An index with its blocks placed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct PlacedIndex {
    shape: Shape,
    /// The header first, then ascending.
    parts: Vec<Part>,
}

impl PlacedIndex {
    /// Turns a fixed array whose data block no start fits into pages into a tree, which has no such ends. What the
    /// object header says depends on it, so that it is done before anything has its place.
    pub(crate) fn settle(storage: &mut Storage) -> Result<(), IndexError> {
        if let Index::FixedArray { numbering, elements } = &storage.index
            && *elements > 0
        {
            let array = FixedArray::new(*elements, entry_len(storage), !storage.filters.is_empty())?;
            if Self::place_fixed(array, numbering, &mut Pages::default())?.is_none() {
                storage.index = Index::Tree;
            }
        }
        Ok(())
    }

    /// Places the index that `storage` asks for; `None` where it needs no bytes of its own.
    pub(crate) fn place(storage: &Storage, pages: &mut Pages) -> Result<Option<PlacedIndex>, IndexError> {
        if storage.chunks() == 0 {
            return Ok(None);
        }
        let (filtered, entry) = (!storage.filters.is_empty(), entry_len(storage));
        let placed = match &storage.index {
            Index::Contiguous | Index::Implicit | Index::Single => return Ok(None),
            Index::FixedArray { numbering, elements } => {
                let array = FixedArray::new(*elements, entry, filtered)?;
                Self::place_fixed(array, numbering, pages)?.ok_or_else(|| {
                    IndexError::Format(FormatError::new("fixed array", "its data block fits no start in a page"))
                })?
            }
            Index::ExtensibleArray { numbering, elements } => {
                Self::place_extensible(ExtensibleArray::new(*elements, entry, filtered)?, numbering, pages)?
            }
            Index::Tree => Self::place_tree(storage, entry, pages)?,
        };
        Ok(Some(placed))
    }

    fn place_fixed(array: FixedArray, numbering: &Numbering, pages: &mut Pages) -> Result<Option<Self>, IndexError> {
        let mut attempt = pages.clone();
        let header = one(&mut attempt, fixed_array::HEADER_LEN as u64, PartKind::Header)?;
        let len = array.data_block_len();
        let data = if array.is_paged() {
            let last = array.pages() - 1;
            let tail = array.page_len(last);
            let Some(start) = attempt.paged(array.prefix_len(), array.full_page_len(), last, tail)? else {
                return Ok(None);
            };
            Part { start, stride: len, len, count: 1, kind: PartKind::FixedData }
        } else {
            one(&mut attempt, len, PartKind::FixedData)?
        };
        *pages = attempt;
        Ok(Some(PlacedIndex { shape: Shape::Fixed(array, numbering.clone()), parts: vec![header, data] }))
    }

    fn place_extensible(array: ExtensibleArray, numbering: &Numbering, pages: &mut Pages) -> Result<Self, IndexError> {
        let mut parts = vec![
            one(pages, extensible_array::HEADER_LEN as u64, PartKind::Header)?,
            one(pages, array.index_block_len(), PartKind::IndexBlock)?,
        ];
        let own_blocks = array.super_blocks();
        for group in array.groups() {
            if own_blocks.contains(&group) {
                parts.push(one(pages, array.super_block_len(group), PartKind::SuperBlock(group))?);
            }
            let blocks = array.data_blocks(group);
            parts.push(row(pages, array.data_block_len(group), blocks, PartKind::DataBlocks(group))?);
        }
        Ok(PlacedIndex { shape: Shape::Extensible(array, numbering.clone()), parts })
    }

    fn place_tree(storage: &Storage, entry: u8, pages: &mut Pages) -> Result<Self, IndexError> {
        let kind = if storage.filters.is_empty() { btree2::kind::CHUNK } else { btree2::kind::FILTERED_CHUNK };
        let record = u16::from(entry) + 8 * storage.grid.counts().len() as u16;
        let tree = BTree2::new(kind, record, NODE_SIZE, storage.chunks())?;
        let mut parts = vec![one(pages, btree2::HEADER_LEN as u64, PartKind::Header)?];
        for level in (0..tree.levels()).rev() {
            parts.push(row(pages, tree.node_len(), tree.nodes(level), PartKind::Nodes(level))?);
        }
        Ok(PlacedIndex { shape: Shape::Tree(tree), parts })
    }

    /// What the layout message says of the index of a chunked dataset.
    pub(crate) fn kind(storage: &Storage) -> ChunkIndexKind {
        match storage.index {
            Index::Contiguous | Index::Implicit => ChunkIndexKind::Implicit,
            Index::Single => ChunkIndexKind::Single {
                filtered: (!storage.filters.is_empty()).then(|| (storage.presented_len(), storage.mask())),
            },
            Index::FixedArray { .. } => ChunkIndexKind::FixedArray,
            Index::ExtensibleArray { .. } => ChunkIndexKind::ExtensibleArray,
            Index::Tree => ChunkIndexKind::BTree2 { node_size: NODE_SIZE },
        }
    }

    /// Its parts, ascending.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Address of its header.
    pub(crate) fn header(&self) -> u64 {
        self.parts.first().map_or(UNDEFINED_ADDRESS, |part| part.start)
    }

    fn address(&self, kind: PartKind, number: u64) -> u64 {
        let part = self.parts.iter().find(|part| part.kind == kind);
        part.map_or(UNDEFINED_ADDRESS, |part| part.start + number * part.stride)
    }

    /// Fills `out` with the bytes of part number `part` from `at` on.
    pub(crate) fn synthesize(&self, part: usize, chunks: Chunks<'_>, at: u64, out: &mut [u8]) {
        out.fill(0);
        let Some(part) = self.parts.get(part) else { return };
        let end = at.saturating_add(out.len() as u64).min(part.total());
        let mut number = at / part.stride;
        while number < part.count && number * part.stride < end {
            let start = number * part.stride;
            let from = at.saturating_sub(start);
            if from < part.len {
                let to = (end - start).min(part.len);
                let place = (start + from - at) as usize;
                let len = to.saturating_sub(from) as usize;
                self.block(part.kind, number, chunks, from, &mut out[place..place + len]);
            }
            number += 1;
        }
    }

    /// Fills `out` with the bytes of one block from `at` on.
    fn block(&self, kind: PartKind, number: u64, chunks: Chunks<'_>, at: u64, out: &mut [u8]) {
        let header = self.header();
        match (&self.shape, kind) {
            (Shape::Fixed(array, _), PartKind::Header) => {
                copy(&array.encode_header(self.address(PartKind::FixedData, 0)), 0, at, out);
            }
            (Shape::Fixed(array, numbering), PartKind::FixedData) => {
                let entries = |range: std::ops::Range<u64>, out: &mut [u8]| chunks.entries(numbering, range.start, out);
                if !array.is_paged() {
                    return copy(&array.encode_unpaged(header, entries), 0, at, out);
                }
                let prefix = array.prefix_len();
                if at < prefix {
                    copy(&array.encode_prefix(header), 0, at, out);
                }
                let end = at + out.len() as u64;
                let mut page = at.saturating_sub(prefix) / array.full_page_len();
                let mut bytes = Vec::new();
                while page < array.pages() && array.page_offset(page) < end {
                    bytes.clear();
                    array.encode_page(page, entries, &mut bytes);
                    copy(&bytes, array.page_offset(page), at, out);
                    page += 1;
                }
            }
            (Shape::Extensible(array, numbering), kind) => {
                let entries = |range: std::ops::Range<u64>, out: &mut [u8]| chunks.entries(numbering, range.start, out);
                let address = |block: Block| match block {
                    Block::Super(number) => self.address(PartKind::SuperBlock(number), 0),
                    Block::Data { super_block, number } => self.address(PartKind::DataBlocks(super_block), number),
                };
                match kind {
                    PartKind::Header => {
                        copy(&array.encode_header(self.address(PartKind::IndexBlock, 0)), 0, at, out);
                    }
                    PartKind::IndexBlock => copy(&array.encode_index_block(header, entries, address), 0, at, out),
                    PartKind::SuperBlock(group) => {
                        copy(&array.encode_super_block(group, header, address), 0, at, out);
                    }
                    PartKind::DataBlocks(group) if !array.is_paged(group) => {
                        copy(&array.encode_data_block(group, number, header, entries), 0, at, out);
                    }
                    PartKind::DataBlocks(group) => {
                        let prefix = array.data_block_prefix_len();
                        if at < prefix {
                            copy(&array.encode_data_block_prefix(group, number, header), 0, at, out);
                        }
                        let end = at + out.len() as u64;
                        let mut page = at.saturating_sub(prefix) / array.page_len();
                        let mut bytes = Vec::new();
                        while page < array.pages(group) && array.page_offset(page) < end {
                            bytes.clear();
                            array.encode_page(group, number, page, entries, &mut bytes);
                            copy(&bytes, array.page_offset(page), at, out);
                            page += 1;
                        }
                    }
                    PartKind::FixedData | PartKind::Nodes(_) => {}
                }
            }
            (Shape::Tree(tree), PartKind::Header) => {
                let root = self.address(PartKind::Nodes(tree.levels().saturating_sub(1)), 0);
                copy(&tree.encode_header(root), 0, at, out);
            }
            (Shape::Tree(tree), PartKind::Nodes(level)) => {
                let address = |level, node| self.address(PartKind::Nodes(level), node);
                let node = tree.encode_node(level, number, address, |record, out| chunks.record(record, out));
                copy(&node, 0, at, out);
            }
            (Shape::Fixed(..) | Shape::Tree(_), _) => {}
        }
    }
}

impl Chunks<'_> {
    fn put(&self, chunk: u64, out: &mut [u8]) {
        let Storage { slot, chunk_len, .. } = *self.storage;
        let address = self.base + chunk * slot;
        if self.storage.filters.is_empty() {
            element::put_plain(address, out);
        } else {
            let width = element::size_bytes(chunk_len);
            element::put_filtered(address, self.storage.presented_len(), width, self.storage.mask(), out);
        }
    }

    /// Entries of an array from element `first` on.
    fn entries(&self, numbering: &Numbering, first: u64, out: &mut [u8]) {
        let len = entry_len(self.storage);
        let count = (out.len() / usize::from(len)) as u64;
        let mut slots = out.chunks_exact_mut(len.into());
        numbering.walk(&self.storage.grid, first, count, |chunk| {
            let Some(out) = slots.next() else { return };
            match chunk {
                Some(chunk) => self.put(chunk, out),
                None => element::put_absent(len, out),
            }
        });
    }

    /// A record of a tree: an entry, then the chunk's coordinates.
    fn record(&self, chunk: u64, out: &mut [u8]) {
        let entry = usize::from(entry_len(self.storage)).min(out.len());
        let (head, tail) = out.split_at_mut(entry);
        self.put(chunk, head);
        let counts = self.storage.grid.counts();
        let mut coordinates = [0u64; RANK];
        let mut rest = chunk;
        for (coordinate, &count) in coordinates.iter_mut().zip(counts).take(counts.len()).rev() {
            *coordinate = rest % count.max(1);
            rest /= count.max(1);
        }
        for (to, coordinate) in tail.chunks_exact_mut(8).zip(coordinates) {
            to.copy_from_slice(&coordinate.to_le_bytes());
        }
    }
}

/// Bytes of an entry, or of a tree's record before the coordinates.
fn entry_len(storage: &Storage) -> u8 {
    match storage.filters.is_empty() {
        true => element::PLAIN_LEN,
        false => element::filtered_len(storage.chunk_len),
    }
}

fn one(pages: &mut Pages, len: u64, kind: PartKind) -> Result<Part, Full> {
    Ok(Part { start: pages.block(len)?, stride: len, len, count: 1, kind })
}

fn row(pages: &mut Pages, len: u64, count: u64, kind: PartKind) -> Result<Part, Full> {
    debug_assert!(count > 0 && len < u64::MAX - PAGE);
    let (start, stride) = pages.run(len, count)?;
    Ok(Part { start, stride, len, count, kind })
}

/// Copies what `piece`, which begins at `start`, has of the bytes from `at` on.
fn copy(piece: &[u8], start: u64, at: u64, out: &mut [u8]) {
    let (skip, place) = (at.saturating_sub(start), start.saturating_sub(at));
    let (Ok(skip), Ok(place)) = (usize::try_from(skip), usize::try_from(place)) else { return };
    if let (Some(from), Some(to)) = (piece.get(skip..), out.get_mut(place..)) {
        let len = from.len().min(to.len());
        to[..len].copy_from_slice(&from[..len]);
    }
}
