//! Global-heap collections filled from element values: what attributes, fill values and chunks of variable-length data
//! point into.
//!
//! The same code serves the heap of a file's metadata (one area behind the indexes) and the window of a chunk: either
//! way the address of the first collection is known before anything is written, and collections follow each other from
//! there, each on a page of its own.

use crate::format::FormatError;
use crate::format::heap::global::{self, CollectionBuilder};
use crate::format::selection::encode_region;
use crate::model::elements::{Elements, Target};
use crate::model::hierarchy::ObjectId;
use crate::model::limits;

use super::pages::{PAGE, round_up};

/// Bytes of a collection before another one is begun. libhdf5 reads and keeps collections whole, so that one value costs
/// no more than this, but their number is held down for a reader that walks through all of them.
const COLLECTION_LEN: u64 = 1 << 20;

/// Kind and flags of a reference in the form of HDF5 1.12 to an object of its own file, and bytes of an address in it.
const TO_OBJECT: [u8; 2] = [2, 0];
const ADDRESS_LEN: u8 = 8;

/// Why values could not be placed.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// No room is left.
    #[error("its variable-length data outgrows the room for it")]
    Overflow,
    /// The values contradict themselves.
    #[error("{0}")]
    Bad(String),
}

impl From<FormatError> for PlaceError {
    fn from(error: FormatError) -> Self {
        PlaceError::Bad(error.to_string())
    }
}

/// Collections from an address on.
#[derive(Debug)]
pub(crate) struct HeapWriter<'a> {
    base: u64,
    limit: u64,
    /// Header address of every object of the file, 0 where it is not shown.
    headers: &'a [u64],
    done: Vec<u8>,
    open: CollectionBuilder,
}

impl<'a> HeapWriter<'a> {
    /// Collections at `base` (a multiple of the page) that take at most `limit` bytes together.
    pub(crate) fn new(base: u64, limit: u64, headers: &'a [u64]) -> Self {
        HeapWriter { base, limit, headers, done: Vec::new(), open: CollectionBuilder::new() }
    }

    /// The bytes of `elements` with every place filled in; what they lead to is put into the heap.
    pub(crate) fn place(&mut self, elements: &Elements) -> Result<Vec<u8>, PlaceError> {
        self.place_nested(elements, limits::DATATYPE_DEPTH)
    }

    /// All collections so far, as they stand from the base on.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.close();
        self.done
    }

    fn place_nested(&mut self, elements: &Elements, depth: usize) -> Result<Vec<u8>, PlaceError> {
        let mut bytes = elements.bytes.to_vec();
        if elements.places.is_empty() {
            return Ok(bytes);
        }
        let depth = depth.checked_sub(1).ok_or_else(|| PlaceError::Bad("sequences nest too deeply".into()))?;
        for place in &elements.places {
            match &place.target {
                Target::Sequence { count, body } => {
                    // Inner values first: the outer one's bytes hold their heap ids.
                    let inner = self.place_nested(body, depth)?;
                    let (address, index) = self.push(&inner)?;
                    put(&mut bytes, place.at, &[&count.to_le_bytes(), &address.to_le_bytes(), &index.to_le_bytes()])?;
                }
                Target::Object(id) => put(&mut bytes, place.at, &[&self.header(*id).unwrap_or(0).to_le_bytes()])?,
                Target::Reference { object, kind, rest } => {
                    self.put_reference(&mut bytes, place.at, *object, *kind, rest)?
                }
                Target::Region { object, selection } => {
                    // A reference to what is not shown is a null reference: zero bytes.
                    if let Some(header) = self.header(*object) {
                        let mut region = Vec::new();
                        encode_region(header, selection, &mut region)?;
                        let (address, index) = self.push(&region)?;
                        put(&mut bytes, place.at, &[&address.to_le_bytes(), &index.to_le_bytes()])?;
                    }
                }
            }
        }
        Ok(bytes)
    }

    /// A reference in the form of HDF5 1.12: that to an object stands where it is, all others in the heap.
    fn put_reference(
        &mut self,
        bytes: &mut [u8],
        at: u64,
        object: Option<ObjectId>,
        kind: [u8; 2],
        rest: &[u8],
    ) -> Result<(), PlaceError> {
        let mut body = Vec::new();
        if let Some(object) = object {
            // To what is not shown it is a null reference.
            let Some(header) = self.header(object) else { return Ok(()) };
            body.push(ADDRESS_LEN);
            body.extend_from_slice(&header.to_le_bytes());
        }
        if object.is_some() && kind == TO_OBJECT {
            return put(bytes, at, &[&kind, &body]);
        }
        body.extend_from_slice(rest);
        let len = u32::try_from(body.len()).map_err(|_| PlaceError::Bad("a reference of too many bytes".into()))?;
        let (address, index) = self.push(&body)?;
        put(bytes, at, &[&kind, &len.to_le_bytes(), &address.to_le_bytes(), &index.to_le_bytes()])
    }

    fn header(&self, id: ObjectId) -> Option<u64> {
        self.headers.get(id.0 as usize).copied().filter(|&header| header != 0)
    }

    /// Puts an object into the heap: address of the collection and index in it.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<(u64, u32), PlaceError> {
        let len = global::object_len(data.len() as u64);
        let grown = |open: &CollectionBuilder| global::collection_len(open.objects_len() + len);
        if !self.open.is_empty() && (grown(&self.open) > COLLECTION_LEN || self.open.count() >= global::MAX_OBJECTS) {
            self.close();
        }
        if self.done.len() as u64 + round_up(grown(&self.open), PAGE) > self.limit {
            return Err(PlaceError::Overflow);
        }
        let index = self.open.push(data)?;
        Ok((self.base + self.done.len() as u64, index))
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.extend_from_slice(&std::mem::take(&mut self.open).encode());
            self.done.resize(self.done.len().next_multiple_of(PAGE as usize), 0);
        }
    }
}

