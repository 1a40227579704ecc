//! Requests and bytes that reading a box of elements takes.

use std::ops::Range;

use serde::Serialize;

use crate::model::grid::Grid;

/// Chunks, or runs of elements, that are looked at one by one for one number: a tenth of a second. Of more, the first so
/// many stand for the others.
const LOOKED_AT: u64 = 1 << 20;

/// What reading something takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Cost {
    /// Requests.
    pub requests: u64,
    /// Bytes that they bring.
    pub bytes: u64,
}

/// How datasets are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// One point, at every place along an axis.
    Series,
    /// Everything at one place along it.
    Map,
    /// Everything.
    Scan,
}

/// A box of elements: a range in each dimension.
pub type Span = Vec<Range<u64>>;

/// The axis of a series: the first dimension that may grow without limit, else the first.
pub fn axis(max_dims: &[Option<u64>]) -> usize {
    max_dims.iter().position(Option::is_none).unwrap_or(0)
}

/// What is read of an array of these extents. Single places are in the middle: what lies at an edge may be smaller.
pub fn span(reading: Reading, dims: &[u64], axis: usize) -> Span {
    let whole = dims.iter().enumerate().map(|(dim, &extent)| {
        let one = extent / 2..(extent / 2 + 1).min(extent);
        match reading {
            Reading::Scan => 0..extent,
            Reading::Series => {
                if dim == axis {
                    0..extent
                } else {
                    one
                }
            }
            Reading::Map => {
                if dim == axis {
                    one
                } else {
                    0..extent
                }
            }
        }
    });
    whole.collect()
}

/// The chunks that a box lies in, as a range of chunk coordinates in each dimension.
fn chunks(grid: &Grid, span: &[Range<u64>]) -> Span {
    span.iter().zip(grid.chunk()).map(|(range, chunk)| range.start / chunk..range.end.div_ceil(*chunk)).collect()
}

/// How many places a box has.
fn places(span: &[Range<u64>]) -> u64 {
    span.iter().fold(1, |product: u64, range| product.saturating_mul(range.end.saturating_sub(range.start)))
}

/// Number of chunks that a box lies in, written or not.
pub fn touched(grid: &Grid, span: &[Range<u64>]) -> u64 {
    if grid.total() == 0 { 0 } else { places(&chunks(grid, span)) }
}

/// What it takes to read a box of a chunked dataset where each chunk is a request of its own; `stored` tells the bytes of
/// the chunk at some coordinates, `None` where nothing was written.
pub fn of_chunks(grid: &Grid, span: &[Range<u64>], stored: &dyn Fn(&[u64]) -> Option<u64>) -> Cost {
    let all = touched(grid, span);
    let mut cost = Cost::default();
    each(&chunks(grid, span), all.min(LOOKED_AT), &mut |at| {
        if let Some(bytes) = stored(at) {
            cost.requests += 1;
            cost.bytes = cost.bytes.saturating_add(bytes);
        }
    });
    cost.scaled(all, all.min(LOOKED_AT))
}

/// What it takes to read a box of elements that lie in one piece, in C order, for a reader that asks for `window` bytes at
/// least and keeps the last ones it got.
pub fn of_piece(dims: &[u64], element: u64, span: &[Range<u64>], window: u64) -> Cost {
    let total = dims.iter().fold(element, |product, &dim| product.saturating_mul(dim));
    if places(span) == 0 || total == 0 {
        return Cost::default();
    }
    // Trailing dimensions that are read whole make runs longer.
    let whole = |(range, dim): &(&Range<u64>, &u64)| range.start == 0 && range.end == **dim;
    let trailing = span.iter().zip(dims).rev().take_while(whole).count();
    let cut = dims.len().saturating_sub(trailing + 1);
    let (outer, inner) = span.split_at_checked(cut).unwrap_or((&[], span));
    let run = places(inner).saturating_mul(element);
    let all = places(outer);
    let (mut cost, mut held) = (Cost::default(), 0..0);
    each(outer, all.min(LOOKED_AT), &mut |at| {
        // Where the run begins: the place in the outer dimensions, and the first one in the others.
        let first = at.iter().copied().chain(inner.iter().map(|range| range.start));
        let place = first.zip(dims).fold(0u64, |place, (at, &dim)| place.saturating_mul(dim).saturating_add(at));
        let start = place.saturating_mul(element);
        let end = start.saturating_add(run);
        if held.start <= start && end <= held.end {
            return;
        }
        let end = end.max(start.saturating_add(window)).min(total);
        cost.requests += 1;
        cost.bytes = cost.bytes.saturating_add(end - start);
        held = start..end;
    });
    cost.scaled(all, all.min(LOOKED_AT))
}

