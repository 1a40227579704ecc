//! Datasets in an index: where their elements lie, chunk by chunk.
//!
//! What follows from other things is not written: the grid and the bytes of a chunk from shape, layout and type, the filters as
//! the hierarchy lists them from those of the file.

use super::bytes::{Damaged, In, Kept, Out};
use crate::format::message::filter_pipeline::StoredFilter;
use crate::layout::scan::{ChunkAt, Packing, Place, Placement};
use crate::model::datatype::Datatype;
use crate::model::grid::Grid;
use crate::model::hierarchy::{DataLayout, Dataset, Object, ObjectKind, TypeUse};
use crate::model::limits;

/// Bytes of a chunk's entry at least.
const ENTRY: usize = 4;

impl Kept for StoredFilter {
    fn write(&self, out: &mut Out) {
        let StoredFilter { id, optional, name, values } = self;
        out.number(*id);
        optional.write(out);
        name.write(out);
        out.list(values);
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        Ok(StoredFilter {
            id: from.small()?,
            optional: bool::read(from)?,
            name: Vec::read(from)?,
            values: from.list()?,
        })
    }
}

impl Kept for Place {
    fn write(&self, out: &mut Out) {
        match self {
            Place::Nowhere => out.byte(0),
            Place::Piece(range) => {
                out.byte(1);
                out.number(range.start);
                out.number(range.end.saturating_sub(range.start));
            }
            Place::Even { first, counts } => {
                out.byte(2);
                out.number(*first);
                out.list(counts);
            }
            Place::Listed(chunks) => {
                out.byte(3);
                out.number(chunks.len() as u64);
                // What mostly comes next is next to nothing: the following chunk, right behind this one, of like size.
                let (mut number, mut end, mut last) = (0, 0, 0);
                for chunk in chunks.iter() {
                    out.number(chunk.number.wrapping_sub(number));
                    out.step(end, chunk.position);
                    out.step(last, chunk.len.into());
                    out.number(chunk.mask);
                    number = chunk.number.wrapping_add(1);
                    end = chunk.position.wrapping_add(chunk.len.into());
                    last = chunk.len.into();
                }
            }
        }
    }

    fn read(from: &mut In<'_>) -> Result<Self, Damaged> {
        match from.byte()? {
            0 => Ok(Place::Nowhere),
            1 => {
                let (start, len) = (from.number()?, from.number()?);
                let end = start.checked_add(len).ok_or_else(|| from.damaged("elements past all files"))?;
                Ok(Place::Piece(start..end))
            }
            2 => Ok(Place::Even { first: from.number()?, counts: from.list()? }),
            3 => {
                let count = from.count(ENTRY, size_of::<ChunkAt>())?;
                let mut chunks = Packing::default();
                let (mut number, mut end, mut last) = (0u64, 0u64, 0u64);
                for _ in 0..count {
                    let passed = from.number()?;
                    let chunk = ChunkAt {
                        number: number.checked_add(passed).ok_or_else(|| from.damaged("a chunk past all others"))?,
                        position: from.step(end)?,
                        len: u32::try_from(from.step(last)?).map_err(|_| from.damaged("a chunk that is too large"))?,
                        mask: from.small()?,
                    };
                    let next = (chunk.number.checked_add(1), chunk.position.checked_add(chunk.len.into()));
                    let (Some(following), Some(behind)) = next else {
                        return Err(from.damaged("a chunk past all others"));
                    };
                    (number, end, last) = (following, behind, chunk.len.into());
                    chunks.push(chunk);
                }
                Ok(Place::Listed(chunks.done()))
            }
            _ => Err(from.damaged("elements in no kind of place")),
        }
    }
}

/// The grid and the bytes of a chunk, as a scan has them; `None` where it has none.
fn grid(dataset: &Dataset, element: u32) -> Option<(Grid, u64)> {
    let dims = dataset.dataspace.dims();
    match &dataset.layout {
        DataLayout::Chunked(chunk) => {
            let grid = Grid::new(dims, chunk).filter(|_| !dims.is_empty())?;
            let bytes = grid.chunk_elements()?.checked_mul(element.into())?;
            (bytes <= limits::CHUNK_BYTES).then_some((grid, bytes))
        }
        DataLayout::Contiguous => {
            let elements = dataset.dataspace.elements()?;
            let shape: Vec<u64> = dims.iter().map(|&dim| dim.max(1)).collect();
            let grid = if elements == 0 { Grid::new(&[0], &[1]) } else { Grid::new(dims, &shape) };
            let bytes = elements.checked_mul(element.into()).filter(|&bytes| bytes <= limits::FILE_BYTES / 4)?;
            Some((grid?, bytes))
        }
        DataLayout::Virtual(_) | DataLayout::External(_) | DataLayout::Compact(_) => Some((Grid::new(&[0], &[1])?, 0)),
    }
}

