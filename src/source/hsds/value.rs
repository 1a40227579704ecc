//! Values in JSON: elements of an attribute or a fill value, to elements as the model has them.
//!
//! A scalar is one JSON element, an array a list of lists in C order. What an element looks like depends on its type
//! alone: a number, `true` for a boolean, text, a list for a compound, an array or a sequence, an id for a reference.

use bytes::Bytes;
use serde_json::Value;

use super::base64;
use super::document::{float, integer, text};
use super::fault::Fault;
use super::growing::Growing;
use super::id::Id;
use super::region;
use super::stream::{self, Objects};
use super::types::integer_bytes;
use crate::model::dataspace::Dataspace;
use crate::model::datatype::*;
use crate::model::elements::{Elements, Place, Target};

/// Bytes of one attribute or fill value. A document holds them as text, so more would be padding that a short
/// document only claims.
pub const VALUE_BYTES: u64 = 64 << 20;

/// Makes elements out of JSON values.
pub struct Encoder<'a> {
    objects: &'a dyn Objects,
    /// References that lead to no object shown; they become null references.
    pub dangling: Vec<String>,
    /// Bytes made so far, those in sequences and selections included.
    pub made: u64,
}

impl<'a> Encoder<'a> {
    /// An encoder that finds referenced objects by `objects`.
    pub fn new(objects: &'a dyn Objects) -> Self {
        Encoder { objects, dangling: Vec::new(), made: 0 }
    }

    /// All elements of an attribute: its `value`, and its `encoding` where it has one.
    pub fn elements(
        &mut self,
        datatype: &Datatype,
        dataspace: &Dataspace,
        value: Option<&Value>,
        encoding: Option<&str>,
    ) -> Result<Elements, Fault> {
        let count = dataspace.elements().ok_or_else(|| Fault::limit("number of elements", u64::MAX))?;
        if count == 0 {
            return Ok(Elements::default());
        }
        let size = count.checked_mul(datatype.size()).filter(|&size| size <= VALUE_BYTES);
        size.ok_or_else(|| Fault::limit(format!("a value of {count} elements"), VALUE_BYTES))?;
        let value = value.filter(|value| !value.is_null()).ok_or(Fault::Missing("value"))?;
        match encoding {
            None => {}
            Some("base64") => return self.encoded(datatype, value, count),
            Some(other) => return Err(Fault::Unsupported(format!("the encoding {other}"))),
        }
        let mut out = Growing::default();
        self.nested(datatype, dataspace.dims(), value, &mut out)?;
        Ok(out.finish())
    }

    /// One element: a fill value.
    pub fn single(&mut self, datatype: &Datatype, value: &Value) -> Result<Elements, Fault> {
        let mut out = Growing::default();
        self.element(datatype, value, &mut out)?;
        Ok(out.finish())
    }

    /// Elements whose stream is given as base64.
    pub fn encoded(&mut self, datatype: &Datatype, value: &Value, count: u64) -> Result<Elements, Fault> {
        let text =
            value.as_str().ok_or_else(|| Fault::malformed("value", "its encoding is base64, but it is no text"))?;
        let bytes = base64::decode(text.as_bytes()).ok_or_else(|| Fault::malformed("value", "is no base64"))?;
        // A stream makes at most four times its own length (a count becomes a heap id), and selections.
        self.count(4 * bytes.len() as u64)?;
        let elements = stream::elements(datatype, &Bytes::from(bytes), count, self.objects)
            .map_err(|bad| Fault::malformed("value", bad.to_string()))?;
        self.count(selections(&elements))?;
        Ok(elements)
    }

    fn nested(&mut self, datatype: &Datatype, dims: &[u64], value: &Value, out: &mut Growing) -> Result<(), Fault> {
        let Some((&extent, inner)) = dims.split_first() else {
            return self.element(datatype, value, out);
        };
        match value.as_array() {
            Some(list) if list.len() as u64 == extent => {
                list.iter().try_for_each(|value| self.nested(datatype, inner, value, out))
            }
            // One element is at times written without its list.
            None if extent == 1 => self.nested(datatype, inner, value, out),
            Some(list) => {
                Err(Fault::malformed("value", format!("{} entries where its shape has {extent}", list.len())))
            }
            None => Err(Fault::malformed("value", "has fewer dimensions than its shape")),
        }
    }

