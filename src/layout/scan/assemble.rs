//! Objects that were read, put in order: a walk from the root, depth first by the order of links, and then those that
//! only references name.

use std::collections::HashMap;

use super::group::{DraftLink, DraftTarget};
use super::object::{Context, Draft, DraftAttribute, DraftKind, DraftType};
use super::placement::Placement;
use super::{Addresses, Fault, FileFacts, Scanned};
use crate::format::bytes::Sizes;
use crate::format::{FormatError, Kind};
use crate::model::datatype::Datatype;
use crate::model::elements::{Elements, Target};
use crate::model::hierarchy::{
    Attribute, DataLayout, Dataset, Group, Hierarchy, Link, LinkTarget, Object, ObjectId, ObjectKind, TypeUse,
};

/// Addresses of the objects that a group's links lead to.
pub(super) fn targets(draft: &Draft) -> impl DoubleEndedIterator<Item = u64> + '_ {
    let links: &[DraftLink] = match &draft.kind {
        DraftKind::Group { links, .. } => links,
        _ => &[],
    };
    links.iter().filter_map(|link| match link.target {
        DraftTarget::Hard(address) => Some(address),
        _ => None,
    })
}

/// The hierarchy of all that was read; `hierarchy` is what is known of the file but for its objects.
pub(super) fn assemble(
    root: u64,
    mut drafts: HashMap<u64, Result<Draft, FormatError>>,
    context: Context,
    mut hierarchy: Hierarchy,
    facts: FileFacts,
    sizes: Sizes,
) -> Result<Scanned, FormatError> {
    let mut order = Order::default();
    order.walk(root, &drafts);
    // By their addresses: the order must not depend on when which bytes were at hand.
    let mut mentioned: Vec<u64> = context.numbers.keys().copied().collect();
    mentioned.sort_unstable();
    for address in mentioned {
        order.walk(address, &drafts);
    }
    let mut finals: Vec<Option<ObjectId>> = vec![None; context.numbers.len()];
    for (address, number) in &context.numbers {
        if let Some(place) = finals.get_mut(number.0 as usize) {
            *place = order.numbers.get(address).copied();
        }
    }
    let types: HashMap<u64, Datatype> =
        order.addresses.iter().filter_map(|address| committed(*address, &drafts)).collect();
    let mut assembler = Assembler {
        numbers: &order.numbers,
        finals,
        types,
        broken: HashMap::new(),
        faults: Vec::new(),
        placements: Vec::new(),
    };
    hierarchy.objects.reserve_exact(order.addresses.len());
    for address in drafts.keys().copied().collect::<Vec<_>>() {
        if let Some(Err(_)) = drafts.get(&address)
            && let Some(Err(error)) = drafts.remove(&address)
        {
            assembler.broken.insert(address, error);
        }
    }
    if let Some(error) = assembler.broken.remove(&root) {
        return Err(error);
    }
    if !matches!(drafts.get(&root), Some(Ok(Draft { kind: DraftKind::Group { .. }, .. }))) {
        let reason = "the root is no group".to_owned();
        let at = root.saturating_add(facts.user_block);
        return Err(FormatError { kind: Kind::Value, structure: "object header", at, reason });
    }
    for (number, address) in (0..).zip(&order.addresses) {
        if let Some(Ok(draft)) = drafts.remove(address) {
            hierarchy.objects.push(assembler.object(ObjectId(number), draft));
        }
    }
    let Assembler { faults, placements, .. } = assembler;
    let first_byte = placements.iter().flatten().filter_map(Placement::first_byte).min();
    let last_header = order.addresses.iter().max().map(|address| address.saturating_add(facts.user_block));
    let headers_first = first_byte.is_none_or(|first| last_header.is_none_or(|last| last < first));
    let addresses = Addresses { objects: order.numbers, base: facts.user_block, sizes, heaps: None };
    Ok(Scanned { hierarchy, placements, addresses, faults, facts: FileFacts { headers_first, ..facts } })
}

/// The order of objects.
#[derive(Default)]
struct Order {
    numbers: HashMap<u64, ObjectId>,
    addresses: Vec<u64>,
}

impl Order {
    /// Numbers the object at `address` and what its links lead to, as far as they were read and have no number.
    fn walk(&mut self, address: u64, drafts: &HashMap<u64, Result<Draft, FormatError>>) {
        let mut open = vec![address];
        while let Some(address) = open.pop() {
            let Some(Ok(draft)) = drafts.get(&address) else { continue };
            if self.numbers.contains_key(&address) {
                continue;
            }
            self.numbers.insert(address, ObjectId(u32::try_from(self.addresses.len()).unwrap_or(u32::MAX)));
            self.addresses.push(address);
            open.extend(targets(draft).rev());
        }
    }
}

