//! The command lines that users have: `kubectl`, `helm` and the binary as a kubectl plugin.

use std::process::{Command, Stdio};

/// What a command printed, and whether it succeeded.
#[derive(Debug)]
pub struct Printed {
    /// Its exit code was 0.
    pub ok: bool,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Results.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Printed {
    /// The same, which must have succeeded.
    #[track_caller]
    pub fn expect(self) -> Self {
        assert!(self.ok, "exit code {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr);
        self
    }

    /// Everything that was printed, which must hold each of `parts`.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        let all = format!("{}\n{}", self.stdout, self.stderr);
        for part in parts {
            assert!(all.contains(part), "{part:?} is not in:\n{all}");
        }
        self
    }
}

/// Runs a command, with `stdin` as its input.
#[track_caller]
pub fn run(program: &str, args: &[&str], stdin: Option<&str>) -> Printed {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{program}: {e}"));
    let mut input = child.stdin.take().expect("piped");
    // What it is given is far smaller than a pipe's buffer.
    std::io::Write::write_all(&mut input, stdin.unwrap_or_default().as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("our child");
    Printed {
        ok: output.status.success(),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// `kubectl ARGS`.
#[track_caller]
pub fn kubectl(args: &[&str]) -> Printed {
    run("kubectl", args, None)
}

/// `helm ARGS`.
#[track_caller]
pub fn helm(args: &[&str]) -> Printed {
    run("helm", args, None)
}

/// `s3sync ARGS`, the binary of this build on this machine.
#[track_caller]
pub fn s3sync(args: &[&str]) -> Printed {
    run(env!("CARGO_BIN_EXE_s3sync"), args, None)
}
