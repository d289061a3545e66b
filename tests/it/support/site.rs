//! One test's own place: a source bucket `raw`, a destination bucket `lake`, a manifest, and a state directory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Outcome, Running, call};

/// Where a test's objects are.
enum Place {
    /// `file:` endpoints: buckets are directories.
    Directory,
    /// A server that `tests/run` started, the MinIO mostly, with bucket names of the test's own.
    Server { raw: String, lake: String, endpoint: String },
}

/// One test's own place.
pub struct Site {
    dir: TempDir,
    place: Place,
}

impl Site {
    /// Buckets as directories.
    pub fn directory() -> Site {
        let site = Site { dir: TempDir::new().expect("a temporary directory"), place: Place::Directory };
        for bucket in ["data/raw", "data/lake"] {
            std::fs::create_dir_all(site.path(bucket)).expect("writable");
        }
        site
    }

    /// Buckets on MinIO.
    pub fn minio() -> Site {
        Site::server("S3SYNC_TEST_ENDPOINT")
    }

    /// Buckets on the server whose address is in this variable.
    pub fn server(variable: &str) -> Site {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let own = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let place =
            Place::Server { raw: format!("raw-{own}"), lake: format!("lake-{own}"), endpoint: required(variable) };
        let site = Site { dir: TempDir::new().expect("a temporary directory"), place };
        site.ask("make_bucket", json!({"bucket": site.raw()}));
        site.ask("make_bucket", json!({"bucket": site.lake()}));
        site
    }

    /// The server's address; empty for directories.
    pub fn endpoint(&self) -> &str {
        match &self.place {
            Place::Directory => "",
            Place::Server { endpoint, .. } => endpoint,
        }
    }

    /// Calls a function of `tests/oracle.py` about this site's server.
    #[track_caller]
    pub fn ask(&self, name: &str, arguments: Value) -> Value {
        call(name, merge(json!({"endpoint": self.endpoint()}), arguments))
    }

    /// A path below the test's temporary directory, which is also where the manifest is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Name of the source bucket.
    pub fn raw(&self) -> &str {
        match &self.place {
            Place::Directory => "raw",
            Place::Server { raw, .. } => raw,
        }
    }

    /// Name of the destination bucket.
    pub fn lake(&self) -> &str {
        match &self.place {
            Place::Directory => "lake",
            Place::Server { lake, .. } => lake,
        }
    }

    /// Puts an object into the source bucket.
    pub fn put(&self, key: &str, body: impl AsRef<[u8]>) {
        self.put_in(self.raw(), key, body);
    }

    /// Puts an object into a bucket.
    pub fn put_in(&self, bucket: &str, key: &str, body: impl AsRef<[u8]>) {
        let file = match self.place {
            Place::Directory => self.path("data").join(bucket).join(key),
            Place::Server { .. } => self.path("upload").join(key),
        };
        write(&file, body.as_ref());
        if let Place::Server { .. } = self.place {
            self.ask("put", json!({"bucket": bucket, "key": key, "file": file}));
            std::fs::remove_file(file).expect("just written");
        }
    }

    /// Removes an object from the source bucket.
    pub fn remove(&self, key: &str) {
        match self.place {
            Place::Directory => std::fs::remove_file(self.path("data/raw").join(key)).expect("it is there"),
            Place::Server { .. } => drop(self.ask("delete", json!({"bucket": self.raw(), "key": key}))),
        }
    }

    /// A directory with what stands visible in the destination bucket now.
    pub fn output(&self) -> PathBuf {
        match self.place {
            Place::Directory => self.path("data/lake"),
            Place::Server { .. } => {
                let copy = self.path("download");
                let _ = std::fs::remove_dir_all(&copy);
                std::fs::create_dir_all(&copy).expect("writable");
                self.ask("download", json!({"bucket": self.lake(), "dir": copy}));
                copy
            }
        }
    }

    /// Keys of the visible objects of the destination, state aside.
    pub fn keys(&self) -> Vec<String> {
        strings(call("files", json!({"dir": self.output()})))
    }

    /// Every row below a prefix of the destination, partition values among them, in a canonical order.
    #[track_caller]
    pub fn rows(&self, under: &str) -> Value {
        call("rows", json!({"dir": self.output(), "under": under}))
    }

    /// Column names and Arrow types of Parquet output.
    #[track_caller]
    pub fn types(&self, under: &str) -> Value {
        call("types", json!({"dir": self.output(), "under": under}))
    }

    /// A query by DuckDB; `FILES` in it is the list of visible files below a prefix.
    #[track_caller]
    pub fn sql(&self, under: &str, query: &str) -> Value {
        call("sql", json!({"dir": self.output(), "under": under, "query": query}))
    }