/// Writes an object; `None` where it is of a form that an index has no words for.
pub(super) fn write(object: &Object, placement: Option<&Placement>, out: &mut Out) -> Option<()> {
    let Object { kind, attributes, attributes_tracked, modified, details } = object;
    out.list(attributes);
    attributes_tracked.write(out);
    modified.write(out);
    details.write(out);
    match (kind, placement) {
        (ObjectKind::Group(group), None) => {
            out.byte(0);
            group.write(out);
        }
        (ObjectKind::Datatype(datatype), None) => {
            out.byte(1);
            datatype.write(out);
        }
        (ObjectKind::Dataset(dataset), Some(placement)) => {
            out.byte(2);
            self::dataset(dataset, placement, out)?;
        }
        _ => return None,
    }
    Some(())
}

fn dataset(dataset: &Dataset, placement: &Placement, out: &mut Out) -> Option<()> {
    let Placement { grid, raw_len, filters, plain_edges, place, stored, datatype } = placement;
    let follows = self::grid(dataset, stored.size).is_some_and(|(same, bytes)| same == *grid && bytes == *raw_len);
    if !follows || dataset.filters != placement.listed_filters() || dataset.stored != placement.stored_form() {
        return None;
    }
    dataset.dataspace.write(out);
    dataset.layout.write(out);
    dataset.fill.write(out);
    stored.write(out);
    datatype.write(out);
    match &dataset.datatype {
        TypeUse::Own(own) if own == datatype => out.byte(0),
        TypeUse::Own(_) => return None,
        TypeUse::Committed(object) => {
            out.byte(1);
            object.write(out);
        }
    }
    out.list(filters);
    plain_edges.write(out);
    place.write(out);
    Some(())
}

/// Reads an object.
pub(super) fn read(from: &mut In<'_>) -> Result<(Object, Option<Placement>), Damaged> {
    let attributes = from.list()?;
    let (attributes_tracked, modified, details) = (bool::read(from)?, Option::read(from)?, Kept::read(from)?);
    let (kind, placement) = match from.byte()? {
        0 => (ObjectKind::Group(Kept::read(from)?), None),
        1 => (ObjectKind::Datatype(Datatype::read(from)?), None),
        2 => {
            let (dataset, placement) = read_dataset(from)?;
            (ObjectKind::Dataset(dataset), Some(placement))
        }
        _ => return Err(from.damaged("an object of no kind")),
    };
    Ok((Object { kind, attributes, attributes_tracked, modified, details }, placement))
}

fn read_dataset(from: &mut In<'_>) -> Result<(Dataset, Placement), Damaged> {
    let mut dataset = Dataset {
        dataspace: Kept::read(from)?,
        layout: Kept::read(from)?,
        fill: Option::read(from)?,
        datatype: TypeUse::Committed(crate::model::hierarchy::Hierarchy::ROOT),
        filters: Vec::new(),
        stored: Default::default(),
    };
    let (stored, datatype): (crate::format::datatype::decode::StoredType, Datatype) =
        (Kept::read(from)?, Kept::read(from)?);
    dataset.datatype = match from.byte()? {
        0 => TypeUse::Own(datatype.clone()),
        1 => TypeUse::Committed(Kept::read(from)?),
        _ => return Err(from.damaged("a datatype used in no way")),
    };
    let (grid, raw_len) =
        grid(&dataset, stored.size).ok_or_else(|| from.damaged("chunks that do not cut the extent"))?;
    let filters = from.list()?;
    let placement = Placement {
        grid,
        raw_len,
        filters,
        plain_edges: bool::read(from)?,
        place: Kept::read(from)?,
        stored,
        datatype,
    };
    let fits = match &placement.place {
        Place::Listed(chunks) => chunks.last().is_none_or(|last| last.number < placement.grid.total()),
        Place::Even { counts, .. } => counts.len() == placement.grid.counts().len(),
        Place::Nowhere | Place::Piece(_) => true,
    };
    if !fits {
        return Err(from.damaged("chunks outside the extent"));
    }
    dataset.filters = placement.listed_filters();
    dataset.stored = placement.stored_form();
    Ok((dataset, placement))
}
