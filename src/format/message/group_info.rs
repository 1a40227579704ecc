//! The group info message (IV.A.2.k): a group's creation properties, all left at their defaults.

/// Type of the message in an object header.
pub const KIND: u8 = 0x0a;

/// The message's body.
pub fn body() -> Vec<u8> {
    vec![0, 0]
}
