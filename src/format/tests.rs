//! Whole small files made of this room's encoders, read back by another implementation.
//!
//! With `H5MOUNT_FORMAT_FILES` set to a folder the same files are also written there, for libhdf5 to read.

mod arrays;
mod builder;
mod dense;
mod files;
mod types;

use hdf5_reader::{Hdf5File, OpenOptions};

use crate::model::hierarchy::{Allocation, FillTime, Storing};

/// What a program writes that says nothing else.
fn storing(allocation: Allocation) -> Storing {
    Storing { allocation, fill_time: FillTime::IfSet, fill_undefined: false }
}

/// Opens an image, after leaving a copy of it where the environment asks for one.
fn open(name: &str, image: Vec<u8>) -> Hdf5File {
    if let Some(folder) = std::env::var_os("H5MOUNT_FORMAT_FILES") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.h5")), &image).unwrap();
    }
    // The largest header of these tests holds 4096 links.
    let options = OpenOptions { max_object_header_bytes: 16 << 20, ..OpenOptions::default() };
    Hdf5File::from_vec_with_options(image, options).unwrap()
}
