//! What a file means, in no format: the values every other room speaks in.
//!
//! A [`Hierarchy`](hierarchy::Hierarchy) is made by a source (out of JSON, or out of HDF5 bytes) and shown by the layout
//! (as the bytes of an HDF5 file). Nothing here knows how either side writes it down: this room has no I/O, no clock,
//! no encoding of HDF5 and none of any store's schema.

pub mod chunk;
pub mod dataspace;
pub mod datatype;
pub mod elements;
pub mod extents;
pub mod grid;
pub mod hierarchy;
pub mod hyperslab;
pub mod limits;
pub mod location;
pub mod name;
pub mod paths;
pub mod pipeline;
pub mod problem;
pub mod selection;
