//! The HSDS storage schema.

pub mod attribute;
pub mod base64;
pub mod chunks;
pub mod creation;
pub mod document;
pub mod fault;
pub mod filters;
pub mod hierarchy;
pub mod id;
pub mod key;
pub mod linked;
pub mod mentions;
mod order;
pub mod region;
pub mod shape;
pub mod stream;
pub mod types;
pub mod value;
mod walk;
