//! The Python process that reads outputs back (`tests/oracle.py`), one for all tests.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Value, json};

struct Oracle {
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Calls a function of `tests/oracle.py`. Panics with Python's traceback when it raises.
#[track_caller]
pub fn call(name: &str, mut arguments: Value) -> Value {
    static ORACLE: OnceLock<Mutex<Oracle>> = OnceLock::new();
    arguments["call"] = json!(name);
    let line = {
        let mut oracle = ORACLE.get_or_init(|| Mutex::new(start())).lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(oracle.requests, "{arguments}").expect("the oracle reads");
        let mut line = String::new();
        oracle.answers.read_line(&mut line).expect("the oracle answers");
        line
    };
    let mut answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("the oracle answered {line:?}: {e}"));
    match answer.get("error") {
        Some(error) => panic!("{name}: {}", error.as_str().unwrap_or_default()),
        None => answer["ok"].take(),
    }
}

/// Runs Python with `values` as variables, and pyarrow, duckdb and the oracle's functions in scope; gives its `result`.
#[track_caller]
pub fn python(code: &str, mut values: Value) -> Value {
    values["code"] = json!(code);
    call("run", values)
}

fn start() -> Oracle {
    let python = std::env::var("S3SYNC_TEST_PYTHON")
        .expect("S3SYNC_TEST_PYTHON is not set: run tests/run, which prepares what the tests need");
    let mut child = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the oracle starts");
    let requests = child.stdin.take().expect("piped");
    let answers = BufReader::new(child.stdout.take().expect("piped"));
    // It ends when its stdin closes, with this process.
    std::mem::drop(child);
    Oracle { requests, answers }
}
