//! Order: in which sequence links and attributes are listed, and whether that sequence is the one of their creation.

use std::collections::HashMap;

use serde_json::Value;

use super::attribute::is_dimension_scale;
use super::document::{Document, float, name, unsigned};
use super::id::Id;
use crate::model::location::Key;
use crate::model::name::Name;

/// True where a file was netCDF-4: its library tracks the order of creation everywhere and reads variables in it.
pub fn is_netcdf(root: &Id, objects: &HashMap<Id, (Key, Document)>) -> bool {
    let properties = objects
        .get(root)
        .is_some_and(|(_, document)| document.members("attributes").any(|(name, _)| name == "_NCProperties"));
    properties
        || objects.values().any(|(_, document)| {
            document.members("attributes").any(|(text, attribute)| {
                text.starts_with("_Netcdf4") || (text == "CLASS" && is_dimension_scale(&name(text), attribute))
            })
        })
}

/// Whether this object's links and attributes keep the order of their creation.
pub fn tracked(document: &Document, netcdf: bool) -> bool {
    let wish = document.get("creationProperties").and_then(|properties| properties.get("CreateOrder"));
    netcdf || wish.is_some_and(|wish| *wish == Value::Bool(true) || unsigned(wish).is_some_and(|wish| wish != 0))
}

/// The members of `key` (links, attributes), by time of creation and name, or by name alone.
pub fn sorted<'a>(document: &'a Document, key: &str, tracked: bool) -> Vec<(Name, &'a Value)> {
    let mut members: Vec<(f64, Name, &Value)> = document
        .members(key)
        .map(|(text, value)| {
            // One without a time was written by no server; it comes last.
            let created = value.get("created").and_then(float).filter(|_| tracked).unwrap_or(f64::INFINITY);
            (created, name(text), value)
        })
        .collect();
    members.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(&other.1)));
    members.into_iter().map(|(_, name, value)| (name, value)).collect()
}
