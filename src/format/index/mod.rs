//! Chunk indexes (appendix C) and the v2 B-tree that also indexes names in dense storage.
//!
//! Each is arithmetic over a number of entries: lengths, counts and offsets of all its parts are known without any entry,
//! and each part is encoded on its own, its entries given by a callback.

pub mod btree1;
pub mod btree2;
pub mod element;
pub mod extensible_array;
pub mod fixed_array;
pub mod name;
pub mod symbol_node;
