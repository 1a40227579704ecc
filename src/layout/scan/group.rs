//! Links of groups: in symbol tables, in the group's header, in a fractal heap.

use bytes::Bytes;

use super::object::Reader;
use crate::format::bytes::Branches;
use crate::format::heap::fractal::decode::StoredHeap;
use crate::format::heap::local;
use crate::format::index::{btree1, btree2, symbol_node};
use crate::format::message::link::{self, StoredLink, StoredTarget};
use crate::format::message::link_info::StoredLinkInfo;
use crate::format::message::symbol_table::SymbolTable;
use crate::format::object_header::decode::StoredHeader;
use crate::format::register::Aside;
use crate::format::{FormatError, UNDEFINED_ADDRESS};
use crate::model::name::{CharacterSet, Name};

/// Where the heap id stands in a record of the index of names: behind the name's hash.
const HASH_LEN: usize = 4;

/// A name, and what its file says of its character set.
pub(super) fn name_of(bytes: Vec<u8>, utf8: bool) -> Name {
    Name::declared(bytes, if utf8 { CharacterSet::Utf8 } else { CharacterSet::Ascii })
}

/// A link, its object by the address of the header.
#[derive(Debug)]
pub(super) struct DraftLink {
    pub(super) name: Name,
    pub(super) target: DraftTarget,
}

#[derive(Debug)]
pub(super) enum DraftTarget {
    Hard(u64),
    Soft(Name),
    External { file: Name, path: Name },
    User { class: u8, value: Bytes },
}

impl<'a> Reader<'_, '_, 'a> {
    /// The links of an old group, by name.
    pub(super) fn symbols(&self, table: SymbolTable) -> Result<Vec<DraftLink>, FormatError> {
        let mut branches = Branches::default();
        let heap = branches.value(local::decode(self.space, table.heap))?;
        if let Some(heap) = heap.as_ref().filter(|_| self.context.all) {
            self.judge_heap(heap);
        }
        let nodes = branches.value(btree1::symbol_nodes(self.space, table.tree))?;
        let mut entries = Vec::new();
        for node in nodes.unwrap_or_default() {
            entries.extend(branches.value(symbol_node::decode(self.space, node))?.unwrap_or_default());
        }
        branches.end()?;
        let mut links = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(heap) = &heap else { continue };
            let name = name_of(heap.text(entry.name)?.to_vec(), false);
            let target = match entry.soft {
                Some(path) => DraftTarget::Soft(Name::new(heap.text(path.into())?)),
                None => DraftTarget::Hard(entry.header),
            };
            links.push(DraftLink { name, target });
        }
        links.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(links)
    }

    /// The links of a group: in the order of their creation where that is kept, else by name.
    pub(super) fn links(
        &self,
        header: &StoredHeader<'a>,
        info: &StoredLinkInfo,
    ) -> Result<Vec<DraftLink>, FormatError> {
        self.space.aside(Aside::Tree(info.order_index));
        let mut found = Vec::new();
        for message in header.messages.iter().filter(|message| message.kind == link::KIND) {
            found.push(link::decode(&mut { message.body })?);
        }
        if info.heap != UNDEFINED_ADDRESS {
            let mut heap = StoredHeap::open(self.space, info.heap)?;
            let mut ids = Vec::new();
            let kinds = [btree2::kind::LINK_NAME];
            btree2::decode::records(self.space, info.name_index, &kinds, &mut |_, mut record| {
                record.skip(HASH_LEN)?;
                ids.push(record.part(heap.id_len())?);
                Ok(())
            })?;
            let mut branches = Branches::default();
            for id in ids {
                if let Some(mut body) = branches.value(heap.object(id))? {
                    found.push(link::decode(&mut body)?);
                }
            }
            branches.end()?;
        }
        match info.tracked {
            true => found.sort_by_key(|link| link.creation_order),
            false => found.sort_by(|a, b| a.name.cmp(&b.name)),
        }
        let mut links = Vec::with_capacity(found.len());
        for StoredLink { name, utf8, target, .. } in found {
            let target = match target {
                StoredTarget::Hard(address) => DraftTarget::Hard(address),
                StoredTarget::Soft(path) => DraftTarget::Soft(Name::new(path)),
                StoredTarget::External { file, path } => {
                    DraftTarget::External { file: Name::new(file), path: Name::new(path) }
                }
                StoredTarget::User { class, value } => DraftTarget::User { class, value: value.into() },
            };
            links.push(DraftLink { name: name_of(name, utf8), target });
        }
        Ok(links)
    }
}
