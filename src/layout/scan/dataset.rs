//! Datasets: where their elements lie, found through any of the layouts and chunk indexes.

use bytes::Bytes;

use super::chunk_list::{ChunkAt, Packing};
use super::object::Reader;
use super::placement::{Place, Placement};
use crate::format::bytes::Sizes;
use crate::format::cursor::Cursor;
use crate::format::datatype::decode::StoredType;
use crate::format::heap::{global, local};
use crate::format::index::element::{self, StoredChunk};
use crate::format::index::{btree1, btree2, extensible_array, fixed_array};
use crate::format::message::data_layout::Compact;
use crate::format::message::data_layout::decode::{StoredChunks, StoredIndex, StoredLayout};
use crate::format::message::external_files;
use crate::format::message::filter_pipeline::StoredFilter;
use crate::format::object_header::MESSAGE_LEN;
use crate::format::object_header::decode::StoredMessage;
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS};
use crate::model::dataspace::Dataspace;
use crate::model::datatype::Datatype;
use crate::model::grid::Grid;
use crate::model::hierarchy::{DataLayout, RawPart};
use crate::model::limits;
use crate::model::name::Name;

/// Bytes of elements of one dataset: half of a presented file's, so that it has room for padding and heaps.
const LARGEST: u64 = limits::FILE_BYTES / 4;

/// What a dataset's messages say of it, but for its layout.
pub(super) struct Described {
    pub(super) dataspace: Dataspace,
    pub(super) stored: StoredType,
    pub(super) datatype: Datatype,
    pub(super) filters: Vec<StoredFilter>,
}

impl<'a> Reader<'_, '_, 'a> {
    /// Where the elements of a dataset lie. `at` is where its layout stands.
    pub(super) fn placement(
        &mut self,
        described: Described,
        layout: &StoredLayout,
        at: &Cursor<'a>,
    ) -> Result<(DataLayout, Placement), FormatError> {
        let elements = described.dataspace.elements().ok_or_else(|| at.bad("more elements than fit 64 bits"))?;
        let bytes = elements.checked_mul(described.stored.size.into());
        let bytes = bytes.ok_or_else(|| at.bad("more bytes of elements than fit 64 bits"))?;
        if bytes > LARGEST {
            let reason = format!("{bytes} bytes of elements, more than a file laid out anew has room for");
            return Err(at.fault(Kind::Unsupported, reason));
        }
        let place = match layout {
            StoredLayout::Chunked(chunks) => return self.chunked(described, chunks, at),
            StoredLayout::Virtual { heap, index } => {
                let mapping = self.mapping(*heap, *index, at)?;
                return Ok((DataLayout::Virtual(mapping), nowhere(described, at)?));
            }
            StoredLayout::Compact(range) => {
                let end = range.start.saturating_add(bytes);
                if end > range.end {
                    return Err(at.bad(format!("{bytes} bytes of elements in {}", range.end - range.start)));
                }
                let model_bytes = elements.saturating_mul(described.datatype.size());
                if model_bytes <= Compact::MOST as u64 && described.filters.is_empty() {
                    let data =
                        self.space.within("compact data", range.start.saturating_sub(self.space.base()), bytes)?;
                    let values = self.values(&described.stored, &described.datatype, data, elements)?;
                    return Ok((DataLayout::Compact(values), nowhere(described, at)?));
                }
                // Of a file only ranges are read later on.
                if self.space.in_image(range.start.saturating_sub(self.space.base())).is_some() {
                    return Err(at.fault(Kind::Unsupported, "compact elements in the image of a metadata cache"));
                }
                Place::Piece(range.start..end)
            }
            StoredLayout::Contiguous { address, .. } if *address == UNDEFINED_ADDRESS || bytes == 0 => Place::Nowhere,
            StoredLayout::Contiguous { address, size } => {
                let start = self.space.base().saturating_add(*address);
                let end = start.saturating_add(bytes);
                let inside = address.saturating_add(bytes) <= self.space.len();
                if !inside || size.is_some_and(|size| size < bytes) {
                    return Err(at.bad(format!("{bytes} bytes of elements at {address} have {size:?} bytes of room")));
                }
                Place::Piece(start..end)
            }
        };
        if !described.filters.is_empty() && !matches!(place, Place::Nowhere) {
            return Err(at.bad("filters on elements that are not in chunks"));
        }
        let dims = described.dataspace.dims();
        let shape: Vec<u64> = dims.iter().map(|&dim| dim.max(1)).collect();
        let grid = if elements == 0 { Grid::new(&[0], &[1]) } else { Grid::new(dims, &shape) };
        let grid = grid.ok_or_else(|| at.bad("an extent without a grid"))?;
        let Described { stored, datatype, .. } = described;
        let placement =
            Placement { grid, raw_len: bytes, filters: Vec::new(), plain_edges: false, place, stored, datatype };
        Ok((DataLayout::Contiguous, placement))
    }