fn put(bytes: &mut [u8], at: u64, fields: &[&[u8]]) -> Result<(), PlaceError> {
    let len: usize = fields.iter().map(|field| field.len()).sum();
    let total = bytes.len();
    let target = usize::try_from(at)
        .ok()
        .and_then(|at| bytes.get_mut(at..at.checked_add(len)?))
        .ok_or_else(|| PlaceError::Bad(format!("a place at byte {at} of {total}")))?;
    for (to, from) in target.iter_mut().zip(fields.iter().copied().flatten()) {
        *to = *from;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::elements::Place;
    use bytes::Bytes;

    fn strings(values: &[Vec<u8>]) -> Elements {
        let places = values
            .iter()
            .enumerate()
            .map(|(number, value)| Place {
                at: 16 * number as u64,
                target: Target::Sequence { count: value.len() as u32, body: Elements::plain(value.clone()) },
            })
            .collect();
        Elements { bytes: Bytes::from(vec![0; 16 * values.len()]), places }
    }

    fn field(bytes: &[u8], at: usize) -> (u32, u64, u32) {
        (
            u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()),
            u64::from_le_bytes(bytes[at + 4..at + 12].try_into().unwrap()),
            u32::from_le_bytes(bytes[at + 12..at + 16].try_into().unwrap()),
        )
    }

    #[test]
    fn a_collection_holds_at_most_65535_objects_and_a_mebibyte() {
        let mut heap = HeapWriter::new(1 << 20, u64::MAX, &[]);
        let bytes = heap.place(&strings(&vec![vec![7; 3]; 70_000])).unwrap();
        // 24 bytes an object: a mebibyte is full before the indexes are.
        let first = (COLLECTION_LEN - 16) / 24;
        assert_eq!(field(&bytes, 16 * (first as usize - 1)), (3, 1 << 20, first as u32));
        assert_eq!(field(&bytes, 16 * first as usize), (3, 2 << 20, 1));
        let mut heap = HeapWriter::new(0, u64::MAX, &[]);
        let bytes = heap.place(&strings(&[vec![1; 10], vec![2; 3 << 20], vec![3; 5]])).unwrap();
        assert_eq!(field(&bytes, 16), (3 << 20, 4096, 1));
        assert_eq!(field(&bytes, 32), (5, 4096 + (3 << 20) + 4096, 1));
        let heap = heap.finish();
        assert_eq!((heap.len() % 4096, &heap[4096..4100]), (0, &b"GCOL"[..]));
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_not_written_elsewhere() {
        let mut heap = HeapWriter::new(0, 4096, &[]);
        assert!(heap.place(&strings(&[vec![1; 4000]])).is_ok());
        assert_eq!(heap.place(&strings(&[vec![1; 100]])), Err(PlaceError::Overflow));
        assert_eq!(heap.finish().len(), 4096);
    }

    #[test]
    fn a_place_outside_its_elements_is_an_error() {
        let mut elements = strings(&[vec![1]]);
        elements.places[0].at = 1;
        let mut heap = HeapWriter::new(0, u64::MAX, &[]);
        assert!(matches!(heap.place(&elements), Err(PlaceError::Bad(_))));
        elements.places[0].at = u64::MAX;
        assert!(matches!(heap.place(&elements), Err(PlaceError::Bad(_))));
    }
}
