//! Whole images: tiling, page rules, and what independent readers make of them.

mod corpus;
mod properties;
mod readers;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::pages::{PAGE, Pages, within_page};
use super::{Image, PresentOptions, Segment, SegmentKind, plan};
use crate::model::chunk::ChunkId;
use crate::model::elements::Elements;

/// Holds the page rules against everything that was placed.
pub(super) fn check_pieces(pages: &Pages) {
    let mut end = 0;
    let mut pieces = pages.pieces.clone();
    pieces.sort_unstable();
    for (start, len) in pieces {
        assert!(start >= end, "{start} overlaps what ends at {end}");
        assert!(len >= PAGE || within_page(start, len), "{len} bytes at {start} straddle a page");
        end = start + len;
    }
    for start in &pages.headers {
        assert!(start % PAGE <= PAGE - 512, "a header at {start}");
    }
}

/// An image and the chunks that belong to it: a file that is made as it is read.
struct Presented<F> {
    image: Image,
    content: F,
}

impl<F: Fn(ChunkId) -> Elements> Presented<F> {
    /// The bytes of a segment, without the zeros at its end.
    fn segment(&self, segment: &Segment) -> Bytes {
        let len = (segment.range.end - segment.range.start) as usize;
        let cut = |bytes: Bytes, at: u64| {
            let from = (at as usize).min(bytes.len());
            bytes.slice(from..bytes.len().min(from + len))
        };
        match segment.kind {
            SegmentKind::Zero => Bytes::new(),
            SegmentKind::Metadata { part, at } => {
                let mut bytes = vec![0; len];
                self.image.synthesize(&part, at, &mut bytes);
                bytes.into()
            }
            SegmentKind::Chunk { id, at } => {
                let (chunk, _) = self.chunk(id);
                assert_eq!(Some(chunk.len() as u64), self.image.chunk_len(id.dataset));
                cut(chunk, at)
            }
            SegmentKind::Heap { id, at } => cut(self.chunk(id).1, at),
        }
    }

    /// A chunk and its heap window.
    fn chunk(&self, id: ChunkId) -> (Bytes, Bytes) {
        let elements = (self.content)(id);
        if self.image.needs_window(id.dataset) {
            let window = self.image.place(id, &elements).unwrap();
            (window.chunk, window.heap)
        } else {
            (elements.bytes, Bytes::new())
        }
    }

    fn read(&self, range: Range<u64>) -> Vec<u8> {
        let mut out = vec![0; (range.end - range.start) as usize];
        for segment in self.image.segments(range.clone()) {
            let bytes = self.segment(&segment);
            let at = (segment.range.start - range.start) as usize;
            out[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        out
    }

    /// Writes the file, sparse.
    fn write(&self, file: &File) {
        file.set_len(self.image.len()).unwrap();
        for segment in self.image.segments(0..self.image.len()) {
            file.write_all_at(&self.segment(&segment), segment.range.start).unwrap();
        }
    }
}

#[test]
fn what_may_be_read_in_vain_is_a_part_of_what_datasets_have_and_a_chunk_at_least() {
    // Of each dataset the rows, and those of a chunk; a row has 4 KiB.
    let reach = |datasets: &[(u64, u64)]| {
        let mut file = corpus::Builder::default();
        for (number, &(rows, chunk)) in datasets.iter().enumerate() {
            let dims = [rows, 1024];
            file.dataset(&number.to_string(), corpus::dataset(corpus::int32(), &dims, &dims.map(Some), &[chunk, 1024]));
        }
        plan(&file.build(), &PresentOptions::default()).unwrap().reach()
    };
    assert_eq!(reach(&[(16, 1); 3]), 4 << 10);
    assert_eq!(reach(&[(6, 3); 3]), 16 << 10);
    assert_eq!(reach(&[(1 << 14, 1); 2]), 4 << 20);
    // Small ones among large ones have few bytes to be read past.
    assert_eq!(reach(&[(3 << 13, 1), (1, 1), (2, 1), (1, 1)]), 4 << 20);
    // There is nothing behind, and a request or a chunk at a time is enough.
    assert_eq!(reach(&[(1 << 14, 1)]), 1 << 20);
    assert_eq!(reach(&[(1 << 14, 400)]), 2 << 20);
    assert_eq!(reach(&[]), u64::MAX);
}