    /// What says of which datasets a virtual one is made.
    fn mapping(&self, heap: u64, index: u32, at: &Cursor<'a>) -> Result<Bytes, FormatError> {
        if heap == UNDEFINED_ADDRESS || heap == 0 {
            return Ok(Bytes::new());
        }
        // It holds one length, in the width of its file.
        if self.space.sizes().lengths != Sizes::EIGHT.lengths {
            return Err(at.fault(Kind::Unsupported, "a virtual dataset in a file with short lengths"));
        }
        let collection = global::decode::decode(self.space, heap)?;
        let object = u16::try_from(index).ok().and_then(|index| collection.objects.get(&index));
        let object = object.ok_or_else(|| at.bad(format!("no object {index} in the heap collection at {heap}")))?;
        Ok(Bytes::copy_from_slice(object.rest()))
    }

    /// A dataset whose elements lie in raw files.
    pub(super) fn external(
        &self,
        described: Described,
        message: &StoredMessage<'a>,
    ) -> Result<(DataLayout, Placement), FormatError> {
        let at = &message.body;
        if described.datatype.needs_placement() {
            return Err(at.fault(Kind::Unsupported, "addresses of this file in other, raw files"));
        }
        let files = external_files::decode(&mut { message.body })?;
        let names = local::decode(self.space, files.heap)?;
        let part = |slot: &external_files::ExternalSlot| {
            let file = Name::new(names.text(slot.name)?);
            Ok(RawPart { file, offset: slot.offset, size: slot.size })
        };
        let parts = files.slots.iter().map(part).collect::<Result<Vec<_>, FormatError>>()?;
        if external_files::body(0, &files.slots).len() > MESSAGE_LEN {
            return Err(at.fault(Kind::Unsupported, format!("elements in {} parts of raw files", parts.len())));
        }
        Ok((DataLayout::External(parts), nowhere(described, at)?))
    }

