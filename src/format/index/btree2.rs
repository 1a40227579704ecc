//! The version 2 B-tree (III.A.2), laid out whole: balanced, and every node found by arithmetic.
//!
//! A tree of *n* records is its leaves and the records that separate them. With *L* leaves there are *L* - 1 separators,
//! so the leaves hold *n* - *L* + 1 records, shared out evenly: leaf *i* begins behind *i* separators and
//! floor(*i*(*n* - *L* + 1)/*L*) records of leaves. The separators are the records of the level above, which is laid out
//! by the same rule over them, up to a level of one node, the root. So the place of any record and the records of any
//! node are computed from its number alone, for a tree of names as for one of a billion chunks.

pub mod decode;

use std::ops::Range;

use super::super::message::data_layout::{MERGE_PERCENT, SPLIT_PERCENT};
use crate::format::fields::{CHECKSUM_LEN, Fields, width_of};
use crate::format::{FormatError, UNDEFINED_ADDRESS};

/// Bytes of the header.
pub const HEADER_LEN: usize = 38;

/// Types of records (III.A.2, "Type").
pub mod kind {
    /// Huge objects of a fractal heap, found by their number.
    pub const HUGE_OBJECT: u8 = 1;
    /// Links of a group by the hash of their names.
    pub const LINK_NAME: u8 = 5;
    /// Attributes of an object by the hash of their names.
    pub const ATTRIBUTE_NAME: u8 = 8;
    /// Chunks without filters.
    pub const CHUNK: u8 = 10;
    /// Chunks with filters.
    pub const FILTERED_CHUNK: u8 = 11;
    /// Every type that the specification has: for whoever only wants to know whether a tree is sound.
    pub const ALL: [u8; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
}

/// Signature, version and type of a node.
const NODE_PREFIX: usize = 6;
/// What a node has besides records and pointers.
const NODE_OVERHEAD: usize = NODE_PREFIX + CHECKSUM_LEN;
/// The depth field has 16 bits, but real trees need few levels: with two records a node, 64 hold any number.
const MAX_LEVELS: usize = 64;

/// One level of the tree; level 0 are the leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Level {
    /// Its nodes.
    nodes: u64,
    /// Records in its nodes and in the separators above them.
    records: u64,
    /// Bytes of the number of records below a pointer to a node of this level; 0 for leaves.
    total_width: usize,
}

impl Level {
    /// Records in the nodes before node `node`.
    fn before(&self, node: u64) -> u64 {
        let in_nodes = u128::from(self.records - (self.nodes - 1));
        // Not larger than the number of records, which is a u64.
        (u128::from(node) * in_nodes / u128::from(self.nodes)) as u64
    }

    /// The records of node `node`, counted in the sequence of this level's records and the separators above.
    fn range(&self, node: u64) -> Range<u64> {
        node + self.before(node)..node + self.before(node + 1)
    }

    /// The separator behind node `node`, in the same count.
    fn separator(&self, node: u64) -> u64 {
        node + self.before(node + 1)
    }
}

/// A balanced v2 B-tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BTree2 {
    kind: u8,
    record_size: u16,
    node_size: u32,
    records: u64,
    /// Bytes of a node's number of records in the pointer to it; one width for all levels, that of a full leaf.
    count_width: usize,
    levels: Vec<Level>,
}

impl BTree2 {
    /// A tree of `records` records of `record_size` bytes in nodes of `node_size` bytes.
    pub fn new(kind: u8, record_size: u16, node_size: u32, records: u64) -> Result<Self, FormatError> {
        let error = |reason: String| FormatError::new("v2 B-tree", reason);
        if record_size == 0 {
            return Err(error("records of no bytes".into()));
        }
        let too_small = || error(format!("nodes of {node_size} bytes hold too few records of {record_size}"));
        let record = u64::from(record_size);
        let room = u64::from(node_size).checked_sub(NODE_OVERHEAD as u64).ok_or_else(too_small)?;
        let leaf_max = room / record;
        // The number of a node's records has 16 bits in the header.
        if leaf_max < 2 || leaf_max > u64::from(u16::MAX) {
            return Err(error(format!("nodes of {node_size} bytes hold {leaf_max} records of {record_size}")));
        }
        if records >= 1 << 63 {
            return Err(error(format!("{records} records")));
        }
        let mut tree =
            BTree2 { kind, record_size, node_size, records, count_width: width_of(leaf_max), levels: Vec::new() };
        if records == 0 {
            return Ok(tree);
        }
        // What a subtree holds at most decides the widths in the pointers to it.
        let (mut most, mut total_width, mut node_max, mut left) = (leaf_max, 0, leaf_max, records);
        loop {
            // Fewest nodes: each takes at most node_max records and one separator, but the last has no separator.
            let nodes = (left + 1).div_ceil(node_max + 1);
            tree.levels.push(Level { nodes, records: left, total_width });
            if nodes == 1 {
                return Ok(tree);
            }
            if tree.levels.len() == MAX_LEVELS {
                return Err(error(format!("more than {MAX_LEVELS} levels")));
            }
            left = nodes - 1;
            let pointer = 8 + tree.count_width as u64 + total_width as u64;
            node_max = room.checked_sub(pointer).ok_or_else(too_small)? / (record + pointer);
            if node_max < 2 {
                return Err(too_small());
            }
            most = (node_max + 1).saturating_mul(most).saturating_add(node_max);
            total_width = width_of(most);
        }
    }

    /// Records.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of a record.
    pub fn record_size(&self) -> u16 {
        self.record_size
    }

