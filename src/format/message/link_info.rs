//! The link info message (IV.A.2.c): how a group keeps its links.

use crate::format::FormatError;
use crate::format::UNDEFINED_ADDRESS;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;

/// Type of the message in an object header.
pub const KIND: u8 = 0x02;

/// Links in link messages (both addresses undefined) or in a fractal heap with a name index. Creation order is tracked
/// or not, never indexed: libhdf5 sorts a group that asks for that order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkInfo {
    /// Links carry their creation order.
    pub tracked: bool,
    /// That order is said to be indexed, which only links in the header may be: no index is ever written.
    pub indexed: bool,
    /// The creation order that the next link would get; written where tracked.
    pub max_creation: u64,
    /// Address of the fractal heap.
    pub heap: u64,
    /// Address of the v2 B-tree of names.
    pub name_index: u64,
}

impl LinkInfo {
    /// Links stand in the object header.
    pub fn compact(tracked: bool, max_creation: u64) -> Self {
        LinkInfo { tracked, indexed: false, max_creation, heap: UNDEFINED_ADDRESS, name_index: UNDEFINED_ADDRESS }
    }

    /// The message's body.
    pub fn body(&self) -> Vec<u8> {
        let mut out = vec![0, u8::from(self.tracked) | u8::from(self.indexed) << 1];
        if self.tracked {
            out.put_u64(self.max_creation);
        }
        out.put_u64(self.heap);
        out.put_u64(self.name_index);
        if self.indexed {
            out.put_u64(UNDEFINED_ADDRESS);
        }
        out
    }
}

/// How a group keeps its links, as a file has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredLinkInfo {
    /// Links carry their creation order.
    pub tracked: bool,
    /// That order is indexed.
    pub indexed: bool,
    /// Address of the fractal heap; undefined where links stand in the object header.
    pub heap: u64,
    /// Address of the v2 B-tree of names.
    pub name_index: u64,
    /// Address of the v2 B-tree of creation order, or undefined.
    pub order_index: u64,
}

impl StoredLinkInfo {
    /// A message's body.
    pub fn decode(body: &mut Cursor<'_>) -> Result<Self, FormatError> {
        body.version(0..=0)?;
        let flags = body.u8()?;
        if flags & 0x01 != 0 {
            body.skip(8)?; // The next number: the links' own numbers tell.
        }
        let (heap, name_index) = (body.address()?, body.address()?);
        let order_index = if flags & 0x02 != 0 { body.address()? } else { UNDEFINED_ADDRESS };
        Ok(StoredLinkInfo { tracked: flags & 0x01 != 0, indexed: flags & 0x02 != 0, heap, name_index, order_index })
    }
}
