//! The assembler: all JSON of a file, to its hierarchy and its chunks.
//!
//! Above stands the loader, which has fetched what the documents name ([`children`], [`mentioned`]); this side is pure.
//! Objects are numbered first ([`super::walk`]), then shown one by one, because an attribute may refer to any of them.
//! What cannot be shown is left out with a [`Problem`]; whether that refuses the whole file is the caller's decision.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::attribute::attribute;
use super::chunks::{DatasetChunks, HsdsChunks, Place};
use super::creation::fill;
use super::document::Document;
use super::fault::Fault;
use super::id::{Id, IdKind, SchemaVersion};
use super::order;
use super::types;
use super::walk::{Given, Node, Prepared, Walk};
use crate::model::datatype::Datatype;
use crate::model::hierarchy::{Attribute, Dataset, Details, Group, Hierarchy, Object, ObjectId, ObjectKind, TypeUse};
use crate::model::location::{Bucket, Key};
use crate::model::name::Name;
use crate::model::problem::Problem;

pub use super::filters::ShuffleOnly;
pub use super::mentions::{children, mentioned};

/// Bytes of all attribute and fill values of one file. Fixed strings are padded to their length, so a short document can
/// ask for much; real files stay below a megabyte.
const VALUES_BYTES: u64 = 1 << 30;

/// What the assembler has to know beside the documents.
pub struct Context {
    /// The store the file lies in: `file_uri`s are seen from here.
    pub bucket: Bucket,
    /// How shuffle without a compressor is read.
    pub shuffle_only: ShuffleOnly,
    /// The name to present for the file of an external link.
    pub resolve_external: Box<dyn Fn(&Name) -> Name + Send + Sync>,
}

/// A file, assembled.
#[derive(Debug)]
pub struct Assembled {
    /// Its objects.
    pub hierarchy: Hierarchy,
    /// Its chunks.
    pub chunks: HsdsChunks,
    /// What is left out, and why.
    pub problems: Vec<Problem>,
    /// Facts for people.
    pub facts: BTreeMap<String, String>,
}

/// Why a file cannot be assembled at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the root group {root} cannot be shown: {fault}")]
pub struct AssembleError {
    /// Its id.
    pub root: Id,
    /// What is wrong.
    pub fault: Fault,
}

/// The file whose root group is `root`. `objects` holds every document that could be read, `missing` why others could
/// not.
pub fn assemble(
    root: &Id,
    objects: HashMap<Id, (Key, Document)>,
    missing: HashMap<Id, String>,
    context: &Context,
) -> Result<Assembled, AssembleError> {
    let error = |fault| AssembleError { root: *root, fault };
    if root.kind() != IdKind::Group {
        return Err(error(Fault::malformed("root", "is no group")));
    }
    let netcdf = order::is_netcdf(root, &objects);
    let given = Given {
        objects: &objects,
        missing: &missing,
        home: &context.bucket,
        shuffle_only: context.shuffle_only,
        resolve_external: context.resolve_external.as_ref(),
        netcdf,
    };
    let mut assembler = Assembler { walk: Walk::from_root(root, given).map_err(error)?, netcdf, budget: VALUES_BYTES };
    let facts = assembler.facts(root);
    let count = assembler.walk.nodes.len();
    let mut hierarchy = Hierarchy { objects: Vec::with_capacity(count), ..Hierarchy::default() };
    let mut datasets = Vec::with_capacity(count);
    for at in 0..count {
        let (object, chunks) = assembler.object(ObjectId(at as u32));
        hierarchy.objects.push(object);
        datasets.push(chunks);
    }
    let ids = assembler.walk.nodes.iter().map(|node| node.id).collect();
    let problems = assembler.walk.take_problems();
    let chunks = HsdsChunks {
        home: context.bucket.clone(),
        objects: assembler.walk.numbers,
        ids,
        datasets,
        // Known to whoever read the documents.
        written: HashMap::new(),
    };
    Ok(Assembled { hierarchy, chunks, problems, facts })
}

struct Assembler<'a> {
    walk: Walk<'a>,
    netcdf: bool,
    /// Bytes that values may still take.
    budget: u64,
}

