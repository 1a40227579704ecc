//! Types: JSON, of both dialects, to datatypes.
//!
//! HSDS keeps no offsets: compounds come out packed, so a type that holds nothing variable and no reference is, element
//! by element, the same bytes in the store as in the presented file ([`super::stream`] rests on that).

use serde_json::Value;

use super::document::{integer, name, unsigned};
use super::fault::Fault;
use super::id::{Id, IdKind};
use super::shape::extents;
use crate::model::datatype::*;
use crate::model::limits;
use crate::model::name::{CharacterSet, Name};

/// Bytes of a tag that HDF5 keeps (specification IV.A.2.d, opaque: the length is eight bits).
const TAG_BYTES: usize = 255;
/// Characters of the text form of an object reference.
pub const REFERENCE_TEXT: u64 = 48;

/// The datatype a `type` describes: an object, or the name of a predefined type.
pub fn datatype(value: &Value) -> Result<Datatype, Fault> {
    let datatype = at_depth(value, 0)?;
    let size = datatype.size();
    if size > limits::ELEMENT_BYTES {
        return Err(Fault::limit(format!("an element of {size} bytes"), limits::ELEMENT_BYTES));
    }
    Ok(datatype)
}

/// The committed datatype that a `type` is a copy of.
pub fn committed(value: &Value) -> Option<Id> {
    let id = Id::parse(value.get("id")?.as_str()?)?;
    (id.kind() == IdKind::Datatype).then_some(id)
}

fn at_depth(value: &Value, depth: usize) -> Result<Datatype, Fault> {
    if depth > limits::DATATYPE_DEPTH {
        return Err(Fault::limit("nesting of a datatype", limits::DATATYPE_DEPTH as u64));
    }
    if let Some(predefined_name) = value.as_str() {
        return predefined(predefined_name);
    }
    let class = value.get("class").and_then(Value::as_str).ok_or(Fault::Missing("class of the type"))?;
    let base = || at_depth(value.get("base").ok_or(Fault::Missing("base of the type"))?, depth + 1);
    match class {
        "H5T_INTEGER" | "H5T_FLOAT" => base(),
        "H5T_STRING" => string(value),
        "H5T_VLEN" => Ok(Datatype::Sequence(Box::new(base()?))),
        "H5T_COMPOUND" => compound(value, depth),
        "H5T_ARRAY" => array(value, base()?),
        "H5T_ENUM" => enumeration(value, base()?),
        "H5T_OPAQUE" => opaque(value),
        "H5T_REFERENCE" => reference(value),
        other => Err(Fault::Unsupported(format!("a datatype of class {other}"))),
    }
}

fn predefined(word: &str) -> Result<Datatype, Fault> {
    let unsupported = || Fault::Unsupported(format!("the predefined datatype {word}"));
    let (stem, order) = match (word.strip_suffix("LE"), word.strip_suffix("BE")) {
        (Some(stem), _) => (stem, ByteOrder::Little),
        (_, Some(stem)) => (stem, ByteOrder::Big),
        // 0.9 leaves the order away in places; it means little-endian.
        _ => (word, ByteOrder::Little),
    };
    let bytes = |bits: &str| match bits {
        "8" => Some(1),
        "16" => Some(2),
        "32" => Some(4),
        "64" => Some(8),
        _ => None,
    };
    if let Some(bits) = stem.strip_prefix("H5T_STD_I") {
        return Ok(Datatype::Integer(Integer::standard(bytes(bits).ok_or_else(unsupported)?, order, true)));
    }
    if let Some(bits) = stem.strip_prefix("H5T_STD_U") {
        return Ok(Datatype::Integer(Integer::standard(bytes(bits).ok_or_else(unsupported)?, order, false)));
    }
    if let Some(bits) = stem.strip_prefix("H5T_IEEE_F") {
        let float = bytes(bits).and_then(|size| Float::ieee(size, order));
        return Ok(Datatype::Float(float.ok_or_else(unsupported)?));
    }
    match word {
        "H5T_STD_REF_OBJ" => Ok(Datatype::Reference(ReferenceKind::Object)),
        "H5T_STD_REF_DSETREG" => Ok(Datatype::Reference(ReferenceKind::Region)),
        _ => Err(unsupported()),
    }
}

