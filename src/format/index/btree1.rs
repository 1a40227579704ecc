//! The version 1 B-tree (III.A.1): finds the symbol nodes of old groups, and the chunks of old datasets.

use std::collections::BTreeSet;

use super::element::StoredChunk;
use crate::format::bytes::{Branches, Space};
use crate::format::cursor::Cursor;
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS};
use crate::model::limits::RANK;

const STRUCTURE: &str = "v1 B-tree node";
/// Nodes of groups and nodes of chunks.
const GROUP: u8 = 0;
const CHUNK: u8 = 1;

/// A walk over the nodes of one tree, each once.
struct Walk<'s, 'a> {
    space: &'s Space<'a>,
    kind: u8,
    key_len: usize,
    seen: BTreeSet<u64>,
}

impl<'a> Walk<'_, 'a> {
    /// Takes in the node at `address`, whose level must be `level` where that is known, and what is below it.
    fn node(
        &mut self,
        address: u64,
        level: Option<u8>,
        leaf: &mut dyn FnMut(Cursor<'a>, u64) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let prefix_len = 8 + 2 * self.space.sizes().offset();
        let mut node = self.space.cursor(STRUCTURE, address, prefix_len as u64)?;
        if !self.seen.insert(address) {
            return Err(node.fault(Kind::Cycle, "the node stands twice in its tree"));
        }
        node.signature(b"TREE")?;
        let (kind, found, entries) = (node.u8()?, node.u8()?, node.u16()?);
        if kind != self.kind {
            return Err(node.bad(format!("a node of type {kind}")));
        }
        if level.is_some_and(|level| level != found) {
            return Err(node.bad(format!("a node of level {found} below one of level {}", u16::from(found) + 1)));
        }
        let entry = self.key_len + self.space.sizes().offset();
        let start = address.saturating_add(prefix_len as u64);
        let mut body = self.space.within(STRUCTURE, start, u64::from(entries) * entry as u64)?;
        let ranks = self.space.ranks();
        let most = 2 * u64::from(if self.kind == GROUP { ranks.group } else { ranks.chunk });
        // A last key stands behind the last child.
        let bytes = |entries: u64| prefix_len as u64 + entries * entry as u64 + self.key_len as u64;
        self.space.claim(STRUCTURE, address, prefix_len as u64 + body.left() as u64, bytes(most));
        let mut branches = Branches::default();
        for _ in 0..entries {
            let key = body.part(self.key_len)?;
            let child = body.address()?;
            match found.checked_sub(1) {
                None => leaf(key, child)?,
                below => branches.ended(self.node(child, below, leaf))?,
            }
        }
        branches.end()
    }
}

/// Addresses of the symbol nodes of a group, in the order of names.
pub fn symbol_nodes(space: &Space<'_>, root: u64) -> Result<Vec<u64>, FormatError> {
    let mut nodes = Vec::new();
    if root != UNDEFINED_ADDRESS {
        let mut walk = Walk { space, kind: GROUP, key_len: space.sizes().length(), seen: BTreeSet::new() };
        walk.node(root, None, &mut |_, child| {
            nodes.push(child);
            Ok(())
        })?;
    }
    Ok(nodes)
}

/// The chunks of a dataset with chunks of these extents, in row-major order; each by its place in chunks.
pub fn chunks(
    space: &Space<'_>,
    root: u64,
    chunk: &[u64],
    found: &mut dyn FnMut(&[u64], StoredChunk),
) -> Result<(), FormatError> {
    if root == UNDEFINED_ADDRESS || chunk.len() > RANK || chunk.contains(&0) {
        return Ok(());
    }
    let mut place = vec![0; chunk.len()];
    let mut walk = Walk { space, kind: CHUNK, key_len: 8 + 8 * (chunk.len() + 1), seen: BTreeSet::new() };
    walk.node(root, None, &mut |mut key, address| {
        let (size, mask) = (key.u32()?.into(), key.u32()?);
        for (place, extent) in place.iter_mut().zip(chunk) {
            let offset = key.u64()?;
            if offset % extent != 0 {
                return Err(key.bad(format!("a chunk at {offset}, extents {extent}")));
            }
            *place = offset / extent;
        }
        found(&place, StoredChunk { address, size: Some(size), mask });
        Ok(())
    })
}
