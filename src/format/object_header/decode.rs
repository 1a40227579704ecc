//! Object headers of versions 1 and 2, with the blocks in which they go on.

use std::collections::BTreeSet;

use crate::format::bytes::Space;
use crate::format::cursor::Cursor;
use crate::format::{FormatError, Kind};

const STRUCTURE: &str = "object header";
const CONTINUATION: &str = "object header continuation block";
/// Type of the message that leads to another block.
const CONTINUATION_KIND: u8 = 0x10;
/// Bytes read to learn how long a header is: what the longest prefix takes.
const PREFIX_LEN: u64 = 34;
/// Bytes of the prefix of version 1, with the padding behind it.
const OLD_PREFIX_LEN: u64 = 16;
/// Messages of an object. A compact group of 100,000 links is large already; each takes at least four bytes of file.
const MESSAGES: usize = 1 << 22;

/// A message as it stands in a header.
#[derive(Clone, Copy, Debug)]
pub struct StoredMessage<'a> {
    /// Type.
    pub kind: u8,
    /// See [`message_flags`](super::message_flags).
    pub flags: u8,
    /// Creation index, where the header tracks the order of attributes.
    pub creation_index: Option<u16>,
    /// The body.
    pub body: Cursor<'a>,
}

/// Times of an object, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// Last read.
    pub access: u32,
    /// Last change of data.
    pub modification: u32,
    /// Last change of metadata.
    pub change: u32,
    /// Creation.
    pub birth: u32,
}

/// An object header.
#[derive(Clone, Debug)]
pub struct StoredHeader<'a> {
    /// 1 or 2.
    pub version: u8,
    /// Flags of version 2.
    pub flags: u8,
    /// Hard links to it; version 2 has a message for more than one.
    pub references: u32,
    /// Its times, where kept.
    pub times: Option<Times>,
    /// Most attributes that stay in the header, and fewest outside, where not the usual 8 and 6.
    pub attribute_limits: Option<(u16, u16)>,
    /// Its messages in their order, without empty ones and continuations.
    pub messages: Vec<StoredMessage<'a>>,
}

impl<'a> StoredHeader<'a> {
    /// The first message of a type.
    pub fn find(&self, kind: u8) -> Option<&StoredMessage<'a>> {
        self.messages.iter().find(|message| message.kind == kind)
    }
}

/// Blocks still to be read, and those that were.
struct Chain<'a> {
    header: StoredHeader<'a>,
    next: Vec<(u64, u64)>,
    seen: BTreeSet<u64>,
}

/// The header at `address`.
pub fn decode<'a>(space: &Space<'a>, address: u64) -> Result<StoredHeader<'a>, FormatError> {
    let mut prefix = space.cursor_up_to(STRUCTURE, address, PREFIX_LEN)?;
    let header =
        StoredHeader { version: 1, flags: 0, references: 1, times: None, attribute_limits: None, messages: Vec::new() };
    let mut chain = Chain { header, next: Vec::new(), seen: BTreeSet::new() };
    if prefix.rest().starts_with(b"OHDR") {
        chain.current(space, address, prefix)?
    } else {
        chain.old(space, address, &mut prefix)?
    }
    // A stack, emptied in the order of the messages that lead on.
    while let Some((at, len)) = chain.next.pop() {
        let mut block = space.cursor(CONTINUATION, at, len)?;
        if !chain.seen.insert(at) {
            return Err(block.fault(Kind::Cycle, "the block is its own continuation"));
        }
        if chain.header.version == 2 {
            block = block.checked()?;
            block.signature(b"OCHK")?;
        }
        chain.messages(block)?;
    }
    Ok(chain.header)
}

impl<'a> Chain<'a> {
    fn old(&mut self, space: &Space<'a>, address: u64, prefix: &mut Cursor<'a>) -> Result<(), FormatError> {
        prefix.version(1..=1)?;
        prefix.skip(1 + 2)?; // The number of messages: the blocks' lengths say the same.
        self.header.references = prefix.u32()?;
        let len = prefix.u32()?;
        let whole = OLD_PREFIX_LEN + u64::from(len);
        let block = space.within(STRUCTURE, address.saturating_add(OLD_PREFIX_LEN), len.into())?;
        space.claim(STRUCTURE, address, whole, whole);
        self.messages(block)
    }

    fn current(&mut self, space: &Space<'a>, address: u64, mut prefix: Cursor<'a>) -> Result<(), FormatError> {
        prefix.signature(b"OHDR")?;
        self.header.version = prefix.version(2..=2)?;
        let flags = prefix.u8()?;
        self.header.flags = flags;
        if flags & 0x20 != 0 {
            self.header.times = Some(Times {
                access: prefix.u32()?,
                modification: prefix.u32()?,
                change: prefix.u32()?,
                birth: prefix.u32()?,
            });
        }
        if flags & 0x10 != 0 {
            self.header.attribute_limits = Some((prefix.u16()?, prefix.u16()?));
        }
        let len = prefix.uint(1 << (flags & 3))?;
        let before = prefix.read();
        let mut whole = space.cursor(STRUCTURE, address, len.saturating_add(before as u64 + 4))?.checked()?;
        whole.skip(before)?;
        self.messages(whole)
    }

    /// Takes in the messages of one block.
    fn messages(&mut self, mut block: Cursor<'a>) -> Result<(), FormatError> {
        let tracked = self.header.version == 2 && self.header.flags & super::ATTRIBUTE_ORDER_TRACKED != 0;
        let prefix = match self.header.version {
            1 => 8,
            _ => 4 + if tracked { 2 } else { 0 },
        };
        let mut continued = Vec::new();
        // What is shorter than a message's prefix is a gap.
        while block.left() >= prefix {
            let (kind, len, flags) = if self.header.version == 1 {
                let fields = (block.u16()?, block.u16()?, block.u8()?);
                block.skip(3)?;
                let Ok(kind) = u8::try_from(fields.0) else {
                    return Err(block.bad(format!("a message of type {}", fields.0)));
                };
                (kind, fields.1, fields.2)
            } else {
                (block.u8()?, block.u16()?, block.u8()?)
            };
            let creation_index = if tracked { Some(block.u16()?) } else { None };
            let mut body = block.part(len.into())?;
            match kind {
                0 => {}
                CONTINUATION_KIND => continued.push((body.address()?, body.length()?)),
                _ if self.header.messages.len() >= MESSAGES => {
                    return Err(block.fault(Kind::Limit, format!("more than {MESSAGES} messages")));
                }
                _ => self.header.messages.push(StoredMessage { kind, flags, creation_index, body }),
            }
        }
        self.next.extend(continued.into_iter().rev());
        Ok(())
    }
}
