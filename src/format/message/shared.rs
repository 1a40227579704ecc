//! Shared messages (IV.A.2, version 3): the body of a datatype message that lives in a committed datatype. The message's
//! flags must say [`SHARED`](crate::format::object_header::message_flags::SHARED).

use crate::format::FormatError;
use crate::format::cursor::Cursor;

/// Bytes of the body.
pub const BODY_LEN: usize = 10;

/// Type: the message is in another object's header.
const COMMITTED: u8 = 2;

/// The body that stands for the datatype committed at this object header.
pub fn committed(address: u64) -> [u8; BODY_LEN] {
    let mut out = [0; BODY_LEN];
    out[..2].copy_from_slice(&[3, COMMITTED]);
    out[2..].copy_from_slice(&address.to_le_bytes());
    out
}

/// Where a message is that is not in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoredShared {
    /// In the header of another object: a committed datatype.
    Committed(u64),
    /// In the file's heap of shared messages, with this id.
    Heap([u8; 8]),
}

/// The body of a message that is flagged as shared, of any version.
pub fn decode(body: &mut Cursor<'_>) -> Result<StoredShared, FormatError> {
    let version = body.version(1..=3)?;
    let kind = body.u8()?;
    if version == 1 {
        body.skip(6 + body.sizes().length())?;
    }
    if version == 3 && kind == 1 {
        let mut id = [0; 8];
        id.copy_from_slice(body.take(8)?);
        return Ok(StoredShared::Heap(id));
    }
    Ok(StoredShared::Committed(body.address()?))
}
