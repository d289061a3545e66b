//! The `s3sync` binary: see [`s3sync::cli`] for its grammar and [`s3sync::command`] for what it does.

use std::process::ExitCode;

/// Batches and parts are megabytes that live for milliseconds. The system's allocator maps and unmaps each of them, which costs a page fault
/// every 4 KiB; this one keeps them for the next.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    s3sync::command::main()
}
