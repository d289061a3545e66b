//! One test's own place: a namespace that enforces Pod Security `restricted`, a source bucket and a destination bucket
//! on MinIO, and the Secret that opens them.

use std::path::PathBuf;
use std::sync::RwLockReadGuard;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{api, call, release, until};

/// MinIO as pods reach it.
pub const ENDPOINT: &str = "http://minio.minio:9000";

/// MinIO as both pods and this suite reach it, where the suite has a way to the nodes.
#[track_caller]
pub fn endpoint_of_node() -> String {
    let nodes = api::list("/api/v1/nodes", "");
    let addresses = nodes[0]["status"]["addresses"].as_array().expect("addresses");
    let address =
        addresses.iter().find(|address| address["type"] == "InternalIP").expect("a node's address")["address"].as_str();
    let service = api::get(&format!("{}/minio", api::core("minio", "services")));
    format!("http://{}:{}", address.expect("text"), service["spec"]["ports"][0]["nodePort"])
}

/// One test's own place.
pub struct Site {
    /// Its namespace, and the prefix of its buckets.
    pub namespace: String,
    dir: TempDir,
    /// Held as long as the test runs.
    release: Option<RwLockReadGuard<'static, ()>>,
}

impl Site {
    /// A new place, beside those of other tests.
    #[track_caller]
    pub fn new(name: &str) -> Site {
        let release = release::shared();
        let mut site = Site::within_alone(name);
        site.release = Some(release);
        site
    }

    /// A new place for a test that holds [`release::alone`].
    #[track_caller]
    pub fn within_alone(name: &str) -> Site {
        let namespace = format!("t-{}-{}", name, std::process::id());
        let site = Site { namespace, dir: TempDir::new().expect("a temporary directory"), release: None };
        release::namespace(&site.namespace);
        site.secret("s3", &var("S3SYNC_TEST_ACCESS_KEY"), &var("S3SYNC_TEST_SECRET_KEY"));
        call("make_bucket", json!({"bucket": site.raw()}));
        call("make_bucket", json!({"bucket": site.lake()}));
        site
    }

    /// The source bucket.
    pub fn raw(&self) -> String {
        format!("{}-raw", self.namespace)
    }

    /// The destination bucket.
    pub fn lake(&self) -> String {
        format!("{}-lake", self.namespace)
    }

    /// Makes or changes a Secret with S3 credentials.
    #[track_caller]
    pub fn secret(&self, name: &str, access_key: &str, secret_key: &str) {
        let data = json!({"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        api::apply(&api::core(&self.namespace, "secrets"), &secret).expect("a Secret");
    }

    /// Puts an object into the source bucket.
    #[track_caller]
    pub fn put(&self, key: &str, body: impl AsRef<[u8]>) {
        let file = self.dir.path().join("upload");
        std::fs::write(&file, body).expect("writable");
        call("put", json!({"bucket": self.raw(), "key": key, "file": file}));
    }

    /// Puts objects `KEY-0.csv` and so on, each with its own rows `id,name`, ids counting from 0. Gives the number of
    /// rows.
    #[track_caller]
    pub fn put_many(&self, prefix: &str, objects: u64, rows: u64) -> u64 {
        let code = "
s3 = client()
for n in range(objects):
    lines = ''.join(f'{n * rows + row},name {row},{(n * rows + row) % 7}\\n' for row in range(rows))
    s3.put_object(Bucket=bucket, Key=f'{prefix}{n:05}.csv', Body=('id,name,part\\n' + lines).encode())
";
        super::python(code, json!({"bucket": self.raw(), "prefix": prefix, "objects": objects, "rows": rows}));
        objects * rows
    }

    /// A sync from `prefix` of the source to `orders/` of the destination as Parquet, `spec` over it.
    pub fn sync(&self, name: &str, prefix: &str, spec: Value) -> Value {
        let mut sync = json!({
            "apiVersion": "s3sync.dev/v1alpha1",
            "kind": "S3Sync",
            "metadata": {"name": name},
            "spec": {
                "source": {"bucket": self.raw(), "prefix": prefix, "endpoint": ENDPOINT, "secretRef": {"name": "s3"},
                           "tables": {"from": "Fixed", "name": "orders"}},
                "destination": {"bucket": self.lake(), "path": format!("{name}/{{{{TABLE}}}}/{{{{UUID}}}}.{{{{FORMAT}}}}"), "format": "parquet",
                                "endpoint": ENDPOINT, "secretRef": {"name": "s3"}},
                // Small pods: many tests run at once.
                "worker": {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}}},
            }
        });
        overlay(&mut sync["spec"], spec);
        sync
    }

    /// Applies a sync as a person does. The API server's message when it refuses.
    pub fn apply(&self, sync: &Value) -> Result<Value, String> {
        api::apply(&api::syncs(&self.namespace), sync)
    }

