//! Datatypes of a file as the model has them.
//!
//! Numbers keep every bit of theirs; what the model has no word for is handed on as it is described
//! ([`Datatype::Encoded`]). Heap ids and addresses are as wide in the model as in most files; in a file with narrower
//! ones, what stands behind them in an element moves.

use crate::format::datatype::decode::{Bits, StoredClass, StoredOrder, StoredType};
use crate::model::datatype::{
    ArrayType, ByteOrder, Compound, Datatype, Encoded, Enumeration, FixedString, Float, Integer, Member, Opaque,
    ReferenceKind, StringPadding, VariableString,
};
use crate::model::limits::ELEMENT_BYTES;
use crate::model::name::{CharacterSet, Name};

/// The model's form of a type; the reason where it has none.
pub(super) fn datatype(stored: &StoredType) -> Result<Datatype, String> {
    let datatype = form(stored)?;
    // Either may be the larger one: addresses are as wide as the file's there.
    let size = datatype.size().max(stored.size.into());
    if size >= ELEMENT_BYTES { Err(format!("elements of {size} bytes")) } else { Ok(datatype) }
}

fn form(stored: &StoredType) -> Result<Datatype, String> {
    Ok(match &stored.class {
        StoredClass::Integer { bits, signed } => match integer(stored.size, bits, *signed) {
            Some(integer) => Datatype::Integer(integer),
            None => encoded(stored, "integer with padding"),
        },
        StoredClass::Float { .. } => match float(stored) {
            Some(float) => Datatype::Float(float),
            None => encoded(stored, "float of its own form"),
        },
        StoredClass::Time { .. } => encoded(stored, "time"),
        StoredClass::Bitfield(_) => encoded(stored, "bit field"),
        StoredClass::Complex(base) if !matches!(base.class, StoredClass::Float { .. }) => {
            return Err("complex numbers of something else than floats".to_owned());
        }
        StoredClass::Complex(_) => encoded(stored, "complex number"),
        StoredClass::String { padding, charset } => Datatype::String(FixedString {
            length: stored.size,
            padding: string_padding(*padding)?,
            charset: character_set(*charset)?,
        }),
        StoredClass::VariableString { padding, charset } => Datatype::VariableString(VariableString {
            padding: string_padding(*padding)?,
            charset: character_set(*charset)?,
        }),
        StoredClass::Opaque(tag) => Datatype::Opaque(Opaque { size: stored.size, tag: Name::new(tag.clone()) }),
        StoredClass::Compound(_) => Datatype::Compound(compound(stored)?),
        StoredClass::Reference(0) => Datatype::Reference(ReferenceKind::Object),
        StoredClass::Reference(1) => Datatype::Reference(ReferenceKind::Region),
        StoredClass::Reference(_) if stored.size == Encoded::REFERENCE_SIZE => encoded(stored, "reference"),
        StoredClass::Reference(_) => return Err(format!("references of {} bytes", stored.size)),
        StoredClass::Enumeration { base, members } => {
            let Datatype::Integer(base) = datatype(base)? else {
                return Err("an enumeration of something else than integers".to_owned());
            };
            let members = members.iter().map(|(name, value)| (Name::new(name.clone()), value.clone())).collect();
            Datatype::Enumeration(Enumeration { base, members })
        }
        StoredClass::Sequence(base) => Datatype::Sequence(Box::new(datatype(base)?)),
        StoredClass::Array { dims, base } => {
            Datatype::Array(ArrayType { dims: dims.clone(), base: Box::new(datatype(base)?) })
        }
    })
}

fn encoded(stored: &StoredType, name: &'static str) -> Datatype {
    Datatype::Encoded(Encoded { name: name.into(), size: stored.size, description: stored.body.clone() })
}

fn byte_order(order: StoredOrder) -> Option<ByteOrder> {
    match order {
        StoredOrder::Little => Some(ByteOrder::Little),
        StoredOrder::Big => Some(ByteOrder::Big),
        StoredOrder::Vax => None,
    }
}

fn integer(size: u32, bits: &Bits, signed: bool) -> Option<Integer> {
    let order = byte_order(bits.order).filter(|_| bits.padding == (false, false))?;
    Some(Integer { size, order, signed, bit_offset: bits.offset, precision: bits.precision })
}

