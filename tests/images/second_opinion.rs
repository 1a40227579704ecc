//! hdf5-reader, an implementation that shares nothing with libhdf5, reads every dataset of every sample image.

use std::collections::BTreeMap;
use std::sync::Arc;

use h5mount::fetch::Plain;
use h5mount::layout::{FilterPresentation, PresentOptions};
use h5mount::model::chunk::ChunkId;
use h5mount::model::dataspace::Dataspace;
use h5mount::model::grid::Grid;
use h5mount::model::hierarchy::{ObjectId, ObjectKind};
use h5mount::namespace::{Namespace, NamespaceSettings, Node, Version};
use hdf5_reader::storage::{Storage, StorageBuffer};
use hdf5_reader::{Hdf5File, OpenOptions};
use tokio::runtime::Handle;

use super::samples::{self, File, Sample, VERSIONS};

/// A presented file, read as the kernel would read it.
struct Presented {
    runtime: Handle,
    namespace: Arc<Namespace>,
    version: Arc<Version>,
}

impl Storage for Presented {
    fn len(&self) -> u64 {
        self.version.stat().len
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        let read = self.runtime.block_on(self.namespace.read(&self.version, offset..offset + len as u64));
        match read {
            Ok(bytes) => Ok(StorageBuffer::from_vec(bytes.to_vec())),
            Err(error) => Err(std::io::Error::other(error.to_string()).into()),
        }
    }
}

/// Why a dataset is not compared.
fn not_compared(file: &File, id: ObjectId) -> Option<&'static str> {
    let hierarchy = &file.contents.hierarchy;
    let ObjectKind::Dataset(dataset) = &hierarchy.get(id)?.kind else { return Some("no dataset") };
    let datatype = hierarchy.datatype(&dataset.datatype)?;
    match &dataset.dataspace {
        _ if datatype.needs_placement() => Some("its elements are addresses, which differ by construction"),
        Dataspace::Null => Some("it has no data"),
        // hdf5-reader 0.12 numbers the chunks of a fixed array over the current extent; libhdf5 over the maximal one.
        Dataspace::Simple { dims, max_dims }
            if max_dims.iter().all(Option::is_some)
                && dims.iter().zip(max_dims).any(|(dim, max)| *max != Some(*dim)) =>
        {
            Some("hdf5-reader misreads fixed arrays of datasets that can grow")
        }
        Dataspace::Simple { .. } | Dataspace::Scalar => None,
    }
}

/// All bytes of a dataset, put together from its chunks; `None` where one of them cannot be read.
async fn assembled(sample: &Sample, file: &File, id: ObjectId, fill: &[u8]) -> Option<Vec<u8>> {
    let recipe = file.contents.chunks.recipe(id)?;
    let grid: &Grid = &recipe.grid;
    let elements: u64 = grid.dims().iter().product();
    let element = (recipe.raw_len? / grid.chunk_elements()?) as usize;
    let mut out = fill.iter().copied().cycle().take(elements as usize * element).collect::<Vec<u8>>();
    for number in 0..grid.total() {
        let plain = match sample.house.fetcher.chunk(&file.chunks, ChunkId { dataset: id, number }, None).await {
            Ok(Plain::Bytes(plain)) => plain,
            Ok(Plain::Absent) => continue,
            Err(_) => return None,
        };
        let first: Vec<u64> =
            grid.coordinates(number).iter().zip(grid.chunk()).map(|(at, extent)| at * extent).collect();
        // Element by element: slow and plain.
        for (n, bytes) in plain.chunks_exact(element).enumerate() {
            let (mut rest, mut inside) = (n as u64, true);
            let mut position = vec![0; first.len()];
            for dimension in (0..first.len()).rev() {
                position[dimension] = first[dimension] + rest % grid.chunk()[dimension];
                rest /= grid.chunk()[dimension];
                inside &= position[dimension] < grid.dims()[dimension];
            }
            if inside {
                let at = position.iter().zip(grid.dims()).fold(0, |at, (&one, &dim)| at * dim + one) as usize * element;
                out[at..at + element].copy_from_slice(bytes);
            }
        }
    }
    Some(out)
}

/// Reads every dataset; counts by outcome.
fn compare(filters: FilterPresentation) -> BTreeMap<&'static str, usize> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut counts = BTreeMap::new();
    let mut differences = Vec::new();
    for version in VERSIONS {
        let settings = NamespaceSettings { present: PresentOptions { filters }, ..NamespaceSettings::default() };
        let sample = runtime.block_on(samples::open(version, settings));
        let namespace = &sample.house.namespace;
        for file in &sample.files {
            let Node::File(node) = runtime.block_on(namespace.resolve(&file.path)).unwrap() else { panic!() };
            let opened = runtime.block_on(namespace.open(&node)).unwrap();
            let presented =
                Presented { runtime: runtime.handle().clone(), namespace: namespace.clone(), version: opened };
            let options = OpenOptions { max_object_header_bytes: 16 << 20, ..OpenOptions::default() };
            let image = Hdf5File::from_storage_with_options(Arc::new(presented), options).unwrap();
            for (path, id) in file.datasets() {
                let shown = image.dataset(&path);
                let dataset = match shown {
                    Ok(dataset) => dataset,
                    Err(error) => {
                        differences.push(format!("{version} {}{path}: {error}", file.name()));
                        continue;
                    }
                };
                if let Some(reason) = not_compared(file, id) {
                    *counts.entry(reason).or_default() += 1;
                    continue;
                }
                let fill = match &file.contents.hierarchy.get(id).unwrap().kind {
                    ObjectKind::Dataset(kept) => kept.fill.as_ref().map(|fill| fill.bytes.to_vec()),
                    _ => None,
                };
                let fill = fill.unwrap_or_else(|| vec![0]);
                let expected = runtime.block_on(assembled(&sample, file, id, &fill));
                match (dataset.read_raw_bytes(), expected) {
                    (Ok(read), Some(expected)) if read == expected => *counts.entry("equal").or_default() += 1,
                    (Err(_), None) => *counts.entry("refused by both").or_default() += 1,
                    (Ok(read), expected) => differences.push(format!(
                        "{version} {}{path}: {} bytes, not the {:?} expected",
                        file.name(),
                        read.len(),
                        expected.map(|bytes| bytes.len())
                    )),
                    (Err(error), Some(_)) => differences.push(format!("{version} {}{path}: {error}", file.name())),
                }
            }
        }
    }
    println!("{filters:?}: {counts:?}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    counts
}

#[test]
fn hdf5_reader_sees_what_the_store_holds() {
    let counts = compare(FilterPresentation::Declared);
    assert!(counts["equal"] >= 150, "{counts:?}");
}

#[test]
fn hdf5_reader_sees_it_without_filters() {
    let counts = compare(FilterPresentation::Hidden);
    assert!(counts["equal"] >= 150, "{counts:?}");
}