    /// Bytes of every node.
    pub fn node_len(&self) -> u64 {
        self.node_size.into()
    }

    /// Levels: 0 for a tree without records, else one more than its depth.
    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    /// Nodes of a level; level 0 are the leaves, the last level is the root alone.
    pub fn nodes(&self, level: usize) -> u64 {
        self.levels.get(level).map_or(0, |level| level.nodes)
    }

    /// Nodes of all levels.
    pub fn total_nodes(&self) -> u64 {
        self.levels.iter().map(|level| level.nodes).sum()
    }

    /// The header. `root` is the address of the last level's only node, ignored where the tree has no records.
    pub fn encode_header(&self, root: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.put_bytes(b"BTHD");
        out.put_bytes(&[0, self.kind]);
        out.put_u32(self.node_size);
        out.put_u16(self.record_size);
        out.put_u16(self.levels.len().saturating_sub(1) as u16);
        out.put_bytes(&[SPLIT_PERCENT, MERGE_PERCENT]);
        let root_records = self.levels.last().map_or(0, |level| level.records);
        out.put_u64(if self.levels.is_empty() { UNDEFINED_ADDRESS } else { root });
        out.put_u16(root_records as u16);
        out.put_u64(self.records);
        out.put_checksum(0);
        out
    }

    /// Node `node` of level `level`, [`node_len`](Self::node_len) bytes. `address_of(level, node)` tells where a node
    /// is, `record(number, bytes)` fills a record.
    pub fn encode_node(
        &self,
        level: usize,
        node: u64,
        address_of: impl Fn(usize, u64) -> u64,
        mut record: impl FnMut(u64, &mut [u8]),
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.node_size as usize);
        let Some(shape) = self.levels.get(level) else {
            debug_assert!(false, "the tree has no level {level}");
            return vec![0; self.node_size as usize];
        };
        out.put_bytes(if level == 0 { b"BTLF" } else { b"BTIN" });
        out.put_bytes(&[0, self.kind]);
        let range = shape.range(node);
        for number in range.clone() {
            let from = out.len();
            out.resize(from + usize::from(self.record_size), 0);
            record(self.record_number(level, number), &mut out[from..]);
        }
        if let Some((below, children)) = level.checked_sub(1).and_then(|below| Some((below, self.levels.get(below)?))) {
            for child in range.start..=range.end {
                let own = children.range(child);
                out.put_u64(address_of(below, child));
                out.put_uint(own.end - own.start, self.count_width);
                if below > 0 {
                    let all = self.node_records(below, child);
                    out.put_uint(all.end - all.start, children.total_width);
                }
            }
        }
        out.put_checksum(0);
        out.resize(self.node_size as usize, 0);
        out
    }

    /// The records of a node and all below it.
    pub fn node_records(&self, level: usize, node: u64) -> Range<u64> {
        let (mut first, mut last) = (node, node);
        for shape in self.levels.iter().take(level + 1).skip(1).rev() {
            // Its children are numbered like its records, with one more at the end.
            first = shape.range(first).start;
            last = shape.range(last).end;
        }
        self.levels.first().map_or(0..0, |leaves| leaves.range(first).start..leaves.range(last).end)
    }

    /// The number of a record, from its place in the sequence of a level.
    fn record_number(&self, level: usize, place: u64) -> u64 {
        self.levels.iter().take(level).rev().fold(place, |place, below| below.separator(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every record is in exactly one node, in order, and no node is overfull.
    fn check(tree: &BTree2) {
        let mut seen = Vec::new();
        if tree.levels() > 0 {
            visit(tree, tree.levels() - 1, 0, &mut seen);
        }
        assert_eq!(seen, (0..tree.records()).collect::<Vec<_>>());
    }

    fn visit(tree: &BTree2, level: usize, node: u64, seen: &mut Vec<u64>) {
        let shape = tree.levels[level];
        let range = shape.range(node);
        let from = seen.len() as u64;
        for place in range.clone() {
            if level > 0 {
                visit(tree, level - 1, place, seen);
            }
            seen.push(tree.record_number(level, place));
        }
        if level > 0 {
            visit(tree, level - 1, range.end, seen);
        }
        assert_eq!(tree.node_records(level, node), from..seen.len() as u64);
        let pointers = if level == 0 {
            0
        } else {
            (range.end - range.start + 1) * (8 + tree.count_width + tree.levels[level - 1].total_width) as u64
        };
        let used = NODE_OVERHEAD as u64 + (range.end - range.start) * u64::from(tree.record_size) + pointers;
        assert!(used <= tree.node_len(), "{used} bytes in a node of {}", tree.node_len());
    }

    proptest! {
        #[test]
        fn every_record_stands_once(records in 0u64..30_000, size in 8u16..48, node in 200u32..2048) {
            check(&BTree2::new(kind::CHUNK, size, node, records).unwrap());
        }
    }

    #[test]
    fn a_billion_records_are_arithmetic() {
        let tree = BTree2::new(kind::CHUNK, 24, 2048, 1 << 40).unwrap();
        let last = tree.nodes(0) - 1;
        assert_eq!(tree.node_records(0, last).end, 1 << 40);
        assert_eq!(tree.node_records(tree.levels() - 1, 0), 0..1 << 40);
    }

    #[test]
    fn nodes_too_small_for_records_are_refused() {
        assert!(BTree2::new(kind::CHUNK, 300, 512, 10).is_err());
        assert!(BTree2::new(kind::CHUNK, 24, 9, 10).is_err());
    }
}
