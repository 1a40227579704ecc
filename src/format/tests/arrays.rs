//! Datasets under every chunk index: all elements come back, absent chunks read as the fill value.

use super::builder::{File, constant, message};
use super::open;
use crate::format::index::btree2::{self, BTree2};
use crate::format::index::element;
use crate::format::index::extensible_array::{self, Block, ExtensibleArray};
use crate::format::index::fixed_array::{self, FixedArray};
use crate::format::message::data_layout::{self, ChunkIndexKind, Chunked, Contiguous};
use crate::format::message::fill_value::{self, FillValue};
use crate::format::message::filter_pipeline::{self, FilterEntry};
use crate::format::{UNDEFINED_ADDRESS, dataspace, datatype};
use crate::model::dataspace::Dataspace;
use crate::model::datatype::{ByteOrder, Datatype, Integer};
use crate::model::hierarchy::Allocation;
use std::collections::HashMap;
use std::ops::Range;

/// What absent chunks read as.
const FILL: i32 = -7;
/// Chunks are stored plain under these filters: both bits of the mask are set.
const MASK: u32 = 0b11;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Index {
    Single,
    Implicit,
    Fixed,
    Extensible,
    Tree,
}

#[derive(Clone, Debug)]
struct Dataset {
    index: Index,
    dims: Vec<u64>,
    max_dims: Vec<Option<u64>>,
    chunk: Vec<u64>,
    filtered: bool,
    holes: bool,
}

impl Dataset {
    fn new(index: Index, dims: &[u64], max_dims: &[Option<u64>], chunk: &[u64]) -> Self {
        Dataset {
            index,
            dims: dims.to_vec(),
            max_dims: max_dims.to_vec(),
            chunk: chunk.to_vec(),
            filtered: false,
            holes: false,
        }
    }

    fn fixed(index: Index, dims: &[u64], chunk: &[u64]) -> Self {
        Dataset::new(index, dims, &dims.iter().map(|&dim| Some(dim)).collect::<Vec<_>>(), chunk)
    }

    fn filtered(mut self) -> Self {
        self.filtered = true;
        self
    }

    fn holes(mut self) -> Self {
        self.holes = true;
        self
    }

    fn chunk_elements(&self) -> u64 {
        self.chunk.iter().product()
    }

    fn chunk_bytes(&self) -> u64 {
        self.chunk_elements() * 4
    }

    fn element_size(&self) -> u8 {
        if self.filtered { element::filtered_len(self.chunk_bytes()) } else { element::PLAIN_LEN }
    }

    /// The order in which the index counts dimensions, and chunks in each.
    fn order(&self) -> Vec<(usize, u64)> {
        let grid = |dim: usize| {
            let extent = match self.index {
                Index::Tree => self.dims[dim],
                _ => self.max_dims[dim].unwrap_or(self.dims[dim]),
            };
            extent.div_ceil(self.chunk[dim])
        };
        let mut order: Vec<(usize, u64)> = (0..self.dims.len()).map(|dim| (dim, grid(dim))).collect();
        if self.index == Index::Extensible {
            order.sort_by_key(|(dim, _)| self.max_dims[*dim].is_some());
        }
        order
    }

    fn chunks(&self) -> u64 {
        self.order().iter().map(|(_, count)| count).product()
    }

    /// Where chunk `number` of the index is in the grid.
    fn coordinates(&self, mut number: u64) -> Vec<u64> {
        let mut at = vec![0; self.dims.len()];
        for (dim, count) in self.order().into_iter().rev() {
            at[dim] = number % count;
            number /= count;
        }
        at
    }

    fn is_absent(&self, at: &[u64]) -> bool {
        let outside = at.iter().zip(&self.chunk).zip(&self.dims).any(|((at, chunk), dim)| at * chunk >= *dim);
        outside || self.holes && at.iter().sum::<u64>() % 5 == 3
    }

    fn chunk_data(&self, at: &[u64], out: &mut Vec<u8>) {
        out.clear();
        for place in 0..self.chunk_elements() {
            let (mut rest, mut linear, mut stride, mut inside) = (place, 0, 1, true);
            for dim in (0..self.dims.len()).rev() {
                let coordinate = at[dim] * self.chunk[dim] + rest % self.chunk[dim];
                rest /= self.chunk[dim];
                inside &= coordinate < self.dims[dim];
                linear += coordinate * stride;
                stride *= self.dims[dim];
            }
            out.extend_from_slice(&if inside { value(linear) } else { 0 }.to_le_bytes());
        }
    }

