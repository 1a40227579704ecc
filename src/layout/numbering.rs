//! Which chunk stands at which element of a chunk index.
//!
//! Slots are numbered over the grid of the *current* extent, so that they are compact and an address is a chunk by one
//! division. libhdf5 numbers the elements of its array indexes otherwise: over the grid of the *maximal* extent, and
//! in an extensible array with the unlimited dimension moved to the front. This is the map between the two.

use crate::model::grid::Grid;
use crate::model::limits::RANK;

/// The numbering of an index's elements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Numbering {
    /// The dimensions from slowest to fastest.
    order: Vec<usize>,
    /// Chunks along each dimension as the index counts them, in the order of `order`.
    counts: Vec<u64>,
    /// Whether element n is chunk n.
    identity: bool,
}

impl Numbering {
    /// Elements numbered in C order over `counts` chunks a dimension, dimension `front` first. The count of the front
    /// dimension does not matter to the numbers: it may grow without limit.
    pub(crate) fn new(grid: &Grid, counts: &[u64], front: usize) -> Self {
        let mut order: Vec<usize> = (0..counts.len()).collect();
        if front < order.len() {
            let first = order.remove(front);
            order.insert(0, first);
        }
        let counts: Vec<u64> = order.iter().map(|&dimension| counts[dimension]).collect();
        let identity = front == 0 && grid.counts().get(1..) == counts.get(1..);
        Numbering { order, counts, identity }
    }

    /// Elements that chunks of `grid` reach: one more than the number of the last. `None` past `u64`.
    pub(crate) fn reach(&self, grid: &Grid) -> Option<u64> {
        let (&front, rest) = self.order.split_first()?;
        if grid.total() == 0 {
            return Some(0);
        }
        let mut last = grid.counts().get(front)?.checked_sub(1)?;
        for (&dimension, &count) in rest.iter().zip(self.counts.get(1..)?) {
            last = last.checked_mul(count)?.checked_add(grid.counts().get(dimension)?.checked_sub(1)?)?;
        }
        last.checked_add(1)
    }

    /// Calls `each` for the elements from `first` on, `count` of them, with the number of the chunk that stands there
    /// or `None` where the current extent has no such chunk.
    pub(crate) fn walk(&self, grid: &Grid, first: u64, count: u64, mut each: impl FnMut(Option<u64>)) {
        if self.identity {
            (first..first.saturating_add(count)).for_each(|number| each((number < grid.total()).then_some(number)));
            return;
        }
        let rank = self.order.len().min(RANK);
        let mut position = [0u64; RANK];
        let mut rest = first;
        for level in (1..rank).rev() {
            // A count of 0 means an extent that can never hold a chunk; no element of it is asked for.
            let extent = self.counts[level].max(1);
            position[level] = rest % extent;
            rest /= extent;
        }
        position[0] = rest;
        let mut coordinates = [0u64; RANK];
        for _ in 0..count {
            for level in 0..rank {
                coordinates[self.order[level]] = position[level];
            }
            each(grid.number(&coordinates[..rank]));
            for level in (0..rank).rev() {
                position[level] += 1;
                if level == 0 || position[level] < self.counts[level] {
                    break;
                }
                position[level] = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(numbering: &Numbering, grid: &Grid, count: u64) -> Vec<Option<u64>> {
        let mut seen = Vec::new();
        numbering.walk(grid, 0, count, |chunk| seen.push(chunk));
        seen
    }

    #[test]
    fn a_fixed_array_counts_over_the_maximal_extent() {
        let grid = Grid::new(&[2, 2], &[1, 1]).unwrap();
        let numbering = Numbering::new(&grid, &[3, 4], 0);
        assert_eq!(numbering.reach(&grid), Some(6));
        let expected = [Some(0), Some(1), None, None, Some(2), Some(3), None, None, None, None, None, None];
        assert_eq!(all(&numbering, &grid, 12), expected);
    }

    #[test]
    fn an_extensible_array_counts_its_unlimited_dimension_slowest() {
        let grid = Grid::new(&[2, 3], &[1, 1]).unwrap();
        let numbering = Numbering::new(&grid, &[2, u64::MAX], 1);
        assert_eq!(numbering.reach(&grid), Some(6));
        assert_eq!(all(&numbering, &grid, 7), [Some(0), Some(3), Some(1), Some(4), Some(2), Some(5), None]);
    }

    #[test]
    fn a_walk_may_start_anywhere() {
        let grid = Grid::new(&[5, 2, 3], &[1, 1, 1]).unwrap();
        let numbering = Numbering::new(&grid, &[0, 4, 3], 0);
        let whole = all(&numbering, &grid, 70);
        for first in 0..60 {
            let mut seen = Vec::new();
            numbering.walk(&grid, first, 10, |chunk| seen.push(chunk));
            assert_eq!(seen, whole[first as usize..first as usize + 10]);
        }
    }
}
