//! Links of a large group and attributes of an object with many: messages in a fractal heap, found by name through a v2
//! B-tree.

use crate::format::heap::fractal::{self, Client, FractalHeap};
use crate::format::index::btree2::{self, BTree2};
use crate::format::index::name::{self, NameIndex};
use crate::format::{FormatError, Kind};
use crate::model::name::Name;

use super::blob::Blob;
use super::index::IndexError;
use super::pages::{Full, Pages};

/// Bytes of a node of the name index, and of that of huge objects: half a page, so that a lookup among 100,000 names
/// reads three, and one of few names wastes little.
const NODE_SIZE: u32 = 2048;

/// A tree's header and its levels: address of the first node of each and the distance of nodes.
#[derive(Debug)]
struct PlacedTree {
    tree: BTree2,
    header: u64,
    levels: Vec<(u64, u64)>,
}

impl PlacedTree {
    fn place(tree: BTree2, pages: &mut Pages) -> Result<Self, Full> {
        let header = pages.block(btree2::HEADER_LEN as u64)?;
        let levels =
            (0..tree.levels()).map(|level| pages.run(tree.node_len(), tree.nodes(level))).collect::<Result<_, _>>()?;
        Ok(PlacedTree { tree, header, levels })
    }

    fn address(&self, level: usize, node: u64) -> u64 {
        self.levels.get(level).map_or(0, |(start, stride)| start + node * stride)
    }

    fn write(&self, blob: &mut Blob, mut record: impl FnMut(u64, &mut [u8])) {
        let root = self.address(self.tree.levels().saturating_sub(1), 0);
        blob.write(self.header, &self.tree.encode_header(root));
        for level in 0..self.tree.levels() {
            for node in 0..self.tree.nodes(level) {
                let bytes = self.tree.encode_node(level, node, |level, node| self.address(level, node), &mut record);
                blob.write(self.address(level, node), &bytes);
            }
        }
    }
}

/// A heap of messages with its index of names, placed.
#[derive(Debug)]
pub(super) struct Dense {
    heap: FractalHeap,
    names: NameIndex,
    header: u64,
    blocks: Vec<u64>,
    index: PlacedTree,
    huge_index: Option<PlacedTree>,
    /// Address of each huge object; libhdf5 counts them as raw data, so they lie with the heaps.
    huge: Vec<u64>,
}

impl Dense {
    /// Measures messages of these names and lengths, and places all but the huge ones.
    pub(super) fn place<'a>(
        client: Client,
        names: impl Iterator<Item = &'a Name>,
        lengths: impl Iterator<Item = u64>,
        pages: &mut Pages,
    ) -> Result<Self, IndexError> {
        let heap = FractalHeap::plan(client, lengths)?;
        let names = NameIndex::new(names)?;
        let header = pages.block(fractal::HEADER_LEN as u64)?;
        let blocks = heap.blocks().iter().map(|block| pages.block(block.len)).collect::<Result<_, _>>()?;
        let huge_index = match heap.huge() {
            [] => None,
            _ => Some(PlacedTree::place(heap.huge_index(NODE_SIZE)?, pages)?),
        };
        let index = PlacedTree::place(names.tree(client, NODE_SIZE)?, pages)?;
        Ok(Dense { heap, names, header, blocks, index, huge_index, huge: Vec::new() })
    }

    /// Places the huge messages among raw data.
    pub(super) fn place_huge(&mut self, pages: &mut Pages) -> Result<(), Full> {
        let heap = &self.heap;
        self.huge = heap.huge().iter().map(|&object| pages.bytes(heap.object_len(object))).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Address of the heap.
    pub(super) fn heap(&self) -> u64 {
        self.header
    }

    /// Address of the index of names.
    pub(super) fn name_index(&self) -> u64 {
        self.index.header
    }

    /// Writes heap and indexes into `metadata`, huge messages into `raw`. `bodies` are the messages, in the order of
    /// their names; attributes are numbered by it where `tracked`.
    pub(super) fn write(
        &self,
        bodies: &[Vec<u8>],
        tracked: bool,
        metadata: &mut Blob,
        raw: &mut Blob,
    ) -> Result<(), FormatError> {
        let heap = &self.heap;
        if bodies.iter().enumerate().any(|(object, body)| body.len() as u64 != heap.object_len(object)) {
            // The heap was planned with other lengths: writing it would overwrite what lies behind.
            return Err(FormatError {
                kind: Kind::Unencodable,
                structure: "fractal heap",
                at: 0,
                reason: "a message changed its length after it was placed".into(),
            });
        }
        let root = heap.root().and_then(|root| self.blocks.get(root)).copied().unwrap_or_default();
        let huge_index = self.huge_index.as_ref().map_or(0, |index| index.header);
        metadata.write(self.header, &heap.encode_header(root, huge_index));
        for (block, &address) in self.blocks.iter().enumerate() {
            let address_of = |block: usize| self.blocks.get(block).copied().unwrap_or_default();
            let bytes = heap.encode_block(block, self.header, address_of, |object, out| {
                if let Some(body) = bodies.get(object) {
                    out.copy_from_slice(body);
                }
            });
            metadata.write(address, &bytes);
        }
        for (&object, &address) in heap.huge().iter().zip(&self.huge) {
            raw.write(address, bodies.get(object).map_or(&[], Vec::as_slice));
        }
        if let Some(index) = &self.huge_index {
            index.write(metadata, |record, out| {
                let record = record as usize;
                heap.put_huge_record(record, self.huge.get(record).copied().unwrap_or_default(), out);
            });
        }
        self.index.write(metadata, |record, out| {
            let Some((object, hash)) = self.names.name(record) else { return };
            match heap.client() {
                Client::Links => name::put_link(hash, heap.id(object), out),
                Client::Attributes => {
                    let order = if tracked { object as u32 } else { 0 };
                    name::put_attribute(hash, heap.id(object), 0, order, out);
                }
            }
        });
        Ok(())
    }
}
