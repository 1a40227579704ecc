//! From a hierarchy to an image: measure, place, encode.
//!
//! The file begins with superblock and extension; then come the object headers in the order of the hierarchy, dense
//! links and attributes, the chunk indexes, the heaps of attributes and fill values, the raw data of one dataset after
//! the other, the heap windows, and a guard page. A user block stands before it all, and addresses count from its end. An empty page keeps structures and data apart: whoever reads ahead of
//! the one comes no nearer to the other. Without the guard page a writer that frees the last chunk would cut the file there.
//! Lengths of metadata depend on no address, addresses only on the lengths before them, and the heaps' contents on
//! header addresses, so one pass forward places everything.

use std::borrow::Cow;

use bytes::Bytes;

use crate::format::heap::fractal::Client;
use crate::format::message::file_space_info;
use crate::format::object_header::{Message, ObjectHeader, message_flags};
use crate::format::superblock::{SUPERBLOCK_LEN, Superblock};
use crate::format::{FormatError, Kind, UNDEFINED_ADDRESS};
use crate::model::hierarchy::{DataLayout, Hierarchy, ObjectId};
use crate::model::limits::FILE_BYTES;

use super::blob::Blob;
use super::dense::Dense;
use super::error::{LayoutError, Omission};
use super::header::{Places, attribute_bodies, attribute_lens, link_bodies, link_lens, object_header, raw_names};
use super::heap::HeapWriter;
use super::image::{Image, Piece, PlacedDataset, Region, RegionKind, reach};
use super::index::{IndexError, PlacedIndex};
use super::inventory::{Inventory, Shown, ShownKind};
use super::options::PresentOptions;
use super::pages::{Full, PAGE, Pages, REQUEST};
use super::window;

/// Free sections below this are never reused by a writer: everything it frees stays untouched, and what it writes below
/// the end of our file is a rewrite of the same chunk or structure.
const FREE_SPACE_THRESHOLD: u64 = 1 << 62;

/// The first place behind the start of a file at which HDF5 looks for a superblock.
const LEAST_USER_BLOCK: usize = 512;

/// Number of the metadata blob among those of an image.
const METADATA: u8 = 0;
/// Number of the blob of heaps.
const HEAPS: u8 = 1;

/// Lays out a file. Equal arguments give equal bytes, whoever asks.
pub fn plan(hierarchy: &Hierarchy, options: &PresentOptions) -> Result<Image, LayoutError> {
    Planner::new(Inventory::of(hierarchy, options)?).plan()
}

/// What is known of an object's places.
#[derive(Debug, Default)]
struct PlacedObject {
    links: Option<Dense>,
    attributes: Option<Dense>,
    /// Heap of the names of raw files.
    names: u64,
    /// Heap object that says what a virtual dataset is made of.
    mapping: Option<(u64, u32)>,
    /// Elements in file form of a compact dataset, where they hold addresses.
    compact: Option<Vec<u8>>,
    /// Values in file form of those attributes that hold addresses, by the number of the attribute.
    values: Vec<(usize, Vec<u8>)>,
    header_len: u64,
}

struct Planner<'a> {
    inventory: Inventory<'a>,
    pages: Pages,
    headers: Vec<u64>,
    placed: Vec<PlacedObject>,
    datasets: Vec<Option<Box<PlacedDataset>>>,
    regions: Vec<Region>,
    metadata_len: u64,
}

impl<'a> Planner<'a> {
    fn new(inventory: Inventory<'a>) -> Self {
        let count = inventory.objects.len();
        Planner {
            inventory,
            pages: Pages::default(),
            headers: vec![0; count],
            placed: (0..count).map(|_| PlacedObject::default()).collect(),
            datasets: (0..count).map(|_| None).collect(),
            regions: Vec::new(),
            metadata_len: 0,
        }
    }

