//! The `s3sync` binary: see [`s3sync::cli`] for its grammar and [`s3sync::command`] for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    s3sync::command::main()
}
