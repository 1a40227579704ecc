//! How one dataset's elements are kept in the presented file: in one piece or in chunks, found through which index,
//! under which declared filters, in slots of which size.
//!
//! Where stored chunks are handed on ([`FilterPresentation::Stored`]), an entry says that the chunk fills its slot: how long
//! it really is, only its bytes tell, and the decoders concerned ignore zeros that follow.
//!
//! Everything here follows from the dataset's metadata alone, so that nothing about a chunk has to be known to place it.

use crate::model::dataspace::Dataspace;
use crate::model::grid::Grid;
use crate::model::hierarchy::{DataLayout, Dataset};
use crate::model::limits;
use crate::model::pipeline::{Filter, Framing, StoredForm};

use super::numbering::Numbering;
use super::options::{FilterPresentation, PresentOptions};
use super::pages::{PAGE, round_up};

/// An extensible array numbers its elements in 32 bits, as libhdf5 creates it.
const EXTENSIBLE_ARRAY_ELEMENTS: u64 = 1 << 32;
/// A fixed array has one bit for each page of its elements, in front of them and under one checksum, so that a read of
/// any of these bits makes them all: 64 KiB of them at this bound.
const FIXED_ARRAY_ELEMENTS: u64 = 1 << 32;
/// An array index has an element for every chunk of the *maximal* extent. Up to this many times the chunks that exist
/// (and always up to [`SMALL_ARRAY`]) that is cheaper than a tree, whose records are three times as long.
const ARRAY_SPARSENESS: u64 = 16;
/// Elements of an array index that is small whatever it holds: 8 MiB.
const SMALL_ARRAY: u64 = 1 << 20;

/// Bytes by which a chunk that does not compress may grow, and a part of its length beside them: zlib takes 1/4096 and
/// 1/16384 and 13 bytes more at worst, a Blosc frame its header of 16.
const EXPANSION: u64 = 4096;
const EXPANSION_PART: u64 = 1024;
/// HDF5's filter for Blosc-1 frames, and what its first two client values are: versions of filter and frame.
const BLOSC: u16 = 32001;
const BLOSC_VERSIONS: [u32; 2] = [2, 2];
/// Compression level told for Blosc: no reader needs it, HSDS does not record it, and this is what it uses.
const BLOSC_LEVEL: u32 = 5;
/// Blosc knows no larger elements; its filter declares 1 for these.
const BLOSC_ELEMENT: u32 = 255;

/// A filter that the file declares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DeclaredFilter {
    /// Registered id.
    pub(crate) id: u16,
    /// Name, where the id alone does not tell it.
    pub(crate) name: &'static str,
    /// Whether a chunk may go without it.
    pub(crate) optional: bool,
    /// Client values.
    pub(crate) values: Vec<u32>,
}

/// How chunks are found.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Index {
    /// There is one piece, not chunked.
    Contiguous,
    /// No index: chunks lie back to back.
    Implicit,
    /// The only chunk, named in the layout message.
    Single,
    /// One element for each chunk of the maximal extent.
    FixedArray {
        /// Which element is which chunk.
        numbering: Numbering,
        /// Elements.
        elements: u64,
    },
    /// One element for each chunk up to the last, one unlimited dimension slowest.
    ExtensibleArray {
        /// Which element is which chunk.
        numbering: Numbering,
        /// Elements.
        elements: u64,
    },
    /// One record a chunk, in C order.
    Tree,
}

/// Storage of one dataset.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Storage {
    /// Bytes of an element.
    pub(crate) element_size: u32,
    /// The chunks that exist; of a contiguous dataset its whole extent.
    pub(crate) grid: Grid,
    /// Bytes of a chunk as presented.
    pub(crate) chunk_len: u64,
    /// Bytes from one chunk's start to the next one's.
    pub(crate) slot: u64,
    /// Filters that the file declares, in order of application when writing. Every chunk's mask skips all of them, but
    /// where chunks are handed on as stored.
    pub(crate) filters: Vec<DeclaredFilter>,
    /// What chunks are where they are handed on as stored; otherwise they are presented plain.
    pub(crate) framing: Option<Framing>,
    /// How chunks are found.
    pub(crate) index: Index,
}

