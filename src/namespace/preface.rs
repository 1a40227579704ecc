//! The preface of a version: the pages of its file that are known without asking the store, since no chunk lies in them.
//!
//! All structures of a presented file come before its data, from which a page border parts them. `fs` hands these pages to
//! the kernel when a file is opened, so that reading structures makes the kernel read nothing ahead: what it would read
//! ahead of the last structure is the first chunk, which nobody may ever ask for.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::version::{Content, Version};
use crate::layout::{Image, SegmentKind};

/// The page that structures and data never share; the kernel's own is as large, or a multiple (then the last piece may
/// end inside one of its pages, which is left to be read).
const PAGE: u64 = 4096;
/// Bytes of one piece: what the kernel takes at a time without a changed system setting.
const PIECE: u64 = 1 << 20;
/// Bytes from the start of the file, chunk indexes among them: a reader's first look at a common file never leaves them,
/// and they are made and copied in about 2 ms.
const FIRST: u64 = 4 << 20;
/// Headers of objects are handed over however many there are, up to this: some 100,000 objects, whose description took
/// half a minute to read.
const HEADERS: u64 = 64 << 20;
/// Bytes before the data where there is more than that, which is parts of chunk indexes. The kernel's read-ahead begins
/// with some KiB and doubles as it goes on in a row; who looks up some chunks here and there is far from this much.
const LAST: u64 = 1 << 20;

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
            Content::Bytes { .. } | Content::Plain { .. } => None,
        };
        image.into_iter().flat_map(|image| {
            let parts = parts(headers_end(image), data_start(image)).into_iter().flat_map(pieces);
            parts.map_while(|range| Some(Piece { at: range.start, bytes: synthesized(image, range)? }))
        })
    }
}

/// Where the first byte is that may come from a chunk; the end of a file that has none.
fn data_start(image: &Image) -> u64 {
    let data = image.segments(0..image.len()).find(|segment| !is_known(&segment.kind));
    let start = data.map_or(image.len(), |segment| segment.range.start);
    start - start % PAGE
}

/// Where the headers of objects end, which come first.
fn headers_end(image: &Image) -> u64 {
    image.segments(0..image.len()).next().map_or(0, |segment| segment.range.end)
}

/// The parts of `0..end` that are handed on.
fn parts(headers: u64, end: u64) -> [Range<u64>; 2] {
    let first = headers.next_multiple_of(PAGE).clamp(FIRST, HEADERS);
    match end <= first + LAST {
        true => [0..end, end..end],
        false => [0..first, end - LAST..end],
    }
}

fn pieces(part: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let starts = (0..).map(move |number| part.start + number * PIECE).take_while(move |start| *start < part.end);
    starts.map(move |start| start..part.end.min(start + PIECE))
}

fn is_known(kind: &SegmentKind) -> bool {
    matches!(kind, SegmentKind::Zero | SegmentKind::Metadata { .. })
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
    fn a_long_preface_is_its_start_and_its_end() {
        assert_eq!(parts(4096, 8192), [0..8192, 8192..8192]);
        assert_eq!(parts(4096, FIRST + LAST)[0], 0..FIRST + LAST);
        let end = HEADERS + LAST + PAGE;
        assert_eq!(parts(4096, end), [0..FIRST, end - LAST..end]);
        assert_eq!(parts(FIRST + 1, end), [0..FIRST + PAGE, end - LAST..end]);
        assert_eq!(parts(end, end), [0..HEADERS, end - LAST..end]);
    }

    #[test]
    fn pieces_are_whole_pages_and_leave_nothing_out() {
        let found: Vec<_> = pieces(PAGE..PAGE + 2 * PIECE + PAGE).collect();
        assert_eq!(found, [PAGE..PAGE + PIECE, PAGE + PIECE..PAGE + 2 * PIECE, PAGE + 2 * PIECE..2 * PAGE + 2 * PIECE]);
        assert_eq!(pieces(0..0).count(), 0);
    }
}
