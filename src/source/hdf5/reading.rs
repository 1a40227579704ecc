//! Which ranges of a file are read, given those that are wanted: few and large ones, since each costs a request, and yet
//! little of what nobody wants.
//!
//! Structures mostly lie by the dozen in one place; what lies between two of them is read with them where that takes no longer
//! than a request would. Where they are strewn over a file in so many places that all of it is read about as soon, all of it is
//! read, in a few large parts at a time. In a large file that would never end: there each place is read by itself, as many at a
//! time as the store is asked for.

use std::ops::Range;

use crate::model::extents::Extents;

/// What is read before anything is known: files below are read whole, of others this much from their start. At 20 ms a
/// request a mebibyte takes hardly longer than a byte.
pub(super) const HEAD: u64 = 1 << 20;
/// At least so much is read of a place: what a structure names mostly lies behind it. An object header with its attributes and the
/// node of a chunk index behind it take about as much.
const PLACE: u64 = 4 << 10;
/// Places this near to each other are always read as one: 64 requests at a time of 20 ms each are one in 0.3 ms, in which
/// at 100 MB/s come 32 KiB.
const NEAR: u64 = 32 << 10;
/// Up to this far from each other they are while there is slack: with few requests at a time each is waited for, and in 20 ms comes a
/// mebibyte or two.
const FAR: u64 = 512 << 10;
/// Bytes of one round that nobody asked for, beside those of near places: hardly longer than a byte, as above.
const SLACK: u64 = 1 << 20;
/// Longest range: pieces of it arrive beside one another.
const LONGEST: u64 = 8 << 20;
/// Files of which no more than this is left are read whole rather than in many requests: a second or less, where
/// round after round of 64 requests takes a third of it.
const WHOLE: u64 = 128 << 20;
/// Requests for such a file, all in all.
const FEW: usize = 14;
/// Parts that arrive beside one another at least, however many requests there were: one connection alone is slow.
const BESIDE: u64 = 4;

/// The ranges to read for `wanted`, none of which is held yet, where the file took `asked` requests so far.
pub(super) fn plan(held: &Extents, wanted: &[Range<u64>], asked: usize) -> Vec<Range<u64>> {
    let places = places(held, wanted);
    let rest = held.gaps(0..held.len()).first().map_or(held.len(), |gap| gap.start)..held.len();
    let left = rest.end - rest.start;
    if asked + places.len() > FEW && left <= WHOLE {
        // What is held of it comes again: a part for each gap would be too many.
        let parts = (FEW.saturating_sub(asked) as u64).max(BESIDE).min(left.div_ceil(LONGEST)).max(1);
        return cut(rest, left.div_ceil(parts)).collect();
    }
    places.into_iter().flat_map(|place| cut(place, LONGEST)).collect()
}

/// The places that `wanted` lie in, with some of what lies between.
fn places(held: &Extents, wanted: &[Range<u64>]) -> Vec<Range<u64>> {
    let end = held.len();
    let mut places: Vec<Range<u64>> = wanted
        .iter()
        .flat_map(|range| held.gaps(range.start.min(end)..range.end.min(end)))
        .map(|gap| gap.start..gap.end.max(gap.start.saturating_add(PLACE)).min(end))
        .collect();
    places.sort_by_key(|place| place.start);
    let near = reach(&places);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for place in places {
        match joined.last_mut() {
            Some(last) if place.start.saturating_sub(last.end) <= near => last.end = last.end.max(place.end),
            _ => joined.push(place),
        }
    }
    joined.into_iter().flat_map(|range| held.gaps(range)).collect()
}

/// How near places are read as one: the smallest gaps go, until what lies in them is no longer little.
fn reach(places: &[Range<u64>]) -> u64 {
    let mut last: Option<u64> = None;
    let mut gaps: Vec<u64> = Vec::new();
    for place in places {
        gaps.extend(last.map(|last| place.start.saturating_sub(last)));
        last = last.max(Some(place.end));
    }
    gaps.retain(|gap| (NEAR + 1..=FAR).contains(gap));
    gaps.sort_unstable();
    let mut slack = SLACK;
    let mut near = NEAR;
    for gap in gaps {
        let Some(left) = slack.checked_sub(gap) else { break };
        (slack, near) = (left, gap);
    }
    near
}

/// A range in parts of at most `longest` bytes.
fn cut(range: Range<u64>, longest: u64) -> impl Iterator<Item = Range<u64>> {
    let Range { start, end } = range;
    let longest = longest.max(1);
    (0..(end - start).div_ceil(longest)).map(move |part| {
        let from = start + part * longest;
        from..from.saturating_add(longest).min(end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    fn planned(held: &Extents, wanted: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let wanted: Vec<Range<u64>> = wanted.iter().map(|&(start, end)| start..end).collect();
        plan(held, &wanted, 1).into_iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn near_places_are_read_as_one_and_long_ones_in_parts() {
        let mut held = Extents::new(1 << 40);
        assert_eq!(planned(&held, &[(10, 20), (400_000, 400_001)]), [(10, 400_000 + PLACE)]);
        held.put(0, Bytes::from(vec![0; 1 << 20]));
        assert_eq!(planned(&held, &[(10, 20)]), []);
        let ends = [(MIB, MIB + 1), (50 * MIB, 50 * MIB + 1)];
        assert_eq!(planned(&held, &ends), [(MIB, MIB + PLACE), (50 * MIB, 50 * MIB + PLACE)]);
        let parts = [1, 9, 17, 20].map(|part| part * MIB);
        assert_eq!(planned(&held, &[(0, 20 * MIB)]), parts.windows(2).map(|w| (w[0], w[1])).collect::<Vec<_>>());
        // The end of the file ends the last place.
        assert_eq!(planned(&Extents::new(100), &[(90, 100)]), [(90, 100)]);
    }

    #[test]
    fn what_lies_between_places_is_read_with_them_while_it_is_little() {
        let held = Extents::new(1 << 40);
        let apart =
            |distance: u64| (0..1000).map(|number| (number * distance, number * distance + 1)).collect::<Vec<_>>();
        assert_eq!(planned(&held, &apart(NEAR + PLACE)).len(), 5, "as one, in parts");
        assert_eq!(planned(&held, &apart(MIB)).len(), 1000);
        // Four gaps fit into the slack; of equal ones all go.
        let mut steps = vec![(0, 1)];
        for step in [200, 210, 220, 230, 240, 250].map(|step| step * KIB) {
            let at = steps.last().map_or(0, |&(at, _)| at) + step;
            steps.push((at, at + 1));
        }
        assert_eq!(planned(&held, &steps).len(), 3);
    }

    #[test]
    fn a_file_that_is_strewn_all_over_is_read_whole_and_a_large_one_never() {
        let strewn = |len: u64, asked: usize| {
            let mut held = Extents::new(len);
            held.put(0, Bytes::from(vec![0; 1 << 20]));
            let wanted: Vec<_> = (1..len / MIB).map(|at| at * MIB + 7..at * MIB + 9).collect();
            plan(&held, &wanted, asked)
        };
        let whole = strewn(112 * MIB, 10);
        assert_eq!((whole.len(), whole[0].start, whole[3].end), (4, MIB, 112 * MIB));
        assert_eq!(strewn(40 * MIB, 3).len(), 5, "no part is longer than it need be");
        assert_eq!(strewn(112 * MIB, 100).len(), 4);
        assert_eq!(strewn(200 * MIB, 10).len(), 199);
        assert_eq!(strewn(10 * MIB, 2).len(), 9);
    }
}
