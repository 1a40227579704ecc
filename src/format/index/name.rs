//! Records of the v2 B-trees that find links and attributes by name (III.A.2, types 5 and 8).
//!
//! Both are sorted by the checksum of the name, then by the name itself, and lead to a message in a fractal heap.

use super::btree2;
use crate::format::FormatError;
use crate::format::checksum::lookup3;
use crate::format::heap::fractal::{Client, HeapId};
use crate::format::index::btree2::BTree2;
use crate::model::name::Name;

/// Bytes of a link's record: hash, heap id.
pub const LINK_RECORD_LEN: u16 = 11;
/// Bytes of an attribute's record: heap id, message flags, creation order, hash.
pub const ATTRIBUTE_RECORD_LEN: u16 = 17;

/// An index of names: which record each name has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameIndex {
    /// Hash and number of each name, in the order of records.
    records: Vec<(u32, usize)>,
}

impl NameIndex {
    /// Sorts names, which are numbered as they come. Two equal names are an error: libhdf5 would find one of them.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a Name>) -> Result<Self, FormatError> {
        let names: Vec<&Name> = names.into_iter().collect();
        let mut records: Vec<_> =
            names.iter().enumerate().map(|(number, name)| (lookup3(name.as_bytes()), number)).collect();
        let text = |number: usize| names.get(number).map(|name| name.as_bytes());
        records.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| text(a.1).cmp(&text(b.1))));
        if let Some([first, ..]) =
            records.windows(2).find(|pair| matches!(pair, [a, b] if a.0 == b.0 && text(a.1) == text(b.1)))
        {
            let twice = names.get(first.1).map(ToString::to_string).unwrap_or_default();
            return Err(FormatError::new("v2 B-tree of names", format!("the name {twice:?} stands twice")));
        }
        Ok(NameIndex { records })
    }

    /// The tree for these names in nodes of `node_size` bytes.
    pub fn tree(&self, client: Client, node_size: u32) -> Result<BTree2, FormatError> {
        let (kind, len) = match client {
            Client::Links => (btree2::kind::LINK_NAME, LINK_RECORD_LEN),
            Client::Attributes => (btree2::kind::ATTRIBUTE_NAME, ATTRIBUTE_RECORD_LEN),
        };
        BTree2::new(kind, len, node_size, self.records.len() as u64)
    }

    /// The number of the name with record `record`, and the name's hash.
    pub fn name(&self, record: u64) -> Option<(usize, u32)> {
        let (hash, number) = *self.records.get(usize::try_from(record).ok()?)?;
        Some((number, hash))
    }
}

/// Writes a link's record.
pub fn put_link(hash: u32, id: HeapId, out: &mut [u8]) {
    put(out, &[&hash.to_le_bytes(), &id[..Client::Links.id_len()]]);
}

/// Writes an attribute's record. An attribute without creation order has 0.
pub fn put_attribute(hash: u32, id: HeapId, message_flags: u8, creation_order: u32, out: &mut [u8]) {
    put(out, &[&id, &[message_flags], &creation_order.to_le_bytes(), &hash.to_le_bytes()]);
}

fn put(out: &mut [u8], fields: &[&[u8]]) {
    for (to, from) in out.iter_mut().zip(fields.iter().copied().flatten()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_sorted_by_hash() {
        let names: Vec<Name> = (0..1000).map(|number| Name::from(format!("n{number}").as_str())).collect();
        let index = NameIndex::new(&names).unwrap();
        let hashes: Vec<u32> = (0..1000).map(|record| index.name(record).unwrap().1).collect();
        assert!(hashes.is_sorted());
        let (number, hash) = index.name(17).unwrap();
        assert_eq!(hash, lookup3(names[number].as_bytes()));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let names = [Name::from("a"), Name::from("b"), Name::from("a")];
        assert!(NameIndex::new(&names).is_err());
    }
}
