//! How a file is to be presented: the choices that are the user's, not the store's.

/// Options of [`plan`](super::plan). Two mounts with equal options show equal bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct PresentOptions {
    /// What the file says about filters.
    pub filters: FilterPresentation,
}

/// What the presented file says about the filters of its datasets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum FilterPresentation {
    /// Filters that every HDF5 library has (deflate, shuffle, fletcher32) are declared, and each chunk carries a mask
    /// that says "skipped", so that tools see the truth and the library need not inflate. Others are hidden.
    #[default]
    Declared,
    /// No filter is declared: every dataset reads as uncompressed, and a reader of a few bytes reads only these.
    Hidden,
    /// Stored bytes are handed on untouched where a library can read them: Blosc frames under filter 32001 (which needs
    /// its plugin), zlib streams of linked HDF5 files under their own filters. All else as in
    /// [`FilterPresentation::Declared`].
    Stored,
}