impl Assembler<'_> {
    fn object(&mut self, id: ObjectId) -> (Object, Option<DatasetChunks>) {
        let document = self.walk.nodes[id.0 as usize].document;
        let attributes_tracked = order::tracked(document, self.netcdf);
        let attributes = self.attributes(id, document, attributes_tracked);
        let (kind, chunks) = self.kind(id, document, attributes_tracked);
        // Consolidated metadata has no times of change, and what is shown may not depend on where it was read.
        (Object { kind, attributes, attributes_tracked, modified: None, details: Details::default() }, chunks)
    }

    fn kind(&mut self, id: ObjectId, document: &Document, tracked: bool) -> (ObjectKind, Option<DatasetChunks>) {
        let links = std::mem::take(&mut self.walk.nodes[id.0 as usize].links);
        let node = &self.walk.nodes[id.0 as usize];
        let prepared = match &node.prepared {
            Prepared::Group => return (ObjectKind::Group(Group { links, tracked }), None),
            Prepared::Datatype(datatype) => return (ObjectKind::Datatype(datatype.clone()), None),
            Prepared::Dataset(prepared) => prepared,
        };
        let (creation, numbers) = (&prepared.creation, &self.walk.numbers);
        let place = Place::of(&creation.storage, prepared.table_row.as_ref(), numbers);
        let lost = place.is_none();
        let chunks = creation.recipe.as_ref().zip(place).map(|(recipe, place)| DatasetChunks {
            id: node.id,
            datatype: prepared.datatype.clone(),
            recipe: recipe.clone(),
            place,
        });
        let (fill, fault) = match fill(document, &prepared.datatype, &|id: &Id| numbers.get(id).copied()) {
            Ok((_, bytes)) if bytes > self.budget => (None, Some(Fault::limit("bytes of all values", VALUES_BYTES))),
            Ok((fill, bytes)) => {
                self.budget -= bytes;
                (fill, None)
            }
            Err(fault) => (None, Some(fault)),
        };
        let type_json = document.get("type").unwrap_or(&Value::Null);
        let dataset = Dataset {
            datatype: type_use(&self.walk, type_json, prepared.datatype.clone()),
            dataspace: prepared.dataspace.clone(),
            fill,
            layout: creation.layout.clone(),
            filters: creation.filters.clone(),
            stored: creation.stored,
        };
        if let Some(fault) = fault {
            self.walk.problem(id, None, format!("the fill value is left out, zero stands in its place: {fault}"));
        }
        if lost {
            self.walk.problem(id, None, "its chunks cannot be read: the chunk table is not shown".into());
        }
        (ObjectKind::Dataset(dataset), chunks)
    }

    fn attributes(&mut self, id: ObjectId, document: &Document, tracked: bool) -> Vec<Attribute> {
        let mut attributes: Vec<Attribute> = Vec::with_capacity(document.members("attributes").len());
        let mut seen = std::collections::HashSet::new();
        for (name, json) in order::sorted(document, "attributes", tracked) {
            let numbers = &self.walk.numbers;
            let shared = |json: &Value, datatype: Datatype| type_use(&self.walk, json, datatype);
            let made = attribute(&name, json, &|id: &Id| numbers.get(id).copied(), &shared);
            let made = match made {
                _ if !seen.insert(name.clone()) => Err(Fault::malformed("name", "is not unique")),
                Ok(made) if made.bytes > self.budget => Err(Fault::limit("bytes of all values", VALUES_BYTES)),
                other => other,
            };
            match made {
                Ok(made) => {
                    self.budget -= made.bytes;
                    attributes.push(made.attribute);
                    for lost in made.dangling {
                        let reason = format!("a reference to {lost} is shown as null: the file shows no such object");
                        self.walk.problem(id, Some((&name, '@')), reason);
                    }
                }
                Err(fault) => {
                    self.walk.problem(id, Some((&name, '@')), format!("the attribute is left out: {fault}"));
                }
            }
        }
        attributes
    }

    fn facts(&self, root: &Id) -> BTreeMap<String, String> {
        let count = |kind| self.walk.nodes.iter().filter(|node| node.id.kind() == kind).count().to_string();
        let schema = match root.version() {
            SchemaVersion::V1 => "v1",
            SchemaVersion::V2 => "v2",
        };
        BTreeMap::from([
            ("root".into(), root.to_string()),
            ("schema".into(), schema.into()),
            ("dialect".into(), dialect(&self.walk.nodes).into()),
            ("groups".into(), count(IdKind::Group)),
            ("datasets".into(), count(IdKind::Dataset)),
            ("datatypes".into(), count(IdKind::Datatype)),
        ])
    }
}

/// A committed type where the file shows it and the copy still equals it, else the copy.
fn type_use(walk: &Walk<'_>, json: &Value, datatype: Datatype) -> TypeUse {
    let committed = types::committed(json).and_then(|id| walk.numbers.get(&id).copied());
    match committed.map(|object| (object, &walk.nodes[object.0 as usize].prepared)) {
        Some((object, Prepared::Datatype(shared))) if *shared == datatype => TypeUse::Committed(object),
        _ => TypeUse::Own(datatype),
    }
}

/// Which line of servers wrote the file: 0.9 gives every dataset with elements a layout at the top level, 1.0 none.
fn dialect(nodes: &[Node<'_>]) -> &'static str {
    let mut datasets = nodes.iter().filter(|node| node.id.kind() == IdKind::Dataset).peekable();
    match datasets.peek() {
        None => "unknown",
        Some(_) => match datasets.any(|node| node.document.get("layout").is_some()) {
            true => "0.9",
            false => "1.0",
        },
    }
}

#[cfg(test)]
mod tests;
