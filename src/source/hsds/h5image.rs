//! `h5image` domains: a file that was stored as it is, byte by byte, in one dataset.

use crate::model::datatype::Datatype;
use crate::model::hierarchy::{Hierarchy, LinkTarget, ObjectKind};
use crate::source::Body;

/// How a file of this hierarchy is shown: as the bytes of `/h5image` where the root group holds nothing but a dataset
/// of that name with one dimension of unsigned bytes.
pub fn body(hierarchy: &Hierarchy) -> Body {
    image(hierarchy).unwrap_or(Body::Hierarchy)
}

fn image(hierarchy: &Hierarchy) -> Option<Body> {
    let ObjectKind::Group(root) = &hierarchy.get(Hierarchy::ROOT)?.kind else { return None };
    let [link] = root.links.as_slice() else { return None };
    let LinkTarget::Hard(dataset) = link.target else { return None };
    let ObjectKind::Dataset(found) = &hierarchy.get(dataset)?.kind else { return None };
    let Datatype::Integer(integer) = hierarchy.datatype(&found.datatype)? else { return None };
    let [len] = *found.dataspace.dims() else { return None };
    let is_image = link.name.as_bytes() == b"h5image" && integer.size == 1 && !integer.signed;
    is_image.then_some(Body::Bytes { dataset, len })
}
