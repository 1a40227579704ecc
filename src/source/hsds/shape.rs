//! Shapes: JSON to dataspaces.

use serde_json::Value;

use super::document::unsigned;
use super::fault::Fault;
use crate::model::dataspace::Dataspace;
use crate::model::limits;

/// The dataspace a `shape` describes.
pub fn dataspace(shape: &Value) -> Result<Dataspace, Fault> {
    match shape.get("class").and_then(Value::as_str) {
        Some("H5S_NULL") => Ok(Dataspace::Null),
        Some("H5S_SCALAR") => Ok(Dataspace::Scalar),
        Some("H5S_SIMPLE") => simple(shape),
        Some(other) => Err(Fault::malformed("shape", format!("unknown class {other}"))),
        None => Err(Fault::Missing("class of the shape")),
    }
}

/// A list of extents; `what` names it in a fault.
pub fn extents(what: &'static str, value: &Value) -> Result<Vec<u64>, Fault> {
    let list = value.as_array().ok_or_else(|| Fault::malformed(what, "is no list"))?;
    if list.len() > limits::RANK {
        return Err(Fault::limit(format!("{what}: rank {}", list.len()), limits::RANK as u64));
    }
    list.iter()
        .map(|extent| unsigned(extent).ok_or_else(|| Fault::malformed(what, "holds what is no extent")))
        .collect()
}

fn simple(shape: &Value) -> Result<Dataspace, Fault> {
    let dims = extents("dims", shape.get("dims").ok_or(Fault::Missing("dims of the shape"))?)?;
    if dims.is_empty() {
        return Ok(Dataspace::Scalar);
    }
    let Some(given) = shape.get("maxdims").filter(|given| !given.is_null()) else {
        return Ok(Dataspace::fixed(dims));
    };
    let given = given.as_array().ok_or_else(|| Fault::malformed("maxdims", "is no list"))?;
    if given.len() != dims.len() {
        return Err(Fault::malformed("maxdims", "has another rank than dims"));
    }
    let mut max_dims = Vec::with_capacity(dims.len());
    for (max, &dim) in given.iter().zip(&dims) {
        // Without limit: 0 in the 0.9 dialect, a word in 1.0.
        max_dims.push(match unsigned(max) {
            Some(0) => None,
            Some(max) if max >= dim => Some(max),
            Some(_) => return Err(Fault::malformed("maxdims", "is below dims")),
            None if max.as_str() == Some("H5S_UNLIMITED") || max.is_null() => None,
            None => return Err(Fault::malformed("maxdims", "holds what is no extent")),
        });
    }
    Ok(Dataspace::Simple { dims, max_dims })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_dialects_of_unlimited() {
        let old = dataspace(&json!({"class": "H5S_SIMPLE", "dims": [5, 4], "maxdims": [0, 4]})).unwrap();
        let new = dataspace(&json!({"class": "H5S_SIMPLE", "dims": [5, 4], "maxdims": ["H5S_UNLIMITED", 4]})).unwrap();
        assert_eq!(old, Dataspace::Simple { dims: vec![5, 4], max_dims: vec![None, Some(4)] });
        assert_eq!(old, new);
        assert_eq!(dataspace(&json!({"class": "H5S_SIMPLE", "dims": [3]})), Ok(Dataspace::fixed(vec![3])));
    }

    #[test]
    fn hostile_extents_are_faults() {
        for shape in [
            json!({"class": "H5S_SIMPLE", "dims": [-1]}),
            json!({"class": "H5S_SIMPLE", "dims": [5], "maxdims": [4]}),
            json!({"class": "H5S_SIMPLE", "dims": [5], "maxdims": []}),
            json!({"class": "H5S_SIMPLE", "dims": vec![1; 33]}),
            json!({"class": "H5S_SIMPLE"}),
            json!({}),
            json!(3),
        ] {
            assert!(dataspace(&shape).is_err(), "{shape}");
        }
    }
}
