//! The targets of `fuzz/` are compiled with all other tests, so that what moves takes them along, and each is run on a few
//! inputs. `scripts/fuzz` runs them for long.

#![allow(unused_attributes)] // A target is a program of its own there, and a module here.

/// What the targets take from libfuzzer.
extern crate self as libfuzzer_sys;

/// What else than bytes a target takes.
pub trait Made {
    /// One that follows from bytes alone.
    fn of(bytes: &[u8]) -> Self;
}

/// Extents of dimensions and of chunks, and the words of a selection.
impl Made for (Vec<(u64, u64)>, String) {
    fn of(bytes: &[u8]) -> Self {
        let (numbers, words) = bytes.split_at(bytes.len() / 2);
        let small = |byte: &u8| u64::from(byte % 16);
        let extents = numbers.chunks_exact(2).take(4).map(|pair| (small(&pair[0]), small(&pair[1]))).collect();
        // Of the signs that a selection is written in.
        let words = words.iter().map(|byte| char::from(b"[]0123456789:,.- "[usize::from(byte % 17)])).collect();
        (extents, words)
    }
}

/// The targets, by name.
macro_rules! targets {
    ($($name:ident: $path:literal),*) => {
        $(#[path = $path] mod $name;)*

        fn targets() -> Vec<(&'static str, fn(&[u8]))> {
            vec![$((stringify!($name), $name::tries as fn(&[u8]))),*]
        }
    };
}

targets! {
    blosc: "../fuzz/fuzz_targets/blosc.rs",
    document: "../fuzz/fuzz_targets/document.rs",
    element_stream: "../fuzz/fuzz_targets/element_stream.rs",
    filters: "../fuzz/fuzz_targets/filters.rs",
    hdf5_file: "../fuzz/fuzz_targets/hdf5_file.rs",
    hdf5_index: "../fuzz/fuzz_targets/hdf5_index.rs",
    region_reference: "../fuzz/fuzz_targets/region_reference.rs",
    selection: "../fuzz/fuzz_targets/selection.rs"
}

/// Inputs of each target: hardly more than to see that it runs.
const INPUTS: usize = 300;

#[test]
fn every_target_is_listed_and_runs() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let listed = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let mut there: Vec<String> = std::fs::read_dir(folder.join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".rs").to_owned())
        .collect();
    there.sort();
    assert_eq!(there, targets().iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>());
    let mut random = fastrand::Rng::with_seed(5);
    for (name, tries) in targets() {
        assert!(listed.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is in no list of fuzz/");
        tries(&[]);
        for _ in 0..INPUTS {
            let len = random.usize(..400);
            let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
            tries(&bytes);
        }
    }
}

/// Makes a function of a target. Last, so that the targets find it by the path that they name and not by where it stands.
#[macro_export]
macro_rules! fuzz_target {
    (|$bytes:ident: &[u8]| $body:block) => {
        /// Tries one input.
        pub fn tries($bytes: &[u8]) {
            $body
        }
    };
    (|$input:ident: $kind:ty| $body:block) => {
        /// Tries one input.
        pub fn tries(bytes: &[u8]) {
            let $input: $kind = $crate::Made::of(bytes);
            $body
        }
    };
}