impl Storage {
    /// Storage of `dataset`, whose elements have `element_size` bytes; the reason where there can be none.
    pub(crate) fn of(dataset: &Dataset, element_size: u64, options: &PresentOptions) -> Result<Storage, String> {
        if element_size == 0 || element_size > limits::ELEMENT_BYTES {
            return Err(format!("elements of {element_size} bytes cannot be stored"));
        }
        let size = element_size as u32;
        let dims = dataset.dataspace.dims();
        if dims.len() > limits::RANK {
            return Err(format!("it has {} dimensions, more than {}", dims.len(), limits::RANK));
        }
        let elements = dataset.dataspace.elements().ok_or("it has more elements than fit 64 bits")?;
        let (chunk, max_dims) = match (&dataset.layout, &dataset.dataspace) {
            (DataLayout::Chunked(chunk), Dataspace::Simple { max_dims, .. }) => (chunk, max_dims),
            // None of it lies in chunks of this file.
            (DataLayout::Virtual(_) | DataLayout::External(_) | DataLayout::Compact(_), _) => {
                return Self::elsewhere(size, elements);
            }
            // A scalar or nothing at all cannot be chunked, whatever the store says.
            _ => return Self::contiguous(dims, size, elements),
        };
        let grid =
            Grid::new(dims, chunk).ok_or_else(|| format!("chunks of {chunk:?} do not cut its extent {dims:?}"))?;
        if max_dims.len() != dims.len() || dims.iter().zip(max_dims).any(|(dim, max)| max.is_some_and(|max| max < *dim))
        {
            return Err(format!("its extent {dims:?} is larger than its maximal extent {max_dims:?}"));
        }
        let chunk_len = grid
            .chunk_elements()
            .and_then(|elements| elements.checked_mul(element_size))
            .filter(|&bytes| bytes <= limits::CHUNK_BYTES)
            .ok_or_else(|| format!("a chunk of {chunk:?} elements passes {} bytes", limits::CHUNK_BYTES))?;
        let framing = framing(dataset.stored, size, chunk_len, options);
        let filters = match framing {
            Some(framing) => stored_filters(&dataset.filters, &framing),
            None => presented_filters(&dataset.filters, size, options),
        };
        let index = choose(&grid, max_dims, chunk_len, !filters.is_empty());
        let slot = match (framing, &index) {
            (Some(framing), _) => framing.room,
            (None, Index::Implicit) => chunk_len,
            (None, _) => round_up(chunk_len, PAGE),
        };
        Ok(Storage { element_size: size, grid, chunk_len, slot, filters, framing, index })
    }

    fn contiguous(dims: &[u64], element_size: u32, elements: u64) -> Result<Storage, String> {
        let len = elements.checked_mul(element_size.into()).ok_or("its bytes pass 64 bits")?;
        // One chunk as large as the extent; none where there is no element.
        let shape: Vec<u64> = dims.iter().map(|&dim| dim.max(1)).collect();
        let grid = if elements == 0 { Grid::new(&[0], &[1]) } else { Grid::new(dims, &shape) };
        let grid = grid.ok_or("its extent has no grid")?;
        let (filters, framing, index) = (Vec::new(), None, Index::Contiguous);
        Ok(Storage { element_size, grid, chunk_len: len, slot: len, filters, framing, index })
    }

    fn elsewhere(element_size: u32, elements: u64) -> Result<Storage, String> {
        let chunk_len = elements.checked_mul(element_size.into()).ok_or("its bytes pass 64 bits")?;
        let grid = Grid::new(&[0], &[1]).ok_or("no grid has no chunk")?;
        let (filters, framing, index) = (Vec::new(), None, Index::Contiguous);
        Ok(Storage { element_size, grid, chunk_len, slot: 0, filters, framing, index })
    }

    /// Number of chunks that exist.
    pub(crate) fn chunks(&self) -> u64 {
        self.grid.total()
    }

    /// Elements of one chunk.
    pub(crate) fn chunk_elements(&self) -> u64 {
        self.chunk_len / u64::from(self.element_size)
    }

    /// Bytes of all slots; `None` past 64 bits.
    pub(crate) fn len(&self) -> Option<u64> {
        self.slot.checked_mul(self.chunks())
    }

