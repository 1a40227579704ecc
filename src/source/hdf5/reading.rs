//! Which ranges of a file are read, given those that are wanted: few and large ones, since each costs a request.

use std::ops::Range;

use crate::model::extents::Extents;

/// What is read before anything is known: files below are read whole, of others this much from their start. At 20 ms a
/// request a mebibyte takes hardly longer than a byte.
pub(super) const HEAD: u64 = 1 << 20;
/// Ranges begin and end at multiples of this: what a structure names mostly lies behind it.
const BLOCK: u64 = 64 << 10;
/// Ranges this near to each other are read as one: what lies between takes less time than another request, at 100 MB/s.
const NEAR: u64 = 512 << 10;
/// Ranges that are read at a time: as many as the store is asked for at once.
const TOGETHER: usize = 64;
/// Longest of them: pieces of it arrive beside one another.
const LONGEST: u64 = 8 << 20;

/// The ranges to read for `wanted`, none of which is held yet.
pub(super) fn plan(held: &Extents, wanted: &[Range<u64>]) -> Vec<Range<u64>> {
    let end = held.len();
    let mut blocks: Vec<Range<u64>> = wanted
        .iter()
        .flat_map(|range| held.gaps(range.start.min(end)..range.end.min(end)))
        .map(|gap| gap.start / BLOCK * BLOCK..gap.end.next_multiple_of(BLOCK).min(end))
        .collect();
    blocks.sort_by_key(|block| block.start);
    let near = reach(&blocks);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for block in blocks {
        match joined.last_mut() {
            Some(last) if block.start.saturating_sub(last.end) <= near => last.end = last.end.max(block.end),
            _ => joined.push(block),
        }
    }
    let unread = joined.into_iter().flat_map(|range| held.gaps(range));
    unread
        .flat_map(|range| {
            let (start, end) = (range.start, range.end);
            (0..(end - start).div_ceil(LONGEST)).map(move |part| {
                let from = start + part * LONGEST;
                from..from.saturating_add(LONGEST).min(end)
            })
        })
        .collect()
}

/// How near ranges must be to be read as one, so that no more than [`TOGETHER`] are left.
fn reach(blocks: &[Range<u64>]) -> u64 {
    let mut last = 0;
    let mut gaps: Vec<u64> = Vec::new();
    for block in blocks {
        gaps.push(block.start.saturating_sub(last));
        last = last.max(block.end);
    }
    gaps.retain(|&gap| gap > NEAR);
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    gaps.get(TOGETHER).map_or(NEAR, |&gap| gap.max(NEAR))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn planned(held: &Extents, wanted: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let wanted: Vec<Range<u64>> = wanted.iter().map(|&(start, end)| start..end).collect();
        plan(held, &wanted).into_iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn near_ranges_are_read_as_one_and_long_ones_in_parts() {
        let mut held = Extents::new(100 << 20);
        assert_eq!(planned(&held, &[(10, 20), (400_000, 400_001)]), [(0, 458_752)]);
        held.put(0, Bytes::from(vec![0; 1 << 20]));
        assert_eq!(planned(&held, &[(10, 20)]), []);
        let (start, far) = (1 << 20, 50 << 20);
        let ends = [(start, start + 1), (far - 1, far)];
        assert_eq!(planned(&held, &ends), [(start, start + BLOCK), (far - BLOCK, far)]);
        let parts = [1, 9, 17, 20].map(|part| part << 20);
        assert_eq!(planned(&held, &[(0, 20 << 20)]), parts.windows(2).map(|w| (w[0], w[1])).collect::<Vec<_>>());
        // The end of the file ends the last block.
        assert_eq!(planned(&Extents::new(100), &[(90, 100)]), [(0, 100)]);
    }

    #[test]
    fn many_ranges_become_few() {
        let held = Extents::new(1 << 30);
        let mut wanted: Vec<(u64, u64)> = (0..1000).map(|number| (number << 20, (number << 20) + 1)).collect();
        assert!(planned(&held, &wanted).len() <= 2 * TOGETHER);
        wanted.truncate(200);
        wanted.extend((300..340).map(|number| (number * (3 << 20), number * (3 << 20) + 1)));
        let few = planned(&held, &wanted);
        assert!(few.len() <= 2 * TOGETHER, "{}", few.len());
        assert!(wanted.iter().all(|(at, _)| few.iter().any(|(start, end)| (start..end).contains(&at))));
    }
}
