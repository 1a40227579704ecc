//! A file put together by hand: each structure is placed behind the one before, by the rules that page-buffered readers
//! need (small metadata inside one page, large metadata from a page's start on, raw data in pages of its own).

use crate::format::heap::fractal::{Client, FractalHeap};
use crate::format::index::btree2::{self, BTree2};
use crate::format::index::name::{NameIndex, put_attribute, put_link};
use crate::format::message::attribute::{self, Attribute};
use crate::format::message::attribute_info::{self, AttributeInfo};
use crate::format::message::file_space_info;
use crate::format::message::group_info;
use crate::format::message::link::{self, Link, LinkBody};
use crate::format::message::link_info::{self, LinkInfo};
use crate::format::object_header::{Message, ObjectHeader, message_flags};
use crate::format::superblock::{SUPERBLOCK_LEN, Superblock};
use crate::model::name::Name;

const PAGE: u64 = 4096;
/// Bytes of the nodes of name indexes.
const NODE: u32 = 512;

pub struct File {
    bytes: Vec<u8>,
}

/// A message without flags.
pub fn message(kind: u8, body: Vec<u8>) -> Message {
    Message { kind, body, ..Message::default() }
}

/// A message that never changes.
pub fn constant(kind: u8, body: Vec<u8>) -> Message {
    Message { kind, flags: message_flags::CONSTANT, body, creation_index: 0 }
}

impl File {
    pub fn new() -> Self {
        File { bytes: vec![0; PAGE as usize] }
    }