    fn chunked(
        &self,
        described: Described,
        chunks: &StoredChunks,
        at: &Cursor<'a>,
    ) -> Result<(DataLayout, Placement), FormatError> {
        let Described { dataspace, stored, datatype, filters } = described;
        let Dataspace::Simple { dims, max_dims } = &dataspace else {
            return Err(at.bad("chunks of something without dimensions"));
        };
        if chunks.element_size != u64::from(stored.size) {
            return Err(at.bad(format!("chunks of elements of {} bytes, not {}", chunks.element_size, stored.size)));
        }
        let Some(grid) = Grid::new(dims, &chunks.chunk) else {
            return Err(at.bad(format!("chunks of {:?} do not cut the extent {dims:?}", chunks.chunk)));
        };
        let raw_len = chunks.bytes().filter(|&bytes| bytes <= limits::CHUNK_BYTES);
        let raw_len = raw_len.ok_or_else(|| at.fault(Kind::Limit, format!("chunks of {:?}", chunks.chunk)))?;
        // Indexes that number chunks do so over the largest extents.
        let counts: Vec<u64> = max_dims
            .iter()
            .zip(&chunks.chunk)
            .map(|(max, &chunk)| max.map_or(u64::MAX, |max| max.div_ceil(chunk)))
            .collect();
        let mut list = List::new(&grid, raw_len, self.space.base());
        let address = chunks.address;
        let place = match chunks.index {
            _ if address == UNDEFINED_ADDRESS => Place::Nowhere,
            StoredIndex::Implicit => {
                let bytes = counts.iter().try_fold(raw_len, |bytes, &count| bytes.checked_mul(count));
                let end = bytes.and_then(|bytes| address.checked_add(bytes)).filter(|&end| end <= self.space.len());
                if end.is_none() {
                    return Err(
                        at.bad(format!("{counts:?} chunks of {raw_len} bytes at {address} end outside the file"))
                    );
                }
                Place::Even { first: self.space.base().saturating_add(address), counts }
            }
            StoredIndex::Single(filtered) => {
                let (size, mask) = filtered.map_or((None, 0), |(size, mask)| (Some(size), mask));
                list.take(Some(0), StoredChunk { address, size, mask });
                list.place(at)?
            }
            StoredIndex::BTree1 => {
                btree1::chunks(self.space, address, &chunks.chunk, &mut |coordinates, chunk| {
                    list.take(grid.number(coordinates), chunk);
                })?;
                list.place(at)?
            }
            StoredIndex::FixedArray => {
                let mut numbers = Elements::new(&counts, 0);
                fixed_array::decode::chunks(self.space, address, &mut |element, chunk| {
                    list.take(numbers.chunk(&grid, element), chunk);
                })?;
                list.place(at)?
            }
            StoredIndex::ExtensibleArray => {
                let unlimited = max_dims.iter().position(Option::is_none).unwrap_or(0);
                let mut numbers = Elements::new(&counts, unlimited);
                extensible_array::decode::chunks(self.space, address, &mut |element, chunk| {
                    list.take(numbers.chunk(&grid, element), chunk);
                })?;
                list.place(at)?
            }
            StoredIndex::BTree2 => {
                let kinds = [btree2::kind::CHUNK, btree2::kind::FILTERED_CHUNK];
                let mut coordinates = vec![0; dims.len()];
                btree2::decode::records(self.space, address, &kinds, &mut |tree, mut record| {
                    let entry = usize::from(tree.record_size).saturating_sub(8 * coordinates.len());
                    let width = match tree.kind {
                        btree2::kind::CHUNK => 0,
                        _ => element::size_width(entry, self.space.sizes())
                            .ok_or_else(|| record.bad(format!("records of {} bytes", tree.record_size)))?,
                    };
                    let chunk = element::decode(&mut record, width)?;
                    for coordinate in &mut coordinates {
                        *coordinate = record.u64()?;
                    }
                    list.take(grid.number(&coordinates), chunk);
                    Ok(())
                })?;
                list.place(at)?
            }
        };
        let placement = Placement { raw_len, filters, plain_edges: chunks.plain_edges, place, stored, datatype, grid };
        Ok((DataLayout::Chunked(chunks.chunk.clone()), placement))
    }
}

/// A placement without any element.
fn nowhere(described: Described, at: &Cursor<'_>) -> Result<Placement, FormatError> {
    let Described { stored, datatype, .. } = described;
    let grid = Grid::new(&[0], &[1]).ok_or_else(|| at.bad("an extent without a grid"))?;
    let (filters, place) = (Vec::new(), Place::Nowhere);
    Ok(Placement { grid, raw_len: 0, filters, plain_edges: false, place, stored, datatype })
}

/// The numbering of an array index: C order over the largest extents, with one dimension in front.
struct Elements {
    order: Vec<usize>,
    counts: Vec<u64>,
    /// Those of the element asked for last: a place of their own for each of millions takes longer than all else.
    coordinates: Vec<u64>,
}

impl Elements {
    fn new(counts: &[u64], front: usize) -> Self {
        let order = std::iter::once(front).chain((0..counts.len()).filter(|&dim| dim != front)).collect();
        Elements { order, counts: counts.to_vec(), coordinates: vec![0; counts.len()] }
    }

    /// The chunk that element `element` stands for; `None` for one outside the extents.
    fn chunk(&mut self, grid: &Grid, mut element: u64) -> Option<u64> {
        let coordinates = &mut self.coordinates;
        let (front, rest) = self.order.split_first()?;
        for &dim in rest.iter().rev() {
            let count = *self.counts.get(dim)?;
            *coordinates.get_mut(dim)? = element.checked_rem(count)?;
            element = element.checked_div(count)?;
        }
        *coordinates.get_mut(*front)? = element;
        grid.number(coordinates)
    }
}