    /// What the whole dataset reads as.
    fn expected(&self) -> Vec<i32> {
        let elements: u64 = self.dims.iter().product();
        let mut out: Vec<i32> = (0..elements).map(value).collect();
        if self.holes {
            for (linear, element) in out.iter_mut().enumerate() {
                let mut rest = linear as u64;
                let mut sum = 0;
                for dim in (0..self.dims.len()).rev() {
                    sum += rest % self.dims[dim] / self.chunk[dim];
                    rest /= self.dims[dim];
                }
                if sum % 5 == 3 {
                    *element = FILL;
                }
            }
        }
        out
    }

    fn put(&self, file: &mut File) -> u64 {
        let chunks = self.chunks();
        let bytes = self.chunk_bytes();
        let data = file.raw(chunks * bytes);
        let mut chunk = Vec::new();
        for number in 0..chunks {
            let at = self.coordinates(number);
            self.chunk_data(&at, &mut chunk);
            // The implicit index has no absent chunks: what is not there must hold the fill value.
            if self.is_absent(&at) {
                chunk = FILL.to_le_bytes().repeat(chunk.len() / 4);
            }
            file.put(data + number * bytes, &chunk);
        }
        let fill_entry = |number: u64, out: &mut [u8]| {
            let here = data + number * bytes;
            let absent = self.is_absent(&self.coordinates(number));
            match (absent, self.filtered) {
                (true, _) => element::put_absent(self.element_size(), out),
                (_, false) => element::put_plain(here, out),
                (_, true) => element::put_filtered(here, bytes, element::size_bytes(bytes), MASK, out),
            }
        };
        let entries = |range: Range<u64>, out: &mut [u8]| {
            for (number, entry) in range.zip(out.chunks_mut(self.element_size().into())) {
                fill_entry(number, entry);
            }
        };
        let (kind, address) = match self.index {
            Index::Single => (ChunkIndexKind::Single { filtered: self.filtered.then_some((bytes, MASK)) }, data),
            Index::Implicit => (ChunkIndexKind::Implicit, data),
            Index::Fixed => {
                let array = FixedArray::new(chunks, self.element_size(), self.filtered).unwrap();
                (ChunkIndexKind::FixedArray, put_fixed(file, &array, entries))
            }
            Index::Extensible => {
                let array = ExtensibleArray::new(chunks, self.element_size(), self.filtered).unwrap();
                (ChunkIndexKind::ExtensibleArray, put_extensible(file, &array, entries))
            }
            Index::Tree => {
                // Absent chunks have no record.
                let present: Vec<u64> =
                    (0..chunks).filter(|&number| !self.is_absent(&self.coordinates(number))).collect();
                let kind = if self.filtered { btree2::kind::FILTERED_CHUNK } else { btree2::kind::CHUNK };
                let record = u16::from(self.element_size()) + 8 * self.dims.len() as u16;
                let node_size = 2048;
                let tree = BTree2::new(kind, record, node_size, present.len() as u64).unwrap();
                let address = file.tree(&tree, |number, out| {
                    let (entry, scaled) = out.split_at_mut(self.element_size().into());
                    let chunk = present[number as usize];
                    fill_entry(chunk, entry);
                    for (to, at) in scaled.chunks_mut(8).zip(self.coordinates(chunk)) {
                        to.copy_from_slice(&at.to_le_bytes());
                    }
                });
                (ChunkIndexKind::BTree2 { node_size }, address)
            }
        };
        let layout = Chunked { chunk: &self.chunk, element_size: 4, index: kind, address }.body().unwrap();
        let allocation = if self.index == Index::Implicit { Allocation::Early } else { Allocation::Incremental };
        let space = Dataspace::Simple { dims: self.dims.clone(), max_dims: self.max_dims.clone() };
        put_dataset(file, &space, allocation, layout, self.filtered)
    }
}

fn value(linear: u64) -> i32 {
    (linear.wrapping_mul(2_654_435_761).wrapping_add(12_345) % (1 << 31)) as i32
}

fn put_dataset(file: &mut File, space: &Dataspace, allocation: Allocation, layout: Vec<u8>, filtered: bool) -> u64 {
    let mut space_body = Vec::new();
    dataspace::encode(space, &mut space_body).unwrap();
    assert_eq!(space_body.len(), dataspace::encoded_len(space));
    let mut type_body = Vec::new();
    datatype::encode(&Datatype::Integer(Integer::standard(4, ByteOrder::Little, true)), &mut type_body).unwrap();
    let fill = FillValue { value: Some(&FILL.to_le_bytes()), storing: super::storing(allocation) }.body().unwrap();
    let mut messages = vec![
        message(dataspace::KIND, space_body),
        constant(datatype::KIND, type_body),
        constant(fill_value::KIND, fill),
        message(data_layout::KIND, layout),
    ];
    if filtered {
        let shuffle = FilterEntry { id: 2, optional: true, name: "shuffle", values: &[4] };
        let deflate = FilterEntry { id: 1, optional: true, name: "deflate", values: &[6] };
        messages.push(constant(filter_pipeline::KIND, filter_pipeline::body(&[shuffle, deflate]).unwrap()));
    }
    file.header(messages)
}