    fn plan(mut self) -> Result<Image, LayoutError> {
        let full = |_: Full| LayoutError::TooLong { path: "/".into(), limit: FILE_BYTES };
        self.pages.block(SUPERBLOCK_LEN as u64).map_err(full)?;
        let extension = self.encode(Hierarchy::ROOT, extension())?;
        let extension_address = self.pages.header(extension.len() as u64).map_err(full)?;
        self.place_headers()?;
        self.place_dense()?;
        self.pages.turn().map_err(full)?;
        let metadata_end = self.pages.end();
        self.metadata_len += metadata_end;
        add(&mut self.regions, 0, RegionKind::Metadata(Piece::Blob(METADATA)));
        self.place_indexes()?;
        self.pages.turn().map_err(full)?;
        let heaps_start = self.pages.end();
        let heap = self.fill_heaps(heaps_start)?;
        let collections = self.pages.raw(heap.len() as u64).map_err(full)?;
        debug_assert_eq!(collections, heaps_start);
        self.place_huge()?;
        self.pages.turn().map_err(full)?;
        let heaps_end = self.pages.end();
        if heaps_end > heaps_start {
            add(&mut self.regions, heaps_start, RegionKind::Metadata(Piece::Blob(HEAPS)));
            self.metadata_len += heaps_end - heaps_start;
        }
        let apart = self.pages.raw(PAGE).map_err(full)?;
        add(&mut self.regions, apart, RegionKind::Zero);
        self.place_data()?;
        self.place_windows()?;
        let guard = self.pages.raw(PAGE).map_err(full)?;
        add(&mut self.regions, guard, RegionKind::Zero);
        let len = self.pages.end();
        let user_block = user_block(&self.inventory.hierarchy.user_block);
        let base = user_block.len() as u64;

        let mut metadata = Blob::new(0, metadata_end);
        let mut heaps = Blob::new(heaps_start, heaps_end - heaps_start);
        heaps.write(heaps_start, &heap);
        drop(heap);
        let root = self.headers.first().copied().unwrap_or_default();
        metadata.write(0, &Superblock { base, extension: extension_address, end_of_file: len, root }.encode());
        metadata.write(extension_address, &extension);
        for number in 0..self.headers.len() {
            self.write_object(ObjectId(number as u32), &mut metadata, &mut heaps)?;
        }
        #[cfg(test)]
        super::tests::check_pieces(&self.pages);
        let mut regions = self.regions;
        // The user block and the metadata behind it are one region.
        for region in regions.iter_mut().skip(1) {
            region.start += base;
        }
        let metadata = match user_block.is_empty() {
            true => metadata.freeze(),
            false => [&user_block[..], &metadata.freeze()].concat().into(),
        };
        Ok(Image {
            len: len + base,
            reach: reach(self.datasets.iter().flatten().map(|dataset| &**dataset)),
            headers: self.headers,
            datasets: self.datasets,
            regions,
            blobs: [metadata, heaps.freeze()],
            metadata_len: self.metadata_len + base,
            omissions: self.inventory.omissions,
        })
    }

    fn place_headers(&mut self) -> Result<(), LayoutError> {
        for number in 0..self.headers.len() {
            let id = ObjectId(number as u32);
            let Some(shown) = self.inventory.get(id) else { continue };
            let header =
                object_header(shown, &Places::measuring(shown, &[])).map_err(|error| self.unencodable(id, error))?;
            let len = header.encoded_len() as u64;
            self.headers[number] = self.pages.header(len).map_err(|_| self.too_long(id))?;
            self.placed[number].header_len = len;
        }
        Ok(())
    }

