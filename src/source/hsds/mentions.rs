//! Mentions: the ids a document names, so that whoever loads a file knows what to ask for next.

use serde_json::Value;

use super::document::Document;
use super::id::Id;
use super::{linked, types};

/// Every object a document leads to: hard links, the chunk table, committed types, in this order. Without repeats of
/// neighbours, not without any.
pub fn children(document: &Document) -> Vec<Id> {
    let mut ids: Vec<Id> = document.members("links").filter_map(|(_, link)| hard_target(link)).collect();
    ids.extend(unlinked(document));
    ids.dedup();
    ids
}

/// The objects a document needs beside its links: the chunk table and committed types.
pub fn unlinked(document: &Document) -> Vec<Id> {
    let layout = document.get("creationProperties").and_then(|properties| properties.get("layout"));
    let table = layout.and_then(linked::table);
    let own_type = document.get("type").and_then(types::committed);
    let types = document.members("attributes").filter_map(|(_, attribute)| types::committed(attribute.get("type")?));
    table.into_iter().chain(own_type).chain(types).collect()
}

/// The objects that references in a document's attributes point at.
pub fn mentioned(document: &Document) -> Vec<Id> {
    let mut ids = Vec::new();
    for (_, attribute) in document.members("attributes") {
        if attribute.get("type").is_some_and(holds_reference)
            && let Some(value) = attribute.get("value")
        {
            collect(value, &mut ids);
        }
    }
    ids
}

/// Where a hard link leads; `None` for any other link.
pub fn hard_target(link: &Value) -> Option<Id> {
    let class = link.get("class").and_then(Value::as_str);
    (class == Some("H5L_TYPE_HARD")).then(|| Id::parse(link.get("id")?.as_str()?)).flatten()
}

// Both walks descend as deep as the document does, which its parser has limited.

fn holds_reference(value: &Value) -> bool {
    match value {
        Value::String(text) => text == "H5T_REFERENCE" || text.starts_with("H5T_STD_REF"),
        Value::Array(list) => list.iter().any(holds_reference),
        Value::Object(object) => object.values().any(holds_reference),
        _ => false,
    }
}

fn collect(value: &Value, ids: &mut Vec<Id>) {
    match value {
        // A region reference leaves the letter away; only datasets have regions.
        Value::String(text) => ids.extend(Id::parse_bare(super::id::IdKind::Dataset, text).or_else(|| Id::parse(text))),
        Value::Array(list) => list.iter().for_each(|value| collect(value, ids)),
        Value::Object(object) => object.values().for_each(|value| collect(value, ids)),
        _ => {}
    }
}