fn put_fixed(file: &mut File, array: &FixedArray, entries: impl Fn(Range<u64>, &mut [u8])) -> u64 {
    let header = file.metadata(fixed_array::HEADER_LEN as u64);
    let block = file.metadata(array.data_block_len());
    file.put(header, &array.encode_header(block));
    let mut bytes = if array.is_paged() { array.encode_prefix(header) } else { array.encode_unpaged(header, &entries) };
    for page in 0..array.pages() {
        assert_eq!(bytes.len() as u64, array.page_offset(page));
        array.encode_page(page, &entries, &mut bytes);
        assert_eq!(bytes.len() as u64, array.page_offset(page) + array.page_len(page));
    }
    assert_eq!(bytes.len() as u64, array.data_block_len());
    file.put(block, &bytes);
    header
}

fn put_extensible(file: &mut File, array: &ExtensibleArray, entries: impl Fn(Range<u64>, &mut [u8])) -> u64 {
    let header = file.metadata(extensible_array::HEADER_LEN as u64);
    let index = file.metadata(array.index_block_len());
    let mut addresses = HashMap::new();
    for number in array.groups() {
        if array.super_blocks().contains(&number) {
            addresses.insert(Block::Super(number), file.metadata(array.super_block_len(number)));
        }
        for block in 0..array.data_blocks(number) {
            let address = file.metadata(array.data_block_len(number));
            addresses.insert(Block::Data { super_block: number, number: block }, address);
        }
    }
    file.put(header, &array.encode_header(index));
    file.put(index, &array.encode_index_block(header, &entries, |block| addresses[&block]));
    for (&block, &address) in &addresses {
        let bytes = match block {
            Block::Super(number) => array.encode_super_block(number, header, |block| addresses[&block]),
            Block::Data { super_block, number } if array.is_paged(super_block) => {
                let mut bytes = array.encode_data_block_prefix(super_block, number, header);
                for page in 0..array.pages(super_block) {
                    array.encode_page(super_block, number, page, &entries, &mut bytes);
                }
                bytes
            }
            Block::Data { super_block, number } => array.encode_data_block(super_block, number, header, &entries),
        };
        file.put(address, &bytes);
    }
    header
}

/// One file with these datasets, named by number.
fn image(datasets: &[Dataset]) -> (Vec<u8>, Vec<String>) {
    let mut file = File::new();
    let mut objects = Vec::new();
    for (number, dataset) in datasets.iter().enumerate() {
        let holes = if dataset.holes { "_holes" } else { "" };
        objects.push((format!("d{number:02}{holes}"), dataset.put(&mut file)));
    }
    let links: Vec<(&str, u64)> = objects.iter().map(|(name, address)| (name.as_str(), *address)).collect();
    let bytes = file.finish_with(&links);
    (bytes, objects.into_iter().map(|(name, _)| name).collect())
}

/// Every element of every dataset is compared.
fn check(name: &str, datasets: &[Dataset]) {
    let (bytes, paths) = image(datasets);
    let reader = open(name, bytes);
    for (path, dataset) in paths.iter().zip(datasets) {
        let read = reader.dataset(path).unwrap_or_else(|error| panic!("{name}/{path} {dataset:?}: {error}"));
        let bytes = read.read_raw_bytes().unwrap_or_else(|error| panic!("{name}/{path} {dataset:?}: {error}"));
        let values: Vec<i32> = bytes.as_chunks::<4>().0.iter().map(|&element| i32::from_le_bytes(element)).collect();
        assert!(values == dataset.expected(), "{name}/{path} {dataset:?} reads otherwise");
    }
}

/// Every dataset plain and filtered, full and with holes.
fn variants(datasets: Vec<Dataset>) -> Vec<Dataset> {
    let with_holes = |each: Dataset| [each.clone(), each.holes()];
    let with_filters = |each: Dataset| [each.clone(), each.filtered()];
    datasets.into_iter().flat_map(with_holes).flat_map(with_filters).collect()
}

#[test]
fn fixed_arrays_find_every_chunk() {
    check(
        "fixed",
        &variants(vec![
            Dataset::fixed(Index::Fixed, &[7], &[7]),
            Dataset::fixed(Index::Fixed, &[1000], &[1]),
            Dataset::fixed(Index::Fixed, &[1024 * 3], &[3]),
            Dataset::fixed(Index::Fixed, &[1025 * 3 - 1], &[3]),
            Dataset::fixed(Index::Fixed, &[9217 * 2], &[2]),
            Dataset::fixed(Index::Fixed, &[101, 57, 3], &[4, 5, 2]),
        ]),
    );
}

