//! Datatypes of versions 1 to 5, as exactly as a file has them.
//!
//! A [`StoredType`] speaks of the file it stands in: a sequence of a file with 4-byte addresses has 12 bytes, a bit field
//! is no integer, a float may have any bits. What of it a presented file can have is for others to say.

use super::{STRUCTURE, class};
use crate::format::cursor::Cursor;
use crate::format::{FormatError, Kind};
use crate::model::limits::{DATATYPE_DEPTH, RANK};

/// Classes that are only read.
mod read_only {
    pub const TIME: u8 = 2;
    pub const BITFIELD: u8 = 4;
    pub const COMPLEX: u8 = 11;
}

/// A datatype of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredType {
    /// 1 to 5.
    pub version: u8,
    /// Bytes of an element.
    pub size: u32,
    /// What an element is.
    pub class: StoredClass,
    /// The bytes that say so, of a type without names and addresses; else none.
    pub body: Vec<u8>,
}

/// Order of a number's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoredOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
    /// Pairs of bytes, as VAX has floats.
    Vax,
}

/// The bits of a number that count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bits {
    /// Order of bytes.
    pub order: StoredOrder,
    /// First bit that counts.
    pub offset: u16,
    /// Bits that count.
    pub precision: u16,
    /// Whether bits below and above them are ones.
    pub padding: (bool, bool),
}

/// What an element is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredClass {
    /// A fixed-point number.
    Integer {
        /// Its bits.
        bits: Bits,
        /// Two's complement.
        signed: bool,
    },
    /// A floating-point number.
    Float {
        /// Its bits.
        bits: Bits,
        /// Padding inside are ones.
        inner_padding: bool,
        /// 0 as it is, 1 first bit of the mantissa set, 2 implied to be set.
        normalization: u8,
        /// Bit of the sign.
        sign: u8,
        /// First bit and bits of the exponent.
        exponent: (u8, u8),
        /// First bit and bits of the mantissa.
        mantissa: (u8, u8),
        /// Bias of the exponent.
        bias: u32,
    },
    /// A time; no library can read one.
    Time {
        /// Order of bytes.
        order: StoredOrder,
        /// Bits that count.
        precision: u16,
    },
    /// A string of a fixed number of bytes.
    String {
        /// 0 NUL-terminated, 1 NUL-padded, 2 space-padded.
        padding: u8,
        /// 0 ASCII, 1 UTF-8.
        charset: u8,
    },
    /// Bits without a number.
    Bitfield(Bits),
    /// Bytes that only their tag explains.
    Opaque(Vec<u8>),
    /// Named members.
    Compound(Vec<StoredMember>),
    /// 0 object, 1 region; 2 object, 3 region, 4 attribute in the form of HDF5 1.12.
    Reference(u8),
    /// Named values of a base type.
    Enumeration {
        /// The base type.
        base: Box<StoredType>,
        /// Name and bytes of each value.
        members: Vec<(Vec<u8>, Vec<u8>)>,
    },
    /// A sequence of any length.
    Sequence(Box<StoredType>),
    /// A string of any length.
    VariableString {
        /// As for fixed strings.
        padding: u8,
        /// As for fixed strings.
        charset: u8,
    },
    /// An array.
    Array {
        /// Its extents.
        dims: Vec<u32>,
        /// Its element.
        base: Box<StoredType>,
    },
    /// A complex number: two of a base type.
    Complex(Box<StoredType>),
}

/// A member of a compound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredMember {
    /// Its name.
    pub name: Vec<u8>,
    /// Where it begins in the element.
    pub offset: u32,
    /// Its type.
    pub datatype: StoredType,
}

/// A message's body.
pub fn decode(body: &mut Cursor<'_>) -> Result<StoredType, FormatError> {
    datatype(&mut { *body }.named(STRUCTURE), DATATYPE_DEPTH)
}

