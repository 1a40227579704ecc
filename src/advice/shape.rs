//! Extents of chunks that serve series and maps alike.

/// Extents of chunks of about `target` bytes for an array of `dims`, in elements of `element` bytes, such that a series
/// along `axis` touches about as many chunks as a map does: what R. Rew calls a balanced shape ("Chunking Data: Choosing
/// Shapes", Unidata, 2013). Halves whatever extent the dearer of both has, until a chunk is small enough.
pub fn balanced(dims: &[u64], element: u64, axis: usize, target: u64) -> Vec<u64> {
    let mut chunk: Vec<u64> = dims.iter().map(|&dim| dim.max(1)).collect();
    let bytes = |chunk: &[u64]| chunk.iter().fold(element.max(1), |product, &extent| product.saturating_mul(extent));
    while bytes(&chunk) > target {
        let counts: Vec<u64> = dims.iter().zip(&chunk).map(|(dim, extent)| dim.div_ceil(*extent)).collect();
        let of = |own: bool| {
            let chosen = counts.iter().enumerate().filter(|(dim, _)| (*dim == axis) == own);
            chosen.fold(1u64, |product, (_, &count)| product.saturating_mul(count))
        };
        // A series touches the chunks along its axis, so that halving there makes it dearer.
        let along = of(true) <= of(false);
        let largest = |along: bool| {
            let free = chunk.iter().enumerate().filter(|(dim, extent)| **extent > 1 && (*dim == axis) == along);
            // The one that is cut into fewest pieces; of equals the first.
            free.min_by_key(|(dim, _)| counts.get(*dim).copied()).map(|(dim, _)| dim)
        };
        let Some(dim) = largest(along).or_else(|| largest(!along)) else { break };
        if let Some(extent) = chunk.get_mut(dim) {
            *extent = extent.div_ceil(2);
        }
    }
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balanced_shape_costs_both_about_the_same() {
        let dims = [8760, 721, 1440];
        let chunk = balanced(&dims, 4, 0, 1 << 20);
        let bytes: u64 = chunk.iter().product::<u64>() * 4;
        assert!((1 << 18..=1 << 20).contains(&bytes), "{chunk:?}");
        let counts: Vec<u64> = dims.iter().zip(&chunk).map(|(dim, extent)| dim.div_ceil(*extent)).collect();
        let (series, map) = (counts[0], counts[1] * counts[2]);
        assert!(series <= 4 * map && map <= 4 * series, "{counts:?}");
    }

    #[test]
    fn what_is_small_stays_whole_and_what_has_one_axis_is_cut_along_it() {
        assert_eq!(balanced(&[100, 20], 8, 0, 1 << 20), [100, 20]);
        assert_eq!(balanced(&[1 << 24], 8, 0, 1 << 20), [1 << 17]);
        assert_eq!(balanced(&[0, 5], 8, 0, 1 << 20), [1, 5]);
        // Elements larger than a chunk should be are cut no further.
        assert_eq!(balanced(&[4, 4], 4 << 20, 1, 1 << 20), [1, 1]);
    }
}
