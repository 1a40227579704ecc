//! Whole images: tiling, page rules, and what independent readers make of them.

mod corpus;
mod properties;
mod readers;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::pages::{PAGE, Pages, within_page};
use super::{Image, SegmentKind};
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

/// Writes an image into a sparse file, as a reader would see it. Only the first bytes of a heap window are looked at;
/// the rest are zeros.
fn materialize(image: &Image, chunk: impl Fn(ChunkId) -> Elements, file: &File) {
    file.set_len(image.len()).unwrap();
    let mut placed: HashMap<ChunkId, (Bytes, Bytes)> = HashMap::new();
    for segment in image.segments(0..image.len()) {
        let len = segment.range.end - segment.range.start;
        let bytes = match segment.kind {
            SegmentKind::Zero => continue,
            SegmentKind::Metadata { part, at } => {
                let mut bytes = vec![0; len as usize];
                image.synthesize(&part, at, &mut bytes);
                Bytes::from(bytes)
            }
            SegmentKind::Chunk { id, at } => {
                assert_eq!(at, 0);
                let (bytes, _) = placed.entry(id).or_insert_with(|| corpus::placed(image, id, &chunk(id)));
                assert_eq!(bytes.len() as u64, len);
                bytes.clone()
            }
            SegmentKind::Heap { id, at } => {
                assert_eq!(at, 0);
                let (_, heap) = placed.entry(id).or_insert_with(|| corpus::placed(image, id, &chunk(id)));
                assert!(heap.len() as u64 <= len);
                heap.clone()
            }
        };
        file.write_all_at(&bytes, segment.range.start).unwrap();
    }
}