fn string(value: &Value) -> Result<Datatype, Fault> {
    let charset = match value.get("charSet").and_then(Value::as_str) {
        Some("H5T_CSET_UTF8") => CharacterSet::Utf8,
        _ => CharacterSet::Ascii,
    };
    let padding = match value.get("strPad").and_then(Value::as_str) {
        Some("H5T_STR_NULLTERM") => Some(StringPadding::NullTerminated),
        Some("H5T_STR_NULLPAD") => Some(StringPadding::NullPadded),
        Some("H5T_STR_SPACEPAD") => Some(StringPadding::SpacePadded),
        _ => None,
    };
    let length = value.get("length").ok_or(Fault::Missing("length of the string type"))?;
    if length.as_str() == Some("H5T_VARIABLE") {
        let padding = padding.unwrap_or(StringPadding::NullTerminated);
        return Ok(Datatype::VariableString(VariableString { padding, charset }));
    }
    let length = size_of("length of the string type", length)?;
    Ok(Datatype::String(FixedString { length, padding: padding.unwrap_or(StringPadding::NullPadded), charset }))
}

fn compound(value: &Value, depth: usize) -> Result<Datatype, Fault> {
    let fields = value.get("fields").and_then(Value::as_array).ok_or(Fault::Missing("fields of the compound type"))?;
    let mut seen = std::collections::HashSet::with_capacity(fields.len());
    let mut members = Vec::with_capacity(fields.len());
    for field in fields {
        let member = field.get("name").and_then(Value::as_str).ok_or(Fault::Missing("name of a compound field"))?;
        let member = member_name(member)?;
        if !seen.insert(member.clone()) {
            return Err(Fault::malformed("compound type", format!("two fields named {member}")));
        }
        members
            .push((member, at_depth(field.get("type").ok_or(Fault::Missing("type of a compound field"))?, depth + 1)?));
    }
    if members.is_empty() {
        return Err(Fault::malformed("compound type", "has no field"));
    }
    let compound = Compound::packed(members).ok_or_else(|| Fault::limit("a compound type", limits::ELEMENT_BYTES))?;
    Ok(Datatype::Compound(compound))
}

fn array(value: &Value, base: Datatype) -> Result<Datatype, Fault> {
    let dims = value.get("dims").ok_or(Fault::Missing("dims of the array type"))?;
    let dims = match unsigned(dims) {
        Some(single) => vec![single],
        None => extents("dims of the array type", dims)?,
    };
    if dims.is_empty() || dims.contains(&0) {
        return Err(Fault::malformed("dims of the array type", "hold no element"));
    }
    let dims: Option<Vec<u32>> = dims.into_iter().map(|dim| u32::try_from(dim).ok()).collect();
    let dims = dims.ok_or_else(|| Fault::limit("an extent of an array type", u32::MAX.into()))?;
    Ok(Datatype::Array(ArrayType { dims, base: Box::new(base) }))
}

fn enumeration(value: &Value, base: Datatype) -> Result<Datatype, Fault> {
    let Datatype::Integer(base) = base else {
        return Err(Fault::malformed("enumeration", "its base is no integer type"));
    };
    let given = value.get("members").or_else(|| value.get("mapping"));
    let mut members = Vec::new();
    match given.ok_or(Fault::Missing("members of the enumeration"))? {
        Value::Object(mapping) => {
            for (word, number) in mapping {
                members.push((member_name(word)?, enumerator(&base, number)?));
            }
        }
        Value::Array(list) => {
            for member in list {
                let word = member.get("name").and_then(Value::as_str).ok_or(Fault::Missing("name of an enumerator"))?;
                let number = member.get("value").ok_or(Fault::Missing("value of an enumerator"))?;
                members.push((member_name(word)?, enumerator(&base, number)?));
            }
        }
        _ => return Err(Fault::malformed("enumeration", "its members are no list")),
    }
    if members.is_empty() {
        return Err(Fault::malformed("enumeration", "has no member"));
    }
    Ok(Datatype::Enumeration(Enumeration { base, members }))
}

fn enumerator(base: &Integer, value: &Value) -> Result<Vec<u8>, Fault> {
    integer(value)
        .and_then(|number| integer_bytes(base, number))
        .ok_or_else(|| Fault::malformed("enumeration", format!("{value} is no value of its base type")))
}

fn opaque(value: &Value) -> Result<Datatype, Fault> {
    let size = size_of("size of the opaque type", value.get("size").ok_or(Fault::Missing("size of the opaque type"))?)?;
    let mut tag = value.get("tag").and_then(Value::as_str).map(super::document::text).unwrap_or_default();
    // A NUL ends a tag in HDF5.
    tag.truncate(tag.iter().position(|&byte| byte == 0).unwrap_or(tag.len()).min(TAG_BYTES));
    Ok(Datatype::Opaque(Opaque { size, tag: Name::new(tag) }))
}

fn reference(value: &Value) -> Result<Datatype, Fault> {
    match value.get("base").and_then(Value::as_str) {
        Some("H5T_STD_REF_OBJ") => match value.get("length") {
            Some(length) if unsigned(length) != Some(REFERENCE_TEXT) => {
                Err(Fault::Unsupported(format!("an object reference of length {length}")))
            }
            _ => Ok(Datatype::Reference(ReferenceKind::Object)),
        },
        Some("H5T_STD_REF_DSETREG") => Ok(Datatype::Reference(ReferenceKind::Region)),
        other => Err(Fault::Unsupported(format!("a reference of kind {}", other.unwrap_or("(none)")))),
    }
}

