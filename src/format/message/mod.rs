//! Object header messages (IV.A.2), one file each: values in, the message's body out.
//!
//! A module's `KIND` is the message's type in the [object header](super::object_header). Dataspace and datatype, which
//! also stand inside other messages, are [`super::dataspace`] and [`super::datatype`].

pub mod attribute;
pub mod attribute_info;
pub mod comment;
pub mod data_layout;
pub mod external_files;
pub mod file_space_info;
pub mod fill_value;
pub mod filter_pipeline;
pub mod group_info;
pub mod link;
pub mod link_info;
pub mod reference_count;
pub mod shared;
pub mod symbol_table;
pub mod times;
