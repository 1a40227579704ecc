//! Where each structure and chunk lies in the presented file.
//!
//! [`plan`] takes a [`Hierarchy`](crate::model::hierarchy::Hierarchy) and gives an [`Image`]: the presented file as a
//! value. The image knows its length, what each byte of it is ([`Image::segments`]), the bytes of all metadata
//! ([`Image::synthesize`]), and how a chunk looks whose elements hold addresses ([`Image::place`]). It knows nothing of
//! stores; whoever holds image and chunks together answers reads.
//!
//! An image is a pure function of hierarchy and options. Chunk *i* of a dataset lies at base + *i* · slot, so nothing of
//! a chunk has to be known to place it; and chunk indexes are made when they are read, so a dataset of a billion chunks
//! is planned as fast as one of ten. Any change of the bytes that a hierarchy gives changes [`LAYOUT_VERSION`].

mod blob;
mod dense;
mod error;
mod header;
mod heap;
mod image;
mod index;
mod inventory;
mod numbering;
mod options;
mod pages;
mod plan;
pub mod scan;
mod segments;
mod storage;
mod window;

#[cfg(test)]
mod tests;

pub use error::{LayoutError, Omission};
pub use image::{Image, Synth, Window};
pub use options::{FilterPresentation, PresentOptions};
pub(crate) use pages::PAGE;
pub use plan::plan;
pub use segments::{Segment, SegmentKind, Segments};

/// Version of the layout: images of equal hierarchy, options and version are equal byte for byte.
pub const LAYOUT_VERSION: u32 = 5;
