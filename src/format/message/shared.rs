//! Shared messages (IV.A.2, version 3): the body of a datatype message that lives in a committed datatype. The message's
//! flags must say [`SHARED`](crate::format::object_header::message_flags::SHARED).

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