fn datatype(body: &mut Cursor<'_>, depth: usize) -> Result<StoredType, FormatError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(body.fault(Kind::Limit, format!("nested deeper than {DATATYPE_DEPTH} types")));
    };
    let start = *body;
    let first = body.u8()?;
    let (version, class_number) = (first >> 4, first & 0x0f);
    if !(1..=5).contains(&version) {
        return Err(start.fault(Kind::Version, format!("version {version}")));
    }
    let flags = body.uint(3)? as u32;
    let low = flags as u8;
    let size = body.u32()?;
    let count = flags & 0xffff;
    let class = match class_number {
        class::FIXED_POINT => {
            StoredClass::Integer { bits: bits(body, order(low), low, size)?, signed: low & 0x08 != 0 }
        }
        read_only::BITFIELD => StoredClass::Bitfield(bits(body, order(low), low, size)?),
        class::FLOATING_POINT => float(body, flags, size)?,
        read_only::TIME => StoredClass::Time { order: order(low), precision: body.u16()? },
        class::STRING => StoredClass::String { padding: low & 0x0f, charset: low >> 4 },
        class::OPAQUE => StoredClass::Opaque(until_nul(body.take(low.into())?)),
        class::COMPOUND => StoredClass::Compound(members(body, version, size, count, depth)?),
        class::REFERENCE => StoredClass::Reference(low & 0x0f),
        class::ENUMERATION => enumeration(body, version, count, depth)?,
        class::VARIABLE_LENGTH => {
            let base = datatype(body, depth)?;
            match low & 0x0f {
                0 => StoredClass::Sequence(Box::new(base)),
                1 => StoredClass::VariableString { padding: low >> 4, charset: (flags >> 8) as u8 & 0x0f },
                kind => return Err(start.bad(format!("variable length of type {kind}"))),
            }
        }
        class::ARRAY => array(body, version, size, depth)?,
        read_only::COMPLEX => {
            let base = datatype(body, depth)?;
            if u64::from(base.size) * 2 != u64::from(size) {
                return Err(start.bad(format!("a complex number of {size} bytes of two of {}", base.size)));
            }
            StoredClass::Complex(Box::new(base))
        }
        class => return Err(start.bad(format!("class {class}"))),
    };
    if size == 0 {
        return Err(start.bad("an element of 0 bytes"));
    }
    let read = body.read() - start.read();
    let own = match class {
        StoredClass::Integer { .. }
        | StoredClass::Float { .. }
        | StoredClass::Time { .. }
        | StoredClass::Bitfield(_)
        | StoredClass::Reference(2..)
        | StoredClass::Complex(_) => start.rest().get(..read).unwrap_or_default().to_vec(),
        _ => Vec::new(),
    };
    Ok(StoredType { version, size, class, body: own })
}

fn order(low: u8) -> StoredOrder {
    if low & 1 == 0 { StoredOrder::Little } else { StoredOrder::Big }
}

fn until_nul(text: &[u8]) -> Vec<u8> {
    text.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()
}

fn bits(body: &mut Cursor<'_>, order: StoredOrder, low: u8, size: u32) -> Result<Bits, FormatError> {
    let (offset, precision) = (body.u16()?, body.u16()?);
    if precision == 0 || u64::from(offset) + u64::from(precision) > u64::from(size) * 8 {
        return Err(body.bad(format!("{precision} bits from bit {offset} on in a number of {size} bytes")));
    }
    Ok(Bits { order, offset, precision, padding: (low & 2 != 0, low & 4 != 0) })
}

fn float(body: &mut Cursor<'_>, flags: u32, size: u32) -> Result<StoredClass, FormatError> {
    let order = match flags & 0x41 {
        0 => StoredOrder::Little,
        1 => StoredOrder::Big,
        0x41 => StoredOrder::Vax,
        _ => return Err(body.bad("an unknown order of bytes")),
    };
    let bits = bits(body, order, flags as u8, size)?;
    let (exponent, mantissa) = ((body.u8()?, body.u8()?), (body.u8()?, body.u8()?));
    // Places count from the element's first bit, as `offset` does.
    let end = u32::from(bits.offset) + u32::from(bits.precision);
    let fits = |(at, len): (u8, u8)| len > 0 && u32::from(at) + u32::from(len) <= end;
    if !fits(exponent) || !fits(mantissa) {
        return Err(body.bad(format!("exponent {exponent:?} and mantissa {mantissa:?} in {end} bits")));
    }
    Ok(StoredClass::Float {
        bits,
        inner_padding: flags & 8 != 0,
        normalization: (flags >> 4 & 3) as u8,
        sign: (flags >> 8) as u8,
        exponent,
        mantissa,
        bias: body.u32()?,
    })
}

