//! Types, shapes, filters, links and values in the words that people read.

use serde_json::{Number, Value, json};

use super::inspect::plain;
use super::paths::Paths;
use crate::model::dataspace::Dataspace;
use crate::model::datatype::{ByteOrder, Datatype, Float, Integer, ReferenceKind, StringPadding};
use crate::model::elements::{Elements, Place, Target};
use crate::model::hierarchy::{DataLayout, Hierarchy, TypeUse};
use crate::model::name::CharacterSet;
use crate::model::pipeline::Filter;
use crate::model::selection::Selection;

/// A datatype: `int32`, `float64 (big-endian)`, `string[12]`, `{x: int32, y: float64}`.
pub fn datatype(datatype: &Datatype) -> String {
    match datatype {
        Datatype::Integer(integer) => integer_name(integer),
        Datatype::Float(float) => {
            let bits = float.size.saturating_mul(8);
            let ieee = Float::ieee(float.size, float.order) == Some(*float);
            let odd = if ieee { String::new() } else { format!(" with {} significant bits", float.precision) };
            format!("float{bits}{odd}{}", order(float.order, float.size))
        }
        Datatype::String(string) => {
            let charset = if string.charset == CharacterSet::Utf8 { ", UTF-8" } else { "" };
            let padding = match string.padding {
                StringPadding::NullTerminated => ", null-terminated",
                StringPadding::NullPadded => "",
                StringPadding::SpacePadded => ", space-padded",
            };
            format!("string[{}{charset}{padding}]", string.length)
        }
        Datatype::VariableString(string) => {
            if string.charset == CharacterSet::Utf8 { "string (UTF-8)" } else { "string" }.to_owned()
        }
        Datatype::Opaque(opaque) if opaque.tag.as_bytes().is_empty() => format!("opaque[{}]", opaque.size),
        Datatype::Opaque(opaque) => format!("opaque[{}] \"{}\"", opaque.size, plain(&opaque.tag.to_string())),
        Datatype::Compound(compound) => {
            let members = compound.members.iter();
            let members: Vec<String> = members
                .map(|member| format!("{}: {}", plain(&member.name.to_string()), self::datatype(&member.datatype)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        Datatype::Reference(ReferenceKind::Object) => "reference".to_owned(),
        Datatype::Reference(ReferenceKind::Region) => "region reference".to_owned(),
        Datatype::Enumeration(enumeration) => {
            let members = enumeration.members.iter();
            let members: Vec<String> = members
                .map(|(name, value)| {
                    format!("{}={}", plain(&name.to_string()), integer_value(&enumeration.base, value))
                })
                .collect();
            format!("enum {} {{{}}}", integer_name(&enumeration.base), members.join(", "))
        }
        Datatype::Sequence(base) => format!("sequence of {}", self::datatype(base)),
        Datatype::Array(array) => format!("{:?} of {}", array.dims, self::datatype(&array.base)),
        Datatype::Encoded(encoded) => format!("{}[{}]", encoded.name, encoded.size),
    }
}

fn integer_name(integer: &Integer) -> String {
    let sign = if integer.signed { "" } else { "u" };
    let bits = integer.size.saturating_mul(8);
    let odd = match u32::from(integer.precision) == bits {
        true => String::new(),
        false => format!(" with {} significant bits", integer.precision),
    };
    format!("{sign}int{bits}{odd}{}", order(integer.order, integer.size))
}

fn order(order: ByteOrder, size: u32) -> &'static str {
    // The order of one byte says nothing.
    if order == ByteOrder::Big && size > 1 { " (big-endian)" } else { "" }
}

/// The type that a dataset or attribute uses.
pub fn type_use(hierarchy: &Hierarchy, usage: &TypeUse) -> String {
    hierarchy.datatype(usage).map_or_else(|| "unknown type".to_owned(), datatype)
}

/// A shape: `(73, 144)`, `(24 of unlimited, 73)`, `scalar`, `null`.
pub fn shape(dataspace: &Dataspace) -> String {
    match dataspace {
        Dataspace::Null => "null".to_owned(),
        Dataspace::Scalar => "scalar".to_owned(),
        Dataspace::Simple { dims, max_dims } => {
            let extents = dims.iter().zip(max_dims).map(|(dim, max)| match max {
                Some(max) if max == dim => dim.to_string(),
                Some(max) => format!("{dim} of {max}"),
                None => format!("{dim} of unlimited"),
            });
            format!("({})", extents.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Filters, in the order in which a writer applies them.
pub fn filters(filters: &[Filter]) -> Vec<String> {
    let name = |filter: &Filter| match filter {
        Filter::Deflate(level) => format!("gzip-{level}"),
        Filter::Shuffle => "shuffle".to_owned(),
        Filter::Fletcher32 => "fletcher32".to_owned(),
        Filter::Other { name, .. } => plain(name),
    };
    filters.iter().map(name).collect()
}

/// Elements as JSON: nested lists of `dims`, one value for a scalar. Numbers that JSON has no word for are the strings
/// `NaN`, `Infinity`, `-Infinity`; opaque bytes are hexadecimal; a reference is the path it leads to.
pub fn value(datatype: &Datatype, dataspace: &Dataspace, elements: &Elements, paths: &Paths) -> Value {
    let reader = Reader { elements, paths };
    match dataspace {
        Dataspace::Null => Value::Null,
        Dataspace::Scalar => reader.element(datatype, 0),
        Dataspace::Simple { dims, .. } => reader.list(datatype, dims, &mut 0),
    }
}

struct Reader<'a> {
    elements: &'a Elements,
    paths: &'a Paths,
}

impl Reader<'_> {
    fn list(&self, datatype: &Datatype, dims: &[u64], at: &mut u64) -> Value {
        let Some((&extent, inner)) = dims.split_first() else {
            let value = self.element(datatype, *at);
            *at = at.saturating_add(datatype.size());
            return value;
        };
        // No more than there are bytes for: a shape may say anything.
        let left = (self.elements.bytes.len() as u64).saturating_sub(*at) / datatype.size().max(1);
        Value::Array((0..extent.min(left)).map(|_| self.list(datatype, inner, at)).collect())
    }

    fn bytes(&self, at: u64, length: u64) -> &[u8] {
        let range = at as usize..at.saturating_add(length) as usize;
        self.elements.bytes.get(range).unwrap_or_default()
    }

    fn place(&self, at: u64) -> Option<&Target> {
        let number = self.elements.places.binary_search_by_key(&at, |place: &Place| place.at).ok()?;
        self.elements.places.get(number).map(|place| &place.target)
    }

    fn element(&self, datatype: &Datatype, at: u64) -> Value {
        let bytes = self.bytes(at, datatype.size());
        match datatype {
            Datatype::Integer(integer) => integer_value(integer, bytes),
            Datatype::Float(float) => float_value(float, bytes),
            Datatype::String(string) => {
                let end = match string.padding {
                    StringPadding::NullTerminated => bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()),
                    StringPadding::NullPadded => {
                        bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count()
                    }
                    StringPadding::SpacePadded => bytes.trim_ascii_end().len(),
                };
                text(bytes.get(..end).unwrap_or_default())
            }
            Datatype::VariableString(_) => match self.place(at) {
                Some(Target::Sequence { body, .. }) => text(&body.bytes),
                _ => json!(""),
            },
            Datatype::Sequence(base) => match self.place(at) {
                Some(Target::Sequence { count, body }) => {
                    Reader { elements: body, paths: self.paths }.list(base, &[u64::from(*count)], &mut 0)
                }
                _ => json!([]),
            },
            Datatype::Encoded(encoded) if encoded.is_reference() => match self.place(at) {
                Some(Target::Reference { object: Some(object), .. }) => json!(self.paths.of(*object)),
                Some(_) => json!("in another file"),
                None => Value::Null,
            },
            Datatype::Opaque(_) | Datatype::Encoded(_) => {
                json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            Datatype::Compound(compound) => {
                let members = compound.members.iter();
                members
                    .map(|member| {
                        let value = self.element(&member.datatype, at.saturating_add(member.offset.into()));
                        (member.name.to_string(), value)
                    })
                    .collect()
            }
            Datatype::Reference(_) => match self.place(at) {
                Some(Target::Object(object)) => json!(self.paths.of(*object)),
                Some(Target::Region { object, selection }) => {
                    json!({"object": self.paths.of(*object), "selection": region(selection)})
                }
                _ => Value::Null,
            },
            Datatype::Enumeration(enumeration) => match enumeration.members.iter().find(|(_, value)| value == bytes) {
                Some((name, _)) => json!(name.to_string()),
                None => integer_value(&enumeration.base, bytes),
            },
            Datatype::Array(array) => {
                let dims: Vec<u64> = array.dims.iter().map(|&dim| dim.into()).collect();
                self.list(&array.base, &dims, &mut { at })
            }
        }
    }
}

fn region(selection: &Selection) -> Value {
    let groups = |numbers: &[u64], rank: u32| -> Vec<Vec<u64>> {
        numbers.chunks(rank.max(1) as usize).map(<[u64]>::to_vec).collect()
    };
    match selection {
        Selection::None => json!("none"),
        Selection::All => json!("all"),
        Selection::Points { rank, coordinates } => json!({ "points": groups(coordinates, *rank) }),
        Selection::Blocks { rank, corners } => json!({ "corners": groups(corners, *rank) }),
    }
}

fn text(bytes: &[u8]) -> Value {
    json!(String::from_utf8_lossy(bytes))
}

/// The bytes of a number, least significant first.
fn little(bytes: &[u8], order: ByteOrder) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if order == ByteOrder::Big {
        bytes.reverse();
    }
    bytes
}

fn integer_value(integer: &Integer, bytes: &[u8]) -> Value {
    let bytes = little(bytes, integer.order);
    let mut wide = [0; 8];
    let (Some(place), true) = (wide.get_mut(..bytes.len()), !bytes.is_empty()) else {
        return json!(bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>());
    };
    place.copy_from_slice(&bytes);
    let number = u64::from_le_bytes(wide);
    match integer.signed {
        true => {
            let unused = 64 - 8 * bytes.len() as u32;
            json!(((number << unused) as i64) >> unused)
        }
        false => json!(number),
    }
}

fn float_value(float: &Float, bytes: &[u8]) -> Value {
    let bytes = little(bytes, float.order);
    let ieee = Float::ieee(float.size, float.order) == Some(*float);
    let number = match (ieee, bytes.as_slice()) {
        (true, &[a, b]) => half(u16::from_le_bytes([a, b])),
        // By way of its decimal text, so that 0.1 in single precision is printed as 0.1.
        (true, &[a, b, c, d]) => {
            let single = f32::from_le_bytes([a, b, c, d]);
            single.to_string().parse().unwrap_or(f64::from(single))
        }
        (true, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => return json!(bytes.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>()),
    };
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => json!("NaN"),
        None if number > 0.0 => json!("Infinity"),
        None => json!("-Infinity"),
    }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + mantissa / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// A value on one line of a terminal, cut to about `most` characters.
pub fn short(value: &Value, most: usize) -> String {
    let text = plain(&value.to_string());
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Where the elements of a dataset are that has no chunks of its own.
pub(super) fn elsewhere(layout: &DataLayout) -> Option<String> {
    match layout {
        DataLayout::Contiguous | DataLayout::Chunked(_) => None,
        DataLayout::Compact(_) => Some("among the metadata".to_owned()),
        DataLayout::Virtual(_) => Some("made of other datasets".to_owned()),
        DataLayout::External(parts) => match &parts[..] {
            [part] => Some(format!("in the raw file {}", plain(&part.file.to_string()))),
            parts => Some(format!("in {} parts of raw files", parts.len())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::datatype::{Compound, Enumeration, FixedString};
    use crate::model::name::Name;

    const INT: Integer = Integer::standard(4, ByteOrder::Little, true);

    fn show(datatype: &Datatype, dataspace: &Dataspace, elements: &Elements) -> Value {
        value(datatype, dataspace, elements, &Paths::of_hierarchy(&Hierarchy::default()))
    }

    #[test]
    fn numbers_are_read_in_their_order_and_sign() {
        let byte = |signed| Integer::standard(1, ByteOrder::Little, signed);
        assert_eq!(integer_value(&byte(true), &[0xff]), json!(-1));
        assert_eq!(integer_value(&byte(false), &[0xff]), json!(255));
        assert_eq!(integer_value(&Integer::standard(8, ByteOrder::Big, false), &[0xff; 8]), json!(u64::MAX));
        assert_eq!(integer_value(&Integer::standard(2, ByteOrder::Big, true), &[0x80, 0]), json!(-32768));
        let float = |size| Float::ieee(size, ByteOrder::Little).unwrap();
        assert_eq!(float_value(&float(4), &0.1f32.to_le_bytes()), json!(0.1));
        assert_eq!(float_value(&float(8), &f64::NEG_INFINITY.to_le_bytes()), json!("-Infinity"));
        assert_eq!(float_value(&float(2), &[0x00, 0x3c]), json!(1.0));
        assert_eq!(float_value(&float(2), &[0x01, 0x00]), json!(2f64.powi(-24)));
    }

    #[test]
    fn nested_values_keep_their_shape() {
        let compound = Compound::packed([
            (Name::from("id"), Datatype::Integer(INT)),
            (Name::from("tags"), Datatype::Sequence(Box::new(Datatype::Integer(INT)))),
        ]);
        let datatype = Datatype::Compound(compound.unwrap());
        assert_eq!(self::datatype(&datatype), "{id: int32, tags: sequence of int32}");
        let mut bytes = vec![0; 40];
        (bytes[0], bytes[20]) = (7, 8);
        let body = Elements::plain([1u32.to_le_bytes(), 2u32.to_le_bytes()].concat());
        let places = vec![Place { at: 24, target: Target::Sequence { count: 2, body } }];
        let elements = Elements { bytes: bytes.into(), places };
        let shown = show(&datatype, &Dataspace::fixed(vec![2, 1]), &elements);
        assert_eq!(shown, json!([[{"id": 7, "tags": []}], [{"id": 8, "tags": [1, 2]}]]));
    }

    #[test]
    fn a_shape_that_promises_more_than_there_is_costs_nothing() {
        let elements = Elements::plain(vec![1, 0, 0, 0]);
        let shown = show(&Datatype::Integer(INT), &Dataspace::fixed(vec![u64::MAX]), &elements);
        assert_eq!(shown, json!([1]));
    }

    #[test]
    fn strings_lose_their_padding_and_enums_get_their_names() {
        let string = |padding| Datatype::String(FixedString { length: 4, padding, charset: CharacterSet::Ascii });
        let show =
            |datatype: &Datatype, bytes: &'static [u8]| show(datatype, &Dataspace::Scalar, &Elements::plain(bytes));
        assert_eq!(show(&string(StringPadding::NullTerminated), b"a\0b\0"), json!("a"));
        assert_eq!(show(&string(StringPadding::NullPadded), b"a\0b\0"), json!("a\0b"));
        assert_eq!(show(&string(StringPadding::SpacePadded), b"a b "), json!("a b"));
        let base = Integer::standard(1, ByteOrder::Little, true);
        let members = vec![(Name::from("FALSE"), vec![0]), (Name::from("TRUE"), vec![1])];
        let boolean = Datatype::Enumeration(Enumeration { base, members });
        assert_eq!(datatype(&boolean), "enum int8 {FALSE=0, TRUE=1}");
        assert_eq!(show(&boolean, &[1]), json!("TRUE"));
        assert_eq!(show(&boolean, &[9]), json!(9));
        assert_eq!(show(&Datatype::Reference(ReferenceKind::Object), &[0; 8]), Value::Null);
    }
}