fn float(stored: &StoredType) -> Option<Float> {
    let StoredClass::Float { bits, inner_padding, normalization, sign, exponent, mantissa, bias } = &stored.class
    else {
        return None;
    };
    // The form in which the presented file writes floats: nothing but zeros around the bits, an implied first bit.
    const IMPLIED: u8 = 2;
    let usual = bits.padding == (false, false) && !inner_padding && *normalization == IMPLIED;
    Some(Float {
        size: stored.size,
        order: byte_order(bits.order).filter(|_| usual)?,
        bit_offset: bits.offset,
        precision: bits.precision,
        sign_location: *sign,
        exponent_location: exponent.0,
        exponent_size: exponent.1,
        mantissa_location: mantissa.0,
        mantissa_size: mantissa.1,
        exponent_bias: *bias,
    })
}

fn string_padding(padding: u8) -> Result<StringPadding, String> {
    match padding {
        0 => Ok(StringPadding::NullTerminated),
        1 => Ok(StringPadding::NullPadded),
        2 => Ok(StringPadding::SpacePadded),
        _ => Err(format!("strings padded in way {padding}")),
    }
}

fn character_set(charset: u8) -> Result<CharacterSet, String> {
    match charset {
        0 => Ok(CharacterSet::Ascii),
        1 => Ok(CharacterSet::Utf8),
        _ => Err(format!("strings in character set {charset}")),
    }
}

fn compound(stored: &StoredType) -> Result<Compound, String> {
    let StoredClass::Compound(parts) = &stored.class else { return Err("no compound".to_owned()) };
    let mut members = Vec::with_capacity(parts.len());
    for part in parts {
        members.push(Member {
            name: Name::new(part.name.clone()),
            offset: part.offset,
            datatype: datatype(&part.datatype)?,
        });
    }
    // How much wider each member became, from the first byte on.
    let mut growth: Vec<(u32, u64)> = parts
        .iter()
        .zip(&members)
        .map(|(part, member)| (part.offset, member.datatype.size().saturating_sub(part.datatype.size.into())))
        .filter(|(_, growth)| *growth > 0)
        .collect();
    growth.sort_unstable();
    let moved = |offset: u32| {
        let before = growth.iter().take_while(|(at, _)| *at < offset).map(|(_, growth)| growth).sum::<u64>();
        u32::try_from(u64::from(offset) + before).map_err(|_| "an element past 4 GiB".to_owned())
    };
    for member in &mut members {
        member.offset = moved(member.offset)?;
    }
    // Past every member.
    Ok(Compound { size: moved(stored.size)?, members })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::datatype::decode::StoredMember;

    fn stored(size: u32, class: StoredClass) -> StoredType {
        StoredType { version: 1, size, class, body: vec![7] }
    }

    #[test]
    fn narrow_heap_ids_move_what_stands_behind_them() {
        let bits = Bits { order: StoredOrder::Little, offset: 0, precision: 16, padding: (false, false) };
        let number = stored(2, StoredClass::Integer { bits, signed: true });
        let text = stored(12, StoredClass::VariableString { padding: 0, charset: 0 });
        let member = |name: &[u8], offset, datatype| StoredMember { name: name.to_vec(), offset, datatype };
        let members = vec![member(b"b", 14, number.clone()), member(b"t", 2, text), member(b"a", 0, number)];
        let Ok(Datatype::Compound(compound)) = datatype(&stored(16, StoredClass::Compound(members))) else {
            panic!("no compound")
        };
        assert_eq!(compound.members.iter().map(|member| member.offset).collect::<Vec<_>>(), [18, 2, 0]);
        assert_eq!(compound.size, 20);
    }

    #[test]
    fn unusual_numbers_are_handed_on() {
        let bits = Bits { order: StoredOrder::Little, offset: 0, precision: 16, padding: (true, false) };
        for class in [StoredClass::Integer { bits, signed: true }, StoredClass::Bitfield(bits)] {
            let Ok(Datatype::Encoded(encoded)) = datatype(&stored(2, class)) else { panic!("not handed on") };
            assert_eq!((encoded.size, encoded.description), (2, vec![7]));
        }
        assert!(datatype(&stored(64, StoredClass::Reference(2))).is_err());
    }

    #[test]
    fn elements_larger_than_any_other_room_takes_are_not_read() {
        let opaque = |size| datatype(&stored(size, StoredClass::Opaque(Vec::new())));
        assert!(opaque((1 << 31) - 1).is_ok());
        assert_eq!(opaque(1 << 31), Err("elements of 2147483648 bytes".to_owned()));
        // A text of a narrow file takes 16 bytes here.
        let text = Box::new(stored(12, StoredClass::VariableString { padding: 0, charset: 0 }));
        let array = |count| datatype(&stored(12 * count, StoredClass::Array { dims: vec![count], base: text.clone() }));
        assert!(array((1 << 27) - 1).is_ok() && array(1 << 27).is_err());
    }
}
