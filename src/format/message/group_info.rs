//! The group info message (IV.A.2.k): a group's creation properties, all left at their defaults.

use crate::format::FormatError;
use crate::format::cursor::Cursor;

/// Type of the message in an object header.
pub const KIND: u8 = 0x0a;

/// The message's body.
pub fn body() -> Vec<u8> {
    vec![0, 0]
}

/// When links leave a group's object header and come back: most in it, fewest outside; `None` for the usual 8 and 6.
pub fn decode(body: &mut Cursor<'_>) -> Result<Option<(u16, u16)>, FormatError> {
    body.version(0..=0)?;
    Ok(if body.u8()? & 0x01 != 0 { Some((body.u16()?, body.u16()?)) } else { None })
}
