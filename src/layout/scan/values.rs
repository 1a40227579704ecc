//! Element values: bytes of a file to the model's form, with everything that heaps hold of them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::format::bytes::{Branches, Space};
use crate::format::cursor::Cursor;
use crate::format::datatype::decode::{StoredClass, StoredType};
use crate::format::heap::global::decode::{self, StoredCollection};
use crate::format::selection::decode::region;
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS};
use crate::model::datatype::Datatype;
use crate::model::elements::{Elements, Place, Target};
use crate::model::hierarchy::ObjectId;
use crate::model::limits::DATATYPE_DEPTH;

const STRUCTURE: &str = "element values";
/// Of references in the form of HDF5 1.12: the kind that leads to an object, the flag of one that leads to another file,
/// and bytes of an address.
const TO_OBJECT: u8 = 2;
const OTHER_FILE: u8 = 1;
const ADDRESS_LEN: u8 = 8;

/// Reads values of one file.
pub(super) struct Values<'s, 'a> {
    space: &'s Space<'a>,
    /// Heap collections that were read.
    collections: BTreeMap<u64, StoredCollection<'a>>,
    /// Those whose bytes are not at hand yet: each is asked for once, not once for each of its objects.
    awaited: BTreeSet<u64>,
    /// The object with its header at an address; `None` where it is none of the file's.
    object: &'s mut dyn FnMut(u64) -> Option<ObjectId>,
    /// Bytes that values may still take: elements may share one heap object, so that a small file could ask for much.
    budget: &'s mut u64,
    branches: Branches,
}

impl<'s, 'a> Values<'s, 'a> {
    pub(super) fn new(
        space: &'s Space<'a>,
        object: &'s mut dyn FnMut(u64) -> Option<ObjectId>,
        budget: &'s mut u64,
    ) -> Self {
        Values {
            space,
            collections: BTreeMap::new(),
            awaited: BTreeSet::new(),
            object,
            budget,
            branches: Branches::default(),
        }
    }

    /// `count` elements of type `stored`, which the model has as `datatype`. More bytes may follow in `data`.
    pub(super) fn elements(
        mut self,
        stored: &StoredType,
        datatype: &Datatype,
        mut data: Cursor<'a>,
        count: u64,
    ) -> Result<Elements, FormatError> {
        data = data.named(STRUCTURE);
        let elements = self.run(stored, datatype, &mut data, count, DATATYPE_DEPTH)?;
        self.branches.end()?;
        Ok(elements)
    }

    fn spend(&mut self, bytes: u64, at: &Cursor<'_>) -> Result<usize, FormatError> {
        let over = || at.fault(Kind::Limit, format!("{bytes} bytes of values: too much for a file of this size"));
        *self.budget = self.budget.checked_sub(bytes).ok_or_else(over)?;
        usize::try_from(bytes).map_err(|_| over())
    }

    fn run(
        &mut self,
        stored: &StoredType,
        datatype: &Datatype,
        data: &mut Cursor<'a>,
        count: u64,
        depth: usize,
    ) -> Result<Elements, FormatError> {
        let bytes = |size: u64| count.saturating_mul(size);
        let own = bytes(stored.size.into());
        if u64::try_from(data.left()).is_ok_and(|left| left < own) {
            return Err(data.fault(Kind::Truncated, format!("{own} bytes wanted, {} left", data.left())));
        }
        let len = self.spend(bytes(datatype.size()), data)?;
        if !datatype.needs_placement() {
            return Ok(Elements::plain(Bytes::copy_from_slice(data.take(len)?)));
        }
        let mut out = Out { bytes: vec![0; len], places: Vec::new() };
        for number in 0..count {
            let mut element = data.part(stored.size as usize)?;
            self.element(stored, datatype, &mut element, &mut out, number * datatype.size(), depth)?;
        }
        out.places.sort_by_key(|place| place.at);
        Ok(Elements { bytes: out.bytes.into(), places: out.places })
    }

