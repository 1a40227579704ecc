//! The chunk grid: which chunk an element lies in, and the number of a chunk in C order.

/// A dataset's extents cut into chunks of one shape; the last chunk of a dimension may hang over the edge.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Grid {
    dims: Vec<u64>,
    chunk: Vec<u64>,
    counts: Vec<u64>,
    total: u64,
}

impl Grid {
    /// A grid over `dims`, in chunks of `chunk`. `None` where the ranks differ, a chunk extent is 0 or there are more
    /// than `u64` chunks. Rank 0 is one chunk.
    pub fn new(dims: &[u64], chunk: &[u64]) -> Option<Self> {
        if dims.len() != chunk.len() || chunk.contains(&0) {
            return None;
        }
        let counts: Vec<u64> = dims.iter().zip(chunk).map(|(dim, chunk)| dim.div_ceil(*chunk)).collect();
        let total = if counts.contains(&0) {
            0
        } else {
            counts.iter().try_fold(1u64, |product, &count| product.checked_mul(count))?
        };
        Some(Grid { dims: dims.to_vec(), chunk: chunk.to_vec(), counts, total })
    }

    /// Extents of the dataset, in elements.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// Extents of a chunk, in elements.
    pub fn chunk(&self) -> &[u64] {
        &self.chunk
    }

    /// Chunks along each dimension.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Number of chunks.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Elements of one chunk, whole; `None` past `u64`.
    pub fn chunk_elements(&self) -> Option<u64> {
        self.chunk.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim))
    }

    /// Coordinates (in chunks) of chunk `number` in C order. `number` must be below [`Grid::total`].
    pub fn coordinates(&self, number: u64) -> Vec<u64> {
        debug_assert!(number < self.total);
        coordinates(&self.counts, number)
    }

    /// Number in C order of the chunk at `coordinates`; `None` outside the grid.
    pub fn number(&self, coordinates: &[u64]) -> Option<u64> {
        if coordinates.len() != self.counts.len() || self.total == 0 {
            return None;
        }
        let inside = coordinates.iter().zip(&self.counts).all(|(coordinate, count)| coordinate < count);
        inside.then(|| number(&self.counts, coordinates))
    }
}

/// Place number `number` in C order, of as many along each axis as `counts` says.
pub fn coordinates(counts: &[u64], mut number: u64) -> Vec<u64> {
    let mut coordinates = vec![0; counts.len()];
    for (coordinate, &count) in coordinates.iter_mut().zip(counts).rev() {
        *coordinate = number % count.max(1);
        number /= count.max(1);
    }
    coordinates
}

/// Number in C order of a place that is inside.
pub fn number(counts: &[u64], place: &[u64]) -> u64 {
    place.iter().zip(counts).fold(0, |number, (coordinate, count)| number * count + coordinate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_coordinates_are_inverse() {
        let grid = Grid::new(&[10, 7, 1], &[4, 7, 2]).unwrap();
        assert_eq!(grid.counts(), [3, 1, 1]);
        for number in 0..grid.total() {
            assert_eq!(grid.number(&grid.coordinates(number)), Some(number));
        }
        assert_eq!(grid.number(&[3, 0, 0]), None);
    }

    #[test]
    fn a_scalar_is_one_chunk_and_an_empty_extent_none() {
        assert_eq!(Grid::new(&[], &[]).unwrap().total(), 1);
        assert_eq!(Grid::new(&[5, 0], &[1, 1]).unwrap().total(), 0);
        assert_eq!(Grid::new(&[5], &[0]), None);
        assert_eq!(Grid::new(&[u64::MAX, u64::MAX], &[1, 1]), None);
    }
}
