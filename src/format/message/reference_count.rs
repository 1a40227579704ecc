//! The object reference count message (IV.A.2.w): how many hard links lead to an object, written where it is not one.

use crate::format::FormatError;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;

/// Type of the message in an object header.
pub const KIND: u8 = 0x16;

/// The message's body.
pub fn body(count: u32) -> Vec<u8> {
    let mut out = vec![0];
    out.put_u32(count);
    out
}

/// The number in a message's body.
pub fn decode(body: &mut Cursor<'_>) -> Result<u32, FormatError> {
    body.version(0..=0)?;
    body.u32()
}