    /// One element, whose bytes in the model's form begin at `at`.
    fn element(
        &mut self,
        stored: &StoredType,
        datatype: &Datatype,
        data: &mut Cursor<'a>,
        out: &mut Out,
        at: u64,
        depth: usize,
    ) -> Result<(), FormatError> {
        if !datatype.needs_placement() {
            return out.put(at, data.take(stored.size as usize)?, data);
        }
        let depth = depth.checked_sub(1).ok_or_else(|| data.fault(Kind::Limit, "values nest too deeply"))?;
        match (&stored.class, datatype) {
            (StoredClass::Compound(parts), Datatype::Compound(compound)) => {
                for (part, member) in parts.iter().zip(&compound.members) {
                    let mut field = *data;
                    field.skip(part.offset as usize)?;
                    self.element(
                        &part.datatype,
                        &member.datatype,
                        &mut field,
                        out,
                        at + u64::from(member.offset),
                        depth,
                    )?;
                }
                Ok(())
            }
            (StoredClass::Array { dims, base }, Datatype::Array(array)) => {
                let count = dims.iter().fold(1u64, |count, &dim| count.saturating_mul(dim.into()));
                for number in 0..count {
                    let mut element = data.part(base.size as usize)?;
                    self.element(base, &array.base, &mut element, out, at + number * array.base.size(), depth)?;
                }
                Ok(())
            }
            (StoredClass::Sequence(base), Datatype::Sequence(element)) => {
                self.sequence(Some((base, element)), data, out, at, depth)
            }
            (StoredClass::VariableString { .. }, Datatype::VariableString(_)) => {
                self.sequence(None, data, out, at, depth)
            }
            (StoredClass::Reference(_), Datatype::Encoded(_)) => self.reference(data, out, at),
            (StoredClass::Reference(0), Datatype::Reference(_)) => {
                let address = data.address()?;
                if address != 0
                    && let Some(id) = (self.object)(address)
                {
                    out.places.push(Place { at, target: Target::Object(id) });
                }
                Ok(())
            }
            (StoredClass::Reference(_), Datatype::Reference(_)) => {
                let (heap, index) = (data.address()?, data.u32()?);
                let Some(mut body) = self.heap_object(heap, index, data)? else { return Ok(()) };
                let (address, selection) = region(&mut body)?;
                if let Some(object) = (self.object)(address) {
                    self.spend(body.read() as u64, data)?;
                    out.places.push(Place { at, target: Target::Region { object, selection } });
                }
                Ok(())
            }
            _ => Err(data.bad("a value of another type than its dataset")),
        }
    }

    /// A reference in the form of HDF5 1.12.
    fn reference(&mut self, data: &mut Cursor<'a>, out: &mut Out, at: u64) -> Result<(), FormatError> {
        let kind = [data.u8()?, data.u8()?];
        let elsewhere = kind[1] & OTHER_FILE != 0;
        if kind == [0, 0] {
            return Ok(());
        }
        let mut body = if kind[0] == TO_OBJECT && !elsewhere {
            *data
        } else {
            let len = data.u32()?;
            let (heap, index) = (data.address()?, data.u32()?);
            let Some(mut body) = self.heap_object(heap, index, data)? else { return Ok(()) };
            body.part(len as usize)?
        };
        let mut object = None;
        if !elsewhere {
            if body.u8()? != ADDRESS_LEN {
                return Err(body.bad("an address of another length"));
            }
            object = (self.object)(body.u64()?);
            if object.is_none() {
                return Ok(());
            }
        }
        let rest = if kind[0] == TO_OBJECT && !elsewhere { &[] } else { body.rest() };
        self.spend(rest.len() as u64, data)?;
        out.places.push(Place { at, target: Target::Reference { object, kind, rest: Bytes::copy_from_slice(rest) } });
        Ok(())
    }

    /// A sequence of elements, or of bytes for a string.
    fn sequence(
        &mut self,
        element: Option<(&StoredType, &Datatype)>,
        data: &mut Cursor<'a>,
        out: &mut Out,
        at: u64,
        depth: usize,
    ) -> Result<(), FormatError> {
        let (count, heap, index) = (data.u32()?, data.address()?, data.u32()?);
        if count == 0 {
            // Told from none by where it points.
            if heap != 0 && heap != UNDEFINED_ADDRESS {
                out.places.push(Place { at, target: Target::Sequence { count, body: Elements::default() } });
            }
            return Ok(());
        }
        let Some(mut body) = self.heap_object(heap, index, data)? else { return Ok(()) };
        let body = match element {
            Some((stored, datatype)) => self.run(stored, datatype, &mut body, count.into(), depth)?,
            None => {
                let len = self.spend(count.into(), data)?;
                Elements::plain(Bytes::copy_from_slice(body.take(len)?))
            }
        };
        out.places.push(Place { at, target: Target::Sequence { count, body } });
        Ok(())
    }

    /// An object of a heap collection; `None` for one that is nowhere, or whose bytes are not at hand yet.
    fn heap_object(&mut self, heap: u64, index: u32, at: &Cursor<'_>) -> Result<Option<Cursor<'a>>, FormatError> {
        if heap == 0 || heap == UNDEFINED_ADDRESS {
            return Ok(None);
        }
        if self.awaited.contains(&heap) {
            return Ok(None);
        }
        if !self.collections.contains_key(&heap) {
            match decode::decode(self.space, heap) {
                Ok(collection) => drop(self.collections.insert(heap, collection)),
                Err(error) => {
                    self.awaited.insert(heap);
                    return self.branches.ended(Err(error)).map(|()| None);
                }
            }
        }
        let collection = self.collections.get(&heap);
        let object = collection.zip(u16::try_from(index).ok()).and_then(|(all, index)| all.objects.get(&index));
        match object {
            Some(object) => Ok(Some(*object)),
            None => Err(at.bad(format!("no object {index} in the heap collection at {heap}"))),
        }
    }
}

/// Elements that are being made.
struct Out {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Out {
    fn put(&mut self, at: u64, bytes: &[u8], from: &Cursor<'_>) -> Result<(), FormatError> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let to = at.checked_add(bytes.len()).and_then(|end| self.bytes.get_mut(at..end));
        to.ok_or_else(|| from.bad("a member outside its element"))?.copy_from_slice(bytes);
        Ok(())
    }
}