    /// A manifest document: `spec` with the site's buckets, endpoints and credentials where it names none.
    pub fn sync(&self, name: &str, spec: Value) -> Value {
        let (endpoint, secret) = match &self.place {
            Place::Directory => ("file:./data".to_owned(), Value::Null),
            Place::Server { endpoint, .. } => (endpoint.clone(), json!({"name": "minio"})),
        };
        let end = |bucket: &str, given: &Value| {
            let mut end = json!({"endpoint": endpoint, "secretRef": secret});
            if given.get("uri").is_none() {
                end["bucket"] = json!(bucket);
            }
            end
        };
        let defaults =
            json!({"source": end(self.raw(), &spec["source"]), "destination": end(self.lake(), &spec["destination"])});
        json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": name}, "spec": merge(defaults, spec)})
    }

    /// Writes the manifest `sync.yaml`: these documents, and the Secret of the site.
    pub fn manifest(&self, documents: &[Value]) {
        let mut text = String::new();
        if let Place::Server { .. } = self.place {
            text.push_str("apiVersion: v1\nkind: Secret\nmetadata: {name: minio}\n");
            text.push_str(
                "stringData: {AWS_ACCESS_KEY_ID: \"${TEST_KEY}\", AWS_SECRET_ACCESS_KEY: \"${TEST_SECRET}\"}\n",
            );
        }
        for document in documents {
            text.push_str("---\n");
            text.push_str(&serde_yaml::to_string(document).expect("JSON is YAML"));
        }
        write(&self.path("sync.yaml"), text.as_bytes());
    }

    /// Writes a manifest of one sync, named `sync`.
    pub fn only(&self, spec: Value) {
        self.manifest(&[self.sync("sync", spec)]);
    }

    /// Starts a verb over the manifest.
    pub fn start(&self, verb: &[&str], more: &[&str]) -> Running {
        self.start_with(verb, more, &[])
    }

    /// Starts a verb over the manifest, with more environment.
    pub fn start_with(&self, verb: &[&str], more: &[&str], env: &[(&str, &str)]) -> Running {
        let (key, secret) = match self.place {
            Place::Directory => Default::default(),
            Place::Server { .. } => (required("S3SYNC_TEST_ACCESS_KEY"), required("S3SYNC_TEST_SECRET_KEY")),
        };
        let mut all = vec![("TEST_KEY", key.as_str()), ("TEST_SECRET", secret.as_str())];
        all.extend(env);
        Running::start(self.dir.path(), &[verb, &["-f", "sync.yaml"], more].concat(), &all)
    }

    /// `s3sync run -f sync.yaml -o json`.
    #[track_caller]
    pub fn run(&self) -> Outcome {
        self.start(&["run"], &["-o", "json"]).wait()
    }

    /// A run that must succeed; the one sync of its report.
    #[track_caller]
    pub fn run_ok(&self) -> Value {
        self.run().expect(0).json()["syncs"][0].take()
    }

    /// A run that must fail with this exit code, leave nothing new visible, and not move the cursor.
    #[track_caller]
    pub fn run_fails(&self, code: i32) -> Outcome {
        let before = (self.keys(), self.epoch());
        let outcome = self.run().expect(code);
        assert_eq!((self.keys(), self.epoch()), before, "a failed run left something: {outcome:?}");
        outcome
    }

    /// The cursor's phase; empty without a cursor.
    pub fn phase(&self) -> String {
        let shown = self.start(&["state", "show"], &["-o", "json"]).wait();
        let value: Value = serde_json::from_str(&shown.stdout).unwrap_or_default();
        find(&value, "phase").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The epoch that the cursor has reached; 0 without a cursor.
    #[track_caller]
    pub fn epoch(&self) -> u64 {
        let shown = self.start(&["state", "show"], &["-o", "json"]).wait();
        if shown.code != Some(0) {
            return 0;
        }
        find(&shown.json(), "epoch").and_then(Value::as_u64).unwrap_or(0)
    }
}

/// `over` laid over `base`, objects recursively.
pub fn merge(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (name, value) in over {
                let merged = merge(base.remove(&name).unwrap_or(Value::Null), value);
                base.insert(name, merged);
            }
            Value::Object(base)
        }
        (_, over) => over,
    }
}

/// The first member of this name, at any depth.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(name).or_else(|| map.values().find_map(|item| find(item, name))),
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}

fn strings(value: Value) -> Vec<String> {
    serde_json::from_value(value).expect("an array of strings")
}

fn write(file: &Path, body: &[u8]) {
    std::fs::create_dir_all(file.parent().expect("below the test's directory")).expect("writable");
    std::fs::write(file, body).expect("writable");
}

fn required(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run tests/run, which prepares what the tests need"))
}