/// The bytes of a number in an integer type; `None` where it does not fit.
pub fn integer_bytes(datatype: &Integer, number: i128) -> Option<Vec<u8>> {
    let bits = datatype.size.checked_mul(8).filter(|bits| *bits <= 64)?;
    let (low, high) =
        if datatype.signed { (-(1i128 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
    if !(low..=high).contains(&number) {
        return None;
    }
    let mut bytes = number.to_le_bytes()[..datatype.size as usize].to_vec();
    if datatype.order == ByteOrder::Big {
        bytes.reverse();
    }
    Some(bytes)
}

/// A size from 1 to the limit of an element.
fn size_of(what: &'static str, value: &Value) -> Result<u32, Fault> {
    let size = unsigned(value).ok_or_else(|| Fault::malformed(what, "is no number"))?;
    if size == 0 {
        return Err(Fault::malformed(what, "is 0"));
    }
    match u32::try_from(size) {
        Ok(size) if u64::from(size) <= limits::ELEMENT_BYTES => Ok(size),
        _ => Err(Fault::limit(format!("{what} ({size})"), limits::ELEMENT_BYTES)),
    }
}

fn member_name(word: &str) -> Result<Name, Fault> {
    let member = name(word);
    if member.as_bytes().is_empty() || member.as_bytes().contains(&0) {
        return Err(Fault::malformed("member name", format!("{word:?} is no name in HDF5")));
    }
    Ok(member)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_dialects_of_numbers_and_enumerations() {
        let int = Datatype::Integer(Integer::standard(4, ByteOrder::Little, true));
        assert_eq!(datatype(&json!({"class": "H5T_INTEGER", "base": "H5T_STD_I32LE"})), Ok(int.clone()));
        assert_eq!(datatype(&json!("H5T_STD_I32")), Ok(int));
        let old = json!({"class": "H5T_ENUM", "base": "H5T_STD_I16BE", "mapping": {"A": 1, "B": -2}});
        let new = json!({"class": "H5T_ENUM", "base": {"class": "H5T_INTEGER", "base": "H5T_STD_I16BE"},
            "members": [{"name": "A", "value": 1}, {"name": "B", "value": -2}]});
        assert_eq!(datatype(&old), datatype(&new));
        let Ok(Datatype::Enumeration(enumeration)) = datatype(&old) else { panic!() };
        assert_eq!(enumeration.members[1], (Name::from("B"), vec![0xff, 0xfe]));
    }

    #[test]
    fn compounds_are_packed_whatever_the_offsets_say() {
        let json = json!({"class": "H5T_COMPOUND", "size": 16, "fields": [
            {"name": "a", "type": "H5T_STD_I8LE", "offset": 0},
            {"name": "b", "type": "H5T_IEEE_F64LE", "offset": 8}]});
        let Ok(Datatype::Compound(compound)) = datatype(&json) else { panic!() };
        assert_eq!((compound.size, compound.members[1].offset), (9, 1));
    }

    #[test]
    fn what_hdf5_has_no_room_for_is_a_fault() {
        for json in [
            json!({"class": "H5T_STRING", "length": 0}),
            json!({"class": "H5T_STRING", "length": 4294967296u64}),
            json!({"class": "H5T_ARRAY", "dims": [65536, 65536], "base": "H5T_STD_I8LE"}),
            json!({"class": "H5T_COMPOUND", "fields": []}),
            json!({"class": "H5T_ENUM", "base": "H5T_STD_I8LE", "mapping": {"A": 128}}),
            json!({"class": "H5T_BITFIELD", "base": "H5T_STD_B8LE"}),
            json!("H5T_IEEE_F80LE"),
            json!("H5T_IEEE_F8LE"),
            json!(null),
        ] {
            assert!(datatype(&json).is_err(), "{json}");
        }
        let mut deep = json!("H5T_STD_I8LE");
        for _ in 0..100 {
            deep = json!({"class": "H5T_VLEN", "base": deep});
        }
        assert!(matches!(datatype(&deep), Err(Fault::Limit { .. })));
    }

    #[test]
    fn a_copy_of_a_committed_type_names_it() {
        let id = "t-eead9692-958fefb4-0dcd-98eb17-33b2f5";
        assert_eq!(committed(&json!({"class": "H5T_COMPOUND", "id": id})), Id::parse(id));
        assert_eq!(committed(&json!({"id": "d-eead9692-958fefb4-0dcd-98eb17-33b2f5"})), None);
    }
}
