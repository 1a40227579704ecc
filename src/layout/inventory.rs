//! What of a hierarchy the presented file shows: every object, link and attribute that the format has words for.
//!
//! Stores hold what HDF5 cannot say (strings of no bytes, tags of 300, links to nothing), and hostile ones hold worse.
//! Such a thing is left out and recorded, so that the rest of the file opens. After this, planning meets only what can be
//! encoded.

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::format::datatype;
use crate::format::message::attribute::{self, AttributeType};
use crate::format::message::link::{self, LinkBody};
use crate::format::object_header::MESSAGE_LEN;
use crate::model::datatype::Datatype;
use crate::model::elements::Elements;
use crate::model::hierarchy::{Attribute, Dataset, Details, Hierarchy, LinkTarget, ObjectId, ObjectKind, TypeUse};
use crate::model::limits;
use crate::model::problem::{PATH_BYTES, end_of_name, end_of_path};

use super::error::{LayoutError, Omission};
use super::index::PlacedIndex;
use super::options::{FilterPresentation, PresentOptions};
use super::pages::PAGE;
use super::storage::Storage;
use super::window::WINDOW_BYTES;

/// Links that still stand in the group's object header; more go to a fractal heap. Compact links are the cheapest to
/// read, but libhdf5 1.10 loses a group of 20,000 of them when it adds one.
const COMPACT_LINKS: usize = 4096;
/// Attributes that still stand in the object header; more go to a fractal heap. libhdf5 finds a compact attribute by
/// going through all of them, quadratic for a reader that opens each by its name: h5py takes 4 s over 10,000 compact ones,
/// 1 s over dense ones. Few of them are read with their object's header, in one piece.
const COMPACT_ATTRIBUTES: usize = 64;
/// Bytes of all slots of a file: half of [`limits::FILE_BYTES`], the other half is for heap windows.
const RAW_BYTES: u64 = limits::FILE_BYTES / 2;
/// Attributes whose creation order can be kept: it has 16 bits in an object header.
const TRACKED_ATTRIBUTES: usize = u16::MAX as usize;

/// Things left out that are named one by one; of the others only how many they are is said.
const OMISSIONS: usize = 10_000;

/// A dataset that is shown.
#[derive(Debug)]
pub(super) struct ShownDataset<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) datatype: &'a Datatype,
    pub(super) storage: Storage,
    /// The fill value, where it is one element of the type.
    pub(super) fill: Option<&'a Elements>,
}

/// What kind of object is shown.
#[derive(Debug)]
pub(super) enum ShownKind<'a> {
    Group { tracked: bool },
    Dataset(Box<ShownDataset<'a>>),
    Datatype(&'a Datatype),
}

/// An object that is shown.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) kind: ShownKind<'a>,
    /// Links that are shown, in order; of a group.
    pub(super) links: Vec<&'a crate::model::hierarchy::Link>,
    pub(super) dense_links: bool,
    pub(super) attributes: Vec<&'a Attribute>,
    pub(super) dense_attributes: bool,
    pub(super) attributes_tracked: bool,
    pub(super) modified: Option<u32>,
    pub(super) details: &'a Details,
    /// Hard links that lead here.
    pub(super) references: u32,
}

/// What of a hierarchy is shown, object by object.
#[derive(Debug)]
pub(super) struct Inventory<'a> {
    pub(super) objects: Vec<Option<Shown<'a>>>,
    pub(super) omissions: Vec<Omission>,
    /// Omissions past [`OMISSIONS`], only counted.
    more: u64,
    pub(super) hierarchy: &'a Hierarchy,
    /// Of each object the first link that leads to it: group and number of the link.
    parents: OnceCell<Vec<Option<(u32, u32)>>>,
}

