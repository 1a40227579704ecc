//! Records of a v2 B-tree, in their order.

use std::collections::BTreeSet;

use super::{NODE_OVERHEAD, NODE_PREFIX};
use crate::format::bytes::{Branches, Space};
use crate::format::cursor::Cursor;
use crate::format::fields::{CHECKSUM_LEN, width_of};
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS};

const HEADER: &str = "v2 B-tree header";
const NODE: &str = "v2 B-tree node";
/// Levels of a tree. With two records a node 64 would hold any number.
const DEPTH: u16 = 64;

/// A tree's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredTree {
    /// Type of its records.
    pub kind: u8,
    /// Bytes of a node.
    pub node_size: u32,
    /// Bytes of a record.
    pub record_size: u16,
    /// Levels below the root.
    pub depth: u16,
    /// Address of the root, or undefined.
    pub root: u64,
    /// Records in the root.
    pub root_records: u16,
    /// Records of the tree.
    pub records: u64,
}

/// Widths in the pointers to one level.
#[derive(Clone, Copy)]
struct Level {
    most_records: u64,
    total_width: usize,
}

/// The header at `address`.
pub fn header(space: &Space<'_>, address: u64) -> Result<StoredTree, FormatError> {
    let len = 22 + space.sizes().offset() + space.sizes().length();
    let mut header = space.cursor(HEADER, address, len as u64)?.checked()?;
    header.signature(b"BTHD")?;
    header.version(0..=0)?;
    let (kind, node_size, record_size, depth) = (header.u8()?, header.u32()?, header.u16()?, header.u16()?);
    header.skip(2)?;
    if record_size == 0 || depth > DEPTH {
        return Err(header.bad(format!("records of {record_size} bytes, {depth} levels")));
    }
    let (root, root_records, records) = (header.address()?, header.u16()?, header.length()?);
    Ok(StoredTree { kind, node_size, record_size, depth, root, root_records, records })
}

/// Hands every record of the tree at `address`, whose type must be one of `kinds`, to `found`.
pub fn records<'a>(
    space: &Space<'a>,
    address: u64,
    kinds: &[u8],
    found: &mut dyn FnMut(&StoredTree, Cursor<'a>) -> Result<(), FormatError>,
) -> Result<StoredTree, FormatError> {
    let tree = header(space, address)?;
    let start = || space.cursor(HEADER, address, 0);
    if !kinds.contains(&tree.kind) {
        return Err(start()?.bad(format!("a tree of type {}", tree.kind)));
    }
    if tree.root == UNDEFINED_ADDRESS {
        return Ok(tree);
    }
    let too_small = |level: u16| {
        let reason = format!("nodes of {} bytes with records of {} on level {level}", tree.node_size, tree.record_size);
        FormatError { kind: Kind::Value, structure: HEADER, at: address, reason }
    };
    let room = u64::from(tree.node_size).checked_sub(NODE_OVERHEAD as u64).ok_or_else(|| too_small(0))?;
    let record = u64::from(tree.record_size);
    let leaf = room / record;
    let count_width = width_of(leaf);
    let mut levels = vec![Level { most_records: leaf, total_width: 0 }];
    let (mut most, mut total_width) = (leaf, 0);
    for level in 1..=tree.depth {
        let pointer = (space.sizes().offset() + count_width + total_width) as u64;
        let node = room.checked_sub(pointer).ok_or_else(|| too_small(level))? / (record + pointer);
        most = (node + 1).saturating_mul(most).saturating_add(node);
        total_width = width_of(most);
        levels.push(Level { most_records: node, total_width });
    }
    let mut walk = Walk { space, tree, levels, count_width, seen: BTreeSet::new(), records: 0 };
    walk.node(tree.root, tree.root_records.into(), tree.depth.into(), found)?;
    if walk.records != tree.records {
        return Err(start()?.bad(format!("{} records, its header says {}", walk.records, tree.records)));
    }
    Ok(tree)
}

struct Walk<'s, 'a> {
    space: &'s Space<'a>,
    tree: StoredTree,
    levels: Vec<Level>,
    count_width: usize,
    seen: BTreeSet<u64>,
    records: u64,
}

impl<'a> Walk<'_, 'a> {
    fn node(
        &mut self,
        address: u64,
        records: u64,
        level: usize,
        found: &mut dyn FnMut(&StoredTree, Cursor<'a>) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let below = level.checked_sub(1).and_then(|below| self.levels.get(below)).copied();
        let pointer = below.map_or(0, |below| self.space.sizes().offset() + self.count_width + below.total_width);
        let record = usize::from(self.tree.record_size);
        let pointers = if below.is_some() { records + 1 } else { 0 };
        // `records` has 16 bits in the header, and in a pointer at most the width of what a node can hold.
        let len = NODE_PREFIX as u64
            + records.saturating_mul(record as u64)
            + pointers.saturating_mul(pointer as u64)
            + CHECKSUM_LEN as u64;
        let mut node = self.space.cursor(NODE, address, len)?;
        self.space.claim(NODE, address, len, self.tree.node_size.into());
        if !self.seen.insert(address) {
            return Err(node.fault(Kind::Cycle, "the node stands twice in its tree"));
        }
        if self.levels.get(level).is_some_and(|level| records > level.most_records) {
            return Err(node.bad(format!("{records} records in a node of {} bytes", self.tree.node_size)));
        }
        node = node.checked()?;
        node.signature(if below.is_some() { b"BTIN" } else { b"BTLF" })?;
        node.version(0..=0)?;
        let kind = node.u8()?;
        if kind != self.tree.kind {
            return Err(node.bad(format!("a node of type {kind} in a tree of type {}", self.tree.kind)));
        }
        let mut own = node.part(records as usize * record)?;
        self.records = self.records.saturating_add(records);
        let Some(level) = level.checked_sub(1) else {
            for _ in 0..records {
                found(&self.tree, own.part(record)?)?;
            }
            return Ok(());
        };
        let mut branches = Branches::default();
        for child in 0..=records {
            let (at, count) = (node.address()?, node.uint(self.count_width)?);
            node.skip(below.map_or(0, |below| below.total_width))?;
            branches.ended(self.node(at, count, level, found))?;
            if child < records {
                found(&self.tree, own.part(record)?)?;
            }
        }
        branches.end()
    }
}
