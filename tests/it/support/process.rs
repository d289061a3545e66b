//! The binary as a process: its exit code, its streams, its peak memory, and signals.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What a finished process left.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Results.
    pub stdout: String,
    /// Progress and logs.
    pub stderr: String,
}

impl Outcome {
    /// The same outcome, which must have this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "a panic reached the user: {}", self.stderr);
        self
    }

    /// The one JSON document on stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is no JSON ({e}): {}\nstderr: {}", self.stdout, self.stderr))
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

/// A process under way.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts the binary in `dir`, with no AWS settings but those given.
    pub fn start(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_s3sync"));
        command.current_dir(dir).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars() {
            if name.starts_with("AWS_") || name.starts_with("S3SYNC_") {
                command.env_remove(name);
            }
        }
        // No profile and no metadata service of the machine's may answer for a test.
        command.envs([
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ]);
        command.envs(env.iter().copied());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Running { child, stdout, stderr }
    }

    /// Sends a signal by name, `INT` or `KILL`.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).stderr(Stdio::null()).status();
        status.expect("kill is on every machine");
    }

    /// Whether it is still under way.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// Peak resident bytes so far (`VmHWM`, proc(5)); `None` once it has ended.
    pub fn peak_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? * 1024)
    }

    /// Waits for the end. A process that takes ten minutes hangs.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let started = Instant::now();
        while self.is_running() {
            if started.elapsed() > Duration::from_secs(600) {
                self.signal("KILL");
                panic!("the process hangs");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = self.child.wait().expect("our child").code();
        let text =
            |thread: Option<JoinHandle<String>>| thread.map(|t| t.join().expect("read to the end")).unwrap_or_default();
        Outcome { code, stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A killed process may cut a stream; what came is kept.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
