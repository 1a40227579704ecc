//! Reading a version: a byte range to segments, segments to bytes, bytes to one piece.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};

use super::Namespace;
use super::error::{NamespaceError, shown};
use super::version::{Content, Version};
use super::windows::{Placed, PlacedWindow};
use crate::fetch::{self, FetchError, FileChunks, Plain};
use crate::layout::{Image, Segment, SegmentKind, Synth};
use crate::model::chunk::ChunkId;

/// Variable-length elements of up to this many bytes are placed where they are: 585 strings of ten bytes, each with a place of
/// 16 bytes and as much again in the heap, which take 0.3 ms even unoptimised (the test `placing` measures it). More goes to
/// a thread that may be held.
pub(super) const PLACED_HERE: u64 = 24 << 10;

/// Bytes found for a part of a read.
pub(crate) enum Piece {
    /// These, from the first byte of the part; where there are fewer, zeros follow.
    Bytes(Bytes),
    /// Never written: the fill element, over and over, from this byte of a chunk.
    Fill { chunk: ChunkId, at: u64 },
    /// Metadata that is made when it is read, from this byte of it on.
    Metadata { part: Synth, at: u64 },
}

impl Namespace {
    /// The bytes of `version` in `range`, as far as it reaches. One piece is handed on as it is; several are gathered.
    pub async fn read(&self, version: &Version, range: Range<u64>) -> Result<Bytes, NamespaceError> {
        let end = range.end.min(version.stat.len);
        if range.start >= end {
            return Ok(Bytes::new());
        }
        version.mark_read();
        let range = range.start..end;
        let result = match &version.content {
            Content::Image { image, chunks } => self.read_image(version, image, chunks, range).await,
            Content::Bytes { dataset, piece, fill, chunks } => {
                let parts = Pieces { at: range.start, end: range.end, piece: *piece };
                let parts = parts.map(|(range, number, at)| (range, ChunkId { dataset: *dataset, number }, at));
                self.read_bytes(version, chunks, parts, range.clone(), *fill).await
            }
            Content::Plain(object) => self
                .fetcher
                .object(object, range.clone())
                .await
                .map_err(|error| fetch_error(version, range.start, None, error)),
        };
        if let Err(NamespaceError::Fetch { error, .. }) = &result
            && is_stale(error)
        {
            version.mark_stale();
            if matches!(version.content, Content::Plain(_)) {
                self.doubt(&version.path);
            }
        }
        result
    }

    async fn read_image(
        &self,
        version: &Version,
        image: &Arc<Image>,
        chunks: &Arc<FileChunks>,
        range: Range<u64>,
    ) -> Result<Bytes, NamespaceError> {
        let whole = length(&range);
        let mut segments = image.segments(range.clone());
        let first = segments.next();
        if let Some(Segment { range: part, kind: SegmentKind::Chunk { id, at } }) = &first
            && *part == range
        {
            // A read within one chunk, the commonest of all, needs no copy.
            match self.chunk_piece(version, image, chunks, *id, *at, part).await? {
                Piece::Bytes(bytes) if bytes.len() == whole => return Ok(bytes),
                piece => {
                    let mut out = BytesMut::with_capacity(whole);
                    append(&mut out, whole, piece, image);
                    return Ok(out.freeze());
                }
            }
        }
        let held = self.fetcher.hold_briefly(whole as u64);
        let mut out = BytesMut::with_capacity(whole);
        // What has to be fetched is asked for many at a time, and comes in the order of the file.
        let mut found = stream::iter(first.into_iter().chain(segments))
            .map(|Segment { range: part, kind }| async move {
                let piece = match kind {
                    SegmentKind::Zero => Piece::Bytes(Bytes::new()),
                    SegmentKind::Metadata { part, at } => Piece::Metadata { part, at },
                    SegmentKind::Heap { id, at } => {
                        let window = self.window(version, image, chunks, id, part.start).await?;
                        Piece::Bytes(window.map_or_else(Bytes::new, |window| cut(&window.heap, at, length(&part))))
                    }
                    SegmentKind::Chunk { id, at } => self.chunk_piece(version, image, chunks, id, at, &part).await?,
                };
                Ok::<_, NamespaceError>((part, piece))
            })
            .buffered(self.settings.chunks_at_once);
        while let Some(result) = found.next().await {
            let (part, piece) = result?;
            append(&mut out, length(&part), piece, image);
        }
        drop(found);
        Ok(fetch::counted(out.freeze(), held))
    }

