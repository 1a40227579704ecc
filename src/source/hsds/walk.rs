//! The walk: from the root along the links, giving every object that can be shown its number.
//!
//! Depth first by link order, as [`Hierarchy`](crate::model::hierarchy::Hierarchy) wants it; then, in the order of the
//! objects that name them, those that no link reaches. The walk keeps its own stack: a chain of groups may be as long as
//! a store likes.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::creation::{self, Creation, Storage};
use super::document::{Document, name};
use super::fault::Fault;
use super::filters::ShuffleOnly;
use super::id::{Id, IdKind};
use super::linked::{Linked, TableRow};
use super::mentions;
use super::order;
use super::shape;
use super::types;
use crate::model::dataspace::Dataspace;
use crate::model::datatype::Datatype;
use crate::model::hierarchy::{Link, LinkTarget, ObjectId};
use crate::model::limits;
use crate::model::location::{Bucket, Key};
use crate::model::name::Name;
use crate::model::problem::{PATH_BYTES, Problem, end_of_name, end_of_path};

/// Problems that are kept one by one. A group of a million links that all lead nowhere has one cause.
const PROBLEMS: usize = 10_000;
/// Names of a path that a problem shows, counted from its end: groups may be nested without bound.
const PATH_NAMES: usize = 64;

/// What the walk goes over.
pub struct Given<'a> {
    pub objects: &'a HashMap<Id, (Key, Document)>,
    pub missing: &'a HashMap<Id, String>,
    pub home: &'a Bucket,
    pub shuffle_only: ShuffleOnly,
    pub resolve_external: &'a (dyn Fn(&Name) -> Name + Send + Sync),
    pub netcdf: bool,
}

/// An object that got a number.
pub struct Node<'a> {
    pub id: Id,
    pub key: &'a Key,
    pub document: &'a Document,
    pub prepared: Prepared,
    pub links: Vec<Link>,
    /// The object and link by which it was first reached.
    parent: Option<(ObjectId, Name)>,
}

/// What an object is, as far as it can be said without knowing other objects' numbers.
pub enum Prepared {
    Group,
    Datatype(Datatype),
    Dataset(Box<PreparedDataset>),
}

/// A dataset.
pub struct PreparedDataset {
    pub datatype: Datatype,
    pub dataspace: Dataspace,
    pub creation: Creation,
    pub table_row: Option<TableRow>,
}

/// The result: objects by number.
pub struct Walk<'a> {
    given: Given<'a>,
    pub nodes: Vec<Node<'a>>,
    pub numbers: HashMap<Id, ObjectId>,
    refused: HashMap<Id, Fault>,
    problems: Vec<Problem>,
    /// Problems past [`PROBLEMS`], only counted.
    more: u64,
}

/// A group whose links are being followed.
struct Frame<'a> {
    object: ObjectId,
    links: std::vec::IntoIter<(Name, &'a Value)>,
    seen: HashSet<Name>,
}

impl<'a> Walk<'a> {
    /// Walks from `root`. `Err` where the root itself cannot be shown.
    pub fn from_root(root: &Id, given: Given<'a>) -> Result<Self, Fault> {
        let mut walk = Walk {
            given,
            nodes: Vec::new(),
            numbers: HashMap::new(),
            refused: HashMap::new(),
            problems: Vec::new(),
            more: 0,
        };
        walk.enter(root, None)?;
        // Objects found on the way are appended, so this visits them too.
        let mut at = 0;
        while at < walk.nodes.len() {
            let document = walk.nodes[at].document;
            for id in mentions::unlinked(document).into_iter().chain(mentions::mentioned(document)) {
                // One that cannot be shown makes a problem where it is used.
                let _ = walk.enter(&id, None);
            }
            at += 1;
        }
        Ok(walk)
    }

