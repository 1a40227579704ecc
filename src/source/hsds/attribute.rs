//! Attributes: JSON to what hangs on an object.

use serde_json::Value;

use super::document::text;
use super::fault::Fault;
use super::shape;
use super::stream::Objects;
use super::types;
use super::value::Encoder;
use crate::model::dataspace::Dataspace;
use crate::model::datatype::{Datatype, FixedString, StringPadding};
use crate::model::elements::Elements;
use crate::model::hierarchy::{Attribute, TypeUse};
use crate::model::name::Name;

/// Bytes of an attribute's name: its length is kept in 16 bits, terminator included.
const NAME_BYTES: usize = u16::MAX as usize - 1;
/// The value of `CLASS` that makes a dataset a dimension scale.
const DIMENSION_SCALE: &[u8] = b"DIMENSION_SCALE";

/// An attribute, and what there is to say about it.
pub struct Made {
    /// The attribute.
    pub attribute: Attribute,
    /// References in it that lead nowhere.
    pub dangling: Vec<String>,
    /// Bytes its value takes in memory.
    pub bytes: u64,
}

/// The attribute `name` of this JSON.
pub fn attribute(
    name: &Name,
    json: &Value,
    objects: &dyn Objects,
    type_use: &dyn Fn(&Value, Datatype) -> TypeUse,
) -> Result<Made, Fault> {
    if name.as_bytes().is_empty() || name.as_bytes().contains(&0) || name.as_bytes().len() > NAME_BYTES {
        return Err(Fault::malformed("name", "is no name of an attribute in HDF5"));
    }
    let type_json = json.get("type").ok_or(Fault::Missing("type"))?;
    let datatype = types::datatype(type_json)?;
    let dataspace = match shape::dataspace(json.get("shape").ok_or(Fault::Missing("shape"))?)? {
        // An attribute cannot be resized, whatever its shape says.
        Dataspace::Simple { dims, .. } => Dataspace::fixed(dims),
        other => other,
    };
    if is_scale_class(name, &datatype, &dataspace, json) {
        return Ok(Made { attribute: scale_class(&datatype), dangling: Vec::new(), bytes: 0 });
    }
    let mut encoder = Encoder::new(objects);
    let encoding = json.get("encoding").and_then(Value::as_str);
    let value = encoder.elements(&datatype, &dataspace, json.get("value"), encoding)?;
    let attribute = Attribute { name: name.clone(), datatype: type_use(type_json, datatype), dataspace, value };
    Ok(Made { attribute, dangling: encoder.dangling, bytes: encoder.made })
}

/// True for the `CLASS` of a dimension scale: a scalar string of that text.
pub fn is_dimension_scale(name: &Name, json: &Value) -> bool {
    name.as_bytes() == b"CLASS"
        && json.get("value").and_then(Value::as_str).map(text).as_deref() == Some(DIMENSION_SCALE)
}

fn is_scale_class(name: &Name, datatype: &Datatype, dataspace: &Dataspace, json: &Value) -> bool {
    is_dimension_scale(name, json) && matches!(datatype, Datatype::String(_)) && *dataspace == Dataspace::Scalar
}

/// `CLASS` as the dimension scale library and netCDF-4 want it, which compare length and padding: 16 bytes, terminated.
/// Clients of HSDS lose the terminator.
fn scale_class(datatype: &Datatype) -> Attribute {
    let charset = match datatype {
        Datatype::String(string) => string.charset,
        _ => crate::model::name::CharacterSet::Ascii,
    };
    let mut value = DIMENSION_SCALE.to_vec();
    value.push(0);
    let length = value.len() as u32;
    Attribute {
        name: Name::from("CLASS"),
        datatype: TypeUse::Own(Datatype::String(FixedString {
            length,
            padding: StringPadding::NullTerminated,
            charset,
        })),
        dataspace: Dataspace::Scalar,
        value: Elements::plain(value),
    }
}