fn name(body: &mut Cursor<'_>, version: u8) -> Result<Vec<u8>, FormatError> {
    Ok(if version < 3 { body.padded_text()? } else { body.text()? }.to_vec())
}

fn members(
    body: &mut Cursor<'_>,
    version: u8,
    size: u32,
    count: u32,
    depth: usize,
) -> Result<Vec<StoredMember>, FormatError> {
    if count == 0 {
        return Err(body.bad("a compound without members"));
    }
    let mut members = Vec::new();
    for _ in 0..count {
        let start = *body;
        let name = name(body, version)?;
        let width = if version < 3 { 4 } else { super::width_of(size.into()) };
        let offset = body.uint(width)? as u32;
        let mut dims = Vec::new();
        if version == 1 {
            let rank = body.u8()?;
            if rank > 4 {
                return Err(body.bad(format!("a member of rank {rank}")));
            }
            body.skip(3 + 4 + 4)?;
            dims = (0..4).map(|_| body.u32()).collect::<Result<Vec<_>, _>>()?;
            dims.truncate(rank.into());
        }
        let mut datatype = datatype(body, depth)?;
        if !dims.is_empty() {
            let bytes = dims.iter().try_fold(datatype.size, |size, &dim| size.checked_mul(dim));
            let Some(bytes) = bytes.filter(|&bytes| bytes > 0) else {
                return Err(start.bad(format!("a member of extents {dims:?}")));
            };
            let class = StoredClass::Array { dims, base: Box::new(datatype) };
            datatype = StoredType { version, size: bytes, class, body: Vec::new() };
        }
        if u64::from(offset) + u64::from(datatype.size) > u64::from(size) {
            return Err(start.bad(format!("a member at {offset} of {} bytes in a compound of {size}", datatype.size)));
        }
        members.push(StoredMember { name, offset, datatype });
    }
    Ok(members)
}

fn enumeration(body: &mut Cursor<'_>, version: u8, count: u32, depth: usize) -> Result<StoredClass, FormatError> {
    let base = Box::new(datatype(body, depth)?);
    let names = (0..count).map(|_| name(body, version)).collect::<Result<Vec<_>, _>>()?;
    let value = |body: &mut Cursor<'_>| Ok::<_, FormatError>(body.take(base.size as usize)?.to_vec());
    let mut members = Vec::new();
    for name in names {
        members.push((name, value(body)?));
    }
    Ok(StoredClass::Enumeration { base, members })
}

fn array(body: &mut Cursor<'_>, version: u8, size: u32, depth: usize) -> Result<StoredClass, FormatError> {
    let rank = body.u8()?;
    if rank == 0 || usize::from(rank) > RANK {
        return Err(body.bad(format!("an array of rank {rank}")));
    }
    if version < 3 {
        body.skip(3)?;
    }
    let dims = (0..rank).map(|_| body.u32()).collect::<Result<Vec<_>, _>>()?;
    if version < 3 {
        body.skip(4 * usize::from(rank))?; // Permutation: never anything but the identity.
    }
    let base = Box::new(datatype(body, depth)?);
    let bytes = dims.iter().try_fold(u64::from(base.size), |size, &dim| size.checked_mul(dim.into()));
    if bytes != Some(size.into()) {
        return Err(body.bad(format!("an array of {size} bytes of {dims:?} elements of {}", base.size)));
    }
    Ok(StoredClass::Array { dims, base })
}