/// The grid of an array that may still grow is that of its maximum. The reader of these tests counts with the current
/// extents instead, so it only sees that every chunk of the maximum has an entry; libhdf5 reads the values.
#[test]
fn fixed_arrays_that_may_grow() {
    let dataset = Dataset::new(Index::Fixed, &[10, 20], &[Some(30), Some(50)], &[3, 4]);
    assert_eq!(dataset.chunks(), 10 * 13);
    let (bytes, paths) = image(&[dataset.clone(), dataset.filtered()]);
    let reader = open("fixed_growing", bytes);
    for path in paths {
        let read = reader.dataset(&path).unwrap();
        assert_eq!((read.shape(), read.max_dims()), ([10, 20].as_slice(), Some([30, 50].as_slice())));
    }
}

#[test]
fn fixed_arrays_of_millions() {
    let dataset = Dataset::fixed(Index::Fixed, &[3_000_000], &[1]);
    check("fixed_millions", &[dataset.clone(), dataset.filtered().holes()]);
}

#[test]
fn extensible_arrays_find_every_chunk() {
    check(
        "extensible",
        &variants(vec![
            Dataset::new(Index::Extensible, &[1], &[None], &[1]),
            Dataset::new(Index::Extensible, &[10], &[None], &[1]),
            Dataset::new(Index::Extensible, &[200 * 3], &[None], &[3]),
            Dataset::new(Index::Extensible, &[5000], &[None], &[1]),
            Dataset::new(Index::Extensible, &[200_000], &[None], &[1]),
            Dataset::new(Index::Extensible, &[41, 57], &[None, Some(57)], &[4, 5]),
            Dataset::new(Index::Extensible, &[41, 57], &[Some(41), None], &[4, 5]),
            Dataset::new(Index::Extensible, &[9, 41, 57], &[Some(9), None, Some(60)], &[2, 4, 5]),
            Dataset::new(Index::Extensible, &[400, 600], &[Some(400), None], &[1, 1]),
        ]),
    );
}

#[test]
fn extensible_arrays_of_millions() {
    check(
        "extensible_millions",
        &[
            Dataset::new(Index::Extensible, &[3_000_000], &[None], &[1]),
            Dataset::new(Index::Extensible, &[1500, 2000], &[Some(1500), None], &[1, 1]).filtered().holes(),
        ],
    );
}

#[test]
fn trees_of_depth_0_to_3_find_every_chunk() {
    let square = |side: u64, chunk: u64| Dataset::new(Index::Tree, &[side, side], &[None, None], &[chunk, chunk]);
    let datasets = vec![square(1, 1), square(18, 2), square(9, 1), square(60, 1), square(601, 2), square(120, 3)];
    check("tree", &variants(datasets));
    check("tree_deep", &[square(600, 1), square(600, 1).filtered().holes()]);
}

#[test]
fn chunks_without_an_index_are_found() {
    let mut datasets = vec![
        Dataset::fixed(Index::Single, &[5, 9], &[5, 9]),
        Dataset::fixed(Index::Single, &[5, 9], &[5, 9]).filtered(),
        // One chunk, larger than the dataset.
        Dataset::fixed(Index::Single, &[5, 9], &[8, 9]),
        Dataset::fixed(Index::Implicit, &[11], &[3]),
        Dataset::fixed(Index::Implicit, &[31, 17], &[4, 5]),
    ];
    datasets.push(Dataset::fixed(Index::Implicit, &[31, 17], &[4, 5]).holes());
    check("unindexed", &datasets);
}

#[test]
fn contiguous_and_unwritten_data() {
    let mut file = File::new();
    let values: Vec<u8> = (0..1000).map(value).flat_map(i32::to_le_bytes).collect();
    let data = file.put_raw(&values);
    let space = Dataspace::fixed(vec![10, 100]);
    let written = Contiguous { address: data, size: 4000 }.body();
    let written = put_dataset(&mut file, &space, Allocation::Late, written, false);
    let unwritten = Contiguous { address: UNDEFINED_ADDRESS, size: 4000 }.body();
    let unwritten = put_dataset(&mut file, &space, Allocation::Late, unwritten, false);
    let empty_layout =
        Chunked { chunk: &[5], element_size: 4, index: ChunkIndexKind::ExtensibleArray, address: UNDEFINED_ADDRESS };
    let empty_space = Dataspace::Simple { dims: vec![0], max_dims: vec![None] };
    let empty = put_dataset(&mut file, &empty_space, Allocation::Incremental, empty_layout.body().unwrap(), false);
    let reader =
        open("contiguous", file.finish_with(&[("written", written), ("unwritten", unwritten), ("empty", empty)]));
    assert_eq!(reader.dataset("written").unwrap().read_raw_bytes().unwrap(), values);
    assert_eq!(reader.dataset("unwritten").unwrap().shape(), [10, 100]);
    assert_eq!(reader.dataset("empty").unwrap().shape(), [0]);
}
