//! The object comment message (IV.A.2.n): a text that a person left on an object.

use crate::format::FormatError;
use crate::format::cursor::Cursor;
use crate::model::name::Name;

/// Type of the message in an object header.
pub const KIND: u8 = 0x0d;

/// The message's body.
pub fn body(comment: &Name) -> Vec<u8> {
    let mut out = comment.as_bytes().to_vec();
    out.push(0);
    out
}

/// The text of a message's body.
pub fn decode(body: &mut Cursor<'_>) -> Result<Name, FormatError> {
    Ok(Name::new(body.text()?))
}
