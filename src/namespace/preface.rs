//! The preface of a version: the pages of its file before its data, which are known without asking the store.
//!
//! All structures of a presented file come before its data, from which a page border parts them. `fs` hands these pages to
//! the kernel when a file is opened, so that reading structures makes the kernel read nothing ahead: what it would read
//! ahead of the last structure is the first chunk, which nobody may ever ask for.

use std::iter::once;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::version::{Content, Version};
use crate::layout::{Image, PAGE, SegmentKind};

/// Bytes of one piece: what the kernel takes at a time without a changed system setting.
const PIECE: u64 = 1 << 20;
/// Up to so many bytes before the data all of them are handed over, chunk indexes too: those of some thousand datasets, a few
/// hundredths of a second's work. Whoever walks over them all reads a page of each, which the kernel takes for a scan that goes on
/// into the data.
const ALL: u64 = 16 << 20;
/// Of more, what is kept as bytes, that is, everything but chunk indexes, which can take gigabytes and serve those only
/// who read data. Each part is handed over up to this: headers of some 100,000 objects, which took half a minute to load.
const KEPT: u64 = 64 << 20;

/// Bytes at a place of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Where they begin, on a page.
    pub at: u64,
    /// Whole pages of bytes, as a read gives them.
    pub bytes: Bytes,
}

impl Version {
    /// The preface, piece by piece as it is asked for; nothing for a file that is not made of a hierarchy.
    pub fn preface(&self) -> impl Iterator<Item = Piece> + '_ {
        let image = match &self.content {
            Content::Image { image, .. } => Some(image),
            Content::Bytes { .. } | Content::Plain(_) => None,
        };
        image.into_iter().flat_map(|image| {
            let end = structures_end(image);
            let parts: Vec<_> = match end <= ALL {
                true => once(0..end).collect(),
                // A user block may part structures from pages.
                false => image
                    .kept()
                    .map(|part| {
                        part.start.next_multiple_of(PAGE)..part.end.min(part.start + KEPT).min(end) / PAGE * PAGE
                    })
                    .collect(),
            };
            let parts = parts.into_iter().flat_map(pieces);
            parts.map_while(|range| Some(Piece { at: range.start, bytes: synthesized(image, range)? }))
        })
    }
}

/// Where the page ends that the last structure before the data lies on; the end of a file that has no data. What is between
/// it and the data, a page or more, is left out: the kernel takes a read behind pages that it has for the next of a scan.
fn structures_end(image: &Image) -> u64 {
    let mut end = 0;
    for segment in image.segments(0..image.len()) {
        match segment.kind {
            SegmentKind::Metadata { .. } => end = segment.range.end,
            SegmentKind::Zero => {}
            SegmentKind::Chunk { .. } | SegmentKind::Heap { .. } => return end.next_multiple_of(PAGE),
        }
    }
    image.len()
}

fn pieces(part: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let starts = (0..).map(move |number| part.start + number * PIECE).take_while(move |start| *start < part.end);
    starts.map(move |start| start..part.end.min(start + PIECE))
}

/// The bytes of a range; `None` where some of them come from a chunk.
fn synthesized(image: &Image, range: Range<u64>) -> Option<Bytes> {
    // At most a piece.
    let mut out = BytesMut::zeroed(usize::try_from(range.end - range.start).ok()?);
    for segment in image.segments(range.clone()) {
        match segment.kind {
            SegmentKind::Zero => {}
            SegmentKind::Metadata { part, at } => {
                let from = usize::try_from(segment.range.start - range.start).ok()?;
                let to = usize::try_from(segment.range.end - range.start).ok()?;
                image.synthesize(&part, at, out.get_mut(from..to)?);
            }
            SegmentKind::Chunk { .. } | SegmentKind::Heap { .. } => return None,
        }
    }
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_pages_and_leave_nothing_out() {
        let found: Vec<_> = pieces(4096..2 * PIECE + 8192).collect();
        assert_eq!(found, [4096..PIECE + 4096, PIECE + 4096..2 * PIECE + 4096, 2 * PIECE + 4096..2 * PIECE + 8192]);
        assert_eq!(pieces(0..0).count(), 0);
    }
}
