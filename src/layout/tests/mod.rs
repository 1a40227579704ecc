//! Whole images: tiling, page rules, and what independent readers make of them.

use super::pages::{PAGE, Pages, within_page};

/// Holds the page rules against everything that was placed.
pub(super) fn check_pieces(pages: &Pages) {
    let mut end = 0;
    let mut pieces = pages.pieces.clone();
    pieces.sort_unstable();
    for (start, len) in pieces {
        assert!(start >= end, "{start} overlaps what ends at {end}");
        assert!(len >= PAGE || within_page(start, len), "{len} bytes at {start} straddle a page");
        end = start + len;
    }
    for start in &pages.headers {
        assert!(start % PAGE <= PAGE - 512, "a header at {start}");
    }
}
