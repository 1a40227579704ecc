//! The attribute info message (IV.A.2.v): how an object keeps its attributes.

use crate::format::FormatError;
use crate::format::UNDEFINED_ADDRESS;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;

/// Type of the message in an object header.
pub const KIND: u8 = 0x15;

/// Attributes in attribute messages (both addresses undefined) or in a fractal heap with a name index. Creation order
/// is tracked or not, never indexed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttributeInfo {
    /// Attributes carry their creation order; the object header's flag must say the same.
    pub tracked: bool,
    /// That order is said to be indexed, which only attributes in the header may be: no index is ever written.
    pub indexed: bool,
    /// The creation order that the next attribute would get; written where tracked.
    pub max_creation: u16,
    /// Address of the fractal heap.
    pub heap: u64,
    /// Address of the v2 B-tree of names.
    pub name_index: u64,
}

impl AttributeInfo {
    /// Attributes stand in the object header.
    pub fn compact(tracked: bool, max_creation: u16) -> Self {
        AttributeInfo { tracked, indexed: false, max_creation, heap: UNDEFINED_ADDRESS, name_index: UNDEFINED_ADDRESS }
    }

    /// The message's body.
    pub fn body(&self) -> Vec<u8> {
        let mut out = vec![0, u8::from(self.tracked) | u8::from(self.indexed) << 1];
        if self.tracked {
            out.put_u16(self.max_creation);
        }
        out.put_u64(self.heap);
        out.put_u64(self.name_index);
        if self.indexed {
            out.put_u64(UNDEFINED_ADDRESS);
        }
        out
    }
}

/// How an object keeps its attributes, as a file has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredAttributeInfo {
    /// Attributes carry their creation order.
    pub tracked: bool,
    /// Address of the fractal heap; undefined where attributes stand in the object header.
    pub heap: u64,
    /// Address of the v2 B-tree of names.
    pub name_index: u64,
    /// Address of the v2 B-tree of creation order, or undefined.
    pub order_index: u64,
}

impl StoredAttributeInfo {
    /// A message's body.
    pub fn decode(body: &mut Cursor<'_>) -> Result<Self, FormatError> {
        body.version(0..=0)?;
        let flags = body.u8()?;
        if flags & 0x01 != 0 {
            body.skip(2)?; // The next number: the attributes' own numbers tell.
        }
        let (heap, name_index) = (body.address()?, body.address()?);
        let order_index = if flags & 0x02 != 0 { body.address()? } else { UNDEFINED_ADDRESS };
        Ok(StoredAttributeInfo { tracked: flags & 0x01 != 0, heap, name_index, order_index })
    }
}
