//! Wanted ranges of one object to the requests that bring them. Pure.
//!
//! Neighbours over a small gap share a request, and a long range is cut into parts that come at the same time. What a
//! reader waits for is asked for before what is read ahead, and never waits for more than its neighbours in want.

use std::ops::Range;

use crate::store::Urgency;

/// What is wanted of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Bytes of the object; not empty.
    pub range: Range<u64>,
    /// For whom.
    pub urgency: Urgency,
}

/// What requests cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Bytes between two wanted ranges that are fetched rather than asked around.
    pub gap: u64,
    /// Bytes of one request, beyond which another one is made beside it.
    pub part: u64,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Bytes of the object.
    pub range: Range<u64>,
    /// Which of the wanted ranges lie in it, whole or in part.
    pub wanted: Vec<usize>,
    /// The most urgent of them.
    pub urgency: Urgency,
}

/// Bytes in a gap, until costs are known: at 20 ms and 100 MB/s, a request costs as much as 2 MB; a thirtieth of it is
/// never felt.
const GAP: u64 = 64 << 10;
/// The least and the most of them. A page of the file's own format is always skipped over; a megabyte is what a chunk has.
const GAPS: (u64, u64) = (4 << 10, 1 << 20);
/// Bytes of a part, until costs are known.
const PART: u64 = 4 << 20;
/// The least and the most of them: below, requests cost more than bytes; above, one connection is all that is used.
const PARTS: (u64, u64) = (1 << 20, 8 << 20);
/// Neighbours share a request so long as what is wanted in one breath is so many requests. Sixteen: a stream asks for a quarter
/// of what is under way ahead of it, which then is as many as a store is asked for at a time.
const BREATH: u64 = 16;
/// And up to so many bytes in any case, as many as the least part has.
const SHARED: u64 = PARTS.0;
/// A part takes this many times the latency, so that waiting for its first byte is a fifth of it.
const LATENCIES: u64 = 4;
/// A gap takes this part of the latency.
const OF_LATENCY: u64 = 32;

impl Default for Costs {
    fn default() -> Self {
        Costs { gap: GAP, part: PART }
    }
}

impl Costs {
    /// Costs where a request's first byte takes `micros` microseconds and the others come at `bytes` a second.
    pub fn measured(micros: u64, bytes: u64) -> Costs {
        let within = u128::from(micros) * u128::from(bytes) / 1_000_000;
        let within = u64::try_from(within).unwrap_or(u64::MAX);
        Costs {
            gap: (within / OF_LATENCY).clamp(GAPS.0, GAPS.1),
            part: within.saturating_mul(LATENCIES).clamp(PARTS.0, PARTS.1),
        }
    }
}

/// The requests for what is wanted, in the order in which they are to be made. Bytes that are `coming` already, or with a more
/// urgent request, are no gap to fetch again.
pub fn coalesce(wanted: &[Wanted], coming: &[Range<u64>], costs: Costs) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for urgency in [Urgency::Demand, Urgency::Ahead] {
        let mut order: Vec<usize> = (0..wanted.len()).filter(|&index| wanted[index].urgency == urgency).collect();
        let sum = order
            .iter()
            .fold(0u64, |sum, &index| sum.saturating_add(wanted[index].range.end - wanted[index].range.start));
        let shared = (sum / BREATH).max(SHARED).min(costs.part);
        order.sort_by_key(|&index| (wanted[index].range.start, wanted[index].range.end));
        let begun = parts.len();
        for index in order {
            let range = &wanted[index].range;
            // What a more urgent request brings anyway.
            let inside = |part: &Part| part.range.start <= range.start && range.end <= part.range.end;
            if let Some(part) = parts.iter_mut().find(|part| inside(part)) {
                part.wanted.push(index);
                continue;
            }
            let Some((urgent, own)) = parts.split_at_mut_checked(begun) else { continue };
            let last = own.last_mut();
            let free = |gap: Range<u64>| {
                let meets = |other: &Range<u64>| other.start < gap.end && gap.start < other.end;
                gap.is_empty() || !coming.iter().chain(urgent.iter().map(|part| &part.range)).any(meets)
            };
            // The last of them may be the end of a long range that began before this one.
            if let Some(last) = last
                && last.range.start <= range.start
                && range.start <= last.range.end.saturating_add(costs.gap)
                && range.end.max(last.range.end) - last.range.start <= shared
                && free(last.range.end..range.start)
            {
                last.range.end = last.range.end.max(range.end);
                last.wanted.push(index);
                continue;
            }
            parts.extend(cut(range, costs.part).map(|range| Part { range, wanted: vec![index], urgency }));
        }
    }
    parts
}

