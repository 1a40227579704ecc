//! Where the elements of one dataset lie in its file, and what was done to them.

use std::collections::BTreeSet;
use std::ops::Range;

use super::chunk_list::ChunkList;
use crate::format::datatype::decode::StoredType;
use crate::format::message::filter_pipeline::StoredFilter;
use crate::model::datatype::Datatype;
use crate::model::grid::Grid;
use crate::model::pipeline::{Decode, Filter, StoredForm};

/// Registered ids of filters that are known here.
mod id {
    pub const DEFLATE: u16 = 1;
    pub const SHUFFLE: u16 = 2;
    pub const FLETCHER32: u16 = 3;
    pub const SZIP: u16 = 4;
    pub const NBIT: u16 = 5;
    pub const SCALE_OFFSET: u16 = 6;
    pub const LZO: u16 = 305;
    pub const BZIP2: u16 = 307;
    pub const LZF: u16 = 32000;
    pub const BLOSC: u16 = 32001;
    pub const LZ4: u16 = 32004;
    pub const BITSHUFFLE: u16 = 32008;
    pub const ZFP: u16 = 32013;
    pub const ZSTD: u16 = 32015;
    pub const BLOSC2: u16 = 32026;
    pub const VBZ: u16 = 32020;
    /// Filters that round when a chunk is written, and do nothing when it is read.
    pub const BIT_GROOM: u16 = 32022;
    pub const BIT_ROUND: u16 = 32023;
}
/// Where a bitshuffle filter's parameters say how large elements and blocks are, and what compresses behind it; and the
/// answers.
const BITSHUFFLE_ELEMENT: usize = 2;
const BITSHUFFLE_BLOCK: usize = 3;
const BITSHUFFLE_CODEC: usize = 4;
const BITSHUFFLE_LZ4: u32 = 2;
const BITSHUFFLE_ZSTD: u32 = 3;

/// Where the elements of a dataset lie.
#[derive(Clone, PartialEq, Debug)]
pub struct Placement {
    /// The chunks; one of the whole extent where the dataset is not chunked.
    pub grid: Grid,
    /// Bytes of a chunk before filters.
    pub raw_len: u64,
    /// Filters in the order in which they were applied.
    pub filters: Vec<StoredFilter>,
    /// Chunks that pass the extents went through no filter.
    pub plain_edges: bool,
    /// The pieces.
    pub place: Place,
    /// Elements as the file has them.
    pub stored: StoredType,
    /// Elements as the model has them.
    pub datatype: Datatype,
}

/// Where pieces lie; ranges are bytes of the file.
#[derive(Clone, PartialEq, Debug)]
pub enum Place {
    /// Nowhere: nothing was ever written.
    Nowhere,
    /// In one piece.
    Piece(Range<u64>),
    /// Chunk behind chunk, in C order of a grid of these counts.
    Even {
        /// First byte of the first chunk.
        first: u64,
        /// Chunks a dimension.
        counts: Vec<u64>,
    },
    /// Here and there; those that were written.
    Listed(ChunkList),
}

impl Placement {
    /// Bytes of the file that hold chunk `number`, and the filters passed over for it; `None` where it was never written.
    pub fn chunk(&self, number: u64) -> Option<(Range<u64>, u32)> {
        match &self.place {
            Place::Nowhere => None,
            Place::Piece(range) => Some((range.clone(), 0)),
            Place::Even { first, counts } => {
                let coordinates = self.grid.coordinates(number);
                let index = coordinates
                    .iter()
                    .zip(counts)
                    .try_fold(0u64, |index, (at, count)| index.checked_mul(*count)?.checked_add(*at))?;
                let start = index.checked_mul(self.raw_len)?.checked_add(*first)?;
                Some((start..start.checked_add(self.raw_len)?, 0))
            }
            Place::Listed(chunks) => {
                let chunk = chunks.find(number)?;
                let mask = if self.plain_edges && self.is_edge(number) { u32::MAX } else { chunk.mask };
                Some((chunk.position..chunk.position.checked_add(chunk.len.into())?, mask))
            }
        }
    }

    /// Bytes of memory that the list of its chunks takes.
    pub fn weight(&self) -> u64 {
        match &self.place {
            Place::Listed(chunks) => chunks.weight(),
            Place::Nowhere | Place::Piece(_) | Place::Even { .. } => 0,
        }
    }

    /// The first byte of all elements.
    pub(super) fn first_byte(&self) -> Option<u64> {
        match &self.place {
            Place::Nowhere => None,
            Place::Piece(range) => Some(range.start),
            Place::Even { first, .. } => Some(*first),
            Place::Listed(chunks) => chunks.iter().map(|chunk| chunk.position).min(),
        }
    }

