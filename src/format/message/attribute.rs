//! The attribute message, version 3 (IV.A.2.m). The same bytes stand in an object header (compact storage) and in a
//! fractal heap (dense storage), where alone they may pass 64 KiB.

use super::shared;
use crate::format::FormatError;
use crate::format::cursor::Cursor;
use crate::format::fields::Fields;
use crate::format::{dataspace, datatype};
use crate::model::dataspace::Dataspace;
use crate::model::datatype::Datatype;
use crate::model::name::Name;

/// Type of the message in an object header.
pub const KIND: u8 = 0x0c;

const STRUCTURE: &str = "attribute message";
/// Flag: the datatype field says where a committed type is.
const SHARED_DATATYPE: u8 = 0x01;
/// Flag: the dataspace field says where a shared dataspace is.
const SHARED_DATASPACE: u8 = 0x02;
/// Bytes before the name.
const PREFIX_LEN: usize = 9;

/// Where an attribute's datatype is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum AttributeType<'a> {
    /// In the message.
    Own(&'a Datatype),
    /// In the committed datatype with its header at this address.
    Committed(u64),
}

/// An attribute.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Attribute<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Its datatype.
    pub datatype: AttributeType<'a>,
    /// Its extent.
    pub dataspace: &'a Dataspace,
    /// Its elements in file form.
    pub data: &'a [u8],
}

impl Attribute<'_> {
    /// Bytes of the body.
    pub fn encoded_len(&self) -> usize {
        let datatype = match self.datatype {
            AttributeType::Own(datatype) => datatype::encoded_len(datatype),
            AttributeType::Committed(_) => shared::BODY_LEN,
        };
        PREFIX_LEN
            + self.name.as_bytes().len()
            + 1
            + datatype
            + dataspace::encoded_len(self.dataspace)
            + self.data.len()
    }

    /// The message's body.
    pub fn body(&self) -> Result<Vec<u8>, FormatError> {
        let name = self.name.as_bytes();
        if name.is_empty() || name.contains(&0) {
            return Err(FormatError::new(STRUCTURE, format!("{:?} cannot be an attribute's name", self.name)));
        }
        let mut out = Vec::with_capacity(self.encoded_len());
        out.put_u8(3);
        out.put_u8(if matches!(self.datatype, AttributeType::Committed(_)) { SHARED_DATATYPE } else { 0 });
        let datatype_len = match self.datatype {
            AttributeType::Own(datatype) => datatype::encoded_len(datatype),
            AttributeType::Committed(_) => shared::BODY_LEN,
        };
        for (what, len) in [
            ("name", name.len() + 1),
            ("datatype", datatype_len),
            ("dataspace", dataspace::encoded_len(self.dataspace)),
        ] {
            let Ok(len) = u16::try_from(len) else {
                let reason = format!("its {what} takes {len} bytes, more than 65535");
                return Err(FormatError::at(STRUCTURE, out.len(), reason));
            };
            out.put_u16(len);
        }
        out.put_u8(datatype::charset(self.name.character_set()));
        out.put_bytes(name);
        out.put_u8(0);
        match self.datatype {
            AttributeType::Own(datatype) => datatype::encode(datatype, &mut out)?,
            AttributeType::Committed(address) => out.put_bytes(&shared::committed(address)),
        }
        dataspace::encode(self.dataspace, &mut out)?;
        out.put_bytes(self.data);
        Ok(out)
    }
}

/// An attribute, as a file has it. Parts that are shared stand elsewhere; [`shared::decode`] reads where.
#[derive(Clone, Copy, Debug)]
pub struct StoredAttribute<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Whether the name says of itself to be UTF-8.
    pub utf8: bool,
    /// Its datatype, or where that is.
    pub datatype: Cursor<'a>,
    /// The datatype is elsewhere.
    pub datatype_shared: bool,
    /// Its dataspace, or where that is.
    pub dataspace: Cursor<'a>,
    /// The dataspace is elsewhere.
    pub dataspace_shared: bool,
    /// Its elements; more bytes than these may follow.
    pub data: Cursor<'a>,
}

/// A message's body, of any version.
pub fn decode<'a>(body: &mut Cursor<'a>) -> Result<StoredAttribute<'a>, FormatError> {
    let version = body.version(1..=3)?;
    let flags = body.u8()?;
    let flags = if version == 1 { 0 } else { flags };
    let lens = [body.u16()?, body.u16()?, body.u16()?].map(usize::from);
    let utf8 = version == 3 && body.u8()? == 1;
    let mut field = |len: usize| {
        let part = body.part(len)?;
        if version == 1 {
            body.skip(len.next_multiple_of(8) - len)?;
        }
        Ok::<_, FormatError>(part)
    };
    let (mut name, datatype, dataspace) = (field(lens[0])?, field(lens[1])?, field(lens[2])?);
    Ok(StoredAttribute {
        name: name.text()?,
        utf8,
        datatype,
        datatype_shared: flags & SHARED_DATATYPE != 0,
        dataspace,
        dataspace_shared: flags & SHARED_DATASPACE != 0,
        data: *body,
    })
}