/// A range in equal parts of `part` bytes or a little more.
fn cut(range: &Range<u64>, part: u64) -> impl Iterator<Item = Range<u64>> {
    let len = range.end - range.start;
    // One that is hardly longer than a part is not worth two requests.
    let parts = (len / part.max(1)).max(1);
    let size = len.div_ceil(parts);
    let (start, end) = (range.start, range.end);
    (0..parts).map(move |number| start + number * size..(start + (number + 1) * size).min(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COSTS: Costs = Costs { gap: 10, part: 100 };

    fn demand(range: Range<u64>) -> Wanted {
        Wanted { range, urgency: Urgency::Demand }
    }

    fn ahead(range: Range<u64>) -> Wanted {
        Wanted { range, urgency: Urgency::Ahead }
    }

    #[test]
    fn neighbours_share_a_request_up_to_a_part() {
        let wanted = [demand(30..50), demand(0..20), demand(61..80), demand(75..99), demand(105..120)];
        let ranges: Vec<_> = coalesce(&wanted, &[], COSTS).into_iter().map(|part| part.range).collect();
        assert_eq!(ranges, [0..50, 61..120]);
        let wanted = [demand(0..60), demand(60..120)];
        assert_eq!(coalesce(&wanted, &[], COSTS).len(), 2);
    }

    #[test]
    fn large_neighbours_come_side_by_side_and_small_ones_together() {
        let run = |count: u64, size: u64| (0..count).map(|at| ahead(at * size..(at + 1) * size)).collect::<Vec<_>>();
        let requests = |count, size| coalesce(&run(count, size), &[], Costs::default()).len();
        // A part has room for two of them, and more connections bring them sooner.
        assert_eq!(requests(14, 2_000_000), 14);
        assert_eq!(requests(48, 400_000), 16);
        assert_eq!(requests(48, 20_000), 1);
        // Of so many that they queue, no more than a part has room for.
        assert_eq!(requests(192, 1 << 20), 48);
    }

    #[test]
    fn demand_goes_first_and_takes_along_only_what_it_holds() {
        let wanted = [ahead(0..20), demand(20..40), ahead(25..30), ahead(40..60)];
        let parts = coalesce(&wanted, &[], COSTS);
        assert_eq!(parts[0], Part { range: 20..40, wanted: vec![1, 2], urgency: Urgency::Demand });
        assert_eq!(parts[1], Part { range: 0..20, wanted: vec![0], urgency: Urgency::Ahead });
        assert_eq!(parts[2], Part { range: 40..60, wanted: vec![3], urgency: Urgency::Ahead });
    }

    #[test]
    fn what_comes_already_is_not_fetched_again_between_two_ranges() {
        let ranges = |wanted: &[Wanted], coming: &[(u64, u64)]| -> Vec<_> {
            let coming: Vec<_> = coming.iter().map(|&(start, end)| start..end).collect();
            coalesce(wanted, &coming, COSTS).into_iter().map(|part| (part.range.start, part.range.end)).collect()
        };
        let wanted = [ahead(0..20), ahead(25..40), ahead(45..60)];
        assert_eq!(ranges(&wanted, &[]), [(0, 60)]);
        assert_eq!(ranges(&wanted, &[(20, 25)]), [(0, 20), (25, 60)]);
        assert_eq!(ranges(&wanted, &[(60, 80), (0, 20)]), [(0, 60)]);
        let wanted = [ahead(0..20), demand(20..25), ahead(25..40)];
        assert_eq!(ranges(&wanted, &[]), [(20, 25), (0, 20), (25, 40)]);
    }

    #[test]
    fn a_long_range_comes_in_parts() {
        let parts = coalesce(&[demand(7..407)], &[], COSTS);
        assert_eq!(
            parts.iter().map(|part| part.range.clone()).collect::<Vec<_>>(),
            [7..107, 107..207, 207..307, 307..407]
        );
        assert_eq!(coalesce(&[demand(0..199)], &[], COSTS).len(), 1);
    }

    #[test]
    fn costs_follow_what_is_measured_within_bounds() {
        // 20 ms and 100 MB/s.
        assert_eq!(Costs::measured(20_000, 100_000_000), Costs { gap: 62_500, part: 8_000_000 });
        assert_eq!(Costs::measured(0, 0), Costs { gap: 4 << 10, part: 1 << 20 });
        assert_eq!(Costs::measured(u64::MAX, u64::MAX), Costs { gap: 1 << 20, part: 8 << 20 });
    }

    proptest! {
        #[test]
        fn everything_wanted_comes_and_little_else(
            wanted in prop::collection::vec((0u64..2000, 1u64..300, any::<bool>()), 0..40),
        ) {
            let wanted: Vec<_> = wanted
                .into_iter()
                .map(|(start, len, urgent)| match urgent {
                    true => demand(start..start + len),
                    false => ahead(start..start + len),
                })
                .collect();
            let parts = coalesce(&wanted, &[], COSTS);
            for (index, wanted) in wanted.iter().enumerate() {
                for byte in wanted.range.clone() {
                    prop_assert!(parts.iter().any(|part| part.range.contains(&byte) && part.wanted.contains(&index)));
                }
            }
            for part in &parts {
                prop_assert!(part.range.end - part.range.start < 2 * COSTS.part);
                let reached = |byte: &u64| part.wanted.iter().any(|&index| {
                    let range = &wanted[index].range;
                    range.start <= byte + COSTS.gap && *byte < range.end + COSTS.gap
                });
                prop_assert!(part.range.clone().all(|byte| reached(&byte)));
            }
            let demands = parts.iter().take_while(|part| part.urgency == Urgency::Demand).count();
            prop_assert!(parts[demands..].iter().all(|part| part.urgency == Urgency::Ahead));
        }
    }
}
