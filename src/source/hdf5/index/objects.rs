//! Objects of a hierarchy in an index, with their links, attributes and values.

use bytes::Bytes;

use super::bytes::{Damaged, In, Kept, Out, numbered};
use crate::format::object_header::MESSAGE_LEN;
use crate::model::dataspace::Dataspace;
use crate::model::datatype::Encoded;
use crate::model::elements::{Elements, Place, Target};
use crate::model::hierarchy::{
    Allocation, Attribute, DataLayout, Details, FillTime, Group, Link, LinkTarget, ObjectId, RawPart, Storing, TypeUse,
};
use crate::model::limits::RANK;
use crate::model::selection::Selection;

/// Parts of raw files that a message has room for: three numbers of eight bytes each.
const PARTS: usize = MESSAGE_LEN / 24;

numbered!(Allocation: Early = 0, Late = 1, Incremental = 2);
numbered!(FillTime: Allocation = 0, Never = 1, IfSet = 2);

impl Kept for ObjectId {
    fn write(&self, out: &mut Out) {
        out.number(self.0);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(ObjectId(from.small()?))
    }
}

impl Kept for Dataspace {
    fn write(&self, out: &mut Out) {
        match self {
            Dataspace::Null => out.byte(0),
            Dataspace::Scalar => out.byte(1),
            Dataspace::Simple { dims, max_dims } => {
                out.byte(2);
                out.list(dims);
                max_dims.iter().for_each(|most| most.write(out));
            }
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        match from.byte()? {
            0 => Ok(Dataspace::Null),
            1 => Ok(Dataspace::Scalar),
            2 => {
                let dims = from.list()?;
                if dims.is_empty() || dims.len() > RANK {
                    return Err(from.damaged("dimensions of no array"));
                }
                let max_dims = dims.iter().map(|_| Option::read(from)).collect::<Result<_, _>>()?;
                Ok(Dataspace::Simple { dims, max_dims })
            }
            _ => Err(from.damaged("a shape of no kind")),
        }
    }
}

impl Kept for Elements {
    fn write(&self, out: &mut Out) {
        out.text(&self.bytes);
        out.list(&self.places);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        let bytes = Bytes::copy_from_slice(from.text()?);
        let places: Vec<Place> = from.list()?;
        let sorted = places.is_sorted_by(|one, next| one.at.checked_add(room(one)).is_some_and(|end| end <= next.at));
        let inside = places
            .last()
            .is_none_or(|last| last.at.checked_add(room(last)).is_some_and(|end| end <= bytes.len() as u64));
        match sorted && inside {
            true => Ok(Elements { bytes, places }),
            false => Err(from.damaged("values outside their elements")),
        }
    }
}

/// Bytes at a place.
fn room(place: &Place) -> u64 {
    match place.target {
        Target::Sequence { .. } => crate::model::datatype::SEQUENCE_SIZE,
        Target::Object(_) => crate::model::datatype::OBJECT_REFERENCE_SIZE,
        Target::Region { .. } => crate::model::datatype::REGION_REFERENCE_SIZE,
        Target::Reference { .. } => Encoded::REFERENCE_SIZE.into(),
    }
}

impl Kept for Place {
    fn write(&self, out: &mut Out) {
        out.number(self.at);
        match &self.target {
            Target::Sequence { count, body } => {
                out.byte(0);
                out.number(*count);
                body.write(out);
            }
            Target::Object(object) => {
                out.byte(1);
                object.write(out);
            }
            Target::Region { object, selection } => {
                out.byte(2);
                object.write(out);
                selection.write(out);
            }
            Target::Reference { object, kind: [kind, flags], rest } => {
                out.byte(3);
                object.write(out);
                out.byte(*kind);
                out.byte(*flags);
                out.text(rest);
            }
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        let at = from.number()?;
        let target = match from.byte()? {
            0 => Target::Sequence { count: from.small()?, body: from.deeper(Elements::read)? },
            1 => Target::Object(ObjectId::read(from)?),
            2 => Target::Region { object: ObjectId::read(from)?, selection: Selection::read(from)? },
            3 => Target::Reference {
                object: Option::read(from)?,
                kind: [from.byte()?, from.byte()?],
                rest: Bytes::copy_from_slice(from.text()?),
            },
            _ => return Err(from.damaged("a value of no kind")),
        };
        Ok(Place { at, target })
    }
}

impl Kept for Selection {
    fn write(&self, out: &mut Out) {
        match self {
            Selection::None => out.byte(0),
            Selection::All => out.byte(1),
            Selection::Points { rank, coordinates } => {
                out.byte(2);
                out.number(*rank);
                out.list(coordinates);
            }
            Selection::Blocks { rank, corners } => {
                out.byte(3);
                out.number(*rank);
                out.list(corners);
            }
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        let kind = from.byte()?;
        if kind < 2 {
            return Ok(if kind == 0 { Selection::None } else { Selection::All });
        }
        let (rank, numbers): (u32, Vec<u64>) = (from.small()?, from.list()?);
        let each = rank as usize * if kind == 2 { 1 } else { 2 };
        if rank == 0 || rank as usize > RANK || numbers.len() % each != 0 {
            return Err(from.damaged("a selection of no shape"));
        }
        match kind {
            2 => Ok(Selection::Points { rank, coordinates: numbers }),
            3 => Ok(Selection::Blocks { rank, corners: numbers }),
            _ => Err(from.damaged("a selection of no kind")),
        }
    }
}

impl Kept for TypeUse {
    fn write(&self, out: &mut Out) {
        match self {
            TypeUse::Own(datatype) => {
                out.byte(0);
                datatype.write(out);
            }
            TypeUse::Committed(object) => {
                out.byte(1);
                object.write(out);
            }
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        match from.byte()? {
            0 => Ok(TypeUse::Own(Kept::read(from)?)),
            1 => Ok(TypeUse::Committed(ObjectId::read(from)?)),
            _ => Err(from.damaged("a datatype used in no way")),
        }
    }
}

impl Kept for Attribute {
    fn write(&self, out: &mut Out) {
        let Attribute { name, datatype, dataspace, value } = self;
        name.write(out);
        datatype.write(out);
        dataspace.write(out);
        value.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(Attribute {
            name: Kept::read(from)?,
            datatype: TypeUse::read(from)?,
            dataspace: Dataspace::read(from)?,
            value: Elements::read(from)?,
        })
    }
}

impl Kept for Link {
    fn write(&self, out: &mut Out) {
        self.name.write(out);
        match &self.target {
            LinkTarget::Hard(object) => {
                out.byte(0);
                object.write(out);
            }
            LinkTarget::Soft(path) => {
                out.byte(1);
                path.write(out);
            }
            LinkTarget::External { file, path } => {
                out.byte(2);
                file.write(out);
                path.write(out);
            }
            LinkTarget::User { class, value } => {
                out.byte(3);
                out.byte(*class);
                out.text(value);
            }
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        let name = Kept::read(from)?;
        let target = match from.byte()? {
            0 => LinkTarget::Hard(ObjectId::read(from)?),
            1 => LinkTarget::Soft(Kept::read(from)?),
            2 => LinkTarget::External { file: Kept::read(from)?, path: Kept::read(from)? },
            3 => LinkTarget::User { class: from.byte()?, value: Bytes::copy_from_slice(from.text()?) },
            _ => return Err(from.damaged("a link of no kind")),
        };
        Ok(Link { name, target })
    }
}

impl Kept for Group {
    fn write(&self, out: &mut Out) {
        out.list(&self.links);
        self.tracked.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(Group { links: from.list()?, tracked: bool::read(from)? })
    }
}

impl Kept for RawPart {
    fn write(&self, out: &mut Out) {
        let RawPart { file, offset, size } = self;
        file.write(out);
        out.number(*offset);
        out.number(*size);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(RawPart { file: Kept::read(from)?, offset: from.number()?, size: from.number()? })
    }
}

impl Kept for DataLayout {
    fn write(&self, out: &mut Out) {
        match self {
            DataLayout::Contiguous => out.byte(0),
            DataLayout::Chunked(extents) => {
                out.byte(1);
                out.list(extents);
            }
            DataLayout::Virtual(mapping) => {
                out.byte(2);
                out.text(mapping);
            }
            DataLayout::External(parts) => {
                out.byte(3);
                out.list(parts);
            }
            DataLayout::Compact(elements) => {
                out.byte(4);
                elements.write(out);
            }
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        match from.byte()? {
            0 => Ok(DataLayout::Contiguous),
            1 => Ok(DataLayout::Chunked(from.list()?)),
            2 => Ok(DataLayout::Virtual(Bytes::copy_from_slice(from.text()?))),
            3 => match from.list()? {
                parts if parts.len() > PARTS => Err(from.damaged("more raw files than fit a message")),
                parts => Ok(DataLayout::External(parts)),
            },
            4 => Ok(DataLayout::Compact(Elements::read(from)?)),
            _ => Err(from.damaged("a layout of no kind")),
        }
    }
}

impl Kept for Storing {
    fn write(&self, out: &mut Out) {
        self.allocation.write(out);
        self.fill_time.write(out);
        self.fill_undefined.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(Storing {
            allocation: Allocation::read(from)?,
            fill_time: FillTime::read(from)?,
            fill_undefined: bool::read(from)?,
        })
    }
}

impl Kept for Details {
    fn write(&self, out: &mut Out) {
        let Details { links_indexed, attributes_indexed, storing, comment, references } = self;
        links_indexed.write(out);
        attributes_indexed.write(out);
        storing.write(out);
        comment.write(out);
        references.write(out);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(Details {
            links_indexed: bool::read(from)?,
            attributes_indexed: bool::read(from)?,
            storing: Option::read(from)?,
            comment: Option::read(from)?,
            references: Option::read(from)?,
        })
    }
}