/// Chunks as an index gives them.
struct List<'g> {
    grid: &'g Grid,
    raw_len: u64,
    base: u64,
    /// Those that came by ascending number, as they mostly do.
    packed: Packing,
    /// All of them, from the first on that did not.
    loose: Vec<ChunkAt>,
    fault: Option<String>,
}

impl List<'_> {
    fn new(grid: &Grid, raw_len: u64, base: u64) -> List<'_> {
        List { grid, raw_len, base, packed: Packing::default(), loose: Vec::new(), fault: None }
    }

    fn take(&mut self, number: Option<u64>, chunk: StoredChunk) {
        // What lies outside the extents was cut off when they shrank.
        let Some(number) = number.filter(|&number| number < self.grid.total()) else { return };
        if chunk.address == UNDEFINED_ADDRESS {
            return;
        }
        let len = chunk.size.unwrap_or(self.raw_len);
        let position = self.base.checked_add(chunk.address).filter(|position| position.checked_add(len).is_some());
        match (u32::try_from(len), position) {
            (Ok(len), Some(position)) => self.add(ChunkAt { number, position, len, mask: chunk.mask }),
            _ => {
                self.fault.get_or_insert_with(|| format!("chunk {number} of {len} bytes at {}", chunk.address));
            }
        }
    }

    fn add(&mut self, chunk: ChunkAt) {
        if self.loose.is_empty() {
            if self.packed.last().is_none_or(|last| last.number < chunk.number) {
                return self.packed.push(chunk);
            }
            self.loose.extend(std::mem::take(&mut self.packed).done().iter());
        }
        self.loose.push(chunk);
    }

    fn place(mut self, at: &Cursor<'_>) -> Result<Place, FormatError> {
        if let Some(fault) = self.fault {
            return Err(at.bad(fault));
        }
        self.loose.sort_unstable_by_key(|chunk| chunk.number);
        if let Some([twice, _]) = self.loose.windows(2).find(|pair| matches!(pair, [a, b] if a.number == b.number)) {
            return Err(at.bad(format!("chunk {} stands twice in its index", twice.number)));
        }
        self.loose.into_iter().for_each(|chunk| self.packed.push(chunk));
        Ok(Place::Listed(self.packed.done()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_an_array_are_chunks_of_the_grid() {
        let grid = Grid::new(&[4, 6], &[2, 2]).unwrap();
        // The second dimension may grow, and the first up to five chunks.
        let mut front = Elements::new(&[5, u64::MAX], 1);
        assert_eq!(front.chunk(&grid, 0), Some(0));
        assert_eq!(front.chunk(&grid, 1), Some(3));
        assert_eq!(front.chunk(&grid, 5), Some(1));
        assert_eq!(front.chunk(&grid, 2), None);
        let mut fixed = Elements::new(&[5, 4], 0);
        assert_eq!([0, 3, 4, 6].map(|element| fixed.chunk(&grid, element)), [Some(0), None, Some(3), Some(5)]);
    }

    #[test]
    fn a_chunk_that_ends_past_all_files_is_an_error_of_its_dataset() {
        let grid = Grid::new(&[4], &[2]).unwrap();
        let at = Cursor::new("test", &[], 7, Sizes::EIGHT);
        let place = |address, base| {
            let mut list = List::new(&grid, 16, base);
            list.take(Some(1), StoredChunk { address, size: None, mask: 0 });
            list.place(&at)
        };
        let chunk = ChunkAt { number: 1, position: u64::MAX - 16, len: 16, mask: 0 };
        assert_eq!(place(u64::MAX - 20, 4), Ok(Place::Listed([chunk].into_iter().collect())));
        for (address, base) in [(u64::MAX - 15, 0), (u64::MAX - 20, 5), (u64::MAX - 1, 512)] {
            let error = place(address, base).unwrap_err();
            assert_eq!((error.kind, error.at), (Kind::Value, 7), "{}", error.reason);
        }
    }
}
