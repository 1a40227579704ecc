//! The object store with its promises made explicit.

pub mod error;

pub use error::StoreError;