impl Cost {
    /// What all of something cost of which only a part was looked at.
    fn scaled(self, all: u64, part: u64) -> Cost {
        let scale = |count: u64| {
            let scaled = u128::from(count) * u128::from(all) / u128::from(part.max(1));
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        Cost { requests: scale(self.requests), bytes: scale(self.bytes) }
    }
}

/// Tells the first `count` places of a box, in C order.
fn each(span: &[Range<u64>], count: u64, found: &mut dyn FnMut(&[u64])) {
    let mut at: Vec<u64> = span.iter().map(|range| range.start).collect();
    for _ in 0..count {
        found(&at);
        for (place, range) in at.iter_mut().zip(span).rev() {
            *place += 1;
            if *place < range.end {
                break;
            }
            *place = range.start;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Every element of a box, as coordinates.
    fn elements(span: &[Range<u64>]) -> Vec<Vec<u64>> {
        let mut all = Vec::new();
        each(span, places(span), &mut |at| all.push(at.to_vec()));
        all
    }

    /// Extents, chunk extents and a box inside.
    fn boxes() -> impl Strategy<Value = (Vec<u64>, Vec<u64>, Span)> {
        let dimension = (1u64..7, 1u64..5, 0u64..7, 0u64..7).prop_map(|(dim, chunk, from, len)| {
            let from = from % dim;
            (dim, chunk, from..(from + len).min(dim))
        });
        prop::collection::vec(dimension, 0..4).prop_map(|dimensions| {
            let (mut dims, mut chunk, mut span) = (Vec::new(), Vec::new(), Vec::new());
            for (dim, extent, range) in dimensions {
                dims.push(dim);
                chunk.push(extent);
                span.push(range);
            }
            (dims, chunk, span)
        })
    }

    proptest! {
        #[test]
        fn chunks_are_those_of_the_elements((dims, chunk, span) in boxes(), holes in 0u64..4) {
            let grid = Grid::new(&dims, &chunk).unwrap();
            let stored = |at: &[u64]| {
                let number = grid.number(at).unwrap();
                (number % 4 != holes).then_some(number + 1)
            };
            let mut numbers = BTreeSet::new();
            for element in elements(&span) {
                let at: Vec<u64> = element.iter().zip(&chunk).map(|(at, chunk)| at / chunk).collect();
                numbers.insert(grid.number(&at).unwrap());
            }
            let written: Vec<u64> = numbers.iter().copied().filter(|number| number % 4 != holes).collect();
            let bytes = written.iter().map(|number| number + 1).sum();
            if numbers.is_empty() {
                // A range that ends where it begins may still begin inside a chunk.
                prop_assert_eq!(places(&span), 0);
            } else {
                prop_assert_eq!(touched(&grid, &span), numbers.len() as u64);
                let cost = of_chunks(&grid, &span, &stored);
                prop_assert_eq!(cost, Cost { requests: written.len() as u64, bytes });
            }
        }

        #[test]
        fn runs_are_those_of_the_elements((dims, _, span) in boxes(), element in 1u64..4, window in 0u64..40) {
            let total = dims.iter().product::<u64>() * element;
            // Element by element: neighbours make a run, and a run is asked for where it is not held.
            let mut runs: Vec<Range<u64>> = Vec::new();
            for at in elements(&span) {
                let place = at.iter().zip(&dims).fold(0, |place, (at, dim)| place * dim + at) * element;
                match runs.last_mut() {
                    Some(run) if run.end == place => run.end += element,
                    _ => runs.push(place..place + element),
                }
            }
            let (mut wanted, mut held) = (Cost::default(), 0..0);
            for run in runs {
                if held.start <= run.start && run.end <= held.end {
                    continue;
                }
                let end = run.end.max(run.start + window).min(total);
                wanted.requests += 1;
                wanted.bytes += end - run.start;
                held = run.start..end;
            }
            prop_assert_eq!(of_piece(&dims, element, &span, window), wanted);
        }
    }

    #[test]
    fn a_series_goes_along_what_grows() {
        assert_eq!(axis(&[Some(3), None, None]), 1);
        assert_eq!(axis(&[Some(3), Some(4)]), 0);
        assert_eq!(axis(&[]), 0);
        let dims = [10, 7, 4];
        assert_eq!(span(Reading::Series, &dims, 1), [5..6, 0..7, 2..3]);
        assert_eq!(span(Reading::Map, &dims, 1), [0..10, 3..4, 0..4]);
        assert_eq!(span(Reading::Scan, &dims, 1), [0..10, 0..7, 0..4]);
        // Of nothing, nothing is read.
        assert_eq!(places(&span(Reading::Series, &[0, 5], 0)), 0);
    }

    #[test]
    fn more_than_is_looked_at_is_scaled() {
        let grid = Grid::new(&[1 << 40], &[1]).unwrap();
        let whole = span(Reading::Scan, grid.dims(), 0);
        let cost = of_chunks(&grid, &whole, &|at| (at[0] % 2 == 0).then_some(8));
        assert_eq!(cost, Cost { requests: 1 << 39, bytes: 1 << 42 });
    }

    #[test]
    fn a_scalar_is_one_run() {
        assert_eq!(of_piece(&[], 8, &[], 0), Cost { requests: 1, bytes: 8 });
        let grid = Grid::new(&[], &[]).unwrap();
        assert_eq!(of_chunks(&grid, &[], &|_| Some(8)), Cost { requests: 1, bytes: 8 });
    }
}
