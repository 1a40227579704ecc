//! Dataspaces: how many elements, in which shape.

/// The extent of a dataset or an attribute (specification IV.A.2.b).
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Dataspace {
    /// No element at all.
    Null,
    /// One element, no dimension.
    Scalar,
    /// An array.
    Simple {
        /// Current extents, slowest first; at least one dimension, an extent may be 0.
        dims: Vec<u64>,
        /// Extents it may grow to, `None` for no limit; as many as `dims`.
        max_dims: Vec<Option<u64>>,
    },
}

impl Dataspace {
    /// An array that cannot be resized.
    pub fn fixed(dims: Vec<u64>) -> Self {
        let max_dims = dims.iter().map(|&dim| Some(dim)).collect();
        Dataspace::Simple { dims, max_dims }
    }

    /// Current extents; empty for a scalar and for none.
    pub fn dims(&self) -> &[u64] {
        match self {
            Dataspace::Simple { dims, .. } => dims,
            _ => &[],
        }
    }

    /// Number of elements now, `None` where it passes `u64`.
    pub fn elements(&self) -> Option<u64> {
        match self {
            Dataspace::Null => Some(0),
            Dataspace::Scalar => Some(1),
            Dataspace::Simple { dims, .. } if dims.contains(&0) => Some(0),
            Dataspace::Simple { dims, .. } => dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)),
        }
    }
}
