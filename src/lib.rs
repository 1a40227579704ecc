//! h5mount shows datasets that live sharded in an object store as ordinary HDF5 files.
//!
//! The rooms, and who may import whom, are drawn in `docs/architecture.md` and held by `tests/architecture.rs`.

pub mod advice;
pub mod cache;
pub mod cli;
pub mod codec;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod fetch;
pub mod format;
pub mod fs;
pub mod layout;
pub mod model;
pub mod namespace;
pub mod service;
pub mod source;
pub mod store;
pub mod telemetry;