    /// Whether a chunk hangs over the extents.
    fn is_edge(&self, number: u64) -> bool {
        let coordinates = self.grid.coordinates(number);
        let ends =
            coordinates.iter().zip(self.grid.chunk()).map(|(at, chunk)| at.saturating_add(1).saturating_mul(*chunk));
        ends.zip(self.grid.dims()).any(|(end, dim)| end > *dim)
    }

    /// What brings a chunk with this filter mask from stored to plain bytes; the name of a filter that nothing here
    /// undoes.
    pub fn steps(&self, mask: u32) -> Result<Vec<Decode>, String> {
        let applied = self.filters.iter().enumerate().filter(|(bit, _)| *bit >= 32 || mask & 1 << bit == 0);
        let mut steps = Vec::new();
        for (_, filter) in applied {
            if !matches!(filter.id, id::BIT_GROOM | id::BIT_ROUND) {
                steps.push(step(filter, self.stored.size).ok_or_else(|| filter_name(filter))?);
            }
        }
        steps.reverse();
        Ok(steps)
    }

    /// As [`steps`](Self::steps) for a chunk that all filters were applied to but those that nothing here undoes: a chunk
    /// that is read was not put through these.
    pub fn usual_steps(&self) -> Vec<Decode> {
        let undone = self.filters.iter().filter_map(|filter| step(filter, self.stored.size));
        let mut steps: Vec<Decode> = undone.collect();
        steps.reverse();
        steps
    }

    /// A filter that some chunk went through and that nothing here undoes.
    pub fn not_undone(&self) -> Option<String> {
        let masks = match &self.place {
            Place::Nowhere => BTreeSet::new(),
            Place::Listed(chunks) => chunks.masks(),
            Place::Piece(_) | Place::Even { .. } => BTreeSet::from([0]),
        };
        masks.into_iter().find_map(|mask| self.steps(mask).err())
    }

    /// The filters as a hierarchy lists them.
    pub fn listed_filters(&self) -> Vec<Filter> {
        let listed = self.filters.iter().map(|filter| match filter.id {
            id::DEFLATE => Filter::Deflate(filter.values.first().map_or(6, |&level| level.min(9) as u8)),
            id::SHUFFLE => Filter::Shuffle,
            id::FLETCHER32 => Filter::Fletcher32,
            other => Filter::Other { id: Some(other), name: filter_name(filter) },
        });
        listed.collect()
    }

    /// The form in which all chunks are stored.
    pub fn stored_form(&self) -> StoredForm {
        let untouched = match &self.place {
            Place::Listed(chunks) => chunks.masks().iter().all(|&mask| mask == 0),
            _ => true,
        };
        let ids: Vec<u16> = self.filters.iter().map(|filter| filter.id).collect();
        // What is presented says that bytes of one element of the type are put together.
        let usual = |filter: &StoredFilter| {
            filter.id != id::SHUFFLE || filter.values.first().is_none_or(|size| *size == self.stored.size)
        };
        match ids[..] {
            _ if !untouched || self.plain_edges || !self.filters.iter().all(usual) => StoredForm::Other,
            [id::DEFLATE] => StoredForm::Zlib { shuffled: false },
            [id::SHUFFLE, id::DEFLATE] => StoredForm::Zlib { shuffled: true },
            _ => StoredForm::Other,
        }
    }
}

fn filter_name(filter: &StoredFilter) -> String {
    match filter.name.as_slice() {
        [] => format!("filter {}", filter.id),
        name => String::from_utf8_lossy(name).into_owned(),
    }
}

fn step(filter: &StoredFilter, element: u32) -> Option<Decode> {
    match filter.id {
        id::DEFLATE => Some(Decode::Deflate),
        // Bytes of an element, as they were when the filter was set.
        id::SHUFFLE => Some(Decode::Unshuffle { element: filter.values.first().copied().unwrap_or(element) }),
        id::FLETCHER32 => Some(Decode::Fletcher32),
        id::LZ4 => Some(Decode::Lz4),
        id::LZF => Some(Decode::Lzf),
        id::BLOSC => Some(Decode::BloscOrDeflate { unshuffle: None }),
        id::ZSTD => Some(Decode::Zstd),
        id::BLOSC2 => Some(Decode::Blosc2),
        id::BZIP2 => Some(Decode::Bzip2),
        id::SZIP => Some(Decode::Szip(filter.values.as_slice().into())),
        // Numbers of one byte are packed otherwise.
        id::VBZ if matches!(filter.values.get(1), Some(2 | 4)) => Some(Decode::Vbz(filter.values.as_slice().into())),
        id::LZO => Some(Decode::Lzo),
        id::ZFP if is_zfp_as_known(&filter.values) => Some(Decode::Zfp(filter.values.as_slice().into())),
        id::NBIT => Some(Decode::Nbit(filter.values.as_slice().into())),
        id::SCALE_OFFSET if is_scaled_as_known(&filter.values) => {
            Some(Decode::ScaleOffset(filter.values.as_slice().into()))
        }
        id::BITSHUFFLE => {
            let element = filter.values.get(BITSHUFFLE_ELEMENT).copied().unwrap_or(element);
            match filter.values.get(BITSHUFFLE_CODEC) {
                None | Some(0) => {
                    let block = filter.values.get(BITSHUFFLE_BLOCK).copied().unwrap_or(0);
                    Some(Decode::Bitshuffle { element, block })
                }
                Some(&BITSHUFFLE_LZ4) => Some(Decode::BitshuffleLz4 { element }),
                Some(&BITSHUFFLE_ZSTD) => Some(Decode::BitshuffleZstd { element }),
                Some(_) => None,
            }
        }
        _ => None,
    }
}

