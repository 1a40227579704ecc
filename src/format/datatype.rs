//! The datatype message (IV.A.2.d).
//!
//! Simple types are written as version 1. A type with a compound, an enumeration or an array anywhere in it is version 3
//! throughout: the packed form, and one version for the whole tree, because libhdf5 takes a sequence or an array that is
//! older than its base type for something to rewrite when the file is opened for writing.

pub mod decode;

use super::FormatError;
use super::fields::{Fields, width_of};
use crate::model::datatype::{
    ByteOrder, Compound, Datatype, Enumeration, FixedString, Float, Integer, Opaque, ReferenceKind, StringPadding,
};
use crate::model::limits::{DATATYPE_DEPTH, RANK};
use crate::model::name::{CharacterSet, Name};

/// Type of the message in an object header.
pub const KIND: u8 = 0x03;

/// Bytes of an opaque tag. libhdf5 writes the tag's length rounded up to 8 into one byte: 248 is the last that fits.
pub const OPAQUE_TAG_LEN: usize = 248;

const STRUCTURE: &str = "datatype message";
/// Class, bit field and size, which every type begins with.
const PREFIX_LEN: usize = 8;

/// Class numbers.
mod class {
    pub const FIXED_POINT: u8 = 0;
    pub const FLOATING_POINT: u8 = 1;
    pub const STRING: u8 = 3;
    pub const OPAQUE: u8 = 5;
    pub const COMPOUND: u8 = 6;
    pub const REFERENCE: u8 = 7;
    pub const ENUMERATION: u8 = 8;
    pub const VARIABLE_LENGTH: u8 = 9;
    pub const ARRAY: u8 = 10;
}

/// Bytes of the message. Meaningful for types that [`encode`] accepts.
pub fn encoded_len(datatype: &Datatype) -> usize {
    PREFIX_LEN
        + match datatype {
            Datatype::Integer(_) => 4,
            Datatype::Float(_) => 12,
            Datatype::String(_) | Datatype::Reference(_) => 0,
            Datatype::VariableString(_) => PREFIX_LEN + 4,
            Datatype::Opaque(opaque) => opaque.tag.as_bytes().len().next_multiple_of(8),
            Datatype::Compound(compound) => {
                let offset = width_of(compound.size.into());
                let member = |name: &Name, datatype| name.as_bytes().len() + 1 + offset + encoded_len(datatype);
                compound.members.iter().map(|each| member(&each.name, &each.datatype)).sum()
            }
            Datatype::Enumeration(enumeration) => {
                let members = enumeration.members.iter();
                PREFIX_LEN + 4 + members.map(|(name, value)| name.as_bytes().len() + 1 + value.len()).sum::<usize>()
            }
            Datatype::Sequence(base) => encoded_len(base),
            Datatype::Array(array) => 1 + 4 * array.dims.len() + encoded_len(&array.base),
            Datatype::Encoded(encoded) => return encoded.description.len(),
        }
}

/// Appends the message's body.
pub fn encode(datatype: &Datatype, out: &mut Vec<u8>) -> Result<(), FormatError> {
    let version = if is_packed(datatype, DATATYPE_DEPTH)? { 3 } else { 1 };
    Encoder { version, out }.datatype(datatype)
}

/// True where version 3 is needed. Checks the depth of nesting first, so that no later recursion has to.
fn is_packed(datatype: &Datatype, depth: usize) -> Result<bool, FormatError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(FormatError::new(STRUCTURE, format!("nested deeper than {DATATYPE_DEPTH} types")));
    };
    match datatype {
        Datatype::Compound(compound) => {
            for member in &compound.members {
                is_packed(&member.datatype, depth)?;
            }
            Ok(true)
        }
        Datatype::Array(array) => is_packed(&array.base, depth).map(|_| true),
        Datatype::Enumeration(_) => Ok(true),
        Datatype::Sequence(base) => is_packed(base, depth),
        _ => Ok(false),
    }
}

/// One datatype being appended, all of it in one version.
struct Encoder<'a> {
    version: u8,
    out: &'a mut Vec<u8>,
}

