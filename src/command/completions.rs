//! `s3sync completions`: a shell's completion script.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::command::CommandError;

/// Prints the script for `shell`.
pub fn execute(shell: Shell) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "s3sync", &mut script);
    crate::command::print(&String::from_utf8_lossy(&script))
}
