//! The `h5mount` program.

fn main() {}