    fn place_dense(&mut self) -> Result<(), LayoutError> {
        for number in 0..self.headers.len() {
            let id = ObjectId(number as u32);
            let Some(shown) = self.inventory.objects.get(number).and_then(Option::as_ref) else { continue };
            if let ShownKind::Dataset(dataset) = &shown.kind
                && let DataLayout::External(parts) = &dataset.dataset.layout
            {
                let len = raw_names(0, parts).0.len() as u64;
                self.placed[number].names = self.pages.block(len).map_err(|_| self.too_long(id))?;
            }
            if !shown.dense_links && !shown.dense_attributes {
                continue;
            }
            let places = Places::measuring(shown, &[]);
            let mut dense = || -> Result<(), IndexError> {
                if shown.dense_links {
                    let names = shown.links.iter().map(|link| &link.name);
                    let lens = link_lens(shown, &places);
                    self.placed[number].links = Some(Dense::place(Client::Links, names, lens, &mut self.pages)?);
                }
                if shown.dense_attributes {
                    let names = shown.attributes.iter().map(|attribute| &attribute.name);
                    let lens = attribute_lens(shown, &places);
                    self.placed[number].attributes =
                        Some(Dense::place(Client::Attributes, names, lens, &mut self.pages)?);
                }
                Ok(())
            };
            dense().map_err(|error| self.index_error(id, error))?;
        }
        Ok(())
    }

    fn place_indexes(&mut self) -> Result<(), LayoutError> {
        for number in 0..self.headers.len() {
            let id = ObjectId(number as u32);
            let Some(Shown { kind: ShownKind::Dataset(shown), .. }) =
                self.inventory.objects.get_mut(number).and_then(Option::as_mut)
            else {
                continue;
            };
            let storage = shown.storage.clone();
            let needs_placement = shown.datatype.needs_placement();
            let index = PlacedIndex::place(&storage, &mut self.pages).map_err(|error| self.index_error(id, error))?;
            for (part, placed) in index.iter().flat_map(PlacedIndex::parts).enumerate() {
                self.metadata_len += placed.total();
                let piece = Piece::Index { dataset: id.0, part: part as u32 };
                add(&mut self.regions, placed.start, RegionKind::Metadata(piece));
                // Padding up to the next structure.
                add(&mut self.regions, placed.start + placed.total(), RegionKind::Zero);
            }
            let dataset =
                PlacedDataset { storage, base: UNDEFINED_ADDRESS, index, window: None, needs_placement, fill: None };
            self.datasets[number] = Some(Box::new(dataset));
        }
        Ok(())
    }

    /// Places all values that lead into a heap, and keeps their file form.
    fn fill_heaps(&mut self, start: u64) -> Result<Vec<u8>, LayoutError> {
        let mut heap = HeapWriter::new(start, FILE_BYTES, &self.headers);
        let mut omissions = Vec::new();
        for (number, shown) in self.inventory.objects.iter().enumerate() {
            let Some(shown) = shown else { continue };
            let id = ObjectId(number as u32);
            let mut wrong = |what: &str, reason: String| {
                let path = self.inventory.location(id, what);
                omissions.push(Omission { object: id, path, reason });
            };
            if let ShownKind::Dataset(dataset) = &shown.kind
                && let Some(fill) = dataset.fill
            {
                let value = match heap.place(fill) {
                    Ok(value) => value,
                    Err(error) => {
                        wrong("", format!("its fill value: {error}; it reads as zeros"));
                        vec![0; fill.bytes.len()]
                    }
                };
                if let Some(dataset) = self.datasets.get_mut(number).and_then(Option::as_mut) {
                    dataset.fill = Some(Bytes::from(value));
                }
            }
            if let ShownKind::Dataset(dataset) = &shown.kind
                && let DataLayout::Virtual(mapping) = &dataset.dataset.layout
                && !mapping.is_empty()
            {
                match heap.push(mapping) {
                    Ok(place) => self.placed[number].mapping = Some(place),
                    Err(error) => wrong("", format!("what it is made of: {error}; it reads as fill values")),
                }
            }
            if let ShownKind::Dataset(dataset) = &shown.kind
                && let DataLayout::Compact(elements) = &dataset.dataset.layout
                && !elements.places.is_empty()
            {
                self.placed[number].compact = Some(heap.place(elements).unwrap_or_else(|error| {
                    wrong("", format!("{error}; it reads as zeros"));
                    vec![0; elements.bytes.len()]
                }));
            }
            for (attribute, value) in shown.attributes.iter().enumerate() {
                if value.value.places.is_empty() {
                    continue;
                }
                let bytes = heap.place(&value.value).unwrap_or_else(|error| {
                    wrong(&format!("@{}", value.name), format!("{error}; its value reads as zeros"));
                    vec![0; value.value.bytes.len()]
                });
                self.placed[number].values.push((attribute, bytes));
            }
        }
        let bytes = heap.finish();
        self.inventory.omissions.extend(omissions);
        Ok(bytes)
    }

