//! Element streams: the plain bytes of a chunk, to elements as the model has them.
//!
//! A fixed-size element is packed, in file byte order. A variable-length one is a u32 (little-endian) count of bytes and
//! those bytes: the text of a string, or the elements of a sequence, one after the other. An object reference is 48
//! bytes of text; a region reference a count and a blob. Whatever a dataset's chunk holds of these comes element by
//! element in C order, also beyond the edge of the extent.

use bytes::Bytes;

use super::growing::Growing;
use super::id::Id;
use super::region;
use super::types::REFERENCE_TEXT;
use crate::model::chunk::BadChunk;
use crate::model::datatype::{Datatype, ReferenceKind};
use crate::model::elements::{Elements, Target};
use crate::model::hierarchy::ObjectId;
use crate::model::limits;

/// Bytes of a count.
const COUNT_BYTES: usize = 4;
/// Bytes that all selections of one chunk may take. A slice with a step is a few bytes in the store and one block for
/// each of its steps here.
const SELECTION_BYTES: u64 = 128 << 20;

/// Bytes of one element as the store keeps it; `None` where elements differ in length, or past `u64`.
pub fn stored_size(datatype: &Datatype) -> Option<u64> {
    match datatype {
        Datatype::VariableString(_) | Datatype::Sequence(_) | Datatype::Reference(ReferenceKind::Region) => None,
        Datatype::Reference(ReferenceKind::Object) => Some(REFERENCE_TEXT),
        Datatype::Compound(compound) => {
            compound.members.iter().try_fold(0u64, |size, member| size.checked_add(stored_size(&member.datatype)?))
        }
        Datatype::Array(array) => {
            let base = stored_size(&array.base)?;
            array.dims.iter().try_fold(base, |size, &dim| size.checked_mul(dim.into()))
        }
        fixed => Some(fixed.size()),
    }
}

/// Who knows where an id stands in the hierarchy.
pub trait Objects {
    /// The object; `None` where the file shows no such object, which makes a reference a null reference.
    fn object(&self, id: &Id) -> Option<ObjectId>;
}

impl<F: Fn(&Id) -> Option<ObjectId>> Objects for F {
    fn object(&self, id: &Id) -> Option<ObjectId> {
        self(id)
    }
}

/// `count` elements of `datatype` out of `stream`, which holds them and nothing else.
pub fn elements(datatype: &Datatype, stream: &Bytes, count: u64, objects: &dyn Objects) -> Result<Elements, BadChunk> {
    let mut reader = Reader { stream, at: 0, objects, selections: 0 };
    let elements = reader.sequence(datatype, count)?;
    match reader.at == stream.len() {
        true => Ok(elements),
        false => Err(reader.fail(format!("{} bytes follow the last element", stream.len() - reader.at))),
    }
}

struct Reader<'a> {
    stream: &'a Bytes,
    at: usize,
    objects: &'a dyn Objects,
    /// Bytes of all selections so far.
    selections: u64,
}