    /// Numbers `id` and all that its links lead to.
    fn enter(&mut self, id: &Id, parent: Option<(ObjectId, Name)>) -> Result<(), Fault> {
        let mut stack: Vec<Frame<'a>> = Vec::new();
        if let (_, Some(frame)) = self.number(id, parent)? {
            stack.push(frame);
        }
        while let Some(frame) = stack.last_mut() {
            let Some((name, json)) = frame.links.next() else {
                stack.pop();
                continue;
            };
            let group = frame.object;
            let fresh = frame.seen.insert(name.clone());
            match if fresh {
                self.target(group, &name, json)
            } else {
                Err(Fault::malformed("link", "its name is not unique"))
            } {
                Ok((target, next)) => {
                    self.nodes[group.0 as usize].links.push(Link { name, target });
                    stack.extend(next);
                }
                Err(fault) => {
                    let reason = format!("the link is left out: {}", fault.shortened());
                    self.problem(group, Some((&name, '/')), reason);
                }
            }
        }
        Ok(())
    }

    fn target(
        &mut self,
        group: ObjectId,
        link: &Name,
        json: &'a Value,
    ) -> Result<(LinkTarget, Option<Frame<'a>>), Fault> {
        if link.as_bytes().is_empty() || link.as_bytes().iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(Fault::malformed("link", "its name is none in HDF5"));
        }
        let text = |key: &str| json.get(key).and_then(Value::as_str).map(name);
        let path = || {
            let path = text("h5path").ok_or(Fault::Missing("h5path"))?;
            match path.as_bytes() {
                [] => Err(Fault::malformed("h5path", "is empty")),
                bytes if bytes.contains(&0) => Err(Fault::malformed("h5path", "holds a NUL")),
                _ => Ok(path),
            }
        };
        match json.get("class").and_then(Value::as_str) {
            Some("H5L_TYPE_HARD") => {
                let id = mentions::hard_target(json).ok_or(Fault::Missing("id of an object"))?;
                let (object, frame) = self.number(&id, Some((group, link.clone())))?;
                Ok((LinkTarget::Hard(object), frame))
            }
            Some("H5L_TYPE_SOFT") => Ok((LinkTarget::Soft(path()?), None)),
            Some("H5L_TYPE_EXTERNAL") => {
                let file = text("h5domain").or_else(|| text("file")).or_else(|| text("domain"));
                let file = file.ok_or(Fault::Missing("h5domain"))?;
                if file.as_bytes().is_empty() || file.as_bytes().contains(&0) {
                    return Err(Fault::malformed("h5domain", "is no file name"));
                }
                Ok((LinkTarget::External { file: (self.given.resolve_external)(&file), path: path()? }, None))
            }
            Some(other) => Err(Fault::Unsupported(format!("a link of class {other}"))),
            None => Err(Fault::Missing("class of the link")),
        }
    }

    /// The number of `id`, given now where it has none; a group's links are then still to be followed.
    fn number(&mut self, id: &Id, parent: Option<(ObjectId, Name)>) -> Result<(ObjectId, Option<Frame<'a>>), Fault> {
        if let Some(&object) = self.numbers.get(id) {
            return Ok((object, None));
        }
        if let Some(fault) = self.refused.get(id) {
            return Err(fault.clone());
        }
        let (key, document, prepared) = match self.prepare(id) {
            Ok(prepared) => prepared,
            Err(fault) => {
                // Kept for every link that leads there.
                let fault = fault.shortened();
                self.refused.insert(*id, fault.clone());
                return Err(fault);
            }
        };
        if self.nodes.len() >= limits::OBJECTS {
            return Err(Fault::limit("number of objects", limits::OBJECTS as u64));
        }
        // OBJECTS is far below 2^32.
        let object = ObjectId(self.nodes.len() as u32);
        let frame = matches!(prepared, Prepared::Group).then(|| {
            let links = order::sorted(document, "links", order::tracked(document, self.given.netcdf));
            Frame { object, links: links.into_iter(), seen: HashSet::new() }
        });
        self.numbers.insert(*id, object);
        self.nodes.push(Node { id: *id, key, document, prepared, links: Vec::new(), parent });
        Ok((object, frame))
    }

    fn prepare(&self, id: &Id) -> Result<(&'a Key, &'a Document, Prepared), Fault> {
        let Some((key, document)) = self.given.objects.get(id) else {
            let reason = self.given.missing.get(id).map_or("it is not there", String::as_str);
            return Err(Fault::Malformed { what: "its object", reason: format!("{id}: {reason}") });
        };
        let prepared = match id.kind() {
            IdKind::Group => Prepared::Group,
            IdKind::Datatype => {
                Prepared::Datatype(types::datatype(document.get("type").ok_or(Fault::Missing("type"))?)?)
            }
            IdKind::Dataset => Prepared::Dataset(Box::new(self.dataset(document)?)),
        };
        Ok((key, document, prepared))
    }

    fn dataset(&self, document: &Document) -> Result<PreparedDataset, Fault> {
        let (datatype, dataspace, creation) = self.form(document)?;
        let mut table_row = None;
        if let Storage::Linked(Linked::Table { table, .. }) = &creation.storage {
            table_row = Some(self.table_row(table, &creation)?);
        }
        Ok(PreparedDataset { datatype, dataspace, creation, table_row })
    }

    fn form(&self, document: &Document) -> Result<(Datatype, Dataspace, Creation), Fault> {
        let datatype = types::datatype(document.get("type").ok_or(Fault::Missing("type"))?)?;
        let dataspace = shape::dataspace(document.get("shape").ok_or(Fault::Missing("shape"))?)?;
        let creation = creation::creation(document, &datatype, &dataspace, self.given.home, self.given.shuffle_only)?;
        Ok((datatype, dataspace, creation))
    }

    /// How the rows of a chunk table are read, once it is known to have one for every chunk.
    fn table_row(&self, table: &Id, creation: &Creation) -> Result<TableRow, Fault> {
        let fault = |reason: String| Fault::malformed("chunk table", reason);
        let Some((_, document)) = self.given.objects.get(table) else {
            let reason = self.given.missing.get(table).map_or("it is not there", String::as_str);
            return Err(fault(format!("{table}: {reason}")));
        };
        let (datatype, dataspace, own) = self.form(document)?;
        // A table of a table would be looked up without end.
        if !matches!(own.storage, Storage::Objects { .. }) {
            return Err(fault("it is not kept as objects itself".into()));
        }
        let grid = creation.recipe.as_ref().map(|recipe| recipe.grid.counts()).unwrap_or_default();
        let dims = dataspace.dims();
        if dims.len() != grid.len() || dims.iter().zip(grid).any(|(rows, chunks)| rows < chunks) {
            return Err(fault(format!("its shape {dims:?} has no row for each of {grid:?} chunks")));
        }
        TableRow::of(&datatype)
    }

    /// Notes a problem of an object, or of a link (`/`) or attribute (`@`) of it.
    pub fn problem(&mut self, object: ObjectId, part: Option<(&Name, char)>, reason: String) {
        if self.problems.len() >= PROBLEMS {
            self.more += 1;
            return;
        }
        let mut path = self.path(object);
        if let Some((name, separator)) = part {
            if !(separator == '/' && path.ends_with('/')) {
                path.push(separator);
            }
            path.push_str(&end_of_name(name));
        }
        let path = end_of_path(path);
        let key = self.nodes[object.0 as usize].key.to_string();
        self.problems.push(Problem { path, key, reason });
    }

    /// All problems noted so far.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut self.problems);
        if self.more > 0 {
            let key = self.nodes.first().map(|root| root.key.to_string()).unwrap_or_default();
            problems.push(Problem { path: "/".into(), key, reason: format!("and {} problems more", self.more) });
        }
        problems
    }

    /// The path by which an object was first reached; its id in brackets where no link did.
    fn path(&self, object: ObjectId) -> String {
        let mut parts = Vec::new();
        let mut bytes = 0;
        let mut at = object;
        let root = loop {
            match self.nodes.get(at.0 as usize) {
                Some(_) if parts.len() == PATH_NAMES || bytes > PATH_BYTES => break "…".to_owned(),
                Some(Node { parent: Some((parent, name)), .. }) => {
                    bytes += name.as_bytes().len().min(PATH_BYTES);
                    parts.push(end_of_name(name));
                    at = *parent;
                }
                Some(node) if at.0 != 0 => break format!("[{}]", node.id),
                _ => break String::new(),
            }
        };
        if parts.is_empty() && root.is_empty() {
            return "/".into();
        }
        parts.reverse();
        parts.iter().fold(root, |path, part| path + "/" + part)
    }
}
