//! Where each structure and chunk lies in the presented file. (Stand-in.)
#![allow(missing_docs, unused_variables)]
use crate::model::chunk::ChunkId;
use crate::model::elements::Elements;
use crate::model::hierarchy::{Hierarchy, ObjectId};
use crate::model::problem::Problem;
use bytes::Bytes;
use std::ops::Range;
pub const LAYOUT_VERSION: u32 = 1;
#[derive(Clone, Debug, Default)]
pub struct PresentOptions {
    pub filters: FilterPresentation,
}
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterPresentation {
    #[default]
    Declared,
    Hidden,
    Stored,
}
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct LayoutError {
    reason: String,
}
#[derive(Debug)]
pub struct Image {}
pub fn plan(hierarchy: &Hierarchy, options: &PresentOptions) -> Result<Image, LayoutError> {
    unimplemented!()
}
impl Image {
    pub fn len(&self) -> u64 {
        0
    }
    pub fn segments(&self, range: Range<u64>) -> Segments<'_> {
        Segments { image: self }
    }
    pub fn synthesize(&self, part: &Synth, at: u64, out: &mut [u8]) {}
    pub fn fill_element(&self, dataset: ObjectId) -> Option<&[u8]> {
        None
    }
    pub fn chunk_len(&self, dataset: ObjectId) -> Option<u64> {
        None
    }
    pub fn needs_window(&self, dataset: ObjectId) -> bool {
        false
    }
    pub fn place(&self, id: ChunkId, elements: &Elements) -> Result<Window, LayoutError> {
        unimplemented!()
    }
    pub fn metadata_len(&self) -> u64 {
        0
    }
    pub fn problems(&self) -> &[Problem] {
        &[]
    }
}
pub struct Segments<'a> {
    #[allow(dead_code)]
    image: &'a Image,
}
impl Iterator for Segments<'_> {
    type Item = Segment;
    fn next(&mut self) -> Option<Segment> {
        None
    }
}
#[derive(Clone, Debug)]
pub struct Window {
    pub chunk: Bytes,
    pub heap: Bytes,
}
#[derive(Clone, Debug)]
pub struct Segment {
    pub range: Range<u64>,
    pub kind: SegmentKind,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synth(pub u32);
#[derive(Clone, Debug)]
pub enum SegmentKind {
    Metadata { part: Synth, at: u64 },
    Zero,
    Chunk { id: ChunkId, at: u64 },
    Heap { id: ChunkId, at: u64 },
}