    fn place_huge(&mut self) -> Result<(), LayoutError> {
        for number in 0..self.placed.len() {
            let placed = &mut self.placed[number];
            for dense in placed.links.iter_mut().chain(placed.attributes.iter_mut()) {
                if dense.place_huge(&mut self.pages).is_err() {
                    return Err(self.too_long(ObjectId(number as u32)));
                }
            }
        }
        Ok(())
    }

    fn place_data(&mut self) -> Result<(), LayoutError> {
        for number in 0..self.datasets.len() {
            let id = ObjectId(number as u32);
            let Some(dataset) = self.datasets[number].as_mut() else { continue };
            let Some(len) = dataset.storage.len() else { return Err(self.too_long(id)) };
            if len == 0 {
                continue;
            }
            let shifted = !self.inventory.hierarchy.user_block.is_empty();
            let unit = if shifted { PAGE } else { alignment(dataset.storage.slot, len) };
            let Ok(base) = self.pages.aligned(len, unit) else { return Err(self.too_long(id)) };
            dataset.base = base;
            add(&mut self.regions, base, RegionKind::Chunks(id.0));
            add(&mut self.regions, base + len, RegionKind::Zero);
        }
        Ok(())
    }

    fn place_windows(&mut self) -> Result<(), LayoutError> {
        let mut windowed = Vec::new();
        let mut strides = Vec::new();
        for (number, shown) in self.inventory.objects.iter().enumerate() {
            let Some(Shown { kind: ShownKind::Dataset(shown), .. }) = shown else { continue };
            let (chunks, elements) = (shown.storage.chunks(), shown.storage.chunk_elements());
            if shown.datatype.needs_heap() && chunks > 0 {
                windowed.push(number);
                let stride = match self.inventory.hierarchy.chunk_values {
                    Some(bytes) => window::stride_of_values(bytes),
                    None => window::wanted_stride(shown.datatype, elements),
                };
                strides.push((stride, chunks));
            }
        }
        window::fit(&mut strides);
        for (number, (stride, chunks)) in windowed.into_iter().zip(strides) {
            let id = ObjectId(number as u32);
            let start = stride.checked_mul(chunks).and_then(|len| self.pages.raw(len).ok());
            let Some(start) = start else { return Err(self.too_long(id)) };
            if let Some(dataset) = self.datasets[number].as_mut() {
                dataset.window = Some((start, stride));
            }
            add(&mut self.regions, start, RegionKind::Windows(id.0));
        }
        Ok(())
    }

