//! Heaps: the global heap of variable-length data and region references, and the fractal heap of dense links and
//! attributes.

pub mod fractal;
pub mod global;
pub mod local;
