//! One open handle of a file: what it reads, and what is fetched ahead of it.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::course::Course;
use super::read::Pieces;
use super::version::{Content, Version};
use super::{Namespace, NamespaceError};
use crate::fetch;
use crate::layout::SegmentKind;
use crate::model::chunk::ChunkId;

/// A reader of one version of a file.
#[derive(Debug)]
pub struct Reader {
    version: Arc<Version>,
    /// Who fetches what it will want.
    ahead: fetch::Reader,
    /// Whether it goes through the file dataset after dataset.
    course: Mutex<Course>,
}

impl Namespace {
    /// A reader of `version`, of which `read_ahead` bytes are read ahead by whoever asks on its behalf. What it wants next is
    /// fetched in `runtime`.
    pub fn reader(&self, version: Arc<Version>, read_ahead: u64, runtime: Handle) -> Reader {
        let fetcher = self.fetcher.clone();
        let ahead = match &version.content {
            Content::Image { chunks, .. } | Content::Bytes { chunks, .. } => {
                fetch::Reader::of_file(fetcher, chunks.clone(), runtime)
            }
            Content::Plain(object) => fetch::Reader::of_object(fetcher, object.clone(), runtime),
        };
        Reader { version, ahead, course: Mutex::new(Course::new(read_ahead)) }
    }

    /// The bytes in `range` of what `reader` reads, as far as it reaches.
    ///
    /// # Errors
    /// As [`Namespace::read`].
    pub async fn read_by(&self, reader: &Reader, range: Range<u64>) -> Result<Bytes, NamespaceError> {
        self.read(&reader.version, range).await
    }
}

impl Reader {
    /// What it reads.
    pub fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// Notes that it is about to read `range`, and begins what it will want next. To be called in the order in which
    /// reads come; never waits.
    pub fn touch(&self, range: Range<u64>) {
        let ahead = &self.ahead;
        let end = range.end.min(self.version.stat.len);
        match &self.version.content {
            Content::Image { image, .. } => {
                let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
                for segment in image.segments(range.start..end) {
                    let (SegmentKind::Chunk { id, at } | SegmentKind::Heap { id, at }) = segment.kind else { continue };
                    if !course.touch(&segment.range, id.dataset) {
                        continue;
                    }
                    // A window takes the whole chunk, and so does whoever undoes the filters himself.
                    let want = at..at.saturating_add(segment.range.end - segment.range.start);
                    ahead.touch(id, want, image.framing(id.dataset));
                }
                for segment in course.ahead().into_iter().flat_map(|range| image.segments(range)) {
                    let (SegmentKind::Chunk { id, .. } | SegmentKind::Heap { id, .. }) = segment.kind else { continue };
                    if !ahead.begin(id, image.framing(id.dataset)) {
                        break;
                    }
                }
            }
            Content::Bytes { dataset, piece, .. } => {
                for (part, number, at) in (Pieces { at: range.start, end, piece: *piece }) {
                    let want = at..at.saturating_add(part.end - part.start);
                    ahead.touch(ChunkId { dataset: *dataset, number }, want, None);
                }
            }
            Content::Plain(_) => ahead.touch_object(range.start..end),
        }
    }
}
