//! The object header, version 2 (IV.A.1.b): the messages that make an object, in one chunk.
//!
//! Its length depends on the messages' lengths only, never on the addresses in them: a header is measured with messages
//! that still hold [`UNDEFINED_ADDRESS`](super::UNDEFINED_ADDRESS).

pub mod decode;

use super::FormatError;
use super::fields::{CHECKSUM_LEN, Fields};

/// Flag: attribute creation order is tracked, and each message carries a creation index.
pub(crate) const ATTRIBUTE_ORDER_TRACKED: u8 = 0x04;
/// Flag: and an index of it, which a header with few attributes need not have.
pub(crate) const ATTRIBUTE_ORDER_INDEXED: u8 = 0x08;
/// Flag: four times follow the flags.
const TIMES_STORED: u8 = 0x20;
/// Bytes of a message's body: its size field has 16 bits.
pub const MESSAGE_LEN: usize = u16::MAX as usize;

/// Flags of a message (IV.A.1.a, "Header Message Flags").
pub mod message_flags {
    /// The message never changes: libhdf5 sets it for datatype, fill value and filters.
    pub const CONSTANT: u8 = 0x01;
    /// The body says where the message is (a committed datatype).
    pub const SHARED: u8 = 0x02;
    /// The message may not be shared.
    pub const DONT_SHARE: u8 = 0x04;
    /// A writer that does not know the message marks it.
    pub const MARK_IF_UNKNOWN: u8 = 0x10;
}

/// One message of an object header.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// Type: the `KIND` of the module that made the body.
    pub kind: u8,
    /// See [`message_flags`].
    pub flags: u8,
    /// The body, less than 64 KiB.
    pub body: Vec<u8>,
    /// Creation index of an attribute; written only where attribute order is tracked.
    pub creation_index: u16,
}

/// An object header of version 2 with all its messages in one chunk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObjectHeader {
    /// The messages in their order.
    pub messages: Vec<Message>,
    /// Attributes have a creation order.
    pub attribute_order_tracked: bool,
    /// That order is said to be indexed.
    pub attribute_order_indexed: bool,
    /// Seconds since 1970, written as access, modification, change and birth time alike.
    pub times: Option<u32>,
}

impl ObjectHeader {
    /// Bytes of the header.
    pub fn encoded_len(&self) -> usize {
        let messages = self.messages_len();
        self.prefix_len() + size_width(messages).1 + messages + CHECKSUM_LEN
    }

    /// The bytes.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let messages = self.messages_len();
        let (size_bits, width) = size_width(messages);
        let mut out = Vec::with_capacity(self.encoded_len());
        out.put_bytes(b"OHDR\x02");
        let order = match (self.attribute_order_tracked, self.attribute_order_indexed) {
            (false, _) => 0,
            (true, false) => ATTRIBUTE_ORDER_TRACKED,
            (true, true) => ATTRIBUTE_ORDER_TRACKED | ATTRIBUTE_ORDER_INDEXED,
        };
        let times = if self.times.is_some() { TIMES_STORED } else { 0 };
        out.put_u8(size_bits | order | times);
        if let Some(time) = self.times {
            for _ in 0..4 {
                out.put_u32(time);
            }
        }
        out.put_uint(messages as u64, width);
        for message in &self.messages {
            let Ok(len) = u16::try_from(message.body.len()) else {
                let reason = format!("a message of {} bytes, more than {MESSAGE_LEN}", message.body.len());
                return Err(FormatError::at("object header", out.len(), reason));
            };
            out.put_u8(message.kind);
            out.put_u16(len);
            out.put_u8(message.flags);
            if self.attribute_order_tracked {
                out.put_u16(message.creation_index);
            }
            out.put_bytes(&message.body);
        }
        out.put_checksum(0);
        Ok(out)
    }

    fn prefix_len(&self) -> usize {
        6 + if self.times.is_some() { 16 } else { 0 }
    }

    fn messages_len(&self) -> usize {
        let prefix = if self.attribute_order_tracked { 6 } else { 4 };
        self.messages.iter().map(|message| prefix + message.body.len()).sum()
    }
}

/// Flag bits and bytes of the field that holds the length of all messages.
fn size_width(len: usize) -> (u8, usize) {
    match len {
        0..=0xff => (0, 1),
        0x100..=0xffff => (1, 2),
        0x1_0000..=0xffff_ffff => (2, 4),
        _ => (3, 8),
    }
}
