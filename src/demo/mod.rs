//! A small store to try things on: written to local disk as HSDS would have written it.
//!
//! Only what both dialects of the schema read is used, so that any HSDS serves the same files. The content is made by
//! formulas and the identifiers are fixed: two demo stores are the same, byte for byte. `cli` mounts it.

pub mod stations;
pub mod weather;
pub mod writer;

use std::io;
use std::path::Path;

use writer::Bucket;

/// Folder of the demo files in the store.
pub const FOLDER: &str = "home/demo";

/// Writes the store into `directory`, which must be empty or absent.
pub fn write(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    if std::fs::read_dir(directory)?.next().is_some() {
        let reason = format!("{}: not empty; name an empty directory", directory.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
    }
    let bucket = Bucket::new(directory);
    for folder in ["home", FOLDER] {
        bucket.domain(folder, None)?;
    }
    weather::write(&bucket, &format!("{FOLDER}/weather.nc"))?;
    stations::write(&bucket, &format!("{FOLDER}/stations.h5"))?;
    bucket.put(&format!("{FOLDER}/README.txt"), README.as_bytes())
}

const README: &str = "\
A demo store in the schema of HSDS.

weather.nc   two days of made-up weather on a grid of 4 degrees, as netCDF-4
stations.h5  a table, strings, ragged arrays and links, as HDF5

Neither is a file in the store: each is a few JSON objects and one object for each chunk.
This text is an object of the store, shown as it is.
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::config::place;
    use crate::model::hierarchy::{Hierarchy, LinkTarget, ObjectKind};
    use crate::source::hsds::{HsdsSettings, HsdsSource};
    use crate::source::{Contents, EntryKind, Source};
    use crate::store::Store;

    async fn open(directory: &Path) -> HsdsSource {
        let place = place(directory.to_str().unwrap(), None).unwrap();
        let store = Arc::new(Store::of_directory(&place.bucket, crate::store::StoreSettings::default()));
        HsdsSource::open(store, FOLDER, HsdsSettings::default()).await.unwrap()
    }

    fn names(contents: &Contents) -> Vec<String> {
        let ObjectKind::Group(root) = &contents.hierarchy.get(Hierarchy::ROOT).unwrap().kind else { panic!() };
        root.links.iter().map(|link| link.name.to_string()).collect()
    }

    #[tokio::test]
    async fn the_store_reads_back_without_a_problem() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        let source = open(directory.path()).await;
        let entries: Vec<_> = futures::TryStreamExt::try_collect(source.list("")).await.unwrap();
        let kinds: BTreeMap<String, EntryKind> = entries.into_iter().map(|entry| (entry.name, entry.kind)).collect();
        assert_eq!(kinds.keys().collect::<Vec<_>>(), ["README.txt", "stations.h5", "weather.nc"]);
        assert!(matches!(kinds["README.txt"], EntryKind::Plain { size, .. } if size == README.len() as u64));

        let weather = source.open("weather.nc").await.unwrap();
        assert_eq!(weather.problems, []);
        assert_eq!(names(&weather), ["time", "lat", "lon", "temperature", "precipitation", "cloud", "station"]);

        let stations = source.open("stations.h5").await.unwrap();
        assert_eq!(stations.problems, []);
        assert_eq!(names(&stations), ["network", "station_type", "latest", "grid"]);
        let ObjectKind::Group(root) = &stations.hierarchy.get(Hierarchy::ROOT).unwrap().kind else { panic!() };
        assert!(matches!(root.links[2].target, LinkTarget::Soft(_)));
        assert!(matches!(root.links[3].target, LinkTarget::External { .. }));
    }

    #[test]
    fn a_directory_with_something_in_it_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("mine"), "").unwrap();
        assert!(write(directory.path()).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
