//! The `s3sync` binary: see [`s3sync::cli`] for its grammar and [`s3sync::command`] for what it does.

use std::process::ExitCode;

/// Batches and parts are megabytes that live for milliseconds. The system's allocator maps and unmaps each of them,
/// which costs a page fault every 4 KiB; this one keeps them for the next.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How the allocator keeps memory that is free, which counts as the process's own: in one arena, because batches are
/// made on one thread and dropped on another and an arena's free pages serve nobody else, also those of 8 MiB and more,
/// and for a fifth of a second, given back by a thread of its own: sooner costs page faults, later costs memory.
/// `_RJEM_MALLOC_CONF` in the environment overrides it.
#[allow(unsafe_code)] // jemalloc looks for a pointer to text by this name
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_OPTIONS: &[u8; 90] =
    b"narenas:1,background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0,oversize_threshold:0\0";

fn main() -> ExitCode {
    s3sync::command::main()
}
