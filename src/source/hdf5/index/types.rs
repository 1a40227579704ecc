//! Datatypes and names in an index: those of the model, and those as the file has them.

use super::bytes::{Damaged, In, Kept, Out, numbered};
use crate::format::datatype::decode::{Bits, StoredClass, StoredMember, StoredOrder, StoredType};
use crate::model::datatype::{
    ArrayType, ByteOrder, Compound, Datatype, Encoded, Enumeration, FixedString, Float, Integer, Member, Opaque,
    ReferenceKind, StringPadding, VariableString,
};
use crate::model::limits::ELEMENT_BYTES;
use crate::model::name::{CharacterSet, Name};

numbered!(ByteOrder: Little = 0, Big = 1);
numbered!(StoredOrder: Little = 0, Big = 1, Vax = 2);
numbered!(CharacterSet: Ascii = 0, Utf8 = 1);
numbered!(StringPadding: NullTerminated = 0, NullPadded = 1, SpacePadded = 2);
numbered!(ReferenceKind: Object = 0, Region = 1);

impl Kept for Name {
    fn write(&self, out: &mut Out) {
        self.character_set().write(out);
        out.text(self.as_bytes());
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        let charset = CharacterSet::read(from)?;
        Ok(Name::declared(from.text()?, charset))
    }
}

impl Kept for Integer {
    fn write(&self, out: &mut Out) {
        let Integer { size, order, signed, bit_offset, precision } = self;
        out.number(*size);
        order.write(out);
        signed.write(out);
        out.number(*bit_offset);
        out.number(*precision);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(Integer {
            size: element(from)?,
            order: ByteOrder::read(from)?,
            signed: bool::read(from)?,
            bit_offset: from.small()?,
            precision: from.small()?,
        })
    }
}

impl Kept for Float {
    fn write(&self, out: &mut Out) {
        out.number(self.size);
        self.order.write(out);
        out.number(self.bit_offset);
        out.number(self.precision);
        let places = [
            self.sign_location,
            self.exponent_location,
            self.exponent_size,
            self.mantissa_location,
            self.mantissa_size,
        ];
        places.into_iter().for_each(|place| out.byte(place));
        out.number(self.exponent_bias);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(Float {
            size: element(from)?,
            order: ByteOrder::read(from)?,
            bit_offset: from.small()?,
            precision: from.small()?,
            sign_location: from.byte()?,
            exponent_location: from.byte()?,
            exponent_size: from.byte()?,
            mantissa_location: from.byte()?,
            mantissa_size: from.byte()?,
            exponent_bias: from.small()?,
        })
    }
}

/// Bytes of an element.
fn element(from: &mut In<'_>) -> Result<u32, Damaged> {
    match from.small()? {
        0 => Err(from.damaged("an element of no bytes")),
        size if u64::from(size) >= ELEMENT_BYTES => Err(from.damaged("an element that is too large")),
        size => Ok(size),
    }
}

impl Kept for Member {
    fn write(&self, out: &mut Out) {
        self.name.write(out);
        out.number(self.offset);
        self.datatype.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(Member { name: Name::read(from)?, offset: from.small()?, datatype: Datatype::read(from)? })
    }
}

impl Kept for (Name, Vec<u8>) {
    fn write(&self, out: &mut Out) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok((Name::read(from)?, Vec::read(from)?))
    }
}

impl Kept for Datatype {
    fn write(&self, out: &mut Out) {
        match self {
            Datatype::Integer(integer) => {
                out.byte(0);
                integer.write(out);
            }
            Datatype::Float(float) => {
                out.byte(1);
                float.write(out);
            }
            Datatype::String(FixedString { length, padding, charset }) => {
                out.byte(2);
                out.number(*length);
                padding.write(out);
                charset.write(out);
            }
            Datatype::VariableString(VariableString { padding, charset }) => {
                out.byte(3);
                padding.write(out);
                charset.write(out);
            }
            Datatype::Opaque(Opaque { size, tag }) => {
                out.byte(4);
                out.number(*size);
                tag.write(out);
            }
            Datatype::Compound(Compound { size, members }) => {
                out.byte(5);
                out.number(*size);
                out.list(members);
            }
            Datatype::Reference(kind) => {
                out.byte(6);
                kind.write(out);
            }
            Datatype::Enumeration(Enumeration { base, members }) => {
                out.byte(7);
                base.write(out);
                out.list(members);
            }
            Datatype::Sequence(base) => {
                out.byte(8);
                base.write(out);
            }
            Datatype::Array(ArrayType { dims, base }) => {
                out.byte(9);
                out.list(dims);
                base.write(out);
            }
            Datatype::Encoded(Encoded { name, size, description }) => {
                out.byte(10);
                out.text(name.as_bytes());
                out.number(*size);
                description.write(out);
            }
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        let datatype = match from.byte()? {
            0 => Datatype::Integer(Integer::read(from)?),
            1 => Datatype::Float(Float::read(from)?),
            2 => Datatype::String(FixedString {
                length: element(from)?,
                padding: StringPadding::read(from)?,
                charset: CharacterSet::read(from)?,
            }),
            3 => Datatype::VariableString(VariableString {
                padding: StringPadding::read(from)?,
                charset: CharacterSet::read(from)?,
            }),
            4 => Datatype::Opaque(Opaque { size: element(from)?, tag: Name::read(from)? }),
            5 => from.deeper(|from| {
                let compound = Compound { size: element(from)?, members: from.list()? };
                let fits = |member: &Member| u64::from(member.offset) + member.datatype.size() <= compound.size.into();
                if compound.members.is_empty() || !compound.members.iter().all(fits) {
                    return Err(from.damaged("members outside their element"));
                }
                Ok(Datatype::Compound(compound))
            })?,
            6 => Datatype::Reference(ReferenceKind::read(from)?),
            7 => {
                let (base, members) = (Integer::read(from)?, from.list::<(Name, Vec<u8>)>()?);
                if members.iter().any(|(_, value)| value.len() as u64 != u64::from(base.size)) {
                    return Err(from.damaged("a named value of another size than its type"));
                }
                Datatype::Enumeration(Enumeration { base, members })
            }
            8 => from.deeper(|from| Ok(Datatype::Sequence(Box::read(from)?)))?,
            9 => from.deeper(|from| Ok(Datatype::Array(ArrayType { dims: from.list()?, base: Box::read(from)? })))?,
            10 => Datatype::Encoded(Encoded {
                name: from.string()?.into(),
                size: element(from)?,
                description: Vec::read(from)?,
            }),
            _ => return Err(from.damaged("a datatype of no class")),
        };
        match datatype.size() {
            0 => Err(from.damaged("an element of no bytes")),
            size if size >= ELEMENT_BYTES => Err(from.damaged("an element that is too large")),
            _ => Ok(datatype),
        }
    }
}

impl Kept for Bits {
    fn write(&self, out: &mut Out) {
        let Bits { order, offset, precision, padding } = self;
        order.write(out);
        out.number(*offset);
        out.number(*precision);
        padding.0.write(out);
        padding.1.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(Bits {
            order: StoredOrder::read(from)?,
            offset: from.small()?,
            precision: from.small()?,
            padding: (bool::read(from)?, bool::read(from)?),
        })
    }
}

impl Kept for StoredMember {
    fn write(&self, out: &mut Out) {
        self.name.write(out);
        out.number(self.offset);
        self.datatype.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(StoredMember { name: Vec::read(from)?, offset: from.small()?, datatype: StoredType::read(from)? })
    }
}

impl Kept for (Vec<u8>, Vec<u8>) {
    fn write(&self, out: &mut Out) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok((Vec::read(from)?, Vec::read(from)?))
    }
}