    /// Bytes that an entry of the index says a chunk has.
    pub(crate) fn presented_len(&self) -> u64 {
        if self.framing.is_some() { self.slot } else { self.chunk_len }
    }

    /// Filter mask of every chunk: each declared filter was skipped, unless stored chunks are handed on.
    pub(crate) fn mask(&self) -> u32 {
        match self.filters.len() {
            _ if self.framing.is_some() => 0,
            count @ 0..=31 => (1 << count) - 1,
            _ => u32::MAX,
        }
    }
}

/// What chunks of `plain` bytes are where the options ask for stored ones; `None` where they are shown plain.
fn framing(form: StoredForm, element: u32, plain: u64, options: &PresentOptions) -> Option<Framing> {
    let asked = options.filters == FilterPresentation::Stored && form != StoredForm::Other;
    // A chunk of another writer is decoded and framed anew, in memory.
    if !asked || plain == 0 || plain > limits::DECODED_CHUNK_BYTES {
        return None;
    }
    let room = round_up(plain + EXPANSION + plain / EXPANSION_PART, PAGE);
    Some(Framing { form, element, plain, room })
}

/// The filters that undo what `framing` says, for a dataset that lists `filters`.
fn stored_filters(filters: &[Filter], framing: &Framing) -> Vec<DeclaredFilter> {
    let StoredForm::Blosc { shuffle, codec } = framing.form else {
        let shuffled = framing.form == StoredForm::Zlib { shuffled: true };
        let level = filters.iter().find_map(|filter| match filter {
            Filter::Deflate(level) => Some(u32::from(*level)),
            _ => None,
        });
        let shuffle = DeclaredFilter { id: 2, name: "", optional: true, values: vec![framing.element] };
        let deflate = DeclaredFilter { id: 1, name: "", optional: true, values: vec![level.unwrap_or(6)] };
        return shuffled.then_some(shuffle).into_iter().chain([deflate]).collect();
    };
    let element = if framing.element > BLOSC_ELEMENT { 1 } else { framing.element };
    // Chunks beyond 32 bits are not framed.
    let plain = u32::try_from(framing.plain).unwrap_or(u32::MAX);
    let [filter, frame] = BLOSC_VERSIONS;
    let values = vec![filter, frame, element, plain, BLOSC_LEVEL, shuffle, codec];
    vec![DeclaredFilter { id: BLOSC, name: "blosc", optional: true, values }]
}

/// The filters that the file declares for a dataset that lists `filters`.
fn presented_filters(filters: &[Filter], element_size: u32, options: &PresentOptions) -> Vec<DeclaredFilter> {
    match options.filters {
        FilterPresentation::Hidden => return Vec::new(),
        FilterPresentation::Declared | FilterPresentation::Stored => {}
    }
    let mut declared = Vec::new();
    for filter in filters {
        // Mandatory or optional, and with which values, as H5Pset_deflate, H5Pset_shuffle and H5Pset_fletcher32 write.
        let filter = match filter {
            Filter::Deflate(level) => DeclaredFilter { id: 1, name: "", optional: true, values: vec![(*level).into()] },
            Filter::Shuffle => DeclaredFilter { id: 2, name: "", optional: true, values: vec![element_size] },
            Filter::Fletcher32 => DeclaredFilter { id: 3, name: "", optional: false, values: Vec::new() },
            // N-bit and scale-offset, which HSDS records but never applies.
            Filter::Other { id: Some(5 | 6), .. } => continue,
            // Not every library has it: a declared filter that is missing makes netCDF-C refuse the variable.
            Filter::Other { .. } => return Vec::new(),
        };
        declared.push(filter);
    }
    // The mask of a chunk has 32 bits; no dataset has so many filters but a hostile one.
    if declared.len() > 32 { Vec::new() } else { declared }
}