    fn end(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Room for metadata.
    pub fn metadata(&mut self, len: u64) -> u64 {
        let left = PAGE - self.end() % PAGE;
        let fits = len <= left || self.end().is_multiple_of(PAGE);
        let at = if fits && left > 512 { self.end() } else { self.end().next_multiple_of(PAGE) };
        let end = if len >= PAGE { (at + len).next_multiple_of(PAGE) } else { at + len };
        self.bytes.resize(end as usize, 0);
        at
    }

    /// Room for raw data, in pages of its own.
    pub fn raw(&mut self, len: u64) -> u64 {
        let at = self.end().next_multiple_of(PAGE);
        self.bytes.resize((at + len).next_multiple_of(PAGE) as usize, 0);
        at
    }

    pub fn put(&mut self, at: u64, bytes: &[u8]) {
        self.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    pub fn put_raw(&mut self, bytes: &[u8]) -> u64 {
        let at = self.raw(bytes.len() as u64);
        self.put(at, bytes);
        at
    }

    pub fn header(&mut self, messages: Vec<Message>) -> u64 {
        self.put_header(&ObjectHeader { messages, ..ObjectHeader::default() })
    }

    pub fn put_header(&mut self, header: &ObjectHeader) -> u64 {
        let bytes = header.encode().unwrap();
        assert_eq!(bytes.len(), header.encoded_len());
        let at = self.metadata(bytes.len() as u64);
        self.put(at, &bytes);
        at
    }

    /// A group with its links in the header.
    pub fn compact_group(&mut self, links: &[Link<'_>]) -> u64 {
        let tracked = links.iter().any(|link| link.creation_order.is_some());
        let mut messages = vec![
            message(link_info::KIND, LinkInfo::compact(tracked, links.len() as u64).body()),
            message(group_info::KIND, group_info::body()),
        ];
        for each in links {
            let body = each.body().unwrap();
            assert_eq!(body.len(), each.encoded_len());
            messages.push(message(link::KIND, body));
        }
        self.header(messages)
    }

    /// A group with its links in a fractal heap.
    pub fn dense_group(&mut self, links: &[Link<'_>]) -> u64 {
        let bodies: Vec<Vec<u8>> = links.iter().map(|link| link.body().unwrap()).collect();
        let names = NameIndex::new(links.iter().map(|link| link.name)).unwrap();
        let (heap, ids) = self.heap(Client::Links, &bodies);
        let tree = names.tree(Client::Links, NODE).unwrap();
        let name_index = self.tree(&tree, |record, out| {
            let (number, hash) = names.name(record).unwrap();
            put_link(hash, ids.id(number), out);
        });
        let tracked = links.iter().any(|link| link.creation_order.is_some());
        let info = LinkInfo { tracked, indexed: false, max_creation: links.len() as u64, heap, name_index };
        self.header(vec![message(link_info::KIND, info.body()), message(group_info::KIND, group_info::body())])
    }

    /// Messages for attributes in the header.
    pub fn compact_attributes(&mut self, attributes: &[Attribute<'_>]) -> Vec<Message> {
        let mut messages = vec![message(attribute_info::KIND, AttributeInfo::compact(false, 0).body())];
        for each in attributes {
            let body = each.body().unwrap();
            assert_eq!(body.len(), each.encoded_len());
            messages.push(message(attribute::KIND, body));
        }
        messages
    }

    /// The message for attributes in a fractal heap, with creation order.
    pub fn dense_attributes(&mut self, attributes: &[Attribute<'_>]) -> Message {
        let bodies: Vec<Vec<u8>> = attributes.iter().map(|attribute| attribute.body().unwrap()).collect();
        let names = NameIndex::new(attributes.iter().map(|attribute| attribute.name)).unwrap();
        let (heap, ids) = self.heap(Client::Attributes, &bodies);
        let tree = names.tree(Client::Attributes, NODE).unwrap();
        let name_index = self.tree(&tree, |record, out| {
            let (number, hash) = names.name(record).unwrap();
            put_attribute(hash, ids.id(number), 0, number as u32, out);
        });
        let info =
            AttributeInfo { tracked: true, indexed: false, max_creation: attributes.len() as u16, heap, name_index };
        message(attribute_info::KIND, info.body())
    }

    fn heap(&mut self, client: Client, objects: &[Vec<u8>]) -> (u64, FractalHeap) {
        let heap = FractalHeap::plan(client, objects.iter().map(|object| object.len() as u64)).unwrap();
        let header = self.metadata(crate::format::heap::fractal::HEADER_LEN as u64);
        let blocks: Vec<u64> = heap.blocks().iter().map(|block| self.metadata(block.len)).collect();
        for number in 0..blocks.len() {
            let bytes = heap.encode_block(
                number,
                header,
                |block| blocks[block],
                |object, out| out.copy_from_slice(&objects[object]),
            );
            self.put(blocks[number], &bytes);
        }
        let huge: Vec<u64> = heap.huge().iter().map(|&object| self.put_raw(&objects[object])).collect();
        let tree = heap.huge_index(NODE).unwrap();
        let index = self.tree(&tree, |record, out| {
            heap.put_huge_record(record as usize, huge[record as usize], out);
        });
        let root = heap.root().map_or(0, |root| blocks[root]);
        self.put(header, &heap.encode_header(root, index));
        (header, heap)
    }

    /// A v2 B-tree: its header's address.
    pub fn tree(&mut self, tree: &BTree2, mut record: impl FnMut(u64, &mut [u8])) -> u64 {
        let header = self.metadata(btree2::HEADER_LEN as u64);
        let nodes: Vec<Vec<u64>> = (0..tree.levels())
            .map(|level| (0..tree.nodes(level)).map(|_| self.metadata(tree.node_len())).collect())
            .collect();
        for (level, addresses) in nodes.iter().enumerate() {
            for (node, &address) in addresses.iter().enumerate() {
                let bytes =
                    tree.encode_node(level, node as u64, |level, node| nodes[level][node as usize], &mut record);
                assert_eq!(bytes.len() as u64, tree.node_len());
                self.put(address, &bytes);
            }
        }
        let root = nodes.last().map_or(0, |level| level[0]);
        self.put(header, &tree.encode_header(root));
        header
    }

    /// The image with this root group.
    pub fn finish(mut self, root: u64) -> Vec<u8> {
        let extension = ObjectHeader {
            messages: vec![Message {
                kind: file_space_info::KIND,
                flags: message_flags::MARK_IF_UNKNOWN | message_flags::DONT_SHARE,
                body: file_space_info::body(PAGE, 1 << 62),
                creation_index: 0,
            }],
            ..ObjectHeader::default()
        };
        self.put(SUPERBLOCK_LEN as u64, &extension.encode().unwrap());
        self.raw(PAGE);
        let superblock = Superblock { base: 0, extension: SUPERBLOCK_LEN as u64, end_of_file: self.end(), root };
        self.put(0, &superblock.encode());
        self.bytes
    }

    /// The image with a root group of hard links to these objects.
    pub fn finish_with(mut self, objects: &[(&str, u64)]) -> Vec<u8> {
        let names: Vec<Name> = objects.iter().map(|(name, _)| Name::from(*name)).collect();
        let links: Vec<Link<'_>> = names
            .iter()
            .zip(objects)
            .map(|(name, (_, address))| Link { name, creation_order: None, target: LinkBody::Hard(*address) })
            .collect();
        let root = self.compact_group(&links);
        self.finish(root)
    }
}
