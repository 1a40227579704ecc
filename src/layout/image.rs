//! The presented file as a value: what each byte of it is, the bytes that are made up, and the placing of chunks whose
//! elements hold addresses.

use std::ops::Range;

use bytes::Bytes;

use crate::model::chunk::ChunkId;
use crate::model::elements::Elements;
use crate::model::hierarchy::ObjectId;
use crate::model::pipeline::Framing;

use super::error::{LayoutError, Omission};
use super::heap::{HeapWriter, PlaceError};
use super::index::{Chunks, PlacedIndex};
use super::pages::REQUEST;
use super::segments::Segments;
use super::storage::Storage;

/// A metadata piece of an image, or a run of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Synth(pub(super) Piece);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(super) enum Piece {
    /// One of [`Image::blobs`].
    Blob(u8),
    /// A part of a dataset's chunk index.
    Index { dataset: u32, part: u32 },
}

/// What a region of the file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RegionKind {
    Metadata(Piece),
    Zero,
    /// The slots of a dataset.
    Chunks(u32),
    /// The heap windows of a dataset.
    Windows(u32),
}

/// A region; it ends where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Region {
    pub(super) start: u64,
    pub(super) kind: RegionKind,
}

/// A dataset with storage, placed.
#[derive(Debug)]
pub(super) struct PlacedDataset {
    pub(super) storage: Storage,
    /// Address of the first slot.
    pub(super) base: u64,
    pub(super) index: Option<PlacedIndex>,
    /// Address of the first heap window, and bytes of each.
    pub(super) window: Option<(u64, u64)>,
    pub(super) needs_placement: bool,
    /// One element in file form.
    pub(super) fill: Option<Bytes>,
}

/// A chunk whose elements were given their addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Window {
    /// The chunk as presented.
    pub chunk: Bytes,
    /// Its heap window from the start; what follows up to the window's end reads as zeros.
    pub heap: Bytes,
}

/// What may be read past the end of a dataset in vain, as a part of what a byte's dataset has on average: a sixteenth is
/// hardly felt.
const IN_VAIN: u64 = 16;

/// Bytes that may be read ahead in a file of these datasets: a power of two, as the kernel counts.
pub(super) fn reach<'a>(datasets: impl Iterator<Item = &'a PlacedDataset>) -> u64 {
    let (mut number, mut total, mut squares, mut slots) = (0, 0u128, 0u128, 0u128);
    for PlacedDataset { storage, .. } in datasets {
        let len = u128::from(storage.len().unwrap_or_default());
        number += u32::from(len > 0);
        total += len;
        squares = squares.saturating_add(len.saturating_mul(len));
        slots = slots.saturating_add(len.saturating_mul(storage.slot.into()));
    }
    let average = |sum: u128| u64::try_from(sum / total.max(1)).unwrap_or(u64::MAX);
    // Behind the only one lies nothing. But with whoever reads a chunk behind two that he had before, the kernel reads on; and a
    // scan is as fast with one request or chunk at a time.
    if number == 1 {
        return average(slots).checked_next_power_of_two().map_or(u64::MAX, |slot| slot.max(REQUEST));
    }
    if number == 0 {
        return u64::MAX;
    }
    let part = (average(squares) / IN_VAIN).checked_ilog2().map_or(1, |log| 1 << log);
    // Less than a chunk would cut the reading of one.
    average(slots).checked_next_power_of_two().map_or(u64::MAX, |slot| slot.max(part))
}

/// A presented file.
#[derive(Debug)]
pub struct Image {
    pub(super) len: u64,
    /// Header address of every object, 0 where it is not shown.
    pub(super) headers: Vec<u64>,
    pub(super) datasets: Vec<Option<Box<PlacedDataset>>>,
    /// Ascending, without gaps; the first starts at 0 and takes in the user block.
    pub(super) regions: Vec<Region>,
    /// Metadata behind the user block, and heaps of attributes.
    pub(super) blobs: [Bytes; 2],
    pub(super) metadata_len: u64,
    pub(super) reach: u64,
    pub(super) omissions: Vec<Omission>,
}

impl Image {
    /// Bytes of the file.
    #[allow(clippy::len_without_is_empty)] // There is no file without a superblock.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that may be read ahead of a sequential reader though nobody wants them: what lies behind the end of a dataset.
    pub fn reach(&self) -> u64 {
        self.reach
    }

