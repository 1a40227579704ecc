//! Datatypes: how one element looks in the presented file.
//!
//! Sizes here are those of HDF5's *file* form: a variable-length element is 16 bytes (its length and a heap id), an
//! object reference 8, a region reference 12. How a store keeps the same element is its source's business.

use std::borrow::Cow;

use super::name::{CharacterSet, Name};

/// Byte order of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// A datatype of the HDF5 data model (specification IV.A.2.d).
#[derive(Clone, PartialEq, Debug)]
pub enum Datatype {
    /// Fixed-point number.
    Integer(Integer),
    /// Floating-point number.
    Float(Float),
    /// String of a fixed number of bytes.
    String(FixedString),
    /// String of any length.
    VariableString(VariableString),
    /// Bytes that only their tag explains.
    Opaque(Opaque),
    /// Named members at byte offsets.
    Compound(Compound),
    /// Reference to an object or a region of one.
    Reference(ReferenceKind),
    /// Named values of an integer type.
    Enumeration(Enumeration),
    /// Sequence of any length of one type.
    Sequence(Box<Datatype>),
    /// Array of a fixed shape as one element.
    Array(ArrayType),
    /// A type without parts that is only handed on: bit fields, times, complex numbers, numbers with unusual bits,
    /// references in the form of HDF5 1.12.
    Encoded(Encoded),
}

/// A type that nobody but the reader of the file has to understand.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Encoded {
    /// What people call it.
    pub name: Cow<'static, str>,
    /// Bytes of an element.
    pub size: u32,
    /// What describes it, as every file has it.
    pub description: Vec<u8>,
}

impl Encoded {
    /// Bytes of a reference in the form of HDF5 1.12.
    pub const REFERENCE_SIZE: u32 = 18;

    /// Whether it is a reference in the form of HDF5 1.12: to an object, a region or an attribute, as each element says.
    pub fn is_reference(&self) -> bool {
        // The class of a type stands in the lower half of what describes it.
        self.description.first().is_some_and(|first| first & 0x0f == 7)
    }
}

/// A fixed-point number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Integer {
    /// Bytes.
    pub size: u32,
    /// Order of those bytes.
    pub order: ByteOrder,
    /// Two's complement, or unsigned.
    pub signed: bool,
    /// First significant bit.
    pub bit_offset: u16,
    /// Significant bits.
    pub precision: u16,
}

impl Integer {
    /// A number that uses all its bits.
    pub const fn standard(size: u32, order: ByteOrder, signed: bool) -> Self {
        Integer { size, order, signed, bit_offset: 0, precision: (size * 8) as u16 }
    }
}

/// A floating-point number; positions and sizes in bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Float {
    /// Bytes.
    pub size: u32,
    /// Order of those bytes.
    pub order: ByteOrder,
    /// First significant bit.
    pub bit_offset: u16,
    /// Significant bits.
    pub precision: u16,
    /// Bit of the sign.
    pub sign_location: u8,
    /// First bit of the exponent.
    pub exponent_location: u8,
    /// Bits of the exponent.
    pub exponent_size: u8,
    /// First bit of the mantissa.
    pub mantissa_location: u8,
    /// Bits of the mantissa.
    pub mantissa_size: u8,
    /// What is subtracted from the exponent.
    pub exponent_bias: u32,
}

impl Float {
    /// IEEE 754 binary16, binary32 or binary64, by its bytes; `None` for any other size.
    pub const fn ieee(size: u32, order: ByteOrder) -> Option<Self> {
        let (exponent_size, mantissa_size, exponent_bias) = match size {
            2 => (5, 10, 15),
            4 => (8, 23, 127),
            8 => (11, 52, 1023),
            _ => return None,
        };
        let bits = (size * 8) as u8;
        Some(Float {
            size,
            order,
            bit_offset: 0,
            precision: bits as u16,
            sign_location: bits - 1,
            exponent_location: mantissa_size,
            exponent_size,
            mantissa_location: 0,
            mantissa_size,
            exponent_bias,
        })
    }
}

/// How a fixed string ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum StringPadding {
    /// At the first NUL.
    NullTerminated,
    /// Filled up with NULs.
    NullPadded,
    /// Filled up with spaces.
    SpacePadded,
}

/// A string of a fixed number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct FixedString {
    /// Bytes, at least 1.
    pub length: u32,
    /// How it ends.
    pub padding: StringPadding,
    /// Its character set.
    pub charset: CharacterSet,
}