    /// Bytes `at..` of a presented chunk, as many as `part` holds.
    async fn chunk_piece(
        &self,
        version: &Version,
        image: &Arc<Image>,
        chunks: &Arc<FileChunks>,
        id: ChunkId,
        at: u64,
        part: &Range<u64>,
    ) -> Result<Piece, NamespaceError> {
        if image.needs_window(id.dataset) {
            return Ok(match self.window(version, image, chunks, id, part.start).await? {
                Some(window) => Piece::Bytes(cut(&window.chunk, at, length(part))),
                None => Piece::Fill { chunk: id, at },
            });
        }
        if let Some(framing) = image.framing(id.dataset) {
            let stored = self.fetcher.stored(chunks, id, framing, image.fill_element(id.dataset)).await;
            let stored = stored.map_err(|error| fetch_error(version, part.start, Some((chunks, id)), error))?;
            return Ok(Piece::Bytes(cut(&stored, at, length(part))));
        }
        let want = at..at.saturating_add(part.end - part.start);
        match self.fetcher.chunk(chunks, id, Some(want)).await {
            Ok(Plain::Bytes(bytes)) => Ok(Piece::Bytes(bytes)),
            Ok(Plain::Absent) => Ok(Piece::Fill { chunk: id, at }),
            Err(error) => Err(fetch_error(version, part.start, Some((chunks, id)), error)),
        }
    }

    /// The window of a chunk; `None` where the chunk was never written.
    pub(crate) async fn window(
        &self,
        version: &Version,
        image: &Arc<Image>,
        chunks: &Arc<FileChunks>,
        id: ChunkId,
        position: u64,
    ) -> Result<Placed, NamespaceError> {
        // Whoever asks may use it, be it only to look for holes.
        version.mark_read();
        let make = async {
            let plain = match self.fetcher.chunk(chunks, id, None).await {
                Ok(Plain::Bytes(plain)) => plain,
                Ok(Plain::Absent) => return Ok(None),
                Err(error) => return Err(fetch_error(version, position, Some((chunks, id)), error)),
            };
            let bad = |reason: String| NamespaceError::Window {
                path: shown(&version.path),
                at: position,
                chunk: Box::new(chunks.name(id)),
                reason,
            };
            let image = image.clone();
            let elements = self.fetcher.elements(chunks, id, plain).await;
            let elements = elements.map_err(|error| fetch_error(version, position, Some((chunks, id)), error))?;
            let elements = elements.map_err(|error| bad(error.to_string()))?;
            // A chunk of a few bytes may name values of many.
            let aside = elements.outweigh(PLACED_HERE);
            let place = move || image.place(id, &elements).map_err(|error| error.to_string());
            let placed = match aside {
                false => place(),
                true => tokio::task::spawn_blocking(place).await.unwrap_or_else(|stopped| Err(stopped.to_string())),
            };
            placed.map(|window| Some(Arc::new(PlacedWindow::new(window, &self.fetcher)))).map_err(bad)
        };
        self.windows.get(version.id, id, make).await
    }

    /// Bytes of a dataset that holds a file.
    async fn read_bytes(
        &self,
        version: &Version,
        chunks: &Arc<FileChunks>,
        parts: impl Iterator<Item = (Range<u64>, ChunkId, u64)>,
        range: Range<u64>,
        fill: u8,
    ) -> Result<Bytes, NamespaceError> {
        let parts: Vec<_> = parts.collect();
        let mut found = stream::iter(parts)
            .map(|(part, id, at)| async move {
                let want = at..at.saturating_add(part.end - part.start);
                let plain = self.fetcher.chunk(chunks, id, Some(want)).await;
                plain
                    .map(|plain| (part.clone(), plain))
                    .map_err(|error| fetch_error(version, part.start, Some((chunks, id)), error))
            })
            .buffer_unordered(self.settings.chunks_at_once);
        let mut out: Option<BytesMut> = None;
        while let Some(result) = found.next().await {
            let (part, plain) = result?;
            if let Plain::Bytes(bytes) = &plain
                && part == range
            {
                return Ok(bytes.clone());
            }
            let out = out.get_or_insert_with(|| BytesMut::zeroed(length(&range)));
            let from = usize::try_from(part.start.saturating_sub(range.start)).unwrap_or(usize::MAX);
            let Some(out) = out.get_mut(from..from.saturating_add(length(&part))) else { continue };
            match plain {
                Plain::Bytes(bytes) => copy(out, &bytes),
                Plain::Absent => out.fill(fill),
            }
        }
        Ok(out.map_or_else(Bytes::new, BytesMut::freeze))
    }
}

