//! Files that other programs wrote, read back; and damaged ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::layout::{PresentOptions, SegmentKind, plan};
use crate::model::extents::Extents;
use crate::model::hierarchy::ObjectKind;

/// A file of the list: its name, its bytes, and the groups and datasets that libhdf5 finds in a sound one.
type Sample = (String, Vec<u8>, Option<(usize, usize)>);

pub(super) fn samples() -> Vec<Sample> {
    let subset = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5");
    let folder = std::env::var_os("H5MOUNT_CORPUS").map_or(subset, PathBuf::from);
    let table = std::fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let mut files = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let counts = fields[8].parse().ok().zip(fields[9].parse().ok()).filter(|_| fields[6] == "good");
        let file = [folder.join(fields[0]), folder.join("open").join(fields[0])].into_iter().find(|file| file.exists());
        files.push((fields[0].to_owned(), std::fs::read(file.unwrap()).unwrap(), counts));
    }
    files
}

fn scan(bytes: &dyn Bytes) -> Result<Scanned, FormatError> {
    let mut scan = Scan::default();
    let missing = scan.step(bytes)?;
    assert!(missing.is_empty(), "{missing:?}");
    scan.finish()
}

/// `H5MOUNT_CORPUS` may name another folder of such files with the same kind of list.
#[test]
fn foreign_files_are_read_whole_and_can_be_laid_out() {
    let (mut faults, mut shown, mut plain, mut chunks) = (Vec::new(), 0, BTreeMap::<String, usize>::new(), 0);
    for (name, bytes, counts) in samples() {
        let scanned = scan(&bytes.as_slice());
        let Some((groups, datasets)) = counts else { continue };
        let scanned = match scanned {
            Ok(scanned) => scanned,
            Err(error) if error.kind == Kind::Unsupported => {
                *plain.entry(error.reason).or_default() += 1;
                continue;
            }
            Err(error) => {
                faults.push(format!("{name}: {error}"));
                continue;
            }
        };
        if let Some(fault) = scanned.faults.iter().find(|fault| fault.error.kind == Kind::Unsupported) {
            *plain.entry(fault.error.reason.clone()).or_default() += 1;
            continue;
        }
        faults.extend(scanned.faults.iter().map(|fault| format!("{name}: {} {}", fault.what, fault.error)));
        let count = |group: bool| {
            let of = |object: &&crate::model::hierarchy::Object| match object.kind {
                ObjectKind::Group(_) => group,
                ObjectKind::Dataset(_) => !group,
                ObjectKind::Datatype(_) => false,
            };
            scanned.hierarchy.objects.iter().filter(of).count()
        };
        if (count(true), count(false)) != (groups, datasets) {
            faults.push(format!("{name}: {} groups, {} datasets", count(true), count(false)));
        }
        for placement in scanned.placements.iter().flatten() {
            let found = (0..placement.grid.total().min(100)).filter_map(|number| placement.chunk(number));
            for (range, _) in found {
                chunks += 1;
                if range.end > bytes.len() as u64 {
                    faults.push(format!("{name}: a chunk at {range:?}"));
                }
            }
        }
        match plan(&scanned.hierarchy, &PresentOptions::default()) {
            Ok(image) => faults.extend(image.problems().iter().map(|problem| format!("{name}: {problem:?}"))),
            Err(error) => faults.push(format!("{name}: {error}")),
        }
        shown += 1;
    }
    println!("{shown} files with {chunks} chunks are laid out; as they are: {plain:#?}");
    assert!(shown >= 20 && chunks > 100, "{shown} {chunks}");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// The metadata of an image, read back, are the hierarchy that it was made of.
#[test]
fn what_is_laid_out_is_read_back() {
    let mut compared = 0;
    for (name, bytes, counts) in samples() {
        let Some(before) = counts.and_then(|_| scan(&bytes.as_slice()).ok()) else { continue };
        if !before.faults.is_empty() {
            continue;
        }
        let image = plan(&before.hierarchy, &PresentOptions::default()).unwrap();
        let mut extents = Extents::new(image.len());
        for segment in image.segments(0..image.len()) {
            if let SegmentKind::Metadata { part, at } = segment.kind {
                let mut out = vec![0; (segment.range.end - segment.range.start) as usize];
                image.synthesize(&part, at, &mut out);
                extents.put(segment.range.start, Plain::from(out));
            }
        }
        let mut scan = Scan::default();
        while let missing @ [_, ..] = scan.step(&extents).unwrap().as_slice() {
            for range in missing {
                assert!(extents.join(range), "{name}: {range:?} is no metadata");
            }
        }
        let after = scan.finish().unwrap();
        assert_eq!(after.faults, [], "{name}");
        assert_eq!(comparable(after.hierarchy), comparable(before.hierarchy), "{name}");
        assert!(after.facts.headers_first && after.facts.page == Some(4096), "{name}: {:?}", after.facts);
        compared += 1;
    }
    println!("{compared} files are read back");
    assert!(compared >= 20);
}

/// A hierarchy without what an image says otherwise by design.
fn comparable(mut hierarchy: Hierarchy) -> Hierarchy {
    // What values may take is told by the length of the file.
    hierarchy.chunk_values = None;
    for object in &mut hierarchy.objects {
        // Counted by links there; of large objects nothing is indexed by the order of creation; always told.
        object.details.references = None;
        (object.details.links_indexed, object.details.attributes_indexed) = (false, false);
        object.details.storing = None;
        if let ObjectKind::Dataset(dataset) = &mut object.kind {
            // Filters that not every library has are hidden.
            (dataset.filters, dataset.stored) = Default::default();
        }
    }
    hierarchy
}

/// What is not there is asked for by its range, and what comes of it does not depend on the parts.
#[test]
fn files_are_read_from_the_parts_that_are_asked_for() {
    for (name, bytes, counts) in samples() {
        if counts.is_none() {
            continue;
        }
        let whole = scan(&bytes.as_slice());
        let (mut extents, mut scan, mut rounds) = (Extents::new(bytes.len() as u64), Scan::default(), 0);
        let parted = loop {
            let missing = match scan.step(&extents) {
                Ok(missing) if missing.is_empty() => break scan.finish(),
                Ok(missing) => missing,
                Err(error) => break Err(error),
            };
            let held = extents.held();
            for range in missing {
                for gap in extents.gaps(range.clone()) {
                    let part = Plain::copy_from_slice(&bytes[gap.start as usize..gap.end as usize]);
                    extents.put(gap.start, part);
                }
                assert!(extents.join(&range), "{name}: {range:?}");
            }
            rounds += 1;
            assert!(extents.held() > held || rounds < 10_000, "{name} asks for what it has");
        };
        match (whole, parted) {
            (Ok(whole), Ok(parted)) => {
                assert_eq!(whole.hierarchy, parted.hierarchy, "{name}");
                assert_eq!((whole.placements, whole.faults), (parted.placements, parted.faults), "{name}");
            }
            (Err(whole), Err(parted)) => assert_eq!(whole, parted, "{name}"),
            (whole, parted) => panic!("{name}: {:?} {:?}", whole.err(), parted.err()),
        }
    }
}

/// The superblock of a sound file leads to a dataset.
#[test]
fn a_root_that_is_no_group_is_an_error_of_the_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5/good");
    let mut bytes = std::fs::read(folder.join("HDFGroup__h5serv/test/test_files/sample.h5")).unwrap();
    let found = scan(&bytes.as_slice()).unwrap();
    let dataset = found.placements.iter().position(Option::is_some).unwrap();
    let address = found.addresses.by_number()[dataset];
    // Of version 0: where its root's entry has the address of the header.
    bytes[64..72].copy_from_slice(&address.to_le_bytes());
    let error = scan(&bytes.as_slice()).unwrap_err();
    assert_eq!((error.kind, error.structure, error.at), (Kind::Value, "object header", address), "{}", error.reason);
}
