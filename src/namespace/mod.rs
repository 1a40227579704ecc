//! The tree as users see it, versions of files, and their bytes.