    fn write_object(&self, id: ObjectId, metadata: &mut Blob, heaps: &mut Blob) -> Result<(), LayoutError> {
        let number = id.0 as usize;
        let (Some(shown), Some(placed)) = (self.inventory.get(id), self.placed.get(number)) else { return Ok(()) };
        let mut places = Places::measuring(shown, &self.headers);
        places.links = placed.links.as_ref().map(|dense| (dense.heap(), dense.name_index()));
        places.attributes = placed.attributes.as_ref().map(|dense| (dense.heap(), dense.name_index()));
        for (attribute, value) in &placed.values {
            if let Some(place) = places.values.get_mut(*attribute) {
                *place = Cow::Borrowed(value);
            }
        }
        if let Some(dataset) = self.datasets.get(number).and_then(Option::as_ref) {
            places.fill = dataset.fill.as_deref().map(Cow::Borrowed);
            places.data = dataset.index.as_ref().map_or(dataset.base, PlacedIndex::header);
        }
        (places.names, places.mapping) = (placed.names, placed.mapping);
        if let Some(compact) = &placed.compact {
            places.compact = Some(Cow::Borrowed(compact));
        }
        if let ShownKind::Dataset(dataset) = &shown.kind
            && let DataLayout::External(parts) = &dataset.dataset.layout
        {
            metadata.write(placed.names, &raw_names(placed.names, parts).0);
        }
        let unencodable = |error| self.unencodable(id, error);
        let header = object_header(shown, &places).map_err(unencodable)?.encode().map_err(unencodable)?;
        if header.len() as u64 != placed.header_len {
            let reason = format!("{} bytes, measured as {}", header.len(), placed.header_len);
            return Err(unencodable(FormatError {
                kind: Kind::Unencodable,
                structure: "object header",
                at: 0,
                reason,
            }));
        }
        metadata.write(self.headers[number], &header);
        if let Some(dense) = &placed.links {
            let bodies = link_bodies(shown, &places).collect::<Result<Vec<_>, _>>().map_err(unencodable)?;
            dense.write(&bodies, true, metadata, heaps).map_err(unencodable)?;
        }
        if let Some(dense) = &placed.attributes {
            let bodies = attribute_bodies(shown, &places).collect::<Result<Vec<_>, _>>().map_err(unencodable)?;
            dense.write(&bodies, shown.attributes_tracked, metadata, heaps).map_err(unencodable)?;
        }
        Ok(())
    }

    fn encode(&self, id: ObjectId, header: ObjectHeader) -> Result<Vec<u8>, LayoutError> {
        header.encode().map_err(|error| self.unencodable(id, error))
    }

    fn unencodable(&self, id: ObjectId, source: FormatError) -> LayoutError {
        LayoutError::Unencodable { path: self.inventory.location(id, ""), source }
    }

    fn too_long(&self, id: ObjectId) -> LayoutError {
        LayoutError::TooLong { path: self.inventory.location(id, ""), limit: FILE_BYTES }
    }

    fn index_error(&self, id: ObjectId, error: IndexError) -> LayoutError {
        match error {
            IndexError::Full => self.too_long(id),
            IndexError::Format(error) => self.unencodable(id, error),
        }
    }
}

/// What the first of a dataset's chunks is aligned to in the file. The kernel asks for a scan in whole requests, each at a
/// multiple of its length; where chunks begin there too, a request is a part of one chunk and handed on without a copy.
/// Chunks of other sizes would drift from any beginning. A small dataset is not made much longer for it.
fn alignment(slot: u64, len: u64) -> u64 {
    let stays = slot.is_multiple_of(REQUEST / 4) || slot == len;
    if slot >= REQUEST && stays && len >= 16 * REQUEST { REQUEST } else { PAGE }
}

/// A user block up to the next place at which HDF5 looks for a superblock.
fn user_block(bytes: &[u8]) -> Vec<u8> {
    let mut block = bytes.to_vec();
    if !block.is_empty() {
        block.resize(block.len().next_power_of_two().max(LEAST_USER_BLOCK), 0);
    }
    block
}

/// The superblock extension: how space in the file is handed out.
fn extension() -> ObjectHeader {
    let message = Message {
        kind: file_space_info::KIND,
        flags: message_flags::MARK_IF_UNKNOWN | message_flags::DONT_SHARE,
        body: file_space_info::body(PAGE, FREE_SPACE_THRESHOLD),
        creation_index: 0,
    };
    ObjectHeader { messages: vec![message], ..ObjectHeader::default() }
}

/// Adds a region that starts at `start`, in the place of an empty one.
fn add(regions: &mut Vec<Region>, start: u64, kind: RegionKind) {
    match regions.last_mut() {
        Some(last) if last.start == start => last.kind = kind,
        _ => regions.push(Region { start, kind }),
    }
}
