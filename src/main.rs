//! The `h5mount` program: what it does stands in the library.

use std::process::ExitCode;

/// Planning and listing make millions of small allocations from several threads, which it takes in its stride. Without
/// huge pages: each of some 200 threads would hold 2 MiB of which it uses a few KiB (140 MB instead of 60 after a listing
/// of 20,000 names).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    h5mount::cli::main(std::env::args_os()).into()
}
