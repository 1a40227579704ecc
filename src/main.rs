//! The `h5mount` program: what it does stands in the library.

use std::process::ExitCode;

/// Planning and listing make millions of small allocations from several threads, which it takes in its stride.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    h5mount::cli::main(std::env::args_os()).into()
}
