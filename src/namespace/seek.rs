//! Holes: where a version is known to hold nothing but zeros.
//!
//! A hole is only what is known to be absent *and* reads as zeros: padding, chunks that the source says were never
//! written and whose fill value is zero, and the end of a heap window. What would have to be fetched to be known is data.

use std::ops::Range;

use super::Namespace;
use super::error::NamespaceError;
use super::version::{Content, Version};
use crate::layout::SegmentKind;
use crate::model::chunk::ChunkSource;

/// What to look for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// The next byte that may be data.
    Data,
    /// The next hole; the end of the file is one.
    Hole,
}

/// Segments looked at before giving up: about a millisecond. Giving up calls what is left data, which is always right.
const STEPS: usize = 20_000;
/// Holes shorter than this are called data: reading them costs less than another question to find their end.
const SHORT: u64 = 64 << 10;
/// Windows made for one question. Each decodes a chunk; a copying program comes back for more.
const WINDOWS: usize = 16;

impl Namespace {
    /// The next position at or after `offset` where `whence` holds; `None` where `offset` is at or past the end, or no
    /// data follow.
    pub async fn seek(&self, version: &Version, offset: u64, whence: Whence) -> Result<Option<u64>, NamespaceError> {
        let len = version.stat.len;
        if offset >= len {
            return Ok(None);
        }
        let Content::Image { image, chunks } = &version.content else {
            return Ok(Some(if whence == Whence::Data { offset } else { len }));
        };
        // The hole that ends where the segments looked at so far end.
        let mut hole: Option<Range<u64>> = None;
        let mut windows = 0;
        let mut segments = image.segments(offset..len);
        for _ in 0..STEPS {
            let Some(segment) = segments.next() else {
                // Only a hole, if anything, is left.
                return Ok(match whence {
                    Whence::Data => None,
                    Whence::Hole => Some(hole.map_or(len, |hole| hole.start)),
                });
            };
            let part = segment.range;
            let zeros_from = match segment.kind {
                SegmentKind::Zero => part.start,
                SegmentKind::Metadata { .. } => part.end,
                SegmentKind::Chunk { id, .. } => {
                    let zero = image.fill_element(id.dataset).is_none_or(|fill| fill.iter().all(|byte| *byte == 0));
                    // In a file of stored chunks even one of zeros is a frame of some bytes.
                    let never = zero
                        && image.framing(id.dataset).is_none()
                        && chunks.map().recipe(id.dataset).is_some_and(|recipe| {
                            id.number < recipe.grid.total()
                                && chunks.map().locate(id.dataset, &recipe.grid.coordinates(id.number))
                                    == ChunkSource::Fill
                        });
                    if never { part.start } else { part.end }
                }
                SegmentKind::Heap { id, at } => {
                    windows += 1;
                    if windows > WINDOWS {
                        break;
                    }
                    // A window that cannot be made is data: the read will say why it cannot be read.
                    match self.window(version, image, chunks, id, part.start).await {
                        Ok(Some(window)) => {
                            let used = (window.heap.len() as u64).saturating_sub(at);
                            part.start.saturating_add(used).min(part.end)
                        }
                        Ok(None) => part.start,
                        Err(_) => part.end,
                    }
                }
            };
            if zeros_from > part.start {
                // Data at the start of this segment end the hole before it.
                let long = hole.take().filter(|hole| hole.end - hole.start >= SHORT);
                match (whence, long) {
                    (Whence::Data, long) => return Ok(Some(long.map_or(offset, |hole| hole.end))),
                    (Whence::Hole, Some(hole)) => return Ok(Some(hole.start)),
                    (Whence::Hole, None) => {}
                }
            }
            if zeros_from < part.end {
                hole = Some(hole.map_or(zeros_from, |hole| hole.start)..part.end);
            }
        }
        // Given up: from here on everything is called data. A hole found so far may still be told.
        Ok(Some(match (whence, hole) {
            (Whence::Data, Some(hole)) => hole.end,
            (Whence::Data, None) => offset,
            (Whence::Hole, Some(hole)) if hole.end - hole.start >= SHORT => hole.start,
            (Whence::Hole, _) => len,
        }))
    }
}
