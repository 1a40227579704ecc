//! How one dataset's elements are kept in the presented file: in one piece or in chunks, found through which index,
//! under which declared filters, in slots of which size.
//!
//! Everything here follows from the dataset's metadata alone, so that nothing about a chunk has to be known to place it.

use crate::model::dataspace::Dataspace;
use crate::model::grid::Grid;
use crate::model::hierarchy::{DataLayout, Dataset};
use crate::model::limits;
use crate::model::pipeline::Filter;

use super::numbering::Numbering;
use super::options::{FilterPresentation, PresentOptions};
use super::pages::{PAGE, round_up};

/// An extensible array numbers its elements in 32 bits, as libhdf5 creates it.
const EXTENSIBLE_ARRAY_ELEMENTS: u64 = 1 << 32;
/// An array index has an element for every chunk of the *maximal* extent. Up to this many times the chunks that exist
/// (and always up to [`SMALL_ARRAY`]) that is cheaper than a tree, whose records are three times as long.
const ARRAY_SPARSENESS: u64 = 16;
/// Elements of an array index that is small whatever it holds: 8 MiB.
const SMALL_ARRAY: u64 = 1 << 20;

/// A filter that the file declares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DeclaredFilter {
    /// Registered id.
    pub(crate) id: u16,
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
    /// Filters that the file declares, in order of application when writing. Every chunk's mask skips all of them.
    pub(crate) filters: Vec<DeclaredFilter>,
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
        let filters = presented_filters(&dataset.filters, size, options);
        let index = choose(&grid, max_dims, !filters.is_empty());
        let slot = if index == Index::Implicit { chunk_len } else { round_up(chunk_len, PAGE) };
        Ok(Storage { element_size: size, grid, chunk_len, slot, filters, index })
    }

    fn contiguous(dims: &[u64], element_size: u32, elements: u64) -> Result<Storage, String> {
        let len = elements.checked_mul(element_size.into()).ok_or("its bytes pass 64 bits")?;
        // One chunk as large as the extent; none where there is no element.
        let shape: Vec<u64> = dims.iter().map(|&dim| dim.max(1)).collect();
        let grid = if elements == 0 { Grid::new(&[0], &[1]) } else { Grid::new(dims, &shape) };
        let grid = grid.ok_or("its extent has no grid")?;
        Ok(Storage { element_size, grid, chunk_len: len, slot: len, filters: Vec::new(), index: Index::Contiguous })
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

    /// Filter mask of every chunk: each declared filter was skipped.
    pub(crate) fn mask(&self) -> u32 {
        match self.filters.len() {
            count @ 0..=31 => (1 << count) - 1,
            _ => u32::MAX,
        }
    }
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
            Filter::Deflate(level) => DeclaredFilter { id: 1, optional: true, values: vec![(*level).into()] },
            Filter::Shuffle => DeclaredFilter { id: 2, optional: true, values: vec![element_size] },
            Filter::Fletcher32 => DeclaredFilter { id: 3, optional: false, values: Vec::new() },
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

/// The index that libhdf5 itself would choose, but for arrays that would be mostly empty.
fn choose(grid: &Grid, max_dims: &[Option<u64>], filtered: bool) -> Index {
    let fixed = grid.dims().iter().zip(max_dims).all(|(dim, max)| *max == Some(*dim));
    if fixed && !filtered {
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
                Some(elements) if worth(elements) => Index::FixedArray { numbering, elements },
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
        assert_eq!(index(&[10], &[Some(10)], &[10], &zlib), Index::Single);
        assert!(matches!(index(&[10], &[Some(10)], &[11], &zlib), Index::FixedArray { elements: 1, .. }));
        assert!(matches!(index(&[10], &[Some(20)], &[3], &[]), Index::FixedArray { elements: 7, .. }));
        assert!(matches!(index(&[10], &[None], &[3], &[]), Index::ExtensibleArray { elements: 4, .. }));
        assert_eq!(index(&[10, 1], &[None, None], &[3, 1], &[]), Index::Tree);
        assert_eq!(index(&[10], &[Some(u64::MAX - 1)], &[1], &[]), Index::Tree);
        assert_eq!(index(&[1 << 33], &[None], &[1], &[]), Index::Tree);
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
    fn what_cannot_be_stored_says_why() {
        assert!(storage(&[10], &[Some(5)], Some(&[3]), &[]).is_err());
        assert!(storage(&[10], &[Some(10)], Some(&[3, 3]), &[]).is_err());
        assert!(storage(&[1 << 40], &[None], Some(&[1 << 31]), &[]).is_err());
        assert!(storage(&[u64::MAX, 3], &[None, None], None, &[]).is_err());
        let empty = storage(&[0, 5], &[Some(0), Some(5)], None, &[]).unwrap();
        assert_eq!((empty.chunks(), empty.chunk_len), (0, 0));
    }
}
