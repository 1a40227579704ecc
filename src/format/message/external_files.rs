//! The external data files message (IV.A.2.h): a contiguous dataset whose elements lie in other files.

use crate::format::FormatError;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;

/// Type of the message in an object header.
pub const KIND: u8 = 0x07;

/// A part of an external file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExternalSlot {
    /// Where the file's name stands in the local heap.
    pub name: u64,
    /// First byte in that file.
    pub offset: u64,
    /// Bytes of it; `u64::MAX` for all that is there.
    pub size: u64,
}

/// The files of a dataset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExternalFiles {
    /// Address of the local heap of names.
    pub heap: u64,
    /// The parts, one behind the other.
    pub slots: Vec<ExternalSlot>,
}

/// The body of the message for these parts, whose names stand in the heap at `heap`.
pub fn body(heap: u64, slots: &[ExternalSlot]) -> Vec<u8> {
    // As many as fit a message are far fewer than 65536.
    let count = u16::try_from(slots.len()).unwrap_or(u16::MAX);
    let mut out = vec![1, 0, 0, 0];
    out.put_bytes(&count.to_le_bytes());
    out.put_bytes(&count.to_le_bytes());
    out.put_u64(heap);
    for slot in slots {
        out.put_u64(slot.name);
        out.put_u64(slot.offset);
        out.put_u64(slot.size);
    }
    out
}

/// A message's body.
pub fn decode(body: &mut Cursor<'_>) -> Result<ExternalFiles, FormatError> {
    body.version(1..=1)?;
    body.skip(3 + 2)?;
    let used = body.u16()?;
    let heap = body.address()?;
    let mut slots = Vec::new();
    for _ in 0..used {
        slots.push(ExternalSlot { name: body.length()?, offset: body.length()?, size: body.length_or_none()? });
    }
    Ok(ExternalFiles { heap, slots })
}
