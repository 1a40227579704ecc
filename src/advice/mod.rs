//! What it costs to read a file from far away, and what would make it cost less.
//!
//! Pure: extents, grids and sizes in; requests, bytes and sentences out. [`opening`] counts what a reader asks for before it
//! has a file open, [`cost`] what reading a part of a dataset takes, [`shape`] says how chunks would serve most readers,
//! and [`checklist`] judges. Above, the command that looks at a file hands in what it found.

pub mod checklist;
pub mod cost;
pub mod opening;
pub mod shape;