impl<'a> Inventory<'a> {
    /// Goes through a hierarchy.
    pub(super) fn of(hierarchy: &'a Hierarchy, options: &PresentOptions) -> Result<Self, LayoutError> {
        let root = hierarchy.get(Hierarchy::ROOT).ok_or(LayoutError::NoRoot)?;
        if !matches!(root.kind, ObjectKind::Group(_)) || hierarchy.objects.len() > limits::OBJECTS {
            return Err(LayoutError::NoRoot);
        }
        let mut inventory =
            Inventory { objects: Vec::new(), omissions: Vec::new(), more: 0, hierarchy, parents: OnceCell::new() };
        inventory.take_objects(options);
        inventory.take_links();
        inventory.take_attributes();
        if inventory.more > 0 {
            let reason = format!("{} things more are left out", inventory.more);
            inventory.omissions.push(Omission { object: Hierarchy::ROOT, path: "/".into(), reason });
        }
        Ok(inventory)
    }

    /// An object that is shown.
    pub(super) fn get(&self, id: ObjectId) -> Option<&Shown<'a>> {
        self.objects.get(id.0 as usize)?.as_ref()
    }

    /// Records something that is not shown; `what` follows the object's path.
    pub(super) fn omit(&mut self, object: ObjectId, what: &str, reason: String) {
        if self.omissions.len() >= OMISSIONS {
            self.more += 1;
            return;
        }
        let path = self.location(object, what);
        self.omissions.push(Omission { object, path, reason });
    }

    /// Path of an object, with what follows it (`/link`, `@attribute` or nothing).
    pub(super) fn location(&self, object: ObjectId, what: &str) -> String {
        let path = self.path(object);
        let root = if path.is_empty() && !what.starts_with('/') { "/" } else { "" };
        end_of_path(format!("{path}{root}{what}"))
    }

    /// Path of an object by the first links that lead to it; empty for the root.
    fn path(&self, object: ObjectId) -> String {
        let parents = self.parents.get_or_init(|| {
            let mut parents = vec![None; self.hierarchy.objects.len()];
            for (group, object) in self.hierarchy.objects.iter().enumerate() {
                let ObjectKind::Group(links) = &object.kind else { continue };
                for (number, link) in links.links.iter().enumerate() {
                    if let LinkTarget::Hard(target) = link.target
                        && let Some(parent @ None) = parents.get_mut(target.0 as usize)
                    {
                        *parent = Some((group as u32, number as u32));
                    }
                }
            }
            parents
        });
        let mut names = Vec::new();
        let mut bytes = 0;
        let mut at = object;
        while at != Hierarchy::ROOT {
            let step = parents.get(at.0 as usize).copied().flatten();
            if bytes > PATH_BYTES {
                break;
            }
            // A cycle that the root does not reach has no path; neither has an object without a link.
            let Some((group, number)) = step.filter(|_| names.len() < 1000) else {
                return format!("object {}", object.0);
            };
            if let Some(ObjectKind::Group(group)) = self.hierarchy.get(ObjectId(group)).map(|object| &object.kind)
                && let Some(link) = group.links.get(number as usize)
            {
                bytes += link.name.as_bytes().len();
                names.push(end_of_name(&link.name));
            }
            at = ObjectId(group);
        }
        names.iter().rev().fold(String::new(), |path, name| path + "/" + name)
    }

    fn take_objects(&mut self, options: &PresentOptions) {
        let (mut raw, mut windows) = (0u64, 0u64);
        for (number, object) in self.hierarchy.objects.iter().enumerate() {
            let id = ObjectId(number as u32);
            let mut left_out = None;
            let kind = match &object.kind {
                ObjectKind::Group(group) => Some(ShownKind::Group { tracked: group.tracked }),
                ObjectKind::Datatype(datatype) => match check_datatype(datatype) {
                    Ok(()) => Some(ShownKind::Datatype(datatype)),
                    Err(reason) => {
                        left_out = Some(reason);
                        None
                    }
                },
                ObjectKind::Dataset(dataset) => match self.take_dataset(id, dataset, options, &mut raw, &mut windows) {
                    Ok(shown) => Some(ShownKind::Dataset(Box::new(shown))),
                    Err(reason) => {
                        left_out = Some(reason);
                        None
                    }
                },
            };
            if let Some(reason) = left_out {
                self.omit(id, "", format!("{reason}; it is left out"));
            }
            self.objects.push(kind.map(|kind| Shown {
                kind,
                links: Vec::new(),
                dense_links: false,
                attributes: Vec::new(),
                dense_attributes: false,
                attributes_tracked: object.attributes_tracked,
                modified: object.modified,
                details: &object.details,
                references: 0,
            }));
        }
    }

    fn take_dataset(
        &mut self,
        id: ObjectId,
        dataset: &'a Dataset,
        options: &PresentOptions,
        raw: &mut u64,
        windows: &mut u64,
    ) -> Result<ShownDataset<'a>, String> {
        let datatype = self.datatype(&dataset.datatype)?;
        // Addresses in the elements have to be written into them, so such chunks are never as stored.
        let plain = PresentOptions { filters: FilterPresentation::Declared };
        let as_stored = options.filters == FilterPresentation::Stored;
        let options = if as_stored && datatype.needs_placement() { &plain } else { options };
        let mut storage = Storage::of(dataset, datatype.size(), options)?;
        PlacedIndex::settle(&mut storage).map_err(|error| error.to_string())?;
        let mut space = Vec::new();
        crate::format::dataspace::encode(&dataset.dataspace, &mut space).map_err(|error| error.to_string())?;
        // Each slot is rounded up to its page, each dataset starts on one.
        let total = storage.len().and_then(|len| len.checked_next_multiple_of(PAGE)?.checked_add(*raw));
        *raw = total.filter(|&total| total <= RAW_BYTES).ok_or_else(|| {
            format!("its extent {:?} would make the file longer than {} bytes", storage.grid.dims(), limits::FILE_BYTES)
        })?;
        if datatype.needs_heap() {
            let total = storage.chunks().checked_mul(PAGE).and_then(|len| len.checked_add(*windows));
            *windows = total.filter(|&total| total <= WINDOW_BYTES).ok_or_else(|| {
                format!("it has {} chunks of variable-length data, too many for one file", storage.chunks())
            })?;
        }
        let mut fill = dataset.fill.as_ref();
        if let Some(value) = fill
            && value.bytes.len() as u64 != datatype.size()
        {
            let reason =
                format!("its fill value has {} bytes, not {}; it reads as zeros", value.bytes.len(), datatype.size());
            self.omit(id, "", reason);
            fill = None;
        }
        Ok(ShownDataset { dataset, datatype, storage, fill })
    }

    /// The type that `usage` means, if the file can say it.
    fn datatype(&self, usage: &'a TypeUse) -> Result<&'a Datatype, String> {
        let datatype = self.hierarchy.datatype(usage).ok_or("its committed datatype does not exist")?;
        check_datatype(datatype)?;
        Ok(datatype)
    }

    fn take_links(&mut self) {
        let mut references = vec![0u32; self.objects.len()];
        // The superblock leads to the root, which counts like a link.
        if let Some(root) = references.first_mut() {
            *root = 1;
        }
        for (number, object) in self.hierarchy.objects.iter().enumerate() {
            let ObjectKind::Group(group) = &object.kind else { continue };
            let mut links = Vec::with_capacity(group.links.len());
            let mut names = HashSet::with_capacity(group.links.len());
            let mut large = false;
            for link in &group.links {
                let target = match &link.target {
                    LinkTarget::Hard(id) => match self.get(*id) {
                        Some(_) => Ok(LinkBody::Hard(0)),
                        None => Err(format!("it leads to object {}, which is not shown", id.0)),
                    },
                    LinkTarget::Soft(path) => Ok(LinkBody::Soft(path)),
                    LinkTarget::External { file, path } => Ok(LinkBody::External { file, path }),
                    LinkTarget::User { class, value } => Ok(LinkBody::User { class: *class, value }),
                };
                let body = target.and_then(|target| {
                    let link = link::Link { name: &link.name, creation_order: Some(0), target };
                    link.body().map_err(|error| error.to_string())
                });
                let body = body.and_then(|body| match names.insert(&link.name) {
                    true => Ok(body),
                    false => Err("another link of the group has its name".into()),
                });
                match body {
                    Ok(body) => {
                        large |= body.len() > MESSAGE_LEN;
                        links.push(link);
                        if let LinkTarget::Hard(id) = link.target
                            && let Some(count) = references.get_mut(id.0 as usize)
                        {
                            *count = count.saturating_add(1);
                        }
                    }
                    Err(reason) => {
                        let what = format!("/{}", link.name);
                        self.omit(ObjectId(number as u32), &what, format!("{reason}; the link is left out"));
                    }
                }
            }
            if let Some(Some(shown)) = self.objects.get_mut(number) {
                shown.dense_links = large || links.len() > COMPACT_LINKS;
                shown.links = links;
            }
        }
        for (shown, count) in self.objects.iter_mut().zip(references) {
            if let Some(shown) = shown {
                shown.references = count;
            }
        }
    }

    fn take_attributes(&mut self) {
        for (number, object) in self.hierarchy.objects.iter().enumerate() {
            if object.attributes.is_empty() || self.get(ObjectId(number as u32)).is_none() {
                continue;
            }
            let mut attributes = Vec::with_capacity(object.attributes.len());
            let mut names = HashSet::with_capacity(object.attributes.len());
            let mut large = false;
            for attribute in &object.attributes {
                let checked = self.check_attribute(attribute).and_then(|len| match names.insert(&attribute.name) {
                    true => Ok(len),
                    false => Err("another attribute of the object has its name".into()),
                });
                match checked {
                    Ok(len) => {
                        large |= len > MESSAGE_LEN;
                        attributes.push(attribute);
                    }
                    Err(reason) => {
                        let what = format!("@{}", attribute.name);
                        self.omit(ObjectId(number as u32), &what, format!("{reason}; the attribute is left out"));
                    }
                }
            }
            let tracked = object.attributes_tracked && attributes.len() <= TRACKED_ATTRIBUTES;
            if object.attributes_tracked && !tracked {
                let reason = format!("it has {} attributes, too many to keep their order", attributes.len());
                self.omit(ObjectId(number as u32), "", reason);
            }
            if let Some(Some(shown)) = self.objects.get_mut(number) {
                shown.dense_attributes = large || attributes.len() > COMPACT_ATTRIBUTES;
                shown.attributes = attributes;
                shown.attributes_tracked = tracked;
            }
        }
    }

    /// Bytes of an attribute's message.
    fn check_attribute(&self, attribute: &'a Attribute) -> Result<usize, String> {
        let datatype = self.datatype(&attribute.datatype)?;
        let elements = attribute.dataspace.elements().ok_or("it has more elements than fit 64 bits")?;
        let bytes = elements.checked_mul(datatype.size());
        if bytes != Some(attribute.value.bytes.len() as u64) {
            return Err(format!(
                "it has {} bytes for {elements} elements of {} bytes",
                attribute.value.bytes.len(),
                datatype.size()
            ));
        }
        let message = attribute::Attribute {
            name: &attribute.name,
            datatype: match &attribute.datatype {
                TypeUse::Own(datatype) => AttributeType::Own(datatype),
                TypeUse::Committed(_) => AttributeType::Committed(0),
            },
            dataspace: &attribute.dataspace,
            // Its bytes do not matter to its form, only their number, which is added below.
            data: &[],
        };
        let body = message.body().map_err(|error| error.to_string())?;
        Ok(body.len() + attribute.value.bytes.len())
    }
}

/// Whether the file can say a datatype.
fn check_datatype(datatype: &Datatype) -> Result<(), String> {
    if !shallow(datatype, limits::DATATYPE_DEPTH) {
        return Err(format!("its datatype nests more than {} deep", limits::DATATYPE_DEPTH));
    }
    if datatype.size() == 0 || datatype.size() > limits::ELEMENT_BYTES {
        return Err(format!("its datatype has {} bytes", datatype.size()));
    }
    let len = datatype::encoded_len(datatype);
    if len > MESSAGE_LEN {
        return Err(format!("its datatype takes {len} bytes, more than {MESSAGE_LEN}"));
    }
    datatype::encode(datatype, &mut Vec::with_capacity(len)).map_err(|error| error.to_string())
}

fn shallow(datatype: &Datatype, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match datatype {
        Datatype::Sequence(base) => shallow(base, depth),
        Datatype::Array(array) => shallow(&array.base, depth),
        Datatype::Compound(compound) => compound.members.iter().all(|member| shallow(&member.datatype, depth)),
        _ => true,
    }
}
