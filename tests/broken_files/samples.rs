//! Files that other programs wrote, and where their structures lie.

use std::path::{Path, PathBuf};

use h5mount::format::checksum::lookup3;
use h5mount::format::register::Structure;
use h5mount::layout::scan::Scan;

/// Larger files only take longer: what is in them is in smaller ones too.
const LARGEST: usize = 64 << 10;
/// Bytes of a checksum.
const SUM: usize = 4;

/// A file to break.
pub struct Sample {
    pub name: String,
    pub bytes: Vec<u8>,
    pub structures: Vec<Structure>,
    /// Structures that end with a checksum of all before.
    pub sums: Vec<std::ops::Range<usize>>,
}

/// Those of the tests, or of the folder `H5MOUNT_CORPUS`, which has the same kind of list.
pub fn all() -> Vec<Sample> {
    let subset = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hdf5");
    let folder = std::env::var_os("H5MOUNT_CORPUS").map_or(subset, PathBuf::from);
    let table = std::fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let mut samples = Vec::new();
    for line in table.lines().skip(1) {
        let name = line.split('\t').next().unwrap_or_default().to_owned();
        let file = [folder.join(&name), folder.join("open").join(&name)].into_iter().find(|file| file.exists());
        let bytes = std::fs::read(file.unwrap_or_else(|| panic!("{name} is not there"))).unwrap();
        if !bytes.is_empty() && bytes.len() <= LARGEST {
            samples.push(sample(name, bytes));
        }
    }
    assert!(samples.len() > 50, "{} samples", samples.len());
    samples
}

fn sample(name: String, bytes: Vec<u8>) -> Sample {
    let mut scan = Scan::noting();
    // What is damaged from the start has structures up to there.
    if scan.step(&bytes.as_slice()).is_ok() {
        scan.step_aside(&bytes.as_slice(), &mut Vec::new());
    }
    let structures = scan.take_register().unwrap_or_default().structures();
    let range = |one: &Structure| one.range().start as usize..one.range().end as usize;
    let sums = structures.iter().map(range).filter(|range| is_summed(&bytes, range)).collect();
    Sample { name, bytes, structures, sums }
}

fn is_summed(bytes: &[u8], range: &std::ops::Range<usize>) -> bool {
    let end = range.end.checked_sub(SUM).filter(|&end| end > range.start);
    end.is_some_and(|end| bytes.get(end..range.end) == Some(&lookup3(&bytes[range.start..end]).to_le_bytes()))
}

/// Makes the checksum at the end of a structure right.
pub fn sum(bytes: &mut [u8], range: &std::ops::Range<usize>) {
    if let Some(end) = range.end.checked_sub(SUM).filter(|_| range.end <= bytes.len()) {
        let sum = lookup3(&bytes[range.start..end]).to_le_bytes();
        bytes[end..range.end].copy_from_slice(&sum);
    }
}
