//! From a range of the presented file to what is there, one piece after the other.
//!
//! A binary search finds the region of the range's first byte; within a region, chunks and windows are found by
//! division. Pieces are made as they are asked for: a range over many small chunks costs nothing beforehand.

use std::ops::Range;

use crate::model::chunk::ChunkId;
use crate::model::hierarchy::ObjectId;

use super::image::{Image, RegionKind, Synth};

/// A range of the file whose bytes come from one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it is in the file; never empty.
    pub range: Range<u64>,
    /// Where its bytes come from.
    pub kind: SegmentKind,
}

/// Where the bytes of a segment come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentKind {
    /// From [`Image::synthesize`].
    Metadata {
        /// The piece.
        part: Synth,
        /// The segment's first byte in it.
        at: u64,
    },
    /// Zero bytes.
    Zero,
    /// From a chunk as presented.
    Chunk {
        /// The chunk.
        id: ChunkId,
        /// The segment's first byte in it.
        at: u64,
    },
    /// From the heap window of a chunk.
    Heap {
        /// The chunk.
        id: ChunkId,
        /// The segment's first byte in the window.
        at: u64,
    },
}

/// The segments of a range, in order.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    image: &'a Image,
    at: u64,
    end: u64,
    /// The region that `at` lies in.
    region: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(image: &'a Image, range: Range<u64>) -> Self {
        let end = range.end.min(image.len);
        let region = image.regions.partition_point(|region| region.start <= range.start).saturating_sub(1);
        Segments { image, at: range.start, end, region }
    }
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        if self.at >= self.end {
            return None;
        }
        let region = self.image.regions.get(self.region)?;
        let region_end = self.image.regions.get(self.region + 1).map_or(self.image.len, |next| next.start);
        let inside = self.at - region.start;
        let (kind, len) = match region.kind {
            RegionKind::Metadata(piece) => {
                (SegmentKind::Metadata { part: Synth(piece), at: inside }, region_end - self.at)
            }
            RegionKind::Zero => (SegmentKind::Zero, region_end - self.at),
            RegionKind::Chunks(dataset) => {
                let storage = &self.image.dataset(ObjectId(dataset))?.storage;
                let at = inside % storage.slot;
                let id = ChunkId { dataset: ObjectId(dataset), number: inside / storage.slot };
                match storage.presented_len().checked_sub(at) {
                    None | Some(0) => (SegmentKind::Zero, storage.slot - at),
                    Some(len) => (SegmentKind::Chunk { id, at }, len),
                }
            }
            RegionKind::Windows(dataset) => {
                let (_, stride) = self.image.dataset(ObjectId(dataset))?.window?;
                let at = inside % stride;
                let id = ChunkId { dataset: ObjectId(dataset), number: inside / stride };
                (SegmentKind::Heap { id, at }, stride - at)
            }
        };
        let end = (self.at + len).min(region_end).min(self.end);
        let range = self.at..end;
        self.at = end;
        if end == region_end {
            self.region += 1;
        }
        Some(Segment { range, kind })
    }
}
