//! What independent readers make of whole images.

use std::fs::File;
use std::sync::Arc;

use hdf5_reader::storage::{Storage, StorageBuffer};
use hdf5_reader::{Hdf5File, OpenOptions, SliceInfo, SliceInfoElem};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::Presented;
use super::corpus::{
    Builder, attribute, dataset, everything, int32, ints, netcdf, object, ramp, ramps, string, strings,
};
use crate::layout::{FilterPresentation, PresentOptions, SegmentKind, plan};
use crate::model::chunk::ChunkId;
use crate::model::dataspace::Dataspace;
use crate::model::elements::Elements;
use crate::model::hierarchy::*;
use crate::model::pipeline::Filter;

impl<F: Fn(ChunkId) -> Elements + Send + Sync> Storage for Presented<F> {
    fn len(&self) -> u64 {
        self.image.len()
    }

    fn read_range(&self, offset: u64, len: usize) -> hdf5_reader::error::Result<StorageBuffer> {
        Ok(StorageBuffer::from_vec(self.read(offset..(offset + len as u64).min(self.image.len()))))
    }
}

fn open<F: Fn(ChunkId) -> Elements + Send + Sync + 'static>(hierarchy: &Hierarchy, content: F) -> Hdf5File {
    let image = plan(hierarchy, &PresentOptions::default()).unwrap();
    assert_eq!(image.problems(), []);
    // The largest header of these tests holds 4096 links.
    let options = OpenOptions { max_object_header_bytes: 16 << 20, ..OpenOptions::default() };
    Hdf5File::from_storage_with_options(Arc::new(Presented { image, content }), options).unwrap()
}

/// Writes images for other programs into the directory that `H5MOUNT_IMAGES` names.
#[test]
#[ignore = "writes files for other programs"]
fn write_images() {
    let directory = std::path::PathBuf::from(std::env::var_os("H5MOUNT_IMAGES").unwrap());
    for (name, filters) in [("declared", FilterPresentation::Declared), ("hidden", FilterPresentation::Hidden)] {
        let (hierarchy, content) = everything();
        let image = plan(&hierarchy, &PresentOptions { filters }).unwrap();
        assert_eq!(image.problems(), []);
        Presented { image, content }.write(&File::create(directory.join(format!("{name}.h5"))).unwrap());
    }
    let (hierarchy, content) = netcdf();
    let image = plan(&hierarchy, &PresentOptions::default()).unwrap();
    Presented { image, content }.write(&File::create(directory.join("netcdf.nc")).unwrap());
    let mut runner = TestRunner::deterministic();
    for number in 0..20 {
        let shapes = prop::collection::vec(shapes(), 1..9).new_tree(&mut runner).unwrap().current();
        let mut file = Builder::default();
        for (number, shape) in shapes.iter().enumerate() {
            file.dataset(&number.to_string(), shape.clone());
        }
        let image = plan(&file.build(), &PresentOptions::default()).unwrap();
        let content = |id: ChunkId| Elements::plain(ramp(&shapes[id.dataset.0 as usize - 1], id));
        let path = directory.join(format!("random{number}.h5"));
        Presented { image, content }.write(&File::create(path).unwrap());
    }
}

#[test]
fn many_objects_are_planned_in_one_pass() {
    // A test without a clock: were anything quadratic in the objects, it would run for minutes.
    let mut file = Builder::default();
    for number in 0..100_000 {
        let mut dataset = object(ObjectKind::Dataset(dataset(int32(), &[100], &[None], &[10])));
        dataset.attributes.push(attribute("units", string(), &[], strings(&["m"])));
        file.add(&format!("dataset{number}"), dataset);
    }
    let hierarchy = file.build();
    let image = plan(&hierarchy, &PresentOptions::default()).unwrap();
    assert_eq!(image.problems(), []);
    let last = ObjectId(100_000);
    let base = image.dataset(last).unwrap().base;
    let expected = SegmentKind::Chunk { id: ChunkId { dataset: last, number: 9 }, at: 0 };
    assert_eq!(image.segments(base + 9 * 4096..base + 10 * 4096).next().unwrap().kind, expected);
}

/// hdf5-reader 0.12 numbers the chunks of a fixed array over the current extent; libhdf5 over the maximal one.
fn misread(dataset: &Dataset) -> bool {
    let Dataspace::Simple { dims, max_dims } = &dataset.dataspace else { return false };
    max_dims.iter().all(Option::is_some) && dims.iter().zip(max_dims).any(|(dim, max)| *max != Some(*dim))
}

fn counting(dims: &[u64]) -> Vec<u8> {
    (0..dims.iter().product::<u64>()).flat_map(|n| (n as i32).to_le_bytes()).collect()
}

#[test]
fn every_kind_of_index_leads_to_its_chunks() {
    let (hierarchy, content) = everything();
    let file = open(&hierarchy, content);
    for (name, dataset) in ramps() {
        if misread(&dataset) {
            continue;
        }
        let read = file.dataset(name).unwrap().read_raw_bytes().unwrap();
        assert!(read == counting(dataset.dataspace.dims()), "{name}");
    }
}

#[test]
fn variable_strings_are_found_in_their_windows() {
    let (hierarchy, content) = everything();
    let file = open(&hierarchy, content);
    assert_eq!(file.dataset("words").unwrap().read_strings().unwrap(), ["one", "", "three", "four", "fünf"]);
    assert_eq!(file.dataset("word").unwrap().read_string().unwrap(), "alone");
    let wide = file.group("wide").unwrap();
    assert_eq!(wide.attribute("text").unwrap().read_string().unwrap(), "in a dense heap");
    assert_eq!(wide.attributes().unwrap().len(), 302);
    let null = file.dataset("null").unwrap();
    assert_eq!(null.attribute("alpha").unwrap().read_string().unwrap(), "ä");
}