impl Reader<'_> {
    fn fail(&self, reason: impl Into<String>) -> BadChunk {
        BadChunk { at: self.at as u64, reason: reason.into() }
    }

    /// The next bytes, sharing the stream's memory.
    fn take(&mut self, len: usize) -> Result<Bytes, BadChunk> {
        match self.at.checked_add(len).filter(|&end| end <= self.stream.len()) {
            Some(end) => {
                let taken = self.stream.slice(self.at..end);
                self.at = end;
                Ok(taken)
            }
            None => Err(self.fail(format!("{len} bytes expected, {} are left", self.stream.len() - self.at))),
        }
    }

    fn count(&mut self) -> Result<usize, BadChunk> {
        let bytes = self.take(COUNT_BYTES)?;
        Ok(bytes.iter().rev().fold(0u32, |count, &byte| count << 8 | u32::from(byte)) as usize)
    }

    /// `count` elements from here on.
    fn sequence(&mut self, datatype: &Datatype, count: u64) -> Result<Elements, BadChunk> {
        let size = count.checked_mul(datatype.size()).filter(|&size| size <= limits::DECODED_CHUNK_BYTES);
        let size = size.ok_or_else(|| self.fail(format!("{count} elements are more than one chunk may hold")))?;
        if !datatype.needs_placement() {
            return Ok(Elements::plain(self.take(size as usize)?));
        }
        // Every element takes at least this much of the stream, so no count makes an allocation it does not back.
        let least = least_stored(datatype).saturating_mul(count);
        if least > (self.stream.len() - self.at) as u64 {
            return Err(self.fail(format!("{count} elements expected, the bytes left cannot hold them")));
        }
        let mut growing = Growing::with_capacity(size as usize);
        for _ in 0..count {
            self.element(datatype, &mut growing)?;
        }
        Ok(growing.finish())
    }

    fn element(&mut self, datatype: &Datatype, out: &mut Growing) -> Result<(), BadChunk> {
        match datatype {
            Datatype::VariableString(_) => {
                let len = self.count()?;
                let text = self.take(len)?;
                // No bytes are an empty string: the stream cannot say "no string", and C programs follow the pointer.
                match u32::try_from(text.len()) {
                    Err(_) => out.zeros(datatype.size()),
                    Ok(count) => out.place(Target::Sequence { count, body: Elements::plain(text) }, datatype.size()),
                }
            }
            Datatype::Sequence(base) => {
                let (count, body) = self.body(base)?;
                match count {
                    0 => out.zeros(datatype.size()),
                    count => out.place(Target::Sequence { count, body }, datatype.size()),
                }
            }
            Datatype::Reference(ReferenceKind::Object) => {
                let text = self.take(REFERENCE_TEXT as usize)?;
                match reference(&text).and_then(|id| self.objects.object(&id)) {
                    Some(object) => out.place(Target::Object(object), datatype.size()),
                    None => out.zeros(datatype.size()),
                }
            }
            Datatype::Reference(ReferenceKind::Region) => {
                let len = self.count()?;
                let begin = self.at;
                let blob = self.take(len)?;
                let target = match blob.iter().all(|&byte| byte == 0) {
                    true => None,
                    false => {
                        let (id, selection) = region::parse_blob(&blob)
                            .map_err(|bad| BadChunk { at: bad.at + begin as u64, reason: bad.reason })?;
                        self.selections += region::weight(&selection);
                        if self.selections > SELECTION_BYTES {
                            return Err(self.fail("the selections of its region references are too large"));
                        }
                        id.and_then(|id| self.objects.object(&id)).map(|object| Target::Region { object, selection })
                    }
                };
                match target {
                    Some(target) => out.place(target, datatype.size()),
                    None => out.zeros(datatype.size()),
                }
            }
            Datatype::Compound(compound) => {
                for member in &compound.members {
                    self.element(&member.datatype, out)?;
                }
            }
            Datatype::Array(array) => {
                let count = array.dims.iter().fold(1u64, |count, &dim| count.saturating_mul(dim.into()));
                for _ in 0..count {
                    self.element(&array.base, out)?;
                }
            }
            fixed => {
                let bytes = self.take(usize::try_from(fixed.size()).unwrap_or(usize::MAX))?;
                out.bytes.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }

    /// The body of a sequence: a count of bytes, and as many elements as they are.
    fn body(&mut self, base: &Datatype) -> Result<(u32, Elements), BadChunk> {
        let len = self.count()?;
        let end = self.at.checked_add(len).filter(|&end| end <= self.stream.len());
        let end = end.ok_or_else(|| self.fail(format!("a sequence of {len} bytes passes the end")))?;
        if len == 0 {
            return Ok((0, Elements::default()));
        }
        if let Some(size) = stored_size(base) {
            let len = len as u64;
            if size == 0 || !len.is_multiple_of(size) {
                return Err(
                    self.fail(format!("a sequence of {len} bytes holds no whole number of {size}-byte elements"))
                );
            }
            // Below a u32 of bytes, so below a u32 of elements.
            let count = len / size;
            return Ok((count as u32, self.sequence(base, count)?));
        }
        let mut growing = Growing::default();
        let mut count = 0u32;
        while self.at < end {
            self.element(base, &mut growing)?;
            count += 1;
        }
        match self.at == end {
            true => Ok((count, growing.finish())),
            false => Err(self.fail("an element passes the end of its sequence")),
        }
    }
}

/// The id in the text of an object reference; `None` for a null reference.
pub fn reference(text: &[u8]) -> Option<Id> {
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    Id::parse(std::str::from_utf8(&text[..end]).ok()?)
}

/// The fewest bytes an element takes in a stream.
fn least_stored(datatype: &Datatype) -> u64 {
    match datatype {
        Datatype::VariableString(_) | Datatype::Sequence(_) | Datatype::Reference(ReferenceKind::Region) => {
            COUNT_BYTES as u64
        }
        Datatype::Reference(ReferenceKind::Object) => REFERENCE_TEXT,
        Datatype::Compound(compound) => {
            compound.members.iter().fold(0, |sum, member| least_stored(&member.datatype).saturating_add(sum))
        }
        Datatype::Array(array) => {
            array.dims.iter().fold(least_stored(&array.base), |size, &dim| size.saturating_mul(dim.into()))
        }
        fixed => fixed.size(),
    }
}