    fn element(&mut self, datatype: &Datatype, value: &Value, out: &mut Growing) -> Result<(), Fault> {
        let size = datatype.size();
        // What is made of parts is counted by its parts.
        if !matches!(datatype, Datatype::Compound(_) | Datatype::Array(_)) {
            self.count(size)?;
        }
        let wrong = |what: &str| Fault::malformed("value", format!("{} is no {what}", excerpt(value)));
        match datatype {
            Datatype::Integer(base) => {
                let bytes = integer(value).and_then(|number| integer_bytes(base, number));
                out.bytes.extend(bytes.ok_or_else(|| wrong("value of its integer type"))?);
            }
            Datatype::Enumeration(enumeration) => {
                let named = |word: &str| {
                    let member = enumeration.members.iter().find(|(name, _)| name.as_bytes() == text(word));
                    member.map(|(_, bytes)| bytes.clone())
                };
                let bytes = match value {
                    Value::String(word) => named(word),
                    value => integer(value).and_then(|number| integer_bytes(&enumeration.base, number)),
                };
                out.bytes.extend(bytes.ok_or_else(|| wrong("value of its enumeration"))?);
            }
            Datatype::Float(base) => {
                let number = if value.is_null() { Some(f64::NAN) } else { float(value) };
                out.bytes.extend(number.and_then(|x| float_bytes(base, x)).ok_or_else(|| wrong("number"))?);
            }
            Datatype::String(string) => {
                let mut bytes = text(value.as_str().ok_or_else(|| wrong("text"))?);
                let padding = if string.padding == StringPadding::SpacePadded { b' ' } else { 0 };
                bytes.resize(string.length as usize, padding);
                out.bytes.extend(bytes);
            }
            Datatype::VariableString(_) => {
                if value.is_null() {
                    out.zeros(size);
                    return Ok(());
                }
                let bytes = text(value.as_str().ok_or_else(|| wrong("text"))?);
                let count =
                    u32::try_from(bytes.len()).map_err(|_| Fault::limit("bytes of a string", u32::MAX.into()))?;
                out.place(Target::Sequence { count, body: Elements::plain(bytes) }, size);
            }
            Datatype::Opaque(opaque) => {
                let given = text(value.as_str().ok_or_else(|| wrong("text"))?);
                out.bytes.extend(opaque_bytes(opaque.size, given).ok_or_else(|| wrong("value of its opaque type"))?);
            }
            // JSON of this schema has no such type.
            Datatype::Encoded(_) => return Err(wrong("value of its type")),
            Datatype::Compound(compound) => self.compound(compound, value, out)?,
            Datatype::Array(array) => {
                let dims: Vec<u64> = array.dims.iter().map(|&dim| dim.into()).collect();
                self.nested(&array.base, &dims, value, out)?;
            }
            Datatype::Sequence(base) => {
                let list = match value {
                    Value::Null => &[][..],
                    value => value.as_array().ok_or_else(|| wrong("list"))?,
                };
                let mut body = Growing::default();
                list.iter().try_for_each(|value| self.element(base, value, &mut body))?;
                match u32::try_from(list.len()).map_err(|_| Fault::limit("length of a sequence", u32::MAX.into()))? {
                    0 => out.zeros(size),
                    count => out.place(Target::Sequence { count, body: body.finish() }, size),
                }
            }
            Datatype::Reference(ReferenceKind::Object) => match self.object(value)? {
                Some(object) => out.place(Target::Object(object), size),
                None => out.zeros(size),
            },
            Datatype::Reference(ReferenceKind::Region) => match region::parse_json(value)? {
                None => out.zeros(size),
                Some((id, selection)) => {
                    self.count(region::weight(&selection))?;
                    match self.objects.object(&id) {
                        Some(object) => out.place(Target::Region { object, selection }, size),
                        None => {
                            self.dangling.push(id.to_string());
                            out.zeros(size);
                        }
                    }
                }
            },
        }
        Ok(())
    }

    /// Counts bytes before they are made.
    fn count(&mut self, bytes: u64) -> Result<(), Fault> {
        self.made = self.made.saturating_add(bytes);
        if self.made > VALUE_BYTES { Err(Fault::limit("bytes of a value", VALUE_BYTES)) } else { Ok(()) }
    }