/// A range of a file cut at multiples of `piece`: the part, the number of the piece, and where in it the part starts.
pub(super) struct Pieces {
    pub at: u64,
    pub end: u64,
    pub piece: u64,
}

impl Iterator for Pieces {
    type Item = (Range<u64>, u64, u64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let (number, within) = (self.at / self.piece, self.at % self.piece);
        let end = self.at.saturating_add(self.piece - within).min(self.end);
        let part = self.at..end;
        self.at = end;
        Some((part, number, within))
    }
}

/// Bytes of a range; a read is far below the largest `usize`.
fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}

/// `length` bytes of `bytes` from `at`; fewer, down to none, where it ends before.
fn cut(bytes: &Bytes, at: u64, length: usize) -> Bytes {
    let start = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(start..start.saturating_add(length).min(bytes.len()))
}

/// Copies as much as both hold.
fn copy(out: &mut [u8], bytes: &[u8]) {
    let both = out.len().min(bytes.len());
    if let (Some(out), Some(bytes)) = (out.get_mut(..both), bytes.get(..both)) {
        out.copy_from_slice(bytes);
    }
}

/// Puts a piece of `length` bytes behind what is there; what it lacks is zeros.
fn append(out: &mut BytesMut, length: usize, piece: Piece, image: &Image) {
    let start = out.len();
    let end = start.saturating_add(length);
    if let Piece::Bytes(bytes) = &piece {
        out.extend_from_slice(bytes.get(..length).unwrap_or(bytes));
    }
    out.resize(end, 0);
    let Some(room) = out.get_mut(start..) else { return };
    match piece {
        Piece::Bytes(_) => {}
        Piece::Metadata { part, at } => image.synthesize(&part, at, room),
        Piece::Fill { chunk, at } => {
            if let Some(element) = image.fill_element(chunk.dataset) {
                repeat(room, element, at);
            }
        }
    }
}

/// Fills `out` with `element` over and over, as in a run of elements seen from byte `at`.
fn repeat(out: &mut [u8], element: &[u8], at: u64) {
    let Some(phase) = at.checked_rem(element.len() as u64) else { return };
    if element.iter().all(|byte| *byte == element[0]) {
        out.fill(element[0]);
        return;
    }
    let phase = usize::try_from(phase).unwrap_or(0);
    for (byte, value) in out.iter_mut().zip(element.iter().cycle().skip(phase)) {
        *byte = *value;
    }
}

fn fetch_error(version: &Version, at: u64, of: Option<(&FileChunks, ChunkId)>, error: FetchError) -> NamespaceError {
    let chunk = of.filter(|_| !error.names_chunk()).map(|(chunks, id)| Box::new(chunks.name(id)));
    NamespaceError::Fetch { path: shown(&version.path), at, chunk, error }
}

/// Whether the store holds something else than what the version was made of.
fn is_stale(error: &FetchError) -> bool {
    matches!(error, FetchError::Stale { .. } | FetchError::Store(crate::store::StoreError::Changed { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_pattern_starts_inside_an_element() {
        let mut out = [0; 7];
        repeat(&mut out, &[1, 2, 3], 4);
        assert_eq!(out, [2, 3, 1, 2, 3, 1, 2]);
        repeat(&mut out, &[9, 9], 1);
        assert_eq!(out, [9; 7]);
        repeat(&mut out, &[], 1);
        assert_eq!(out, [9; 7]);
    }

    #[test]
    fn a_range_is_cut_at_chunk_borders() {
        let parts: Vec<_> = Pieces { at: 5, end: 21, piece: 8 }.collect();
        assert_eq!(parts, [(5..8, 0, 5), (8..16, 1, 0), (16..21, 2, 0)]);
        assert_eq!(Pieces { at: 5, end: 21, piece: u64::MAX }.collect::<Vec<_>>(), [(5..21, 0, 5)]);
    }

    #[test]
    fn a_heap_that_ends_early_gives_what_it_has() {
        let heap = Bytes::from_static(b"abcdef");
        assert_eq!(cut(&heap, 4, 10), "ef");
        assert_eq!(cut(&heap, 40, 10), "");
    }
}