fn committed(address: u64, drafts: &HashMap<u64, Result<Draft, FormatError>>) -> Option<(u64, Datatype)> {
    match drafts.get(&address) {
        Some(Ok(Draft { kind: DraftKind::Datatype(datatype), .. })) => Some((address, datatype.clone())),
        _ => None,
    }
}

struct Assembler<'o> {
    numbers: &'o HashMap<u64, ObjectId>,
    /// Final numbers by provisional ones.
    finals: Vec<Option<ObjectId>>,
    /// Committed types.
    types: HashMap<u64, Datatype>,
    /// Objects that could not be read.
    broken: HashMap<u64, FormatError>,
    faults: Vec<Fault>,
    placements: Vec<Option<Placement>>,
}

impl Assembler<'_> {
    fn object(&mut self, id: ObjectId, draft: Draft) -> Object {
        let mut placement = None;
        let Draft { kind, attributes, attributes_tracked, modified, details, faults } = draft;
        let kind = match kind {
            DraftKind::Group { links, tracked } => ObjectKind::Group(Group { links: self.links(id, links), tracked }),
            DraftKind::Datatype(datatype) => ObjectKind::Datatype(datatype),
            DraftKind::Dataset(dataset) => {
                let filters = dataset.placement.listed_filters();
                let stored = dataset.placement.stored_form();
                placement = Some(dataset.placement);
                let mut fill = dataset.fill;
                if let Some(fill) = &mut fill {
                    self.settle(id, "", fill);
                }
                let mut layout = dataset.layout;
                if let DataLayout::Compact(elements) = &mut layout {
                    self.settle(id, "", elements);
                }
                ObjectKind::Dataset(Dataset {
                    datatype: self.type_use(dataset.datatype),
                    dataspace: dataset.dataspace,
                    fill,
                    layout,
                    filters,
                    stored,
                })
            }
        };
        for (name, error) in faults {
            self.faults.push(Fault { object: id, what: format!("@{name}"), error, left_out: true });
        }
        let attributes = attributes.into_iter().map(|attribute| self.attribute(id, attribute)).collect();
        self.placements.push(placement);
        Object { kind, attributes, attributes_tracked, modified, details }
    }

    fn links(&mut self, id: ObjectId, links: Vec<DraftLink>) -> Vec<Link> {
        let mut shown = Vec::with_capacity(links.len());
        for DraftLink { name, target } in links {
            let target = match target {
                DraftTarget::Soft(path) => LinkTarget::Soft(path),
                DraftTarget::External { file, path } => LinkTarget::External { file, path },
                DraftTarget::User { class, value } => LinkTarget::User { class, value },
                DraftTarget::Hard(address) => match (self.numbers.get(&address), self.broken.get(&address)) {
                    (Some(object), _) => LinkTarget::Hard(*object),
                    (None, error) => {
                        let error = error.cloned().unwrap_or_else(|| {
                            super::fault(Kind::Value, format!("nothing was read of the object at {address}"))
                        });
                        self.faults.push(Fault { object: id, what: format!("/{name}"), error, left_out: true });
                        continue;
                    }
                },
            };
            shown.push(Link { name, target });
        }
        shown
    }

    fn attribute(&mut self, id: ObjectId, draft: DraftAttribute) -> Attribute {
        let DraftAttribute { name, datatype, dataspace, mut value, .. } = draft;
        self.settle(id, &format!("@{name}"), &mut value);
        Attribute { name, datatype: self.type_use(datatype), dataspace, value }
    }

    /// The committed type where the file shows it, else the type itself.
    fn type_use(&self, draft: DraftType) -> TypeUse {
        let shown = draft.committed.filter(|address| self.types.get(address) == Some(&draft.datatype));
        match shown.and_then(|address| self.numbers.get(&address)) {
            Some(object) => TypeUse::Committed(*object),
            None => TypeUse::Own(draft.datatype),
        }
    }

    /// Puts final numbers in the place of provisional ones. References to what is not shown become null.
    fn settle(&mut self, id: ObjectId, what: &str, elements: &mut Elements) {
        let lost = settle(&self.finals, elements);
        if lost > 0 {
            let error =
                super::fault(Kind::Value, format!("{lost} references to no object of the file are shown as null"));
            self.faults.push(Fault { object: id, what: what.to_owned(), error, left_out: false });
        }
    }
}

fn settle(finals: &[Option<ObjectId>], elements: &mut Elements) -> usize {
    let mut lost = 0;
    elements.places.retain_mut(|place| match &mut place.target {
        Target::Sequence { body, .. } => {
            lost += settle(finals, body);
            true
        }
        Target::Reference { object: None, .. } => true,
        Target::Object(object) | Target::Region { object, .. } | Target::Reference { object: Some(object), .. } => {
            match finals.get(object.0 as usize).copied().flatten() {
                Some(id) => {
                    *object = id;
                    true
                }
                None => {
                    lost += 1;
                    false
                }
            }
        }
    });
    lost
}
