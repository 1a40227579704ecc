//! Any text as a selection, over any extents: an error, or a part whose chunks hold just its elements.

#![no_main]

use h5mount::model::grid::Grid;
use h5mount::model::hyperslab::Hyperslab;
use libfuzzer_sys::fuzz_target;

/// Chunks walked over for one input.
const CHUNKS: u64 = 1000;

fuzz_target!(|input: (Vec<(u64, u64)>, String)| {
    let (shape, text) = input;
    let (dims, chunk): (Vec<u64>, Vec<u64>) = shape.into_iter().take(32).unzip();
    let Ok(slab) = Hyperslab::parse(&text, &dims) else { return };
    let Some(grid) = Grid::new(&dims, &chunk) else { return };
    for touched in slab.chunks(&grid).take(CHUNKS as usize) {
        assert!(grid.number(&touched.coordinates).is_some());
    }
    if slab.chunk_count(&grid).is_some_and(|count| count <= CHUNKS) {
        let sum = slab.chunks(&grid).fold(0u64, |sum, touched| sum.saturating_add(touched.elements));
        assert_eq!(sum, slab.elements().unwrap_or(u64::MAX));
    }
});