/// Whether ZFP's header stands where the filter puts it, and is of the code's version that all writers have had since 2015.
fn is_zfp_as_known(values: &[u32]) -> bool {
    const MAGIC: u32 = u32::from_le_bytes(*b"zfp\x05");
    values.get(1).is_some_and(|&word| word == MAGIC || word == MAGIC.swap_bytes())
}

/// Whether the scale-offset filter scaled numbers in a way that its own library undoes: integers, or floats by a power of
/// ten.
fn is_scaled_as_known(values: &[u32]) -> bool {
    match values {
        [0, _, _, 1, size, ..] => matches!(size, 4 | 8),
        [2, _, _, 0, size, ..] => matches!(size, 1 | 2 | 4 | 8),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::chunk_list::ChunkAt;
    use super::*;
    use crate::format::datatype::decode::StoredClass;

    fn placement(place: Place) -> Placement {
        Placement {
            grid: Grid::new(&[5, 4], &[2, 2]).unwrap(),
            raw_len: 16,
            filters: [2, 1, 32_017].map(filter).to_vec(),
            plain_edges: false,
            place,
            stored: StoredType { version: 1, size: 4, class: StoredClass::Opaque(Vec::new()), body: Vec::new() },
            datatype: Datatype::Reference(crate::model::datatype::ReferenceKind::Object),
        }
    }

    fn filter(id: u16) -> StoredFilter {
        StoredFilter { id, optional: true, name: Vec::new(), values: Vec::new() }
    }

    #[test]
    fn filters_passed_over_are_not_undone() {
        let placement = placement(Place::Nowhere);
        assert_eq!(placement.steps(0), Err("filter 32017".to_owned()));
        assert_eq!(placement.not_undone(), None);
        let mut written = placement.clone();
        written.place = Place::Piece(0..16);
        assert_eq!(written.not_undone(), Some("filter 32017".to_owned()));
        assert_eq!(placement.steps(0b100), Ok(vec![Decode::Deflate, Decode::Unshuffle { element: 4 }]));
        assert_eq!(placement.steps(0b110), Ok(vec![Decode::Unshuffle { element: 4 }]));
        assert_eq!(placement.steps(u32::MAX), Ok(vec![]));
    }

    #[test]
    fn zfp_is_undone_where_its_code_is_of_a_version_that_is_known() {
        let known = |magic: u32| {
            let values = vec![0x1010_5111, magic, 192];
            step(&StoredFilter { values, ..filter(id::ZFP) }, 4)
        };
        let magic = u32::from_le_bytes(*b"zfp\x05");
        assert!(matches!(known(magic), Some(Decode::Zfp(values)) if values.len() == 3));
        assert!(known(magic.swap_bytes()).is_some());
        assert_eq!(known(u32::from_le_bytes(*b"zfp\x04")), None);
        assert_eq!(step(&filter(id::ZFP), 4), None);
        assert_eq!(step(&filter(id::LZO), 4), Some(Decode::Lzo));
    }

    #[test]
    fn chunks_are_found_by_their_number() {
        let at = |number, position| ChunkAt { number, position, len: 7, mask: 1 };
        let mut listed = placement(Place::Listed([at(1, 100), at(4, 50)].into_iter().collect()));
        assert_eq!(listed.chunk(1), Some((100..107, 1)));
        assert_eq!(listed.chunk(2), None);
        listed.plain_edges = true;
        // Row 4 of five is half a chunk.
        assert_eq!(listed.chunk(4), Some((50..57, u32::MAX)));
        assert_eq!(listed.chunk(1), Some((100..107, 1)));
        let even = placement(Place::Even { first: 1000, counts: vec![3, 4] });
        assert_eq!(even.chunk(3), Some((1000 + 5 * 16..1000 + 6 * 16, 0)));
    }
}