    fn compound(&mut self, compound: &Compound, value: &Value, out: &mut Growing) -> Result<(), Fault> {
        match value {
            Value::Array(list) if list.len() == compound.members.len() => compound
                .members
                .iter()
                .zip(list)
                .try_for_each(|(member, value)| self.element(&member.datatype, value, out)),
            Value::Object(fields) => compound.members.iter().try_for_each(|member| {
                let field = fields.iter().find(|(name, _)| text(name) == member.name.as_bytes());
                let (_, value) =
                    field.ok_or_else(|| Fault::malformed("value", format!("has no field {}", member.name)))?;
                self.element(&member.datatype, value, out)
            }),
            // A compound of one field is at times written as that field alone.
            value if compound.members.len() == 1 && !value.is_array() => {
                self.element(&compound.members[0].datatype, value, out)
            }
            value => Err(Fault::malformed("value", format!("{} is no value of its compound type", excerpt(value)))),
        }
    }

    fn object(&mut self, value: &Value) -> Result<Option<crate::model::hierarchy::ObjectId>, Fault> {
        let text = match value {
            Value::Null => return Ok(None),
            Value::String(text) => text.trim_matches('\0'),
            // 1.0 shows a reference as a list of one in places.
            Value::Array(list) if list.len() == 1 => return self.object(&list[0]),
            _ => return Err(Fault::malformed("value", format!("{} is no reference", excerpt(value)))),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let object = Id::parse(text).and_then(|id| self.objects.object(&id));
        if object.is_none() {
            self.dangling.push(text.to_owned());
        }
        Ok(object)
    }
}

/// Bytes of all selections in these elements.
fn selections(elements: &Elements) -> u64 {
    let of = |place: &Place| match &place.target {
        Target::Sequence { body, .. } => selections(body),
        Target::Region { selection, .. } => region::weight(selection),
        Target::Object(_) | Target::Reference { .. } => 0,
    };
    elements.places.iter().map(of).sum()
}

/// The bytes of an opaque value. 1.0 writes base64, nothing for all zero; 0.9 the bytes as they are. Base64 is always
/// longer than what it holds and a raw text never, so the length tells.
fn opaque_bytes(size: u32, mut given: Vec<u8>) -> Option<Vec<u8>> {
    let size = size as usize;
    if given.len() > size {
        given = base64::decode(&given).filter(|bytes| bytes.len() == size)?;
    }
    given.resize(size, 0);
    Some(given)
}

/// The bytes of a number in an IEEE type, rounded to nearest, ties to even.
pub fn float_bytes(datatype: &Float, number: f64) -> Option<Vec<u8>> {
    let mut bytes = match datatype.size {
        2 => half(number).to_le_bytes().to_vec(),
        4 => (number as f32).to_le_bytes().to_vec(),
        8 => number.to_le_bytes().to_vec(),
        _ => return None,
    };
    if datatype.order == ByteOrder::Big {
        bytes.reverse();
    }
    Some(bytes)
}

/// The binary16 nearest to a number.
fn half(number: f64) -> u16 {
    let bits = number.to_bits();
    let sign = ((bits >> 48) & 0x8000) as u16;
    let magnitude = number.abs();
    if number.is_nan() {
        return sign | 0x7E00;
    }
    // 65520 lies halfway between the largest binary16 and the next power of two, and rounds to even: infinity.
    if magnitude >= 65520.0 {
        return sign | 0x7C00;
    }
    // Below 2^-14 the distance of neighbours is 2^-24, from there on 2^-10 of the power of two below the number.
    let exponent = ((bits >> 52 & 0x7FF) as i32 - 1023).max(-14);
    // Scaling by a power of two is exact, so this is the one rounding.
    let units = (magnitude * 2f64.powi(10 - exponent)).round_ties_even() as u32;
    // In units, a normal number has bit 10 set, which adds one to the exponent field; so does a carry out of it.
    sign | (((exponent + 14) as u32) << 10).wrapping_add(units) as u16
}

/// The beginning of a value, for a message.
fn excerpt(value: &Value) -> String {
    let text = match value {
        Value::Array(list) => return format!("a list of {}", list.len()),
        Value::Object(_) => return "an object".into(),
        other => other.to_string(),
    };
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