impl Encoder<'_> {
    fn datatype(&mut self, datatype: &Datatype) -> Result<(), FormatError> {
        match datatype {
            Datatype::Integer(integer) => self.integer(integer),
            Datatype::Float(float) => self.float(float),
            Datatype::String(string) => self.fixed_string(string),
            Datatype::VariableString(string) => {
                let kind = 1 | padding(string.padding) << 4;
                self.prefix(class::VARIABLE_LENGTH, [kind, charset(string.charset), 0], datatype.size())?;
                // libhdf5 gives a variable string the base type H5T_NATIVE_UCHAR.
                self.integer(&Integer::standard(1, ByteOrder::Little, false))
            }
            Datatype::Opaque(opaque) => self.opaque(opaque),
            Datatype::Compound(compound) => self.compound(compound),
            Datatype::Reference(kind) => {
                let kind = match kind {
                    ReferenceKind::Object => 0,
                    ReferenceKind::Region => 1,
                };
                self.prefix(class::REFERENCE, [kind, 0, 0], datatype.size())
            }
            Datatype::Enumeration(enumeration) => self.enumeration(enumeration),
            Datatype::Encoded(encoded) => {
                self.out.put_bytes(&encoded.description);
                Ok(())
            }
            Datatype::Sequence(base) => {
                self.prefix(class::VARIABLE_LENGTH, [0; 3], datatype.size())?;
                self.datatype(base)
            }
            Datatype::Array(array) => {
                if array.dims.is_empty() || array.dims.len() > RANK {
                    return Err(self.error(format!("array of rank {}", array.dims.len())));
                }
                if array.dims.contains(&0) {
                    return Err(self.error("array with an extent of 0"));
                }
                self.prefix(class::ARRAY, [0; 3], datatype.size())?;
                self.out.put_u8(array.dims.len() as u8);
                for &dim in &array.dims {
                    self.out.put_u32(dim);
                }
                self.datatype(&array.base)
            }
        }
    }

    fn prefix(&mut self, class: u8, bits: [u8; 3], size: u64) -> Result<(), FormatError> {
        let Some(size) = u32::try_from(size).ok().filter(|&size| size > 0) else {
            return Err(self.error(format!("an element of {size} bytes")));
        };
        self.out.put_u8(class | self.version << 4);
        self.out.put_bytes(&bits);
        self.out.put_u32(size);
        Ok(())
    }

    fn integer(&mut self, integer: &Integer) -> Result<(), FormatError> {
        self.precision(integer.size, integer.bit_offset, integer.precision)?;
        let bits = order(integer.order) | if integer.signed { 0x08 } else { 0 };
        self.prefix(class::FIXED_POINT, [bits, 0, 0], integer.size.into())?;
        self.out.put_u16(integer.bit_offset);
        self.out.put_u16(integer.precision);
        Ok(())
    }

    fn float(&mut self, float: &Float) -> Result<(), FormatError> {
        self.precision(float.size, float.bit_offset, float.precision)?;
        // 0x20: the mantissa's first bit is implied to be set, as IEEE 754 has it.
        self.prefix(class::FLOATING_POINT, [order(float.order) | 0x20, float.sign_location, 0], float.size.into())?;
        self.out.put_u16(float.bit_offset);
        self.out.put_u16(float.precision);
        self.out.put_bytes(&[
            float.exponent_location,
            float.exponent_size,
            float.mantissa_location,
            float.mantissa_size,
        ]);
        self.out.put_u32(float.exponent_bias);
        Ok(())
    }

    /// Bits outside the element would be read by libhdf5 beyond its buffers.
    fn precision(&self, size: u32, offset: u16, precision: u16) -> Result<(), FormatError> {
        let bits = u64::from(size) * 8;
        if precision == 0 || u64::from(offset) + u64::from(precision) > bits {
            return Err(self.error(format!("{precision} bits from bit {offset} on in a number of {size} bytes")));
        }
        Ok(())
    }

    fn fixed_string(&mut self, string: &FixedString) -> Result<(), FormatError> {
        let bits = padding(string.padding) | charset(string.charset) << 4;
        self.prefix(class::STRING, [bits, 0, 0], string.length.into())
    }

    fn opaque(&mut self, opaque: &Opaque) -> Result<(), FormatError> {
        let tag = opaque.tag.as_bytes();
        if tag.len() > OPAQUE_TAG_LEN {
            return Err(self.error(format!("an opaque tag of {} bytes, more than {OPAQUE_TAG_LEN}", tag.len())));
        }
        let padded = tag.len().next_multiple_of(8);
        self.prefix(class::OPAQUE, [padded as u8, 0, 0], opaque.size.into())?;
        self.out.put_bytes(tag);
        self.out.resize(self.out.len() + padded - tag.len(), 0);
        Ok(())
    }

    fn compound(&mut self, compound: &Compound) -> Result<(), FormatError> {
        let [low, high] = self.count(compound.members.len(), "members")?;
        self.prefix(class::COMPOUND, [low, high, 0], compound.size.into())?;
        let offset_width = width_of(compound.size.into());
        for member in &compound.members {
            if member.datatype.size() + u64::from(member.offset) > u64::from(compound.size) {
                return Err(self.error(format!("member {} ends outside its compound", member.name)));
            }
            self.name(&member.name)?;
            self.out.put_uint(member.offset.into(), offset_width);
            self.datatype(&member.datatype)?;
        }
        Ok(())
    }

    fn enumeration(&mut self, enumeration: &Enumeration) -> Result<(), FormatError> {
        let [low, high] = self.count(enumeration.members.len(), "values")?;
        self.prefix(class::ENUMERATION, [low, high, 0], enumeration.base.size.into())?;
        self.integer(&enumeration.base)?;
        for (name, _) in &enumeration.members {
            self.name(name)?;
        }
        for (name, value) in &enumeration.members {
            if value.len() as u64 != u64::from(enumeration.base.size) {
                return Err(self.error(format!("value {name} has {} bytes", value.len())));
            }
            self.out.put_bytes(value);
        }
        Ok(())
    }

    fn count(&self, count: usize, of: &str) -> Result<[u8; 2], FormatError> {
        match u16::try_from(count) {
            Ok(count) if count > 0 => Ok(count.to_le_bytes()),
            _ => Err(self.error(format!("{count} {of}: not between 1 and 65535"))),
        }
    }

    fn name(&mut self, name: &Name) -> Result<(), FormatError> {
        if name.as_bytes().contains(&0) {
            return Err(self.error(format!("the name {name:?} holds a NUL")));
        }
        self.out.put_bytes(name.as_bytes());
        self.out.put_u8(0);
        Ok(())
    }

    fn error(&self, reason: impl Into<String>) -> FormatError {
        FormatError::at(STRUCTURE, self.out.len(), reason)
    }
}

fn order(order: ByteOrder) -> u8 {
    match order {
        ByteOrder::Little => 0,
        ByteOrder::Big => 1,
    }
}

fn padding(padding: StringPadding) -> u8 {
    match padding {
        StringPadding::NullTerminated => 0,
        StringPadding::NullPadded => 1,
        StringPadding::SpacePadded => 2,
    }
}

/// The number of a character set, the same wherever one is named.
pub(crate) fn charset(charset: CharacterSet) -> u8 {
    match charset {
        CharacterSet::Ascii => 0,
        CharacterSet::Utf8 => 1,
    }
}