/// The index that libhdf5 itself would choose, but for arrays that would be mostly empty, and for chunks that an implicit one
/// would put across page borders: the kernel reads whole pages, so each of them would be read with its two neighbours.
fn choose(grid: &Grid, max_dims: &[Option<u64>], chunk_len: u64, filtered: bool) -> Index {
    let fixed = grid.dims().iter().zip(max_dims).all(|(dim, max)| *max == Some(*dim));
    // Of those that are smaller than a page many are read at a time anyway. So many that no array has entries for them
    // are not worth a tree.
    let whole = chunk_len < PAGE || chunk_len.is_multiple_of(PAGE);
    if fixed && !filtered && (whole || grid.total() == 1 || grid.total() >= FIXED_ARRAY_ELEMENTS) {
        return Index::Implicit;
    }
    if fixed && grid.dims() == grid.chunk() {
        return Index::Single;
    }
    let unlimited: Vec<usize> = (0..max_dims.len()).filter(|&dimension| max_dims[dimension].is_none()).collect();
    let counts: Vec<u64> = max_dims
        .iter()
        .zip(grid.chunk())
        .map(|(max, &chunk)| max.map_or(u64::MAX, |max| max.div_ceil(chunk)))
        .collect();
    let worth = |elements: u64| elements <= SMALL_ARRAY.max(grid.total().saturating_mul(ARRAY_SPARSENESS));
    match unlimited[..] {
        [] => {
            let numbering = Numbering::new(grid, &counts, 0);
            match counts.iter().try_fold(1u64, |product, &count| product.checked_mul(count)) {
                Some(elements) if elements < FIXED_ARRAY_ELEMENTS && worth(elements) => {
                    Index::FixedArray { numbering, elements }
                }
                _ => Index::Tree,
            }
        }
        [front] => {
            let numbering = Numbering::new(grid, &counts, front);
            match numbering.reach(grid) {
                Some(elements) if elements < EXTENSIBLE_ARRAY_ELEMENTS && worth(elements) => {
                    Index::ExtensibleArray { numbering, elements }
                }
                _ => Index::Tree,
            }
        }
        _ => Index::Tree,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::datatype::{ByteOrder, Datatype, Integer};
    use crate::model::hierarchy::TypeUse;

    fn storage(
        dims: &[u64],
        max: &[Option<u64>],
        chunk: Option<&[u64]>,
        filters: &[Filter],
    ) -> Result<Storage, String> {
        let dataset = Dataset {
            datatype: TypeUse::Own(Datatype::Integer(Integer::standard(4, ByteOrder::Little, true))),
            dataspace: Dataspace::Simple { dims: dims.to_vec(), max_dims: max.to_vec() },
            fill: None,
            layout: chunk.map_or(DataLayout::Contiguous, |chunk| DataLayout::Chunked(chunk.to_vec())),
            filters: filters.to_vec(),
            stored: StoredForm::Other,
        };
        Storage::of(&dataset, 4, &PresentOptions::default())
    }

    #[test]
    fn the_index_follows_from_the_extents() {
        let zlib = [Filter::Shuffle, Filter::Deflate(4)];
        let index = |dims: &[u64], max: &[Option<u64>], chunk: &[u64], filters: &[Filter]| {
            storage(dims, max, Some(chunk), filters).unwrap().index
        };
        assert_eq!(index(&[10], &[Some(10)], &[3], &[]), Index::Implicit);
        assert_eq!(index(&[4096], &[Some(4096)], &[1024], &[]), Index::Implicit);
        assert_eq!(index(&[1025], &[Some(1025)], &[1025], &[]), Index::Implicit);
        assert!(matches!(index(&[4096], &[Some(4096)], &[1025], &[]), Index::FixedArray { elements: 4, .. }));
        assert_eq!(index(&[1 << 43], &[Some(1 << 43)], &[1025], &[]), Index::Implicit);
        assert_eq!(index(&[10], &[Some(10)], &[10], &zlib), Index::Single);
        assert!(matches!(index(&[10], &[Some(10)], &[11], &zlib), Index::FixedArray { elements: 1, .. }));
        assert!(matches!(index(&[10], &[Some(20)], &[3], &[]), Index::FixedArray { elements: 7, .. }));
        assert!(matches!(index(&[10], &[None], &[3], &[]), Index::ExtensibleArray { elements: 4, .. }));
        assert_eq!(index(&[10, 1], &[None, None], &[3, 1], &[]), Index::Tree);
        assert_eq!(index(&[10], &[Some(u64::MAX - 1)], &[1], &[]), Index::Tree);
        assert_eq!(index(&[1 << 33], &[None], &[1], &[]), Index::Tree);
        assert_eq!(index(&[1 << 32], &[Some(1 << 32)], &[1], &zlib), Index::Tree);
        let below = (1 << 32) - 1;
        assert!(
            matches!(index(&[below], &[Some(below)], &[1], &zlib), Index::FixedArray { elements, .. } if elements == below)
        );
    }

    #[test]
    fn only_filters_that_every_library_has_are_declared() {
        let ids = |filters: &[Filter]| {
            let storage = storage(&[10], &[Some(10)], Some(&[3]), filters).unwrap();
            (storage.filters.iter().map(|filter| filter.id).collect::<Vec<_>>(), storage.mask(), storage.slot)
        };
        let other = |id| Filter::Other { id: Some(id), name: "some".into() };
        assert_eq!(ids(&[Filter::Shuffle, Filter::Deflate(9), Filter::Fletcher32]), (vec![2, 1, 3], 7, 4096));
        assert_eq!(ids(&[other(6), Filter::Deflate(9)]), (vec![1], 1, 4096));
        assert_eq!(ids(&[Filter::Shuffle, other(32001)]), (vec![], 0, 12));
    }

    #[test]
    fn stored_chunks_stand_under_the_filter_that_undoes_them() {
        let of = |stored, filters: &[Filter], size: u64| {
            let dataset = Dataset {
                datatype: TypeUse::Own(Datatype::Integer(Integer::standard(4, ByteOrder::Little, true))),
                dataspace: Dataspace::Simple { dims: vec![10], max_dims: vec![Some(10)] },
                fill: None,
                layout: DataLayout::Chunked(vec![3]),
                filters: filters.to_vec(),
                stored,
            };
            Storage::of(&dataset, size, &PresentOptions { filters: FilterPresentation::Stored }).unwrap()
        };
        let blosc = of(StoredForm::Blosc { shuffle: 1, codec: 4 }, &[Filter::Shuffle, Filter::Deflate(9)], 4);
        let declared = DeclaredFilter { id: 32001, name: "blosc", optional: true, values: vec![2, 2, 4, 12, 5, 1, 4] };
        assert_eq!(blosc.filters, [declared]);
        assert_eq!((blosc.mask(), blosc.slot, blosc.presented_len(), blosc.chunk_len), (0, 8192, 8192, 12));
        // Blosc knows no larger elements.
        let large = of(StoredForm::Blosc { shuffle: 0, codec: 5 }, &[], 1000);
        assert_eq!(large.filters[0].values, [2, 2, 1, 3000, 5, 0, 5]);

        // A checksum is not declared: it would have to lie at the end of the slot.
        let listed = [Filter::Shuffle, Filter::Deflate(9), Filter::Fletcher32];
        let zlib = of(StoredForm::Zlib { shuffled: true }, &listed, 4);
        assert_eq!(zlib.filters.iter().map(|filter| filter.id).collect::<Vec<_>>(), [2, 1]);
        assert_eq!((&zlib.filters[0].values, &zlib.filters[1].values), (&vec![4], &vec![9]));
        assert_eq!((zlib.mask(), zlib.presented_len()), (0, 8192));

        // What no library reads is presented as ever.
        let other = of(StoredForm::Other, &listed, 4);
        assert_eq!((other.mask(), other.presented_len(), other.slot), (7, 12, 4096));
    }

    #[test]
    fn what_cannot_be_stored_says_why() {
        assert!(storage(&[10], &[Some(5)], Some(&[3]), &[]).is_err());
        assert!(storage(&[10], &[Some(10)], Some(&[3, 3]), &[]).is_err());
        assert!(storage(&[1 << 40], &[None], Some(&[1 << 31]), &[]).is_err());
        assert!(storage(&[u64::MAX, 3], &[None, None], None, &[]).is_err());
        let empty = storage(&[0, 5], &[Some(0), Some(5)], None, &[]).unwrap();
        assert_eq!((empty.chunks(), empty.chunk_len), (0, 0));
    }
}
