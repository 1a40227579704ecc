//! What readers of a file as it is ask for before they know all that it holds.

use std::ops::Range;

use serde::Serialize;

/// Bytes of a block of readers that keep blocks whatever lies in them: what fsspec's block caches take unless told
/// otherwise is 5 MiB; a power of two near it stands for all of them.
const BLOCK: u64 = 4 << 20;
/// What ros3 of HDF5 1.14.3 and later reads of any file before anything else, and keeps.
const HEAD: u64 = 16 << 20;

/// Requests that reading all metadata takes, by kind of reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Opening {
    /// A library that reads one structure at a time: ros3 before HDF5 1.14.3, any file driver without a cache.
    pub each: u64,
    /// One that keeps the first 16 MiB (ros3 since): the structures behind, and one.
    pub head: u64,
    /// One that keeps blocks of 4 MiB.
    pub blocks: u64,
    /// One with a page buffer, where the file is paged.
    pub pages: Option<u64>,
}

/// What reading `structures` takes, in a file whose space is handed out in pages of `page` bytes.
pub fn opening(structures: &[Range<u64>], page: Option<u64>) -> Opening {
    let all = structures.iter().filter(|range| !range.is_empty());
    let behind = all.clone().filter(|range| range.end > HEAD).count() as u64;
    Opening {
        each: all.clone().count() as u64,
        head: behind + u64::from(all.count() > 0),
        blocks: distinct(structures, BLOCK),
        pages: page.map(|page| distinct(structures, page)),
    }
}

/// Blocks of `size` bytes that these ranges lie in.
pub fn distinct(ranges: &[Range<u64>], size: u64) -> u64 {
    let size = size.max(1);
    let mut blocks: Vec<(u64, u64)> = ranges
        .iter()
        .filter(|range| !range.is_empty())
        .map(|range| (range.start / size, range.end.div_ceil(size)))
        .collect();
    blocks.sort_unstable();
    let (mut count, mut done) = (0, 0);
    for (first, end) in blocks {
        count += end.saturating_sub(done.max(first));
        done = done.max(end);
    }
    count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_those_of_the_bytes(ranges in prop::collection::vec((0u64..200, 0u64..30), 0..12), size in 1u64..40) {
            let ranges: Vec<Range<u64>> = ranges.into_iter().map(|(start, len)| start..start + len).collect();
            let blocks: BTreeSet<u64> = ranges.iter().flat_map(|range| range.clone().map(|at| at / size)).collect();
            prop_assert_eq!(distinct(&ranges, size), blocks.len() as u64);
        }
    }

    #[test]
    fn readers_differ_in_what_they_keep() {
        let structures = [0..96, 800..900, (16 << 20) - 1..(16 << 20) + 50, 40 << 20..(40 << 20) + 8];
        let told = opening(&structures, Some(4096));
        assert_eq!(told, Opening { each: 4, head: 3, blocks: 4, pages: Some(4) });
        assert_eq!(opening(&[], None), Opening::default());
    }
}