    /// What the bytes of `range` are: pieces that cover the range, as far as it is in the file, in order.
    pub fn segments(&self, range: Range<u64>) -> Segments<'_> {
        Segments::new(self, range)
    }

    /// Fills `out` with the bytes of a metadata piece from `at` on.
    pub fn synthesize(&self, part: &Synth, at: u64, out: &mut [u8]) {
        match part.0 {
            Piece::Blob(number) => {
                out.fill(0);
                let from = self.blobs.get(usize::from(number)).and_then(|blob| blob.get(usize::try_from(at).ok()?..));
                if let Some(from) = from {
                    let len = from.len().min(out.len());
                    out[..len].copy_from_slice(&from[..len]);
                }
            }
            Piece::Index { dataset, part } => match self.dataset(ObjectId(dataset)) {
                Some(PlacedDataset { storage, base, index: Some(index), .. }) => {
                    index.synthesize(part as usize, Chunks { base: *base, storage }, at, out);
                }
                _ => out.fill(0),
            },
        }
    }

    /// One element of a dataset as it is where nothing was written, in file form; `None` for zeros.
    pub fn fill_element(&self, dataset: ObjectId) -> Option<&[u8]> {
        self.dataset(dataset)?.fill.as_deref()
    }

    /// Bytes of a plain chunk as presented; `None` where the object is no dataset that has storage.
    pub fn chunk_len(&self, dataset: ObjectId) -> Option<u64> {
        Some(self.dataset(dataset)?.storage.chunk_len)
    }

    /// What the chunks of a dataset are, where they are presented as stored and not plain. Their segments then reach to
    /// [`Framing::room`].
    pub fn framing(&self, dataset: ObjectId) -> Option<&Framing> {
        self.dataset(dataset)?.storage.framing.as_ref()
    }

    /// Whether the chunks of a dataset hold addresses, so that they have to be [placed](Self::place).
    pub fn needs_window(&self, dataset: ObjectId) -> bool {
        self.dataset(dataset).is_some_and(|dataset| dataset.needs_placement)
    }

    /// A chunk as presented, and its heap window.
    pub fn place(&self, id: ChunkId, elements: &Elements) -> Result<Window, LayoutError> {
        let dataset = self.dataset(id.dataset).ok_or(LayoutError::NoSuchChunk { id })?;
        if id.number >= dataset.storage.chunks() {
            return Err(LayoutError::NoSuchChunk { id });
        }
        if elements.bytes.len() as u64 != dataset.storage.chunk_len {
            let reason =
                format!("{} bytes of elements for a chunk of {}", elements.bytes.len(), dataset.storage.chunk_len);
            return Err(LayoutError::BadElements { id, reason });
        }
        let (base, stride) = dataset.window.unwrap_or_default();
        let mut heap = HeapWriter::new(base + id.number * stride, stride, &self.headers);
        let chunk = heap.place(elements).map_err(|error| match error {
            PlaceError::Overflow => LayoutError::WindowOverflow { id, window: stride },
            PlaceError::Bad(reason) => LayoutError::BadElements { id, reason },
        })?;
        Ok(Window { chunk: chunk.into(), heap: heap.finish().into() })
    }

    /// Bytes of all metadata of the file, user block and chunk indexes included.
    pub fn metadata_len(&self) -> u64 {
        self.metadata_len
    }

    /// Where the metadata lie that are kept as bytes: headers with all they lead to but data, and heaps of attributes.
    /// Chunk indexes are made when they are asked for. Each begins and ends on a page, counted from the end of a user block.
    pub fn kept(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.regions.iter().filter_map(|region| match region.kind {
            RegionKind::Metadata(Piece::Blob(number)) => {
                let blob = self.blobs.get(usize::from(number))?;
                Some(region.start..region.start.saturating_add(blob.len() as u64))
            }
            _ => None,
        })
    }

    /// What of the hierarchy the file does not show, or shows otherwise.
    pub fn problems(&self) -> &[Omission] {
        &self.omissions
    }

    /// Address of an object's header: what an object reference to it holds. `None` where it is not shown.
    pub fn header_address(&self, object: ObjectId) -> Option<u64> {
        self.headers.get(object.0 as usize).copied().filter(|&header| header != 0)
    }

    pub(super) fn dataset(&self, id: ObjectId) -> Option<&PlacedDataset> {
        self.datasets.get(id.0 as usize)?.as_deref()
    }
}
