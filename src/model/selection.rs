//! Selections: a part of a dataset's elements, as region references name it.

/// Part of a dataspace. Every list has one entry a dimension; `end` is the last element, not one past it.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Selection {
    /// Nothing.
    None,
    /// Everything.
    All,
    /// Single elements.
    Points {
        /// Dimensions.
        rank: u32,
        /// Coordinates, a point after the other; `rank` numbers each.
        coordinates: Vec<u64>,
    },
    /// Boxes, in the order given.
    Blocks {
        /// Dimensions.
        rank: u32,
        /// First and last corner of each box: `rank` numbers for the first, `rank` for the last.
        corners: Vec<u64>,
    },
}