/// A string of any length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct VariableString {
    /// How it ends.
    pub padding: StringPadding,
    /// Its character set.
    pub charset: CharacterSet,
}

/// Bytes that only their tag explains.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Opaque {
    /// Bytes, at least 1.
    pub size: u32,
    /// What they are; HDF5 keeps at most 255 bytes.
    pub tag: Name,
}

/// Named members at byte offsets.
#[derive(Clone, PartialEq, Debug)]
pub struct Compound {
    /// Bytes of one element, gaps included.
    pub size: u32,
    /// At least one.
    pub members: Vec<Member>,
}

/// A member of a compound.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    /// Its name.
    pub name: Name,
    /// Where it begins in the element, in bytes.
    pub offset: u32,
    /// Its type.
    pub datatype: Datatype,
}

impl Compound {
    /// Members one after the other without gaps; `None` where the size passes `u32`.
    pub fn packed(members: impl IntoIterator<Item = (Name, Datatype)>) -> Option<Self> {
        let mut size = 0u32;
        let mut placed = Vec::new();
        for (name, datatype) in members {
            let next = size.checked_add(u32::try_from(datatype.size()).ok()?)?;
            placed.push(Member { name, offset: size, datatype });
            size = next;
        }
        Some(Compound { size, members: placed })
    }
}

/// What a reference points at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ReferenceKind {
    /// An object: 8 bytes, the address of its header.
    Object,
    /// A region of a dataset: 12 bytes, a heap id.
    Region,
}

/// Named values of an integer type.
#[derive(Clone, PartialEq, Debug)]
pub struct Enumeration {
    /// The integer type of the values.
    pub base: Integer,
    /// Name and value (in the bytes of `base`), in the order of definition.
    pub members: Vec<(Name, Vec<u8>)>,
}

/// An array of a fixed shape as one element.
#[derive(Clone, PartialEq, Debug)]
pub struct ArrayType {
    /// Its extents, slowest first; at least one.
    pub dims: Vec<u32>,
    /// Its element.
    pub base: Box<Datatype>,
}

/// Bytes of a variable-length element in the file: u32 length, u64 collection address, u32 object index.
pub const SEQUENCE_SIZE: u64 = 16;
/// Bytes of an object reference: the address of an object header.
pub const OBJECT_REFERENCE_SIZE: u64 = 8;
/// Bytes of a region reference: a heap id (u64 collection address, u32 object index).
pub const REGION_REFERENCE_SIZE: u64 = 12;

impl Datatype {
    /// Bytes of one element in the presented file.
    pub fn size(&self) -> u64 {
        match self {
            Datatype::Integer(integer) => integer.size.into(),
            Datatype::Float(float) => float.size.into(),
            Datatype::String(string) => string.length.into(),
            Datatype::VariableString(_) | Datatype::Sequence(_) => SEQUENCE_SIZE,
            Datatype::Opaque(opaque) => opaque.size.into(),
            Datatype::Compound(compound) => compound.size.into(),
            Datatype::Reference(ReferenceKind::Object) => OBJECT_REFERENCE_SIZE,
            Datatype::Reference(ReferenceKind::Region) => REGION_REFERENCE_SIZE,
            Datatype::Enumeration(enumeration) => enumeration.base.size.into(),
            Datatype::Encoded(encoded) => encoded.size.into(),
            Datatype::Array(array) => {
                array.dims.iter().fold(array.base.size(), |size, &dim| size.saturating_mul(dim.into()))
            }
        }
    }

    /// True where an element holds something that only the layout can write down: a heap id or an address.
    pub fn needs_placement(&self) -> bool {
        match self {
            Datatype::VariableString(_) | Datatype::Sequence(_) | Datatype::Reference(_) => true,
            Datatype::Compound(compound) => compound.members.iter().any(|member| member.datatype.needs_placement()),
            Datatype::Array(array) => array.base.needs_placement(),
            Datatype::Encoded(encoded) => encoded.is_reference(),
            _ => false,
        }
    }

    /// True where an element leads into a heap (variable-length data, region references).
    pub fn needs_heap(&self) -> bool {
        match self {
            Datatype::VariableString(_) | Datatype::Sequence(_) | Datatype::Reference(ReferenceKind::Region) => true,
            Datatype::Compound(compound) => compound.members.iter().any(|member| member.datatype.needs_heap()),
            Datatype::Array(array) => array.base.needs_heap(),
            Datatype::Encoded(encoded) => encoded.is_reference(),
            _ => false,
        }
    }
}
