//! The link message (IV.A.2.g): a name in a group and what it leads to. The same bytes stand in an object header
//! (compact groups) and in a fractal heap (dense groups).

use crate::format::FormatError;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;
use crate::model::name::{CharacterSet, Name};

/// Type of the message in an object header.
pub const KIND: u8 = 0x06;

const STRUCTURE: &str = "link message";
const HAS_ORDER: u8 = 0x04;
const HAS_TYPE: u8 = 0x08;
const HAS_CHARSET: u8 = 0x10;

/// What a link leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkBody<'a> {
    /// An object of this file, by the address of its header.
    Hard(u64),
    /// A path in this file.
    Soft(&'a Name),
    /// A path in another file.
    External {
        /// The file's name, as libhdf5 looks it up.
        file: &'a Name,
        /// The path in it.
        path: &'a Name,
    },
    /// What a program knows that defined the class.
    User {
        /// The class.
        class: u8,
        /// Bytes of the program's own.
        value: &'a [u8],
    },
}

/// A link of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Its number in the order of creation, where the group tracks it.
    pub creation_order: Option<u64>,
    /// What it leads to.
    pub target: LinkBody<'a>,
}

impl Link<'_> {
    /// Bytes of the body.
    pub fn encoded_len(&self) -> usize {
        let name = self.name.as_bytes().len();
        let target = match self.target {
            LinkBody::Hard(_) => 8,
            LinkBody::Soft(path) => 1 + 2 + path.as_bytes().len(),
            LinkBody::User { value, .. } => 1 + 2 + value.len(),
            LinkBody::External { file, path } => 1 + 2 + 1 + file.as_bytes().len() + 1 + path.as_bytes().len() + 1,
        };
        let charset = usize::from(self.name.character_set() == CharacterSet::Utf8);
        2 + charset + self.creation_order.map_or(0, |_| 8) + length_width(name).1 + name + target
    }

    /// The message's body.
    pub fn body(&self) -> Result<Vec<u8>, FormatError> {
        let name = self.name.as_bytes();
        if name.is_empty() || name.contains(&0) || name.contains(&b'/') {
            return Err(FormatError::new(STRUCTURE, format!("{:?} cannot be a link's name", self.name)));
        }
        let (length_bits, length_width) = length_width(name.len());
        let utf8 = self.name.character_set() == CharacterSet::Utf8;
        let class = match self.target {
            LinkBody::Hard(_) => None,
            LinkBody::Soft(_) => Some(1),
            LinkBody::External { .. } => Some(64),
            LinkBody::User { class, .. } => Some(class),
        };
        let mut out = Vec::with_capacity(self.encoded_len());
        let flag = |set, flag| if set { flag } else { 0 };
        out.put_u8(1);
        out.put_u8(
            length_bits
                | flag(self.creation_order.is_some(), HAS_ORDER)
                | flag(class.is_some(), HAS_TYPE)
                | flag(utf8, HAS_CHARSET),
        );
        if let Some(class) = class {
            out.put_u8(class);
        }
        if let Some(order) = self.creation_order {
            out.put_u64(order);
        }
        if utf8 {
            out.put_u8(1);
        }
        out.put_uint(name.len() as u64, length_width);
        out.put_bytes(name);
        match self.target {
            LinkBody::Hard(address) => out.put_u64(address),
            LinkBody::Soft(path) => put_value(&mut out, &[path.as_bytes()])?,
            LinkBody::User { value: [], .. } => out.put_u16(0),
            LinkBody::User { value, .. } => put_value(&mut out, &[value])?,
            LinkBody::External { file, path } => {
                if file.as_bytes().contains(&0) || path.as_bytes().contains(&0) {
                    return Err(FormatError::at(STRUCTURE, out.len(), "an external link's value holds a NUL"));
                }
                put_value(&mut out, &[&[0], file.as_bytes(), &[0], path.as_bytes(), &[0]])?;
            }
        }
        Ok(out)
    }
}

/// A link's value with its length before it.
fn put_value(out: &mut Vec<u8>, parts: &[&[u8]]) -> Result<(), FormatError> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    match u16::try_from(len) {
        Ok(len) if len > 0 => out.put_u16(len),
        _ => return Err(FormatError::at(STRUCTURE, out.len(), format!("a link value of {len} bytes"))),
    }
    for part in parts {
        out.put_bytes(part);
    }
    Ok(())
}

/// Flag bits and bytes of the field that holds the name's length.
fn length_width(len: usize) -> (u8, usize) {
    match len {
        0..=0xff => (0, 1),
        0x100..=0xffff => (1, 2),
        0x1_0000..=0xffff_ffff => (2, 4),
        _ => (3, 8),
    }
}

/// What a link leads to, as a file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredTarget {
    /// An object of this file, by the address of its header.
    Hard(u64),
    /// A path in this file.
    Soft(Vec<u8>),
    /// A path in another file.
    External {
        /// The file's name.
        file: Vec<u8>,
        /// The path in it.
        path: Vec<u8>,
    },
    /// A link of a class that a program defined.
    User {
        /// Its class, 65 to 255.
        class: u8,
        /// What only that program understands.
        value: Vec<u8>,
    },
}

/// A link, as a file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredLink {
    /// Its name.
    pub name: Vec<u8>,
    /// Whether the name says of itself to be UTF-8.
    pub utf8: bool,
    /// Its number in the order of creation, where tracked.
    pub creation_order: Option<u64>,
    /// What it leads to.
    pub target: StoredTarget,
}

/// A message's body.
pub fn decode(body: &mut Cursor<'_>) -> Result<StoredLink, FormatError> {
    body.version(1..=1)?;
    let flags = body.u8()?;
    let class = if flags & HAS_TYPE != 0 { body.u8()? } else { 0 };
    let creation_order = if flags & HAS_ORDER != 0 { Some(body.u64()?) } else { None };
    let utf8 = flags & HAS_CHARSET != 0 && body.u8()? == 1;
    let len = body.uint(1 << (flags & 3))?;
    let name = body.take(usize::try_from(len).unwrap_or(usize::MAX))?.to_vec();
    if name.is_empty() {
        return Err(body.bad("a link without a name"));
    }
    let target = match class {
        0 => StoredTarget::Hard(body.address()?),
        1 => {
            let len = body.u16()?.into();
            StoredTarget::Soft(body.take(len)?.to_vec())
        }
        64 => {
            let len = body.u16()?.into();
            let mut value = body.part(len)?;
            value.version(0..=0)?;
            StoredTarget::External { file: value.text()?.to_vec(), path: value.text()?.to_vec() }
        }
        65.. => {
            let len = body.u16()?.into();
            StoredTarget::User { class, value: body.take(len)?.to_vec() }
        }
        _ => return Err(body.bad(format!("a link of class {class}"))),
    };
    Ok(StoredLink { name, utf8, creation_order, target })
}