    /// Where a sync is.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", api::syncs(&self.namespace))
    }

    /// A sync as it stands.
    #[track_caller]
    pub fn get(&self, name: &str) -> Value {
        api::get(&self.path(name))
    }

    /// Changes a sync's spec.
    #[track_caller]
    pub fn change(&self, name: &str, spec: Value) -> Value {
        api::patch(&self.path(name), &json!({"spec": spec}))
    }

    /// Waits until `seen` holds of the sync.
    #[track_caller]
    pub fn wait(&self, name: &str, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{what} of {}/{name}", self.namespace), || {
            let sync = self.get(name);
            if seen(&sync) { Ok(sync) } else { Err(format!("{}\n{}", sync["status"], self.story())) }
        })
    }

    /// Waits for a condition with this status and reason.
    #[track_caller]
    pub fn condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> Value {
        let found = |sync: &Value| {
            let current = sync["status"]["observedGeneration"] == sync["metadata"]["generation"];
            condition(sync, kind)
                .filter(|condition| current && condition["status"] == status && condition["reason"] == reason)
        };
        let sync = self.wait(name, &format!("{kind}={status} {reason}"), |sync| found(sync).is_some());
        found(&sync).expect("just seen")
    }

    /// Waits until `runs` runs have ended well, and none is under way.
    #[track_caller]
    pub fn succeeded(&self, name: &str, runs: usize) -> Value {
        self.wait(name, &format!("{runs} successful runs"), |sync| {
            let runs_seen = history(sync).iter().filter(|run| run["result"] == "Succeeded").count();
            let idle = sync["status"]["active"].as_array().is_none_or(Vec::is_empty);
            let current = sync["status"]["observedGeneration"] == sync["metadata"]["generation"];
            runs_seen >= runs
                && idle
                && current
                && history(sync).first().is_some_and(|run| run["result"] == "Succeeded")
        })
    }

    /// Starts a run by the annotation that `kubectl s3sync trigger` sets.
    #[track_caller]
    pub fn trigger(&self, name: &str, token: &str) {
        api::patch(&self.path(name), &json!({"metadata": {"annotations": {"s3sync.dev/trigger": token}}}));
    }

    /// The Jobs of a sync.
    #[track_caller]
    pub fn jobs(&self, name: &str) -> Vec<Value> {
        api::list(&api::jobs(&self.namespace), &format!("labelSelector=app.kubernetes.io%2Finstance%3D{name}"))
    }

    /// The worker pods of a sync that are not on their way out, nor done.
    #[track_caller]
    pub fn workers(&self, name: &str) -> Vec<Value> {
        let query =
            format!("labelSelector=app.kubernetes.io%2Finstance%3D{name}%2Capp.kubernetes.io%2Fcomponent%3Dworker");
        let mut pods = api::list(&api::core(&self.namespace, "pods"), &query);
        pods.retain(|pod| {
            pod["metadata"]["deletionTimestamp"].is_null()
                && !["Succeeded", "Failed"].iter().any(|p| pod["status"]["phase"] == *p)
        });
        pods
    }

    /// The cursor's ConfigMap.
    pub fn cursor(&self, name: &str) -> Option<Value> {
        api::find(&format!("{}/{name}-cursor", api::core(&self.namespace, "configmaps")))
    }

    /// The phase in the cursor; empty before there is one.
    pub fn phase(&self, name: &str) -> String {
        let cursor =
            self.cursor(name).and_then(|map| serde_json::from_str::<Value>(map["data"]["cursor"].as_str()?).ok());
        cursor.and_then(|cursor| Some(cursor["phase"].as_str()?.to_owned())).unwrap_or_default()
    }

    /// A directory with what stands visible in the destination bucket now.
    #[track_caller]
    pub fn output(&self) -> PathBuf {
        let copy = self.dir.path().join("download");
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir_all(&copy).expect("writable");
        call("download", json!({"bucket": self.lake(), "dir": copy}));
        copy
    }

    /// A query by DuckDB over the visible Parquet files below a prefix; `FILES` stands for them.
    #[track_caller]
    pub fn sql(&self, under: &str, query: &str) -> Value {
        call("sql", json!({"dir": self.output(), "under": under, "query": query}))
    }

    /// Asserts that ids 0 to `rows` - 1 are published below a prefix, each once.
    #[track_caller]
    pub fn has_each_row_once(&self, under: &str, rows: u64) {
        let seen = self.sql(
            under,
            "select count(*), count(distinct id), min(id), max(id) from read_parquet(FILES, hive_partitioning = true)",
        );
        assert_eq!(
            seen,
            json!([[rows, rows, 0, rows - 1]]),
            "{}: rows, different ids, first and last id",
            self.namespace
        );
    }

    /// What the cluster says about this place: what a failed wait prints.
    pub fn story(&self) -> String {
        let pods: Vec<String> = api::list(&api::core(&self.namespace, "pods"), "")
            .iter()
            .map(|pod| format!("{} {}", pod["metadata"]["name"], pod["status"]["containerStatuses"][0]["state"]))
            .collect();
        let events: Vec<String> = api::list(&api::core(&self.namespace, "events"), "")
            .iter()
            .map(|event| format!("{} {} {}", event["involvedObject"]["name"], event["reason"], event["message"]))
            .collect();
        format!("pods:\n  {}\nevents:\n  {}", pods.join("\n  "), events.join("\n  "))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What failed is left to be looked at, as long as the cluster is up.
        if !std::thread::panicking() {
            api::delete(&format!("/api/v1/namespaces/{}", self.namespace), None);
        }
    }
}

/// A condition by its type.
pub fn condition(sync: &Value, kind: &str) -> Option<Value> {
    sync["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind).cloned()
}

/// The last run and those before it, the latest first.
pub fn history(sync: &Value) -> Vec<Value> {
    let mut runs: Vec<Value> =
        sync["status"]["lastRun"].as_object().map(|run| Value::Object(run.clone())).into_iter().collect();
    for run in sync["status"]["history"].as_array().into_iter().flatten() {
        if runs.iter().all(|known| known["job"] != run["job"]) {
            runs.push(run.clone());
        }
    }
    runs
}

/// Lays one JSON object over another, part by part; null takes away.
pub fn overlay(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    overlay(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// A variable that `tests/cluster/test` sets.
#[track_caller]
pub fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/cluster/test"))
}