#[test]
fn a_billion_chunks_are_planned_without_being_counted() {
    for (max, filters) in [
        (vec![Some(1_000_000_000)], vec![]),
        (vec![Some(1_000_000_000)], vec![Filter::Deflate(1)]),
        (vec![None], vec![Filter::Deflate(1)]),
        (vec![None, None], vec![Filter::Deflate(1)]),
    ] {
        let mut file = Builder::default();
        let dims: &[u64] = if max.len() == 1 { &[1_000_000_000] } else { &[100_000, 10_000] };
        let mut big = dataset(int32(), dims, &max, &vec![1; max.len()]);
        big.filters = filters;
        let id = file.dataset("big", big.clone());
        let image = plan(&file.build(), &PresentOptions::default()).unwrap();
        // Blocks of an extensible array grow by the square root of two: two rows and their padding a doubling.
        assert!(image.regions.len() < 200);
        assert!(image.blobs.iter().map(|blob| blob.len()).sum::<usize>() <= 8192);
        let content = move |id: ChunkId| Elements::plain(ramp(&big, id));
        let presented = Presented { image, content };
        // Each chunk where its slot is.
        let base = presented.image.dataset(id).unwrap().base;
        let slot = presented.image.dataset(id).unwrap().storage.slot;
        for number in [0u64, 1, 999_999_999, 123_456_789] {
            let at = base + number * slot;
            assert_eq!(presented.read(at..at + 4), (number as i32).to_le_bytes());
        }
    }
}

#[test]
fn one_chunk_of_a_hundred_million_is_read_through_its_index() {
    // Two unlimited dimensions: the tree is searched, not read whole.
    let mut file = Builder::default();
    let big = dataset(int32(), &[10_000, 10_000], &[None, None], &[1, 1]);
    file.dataset("big", big.clone());
    let file = open(&file.build(), move |id| Elements::plain(ramp(&big, id)));
    let selections = vec![SliceInfoElem::Index(4321), SliceInfoElem::Slice { start: 77, end: 79, step: 1 }];
    let read = file.dataset("big").unwrap().read_slice::<i32>(&SliceInfo { selections }).unwrap();
    assert_eq!(read.iter().copied().collect::<Vec<_>>(), [43_210_077, 43_210_078]);
}

#[test]
fn what_cannot_be_shown_is_named_and_the_rest_is_there() {
    let mut file = Builder::default();
    let good = file.dataset("good", dataset(int32(), &[3], &[Some(3)], &[]));
    file.dataset("huge", dataset(int32(), &[1 << 60], &[None], &[1 << 40]));
    file.root.links.push(Link { name: "lost".into(), target: LinkTarget::Hard(ObjectId(77)) });
    file.root.links.push(Link { name: "good".into(), target: LinkTarget::Soft("/x".into()) });
    let mut hierarchy = file.build();
    hierarchy.objects[good.0 as usize].attributes = vec![
        attribute("short", int32(), &[2], ints([1])),
        attribute("fine", string(), &[], strings(&["yes"])),
        attribute("fine", int32(), &[], ints([1])),
    ];
    hierarchy.objects.push(object(ObjectKind::Group(Group::default())));
    let image = plan(&hierarchy, &PresentOptions::default()).unwrap();
    let paths: Vec<_> = image.problems().iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["/huge", "/huge", "/lost", "/good", "/good@short", "/good@fine"]);
    let presented = Presented { image, content: |_: ChunkId| ints([1, 2, 3]) };
    let file = Hdf5File::from_storage(Arc::new(presented)).unwrap();
    assert_eq!(file.root_group().unwrap().datasets().unwrap().len(), 1);
    assert_eq!(file.dataset("good").unwrap().attributes().len(), 1);
}

fn shapes() -> impl Strategy<Value = Dataset> {
    let dim = (0u64..30, prop_oneof![Just(None), (0u64..50).prop_map(Some)], 1u64..8);
    let filters = prop_oneof![
        Just(vec![]),
        Just(vec![Filter::Deflate(5)]),
        Just(vec![Filter::Shuffle, Filter::Deflate(5), Filter::Fletcher32]),
    ];
    (prop::collection::vec(dim, 1..4), filters, any::<bool>()).prop_map(|(all, filters, fixed)| {
        let dims: Vec<u64> = all.iter().map(|one| one.0).collect();
        let max: Vec<_> =
            all.iter().map(|one| if fixed { Some(one.0) } else { one.1.map(|more| one.0 + more) }).collect();
        let mut dataset = dataset(int32(), &dims, &max, &all.iter().map(|one| one.2).collect::<Vec<_>>());
        dataset.filters = filters;
        dataset
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_shape_reads_back(shapes in prop::collection::vec(shapes(), 1..4)) {
        let mut file = Builder::default();
        for (number, shape) in shapes.iter().enumerate() {
            file.dataset(&number.to_string(), shape.clone());
        }
        let contents = shapes.clone();
        let file = open(&file.build(), move |id| Elements::plain(ramp(&contents[id.dataset.0 as usize - 1], id)));
        for (number, shape) in shapes.iter().enumerate().filter(|(_, shape)| !misread(shape)) {
            let read = file.dataset(&number.to_string()).unwrap().read_raw_bytes().unwrap();
            prop_assert!(read == counting(shape.dataspace.dims()), "{:?}", shape);
        }
    }
}
