use std::collections::HashSet;

use super::*;

/// Reads chunks in this order as a program does that waits for each: what was asked for arrives a round trip later.
struct Walk {
    trips: usize,
    asked: HashSet<u64>,
    wasted: usize,
}

fn walk(counts: &[u64], room: usize, order: impl IntoIterator<Item = u64>) -> Walk {
    let mut pattern = Pattern::new(counts);
    // By chunk, the trip that it comes with.
    let mut coming = std::collections::HashMap::new();
    let mut walk = Walk { trips: 0, asked: HashSet::new(), wasted: 0 };
    let mut touched = HashSet::new();
    for number in order {
        let wishes = pattern.touch(number, room);
        let begun = walk.trips;
        let trip = *coming.entry(number).or_insert(begun + 1);
        for wish in wishes.ask {
            walk.asked.insert(wish);
            assert!(wish < counts.iter().product());
            coming.entry(wish).or_insert(begun + 1);
        }
        walk.trips = walk.trips.max(trip);
        touched.insert(number);
    }
    walk.wasted = walk.asked.difference(&touched).count();
    walk
}

fn at(counts: &[u64], place: &[u64]) -> u64 {
    super::number(counts, place)
}

#[test]
fn a_scan_waits_for_the_first_chunks_only_and_wastes_nothing() {
    let forward = walk(&[512], 64, 0..512);
    assert_eq!((forward.asked.len(), forward.wasted), (510, 0));
    assert!(forward.trips <= 14, "{}", forward.trips);
    let backward = walk(&[512], 64, (0..512).rev());
    assert_eq!((backward.trips, backward.wasted), (forward.trips, 0));
}

#[test]
fn a_series_along_a_short_axis_costs_two_round_trips() {
    for length in [7, 9] {
        let counts = [length, 300, 300];
        let series = walk(&counts, 64, (0..length).map(|time| at(&counts, &[time, 20, 31])));
        assert_eq!((series.trips, series.wasted), (2, 0));
        let backward = walk(&counts, 64, (0..length).rev().map(|time| at(&counts, &[time, 20, 31])));
        assert_eq!((backward.trips, backward.wasted), (2, 0));
    }
    let counts = [10, 300, 300];
    let series = walk(&counts, 64, (0..10).map(|time| at(&counts, &[time, 20, 31])));
    assert_eq!((series.trips, series.wasted), (3, 0));
}

#[test]
fn what_is_wasted_at_an_early_end_is_no_more_than_what_was_read() {
    for read in 1..200 {
        let early = walk(&[1000], 64, 0..read);
        assert!(early.wasted as u64 <= read.max(4), "{read}: {}", early.wasted);
    }
}

#[test]
fn a_stride_is_followed_from_its_third_touch() {
    let strided = walk(&[1000], 64, (0..1000).step_by(7));
    assert_eq!(strided.wasted, 0);
    assert_eq!(strided.asked.len(), 143 - 3);
}

#[test]
fn wheels_are_learned_as_they_turn_over() {
    let counts = [6, 7, 8];
    let whole = walk(&counts, 64, 0..6 * 7 * 8);
    assert_eq!(whole.wasted, 0);
    // A box within, and the same with the slowest axis first.
    let boxed = (1..5).flat_map(|a| (2..6).flat_map(move |b| (3..7).map(move |c| [a, b, c])));
    let within = walk(&counts, 64, boxed.clone().map(|place| at(&counts, &place)));
    // Behind the end of each axis of the box, once: a chunk, a row, a plane.
    assert!(within.wasted <= 1 + 4 + 16, "{}", within.wasted);
    assert!(within.trips < 24, "{}", within.trips);
    let turned = boxed.map(|[a, b, c]| at(&counts, &[c.min(5), b, a]));
    assert!(walk(&counts, 64, turned).trips < 24);
}

#[test]
fn readers_who_take_turns_are_told_apart() {
    let order = (0..100).flat_map(|step| [step, 300 + step, 900 - step]);
    let shared = walk(&[1000], 64, order);
    // What was asked for ahead of each of the three when they stopped.
    assert!((3 * 48..=3 * 64).contains(&shared.wasted), "{}", shared.wasted);
    assert!(shared.trips < 20, "{}", shared.trips);
}

#[test]
fn reads_here_and_there_ask_for_next_to_nothing() {
    let mut random = fastrand::Rng::with_seed(1);
    for grid in [vec![512], vec![100_000], vec![50, 40, 30]] {
        let total: u64 = grid.iter().product();
        let reads = walk(&grid, 64, std::iter::repeat_with(|| random.u64(..total)).take(400));
        assert!(reads.asked.len() <= 8, "{grid:?}: {}", reads.asked.len());
    }
    // So near to each other that chance makes many neighbours.
    let wasted = |seed| {
        let mut rows: Vec<u64> = (0..512).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut rows);
        walk(&[512], 64, rows.into_iter().take(200)).wasted
    };
    let wasted: usize = (0..20).map(wasted).sum();
    assert!(wasted <= 10, "{wasted} chunks of 20 times 200 reads");
    // Who then reads on is followed all the same.
    let scan = (0..64).map(|step| step * 7919 % 10_000).chain(100..200);
    assert!(walk(&[10_000], 64, scan).asked.len() >= 96);
}

#[test]
fn pieces_of_a_chunk_and_disorder_change_nothing() {
    let order = (0..100u64).flat_map(|step| [step * 2, step * 2 + 1, step * 2, step * 2]);
    let pieces = walk(&[200], 64, order);
    assert_eq!((pieces.asked.len(), pieces.wasted), (198, 0));
    let order = [0, 1, 3, 2, 5, 4, 6, 8, 7, 9, 10, 11];
    assert_eq!(walk(&[12], 64, order).wasted, 0);
}

#[test]
fn what_ended_is_forgotten_and_what_was_refused_is_asked_for_again() {
    let mut pattern = Pattern::new(&[100_000]);
    pattern.touch(0, 64);
    assert_eq!(pattern.touch(1, 64).ask, [2, 3, 4, 5]);
    pattern.refused(4);
    assert_eq!(pattern.touch(2, 64).ask, [4, 6]);
    pattern.doubt(|number| number != 5);
    assert_eq!(pattern.touch(3, 64).ask, [5, 7]);
    let mut forgotten = Vec::new();
    for touch in 0..LATEST + 2 {
        forgotten.extend(pattern.touch(50_000 - touch * touch % 40_001, 0).forget);
    }
    forgotten.sort_unstable();
    assert_eq!(forgotten, [4, 5, 6, 7]);
}

#[test]
fn a_grid_without_axes_has_one_chunk_and_no_next() {
    let mut pattern = Pattern::new(&[]);
    assert_eq!(pattern.touch(0, 64), Wishes::default());
    assert_eq!(pattern.touch(0, 64), Wishes::default());
}