impl Kept for StoredType {
    fn write(&self, out: &mut Out) {
        out.byte(self.version);
        out.number(self.size);
        self.class.write(out);
        self.body.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        let (version, size) = (from.byte()?, element(from)?);
        let class = from.deeper(StoredClass::read)?;
        Ok(StoredType { version, size, class, body: Vec::read(from)? })
    }
}

impl Kept for StoredClass {
    fn write(&self, out: &mut Out) {
        match self {
            StoredClass::Integer { bits, signed } => {
                out.byte(0);
                bits.write(out);
                signed.write(out);
            }
            StoredClass::Float { bits, inner_padding, normalization, sign, exponent, mantissa, bias } => {
                out.byte(1);
                bits.write(out);
                inner_padding.write(out);
                let places = [*normalization, *sign, exponent.0, exponent.1, mantissa.0, mantissa.1];
                places.into_iter().for_each(|place| out.byte(place));
                out.number(*bias);
            }
            StoredClass::Time { order, precision } => {
                out.byte(2);
                order.write(out);
                out.number(*precision);
            }
            StoredClass::String { padding, charset } => {
                [3, *padding, *charset].into_iter().for_each(|byte| out.byte(byte))
            }
            StoredClass::Bitfield(bits) => {
                out.byte(4);
                bits.write(out);
            }
            StoredClass::Opaque(tag) => {
                out.byte(5);
                tag.write(out);
            }
            StoredClass::Compound(members) => {
                out.byte(6);
                out.list(members);
            }
            StoredClass::Reference(form) => [7, *form].into_iter().for_each(|byte| out.byte(byte)),
            StoredClass::Enumeration { base, members } => {
                out.byte(8);
                base.write(out);
                out.list(members);
            }
            StoredClass::Sequence(base) => {
                out.byte(9);
                base.write(out);
            }
            StoredClass::VariableString { padding, charset } => {
                [10, *padding, *charset].into_iter().for_each(|byte| out.byte(byte));
            }
            StoredClass::Array { dims, base } => {
                out.byte(11);
                out.list(dims);
                base.write(out);
            }
            StoredClass::Complex(base) => {
                out.byte(12);
                base.write(out);
            }
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(match from.byte()? {
            0 => StoredClass::Integer { bits: Bits::read(from)?, signed: bool::read(from)? },
            1 => StoredClass::Float {
                bits: Bits::read(from)?,
                inner_padding: bool::read(from)?,
                normalization: from.byte()?,
                sign: from.byte()?,
                exponent: (from.byte()?, from.byte()?),
                mantissa: (from.byte()?, from.byte()?),
                bias: from.small()?,
            },
            2 => StoredClass::Time { order: StoredOrder::read(from)?, precision: from.small()? },
            3 => StoredClass::String { padding: from.byte()?, charset: from.byte()? },
            4 => StoredClass::Bitfield(Bits::read(from)?),
            5 => StoredClass::Opaque(Vec::read(from)?),
            6 => StoredClass::Compound(from.list()?),
            7 => StoredClass::Reference(from.byte()?),
            8 => StoredClass::Enumeration { base: Box::read(from)?, members: from.list()? },
            9 => StoredClass::Sequence(Box::read(from)?),
            10 => StoredClass::VariableString { padding: from.byte()?, charset: from.byte()? },
            11 => StoredClass::Array { dims: from.list()?, base: Box::read(from)? },
            12 => StoredClass::Complex(Box::read(from)?),
            _ => return Err(from.damaged("a datatype of no class")),
        })
    }
}
