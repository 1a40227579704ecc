//! What has to hold between the parts of an index, as a scan leaves them.

use super::Found;
use crate::model::datatype::Datatype;
use crate::model::elements::{Elements, Target};
use crate::model::hierarchy::{
    Attribute, DataLayout, Dataset, Hierarchy, LinkTarget, Object, ObjectId, ObjectKind, TypeUse,
};

/// Whether everything that is named is there, and values have the sizes of their types.
pub(super) fn is_sound(found: &Found) -> bool {
    let hierarchy = &found.hierarchy;
    let is_there = |id: ObjectId| (id.0 as usize) < hierarchy.objects.len();
    let root = matches!(hierarchy.objects.first(), Some(Object { kind: ObjectKind::Group(_), .. }));
    root && found.faults.iter().all(|told| is_there(told.object))
        && found.addresses.by_number().len() == hierarchy.objects.len()
        && hierarchy.objects.iter().all(|object| is_object_sound(hierarchy, object))
}

fn is_object_sound(hierarchy: &Hierarchy, object: &Object) -> bool {
    let is_there = |id: ObjectId| hierarchy.get(id).is_some();
    let own = match &object.kind {
        ObjectKind::Group(group) => group.links.iter().all(|link| match link.target {
            LinkTarget::Hard(id) => is_there(id),
            LinkTarget::Soft(_) | LinkTarget::External { .. } | LinkTarget::User { .. } => true,
        }),
        ObjectKind::Datatype(_) => true,
        ObjectKind::Dataset(dataset) => {
            let datatype = datatype(hierarchy, &dataset.datatype);
            datatype.is_some_and(|datatype| {
                let fill = dataset.fill.as_ref();
                fill.is_none_or(|fill| are_values_sound(hierarchy, fill, Some(datatype.size())))
                    && is_layout_sound(hierarchy, dataset, datatype)
            })
        }
    };
    own && object.attributes.iter().all(|attribute| is_attribute_sound(hierarchy, attribute))
}

/// Whether elements that stand with their dataset are as many as it has.
fn is_layout_sound(hierarchy: &Hierarchy, dataset: &Dataset, datatype: &Datatype) -> bool {
    let DataLayout::Compact(elements) = &dataset.layout else { return true };
    let bytes = dataset.dataspace.elements().and_then(|count| count.checked_mul(datatype.size()));
    bytes.is_some() && are_values_sound(hierarchy, elements, bytes)
}

fn is_attribute_sound(hierarchy: &Hierarchy, attribute: &Attribute) -> bool {
    let bytes = datatype(hierarchy, &attribute.datatype)
        .zip(attribute.dataspace.elements())
        .and_then(|(datatype, elements)| elements.checked_mul(datatype.size()));
    bytes.is_some() && are_values_sound(hierarchy, &attribute.value, bytes)
}

fn datatype<'a>(hierarchy: &'a Hierarchy, usage: &'a TypeUse) -> Option<&'a Datatype> {
    hierarchy.datatype(usage)
}

/// Whether values lead to objects that are there, and take as many bytes as they should, where that is known.
fn are_values_sound(hierarchy: &Hierarchy, values: &Elements, bytes: Option<u64>) -> bool {
    bytes.is_none_or(|bytes| values.bytes.len() as u64 == bytes)
        && values.places.iter().all(|place| match &place.target {
            Target::Sequence { body, .. } => are_values_sound(hierarchy, body, None),
            Target::Object(object) | Target::Region { object, .. } => hierarchy.get(*object).is_some(),
            Target::Reference { object, .. } => object.is_none_or(|object| hierarchy.get(object).is_some()),
        })
}
