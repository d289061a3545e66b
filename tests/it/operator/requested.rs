//! Runs that S3SyncRuns ask for, while controllers come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A controller starts, lists and writes within this.
const SOON: Duration = Duration::from_secs(30);

/// What the cluster has: one sync that runs by itself at midnight alone, one S3SyncRun, and what is made of them.
#[derive(Default)]
struct Kept {
    jobs: BTreeMap<String, Value>,
    run_status: Value,
    sync_status: Value,
    version: usize,
    /// Jobs that were made, each time.
    made: usize,
    /// What was written of both, in order.
    written: Vec<String>,
}

impl Kept {
    fn sync(&self) -> Value {
        resource(
            "data",
            "orders",
            &(self.version + 1).to_string(),
            json!({"schedule": "@yearly"}),
            self.sync_status.clone(),
        )
    }

    fn run(&self) -> Value {
        json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3SyncRun",
            "metadata": {"name": "backfill", "namespace": "data", "uid": "7b4c1fdd-9f3e-4a0c-8f6d-000000000001", "generation": 1,
                "resourceVersion": (self.version + 1).to_string(), "creationTimestamp": "2026-11-21T12:00:00Z"},
            "spec": {"syncRef": {"name": "orders"}, "reread": true}, "status": self.run_status})
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        match (asked.method.as_str(), asked.kind()) {
            ("GET", "s3syncs") => ok(asked.page(&|n| (n == 0).then(|| self.sync()))),
            ("GET", "s3syncruns") => ok(asked.page(&|n| (n == 0).then(|| self.run()))),
            ("GET", "jobs") => ok(asked.page(&|n| self.jobs.values().nth(n).cloned())),
            ("GET", "configmaps" | "pods" | "s3connections") => ok(asked.page(&|_| None)),
            ("POST", "jobs") => {
                let name = asked.body["metadata"]["name"].as_str().expect("a name").to_owned();
                if self.jobs.contains_key(&name) {
                    return refused(409, "AlreadyExists", "it is there");
                }
                let mut job = asked.body.clone();
                job["metadata"]["uid"] = json!("job-1");
                job["metadata"]["creationTimestamp"] =
                    json!(jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
                self.made += 1;
                self.jobs.insert(name, job.clone());
                created(job)
            }
            ("POST", "configmaps" | "secrets" | "serviceaccounts" | "roles" | "rolebindings") => {
                created(asked.body.clone())
            }
            ("POST", "events") => created(json!({"metadata": {"name": "e"}, "eventTime": null})),
            ("PATCH", "status") => {
                self.version += 1;
                let kind = asked.body["kind"].as_str().expect("a kind").to_owned();
                self.written.push(kind.clone());
                let status = asked.body["status"].clone();
                if kind == "S3SyncRun" {
                    self.run_status = status
                } else {
                    self.sync_status = status
                }
                ok(if kind == "S3SyncRun" { self.run() } else { self.sync() })
            }
            ("GET", name) if asked.path.contains("/jobs/") => match self.jobs.get(name) {
                Some(job) => ok(job.clone()),
                None => refused(404, "NotFound", "no such thing"),
            },
            _ => refused(404, "NotFound", "no such thing"),
        }
    }
}

/// A controller is killed at each write in turn, before or after the cluster has heard of it, and another takes over
/// from what the cluster has: one Job, and both statuses name it.
#[test]
fn one_starts_once_whenever_the_controller_dies() {
    for heard in [false, true] {
        for last in 1.. {
            let kept = Arc::<Mutex<Kept>>::default();
            let (answers, left) = (Arc::clone(&kept), Arc::new(AtomicUsize::new(last)));
            let writes = Arc::clone(&left);
            let server = ApiServer::start(move |asked| {
                if asked.method != "GET" && asked.kind() != "events" && asked.kind() != "selfsubjectreviews" {
                    let now = writes.load(Ordering::Relaxed);
                    // Who waits for this answer is dead, as far as the cluster goes: nothing more is heard from it.
                    if now == 0 || (now == 1 && !heard) {
                        writes.store(0, Ordering::Relaxed);
                        return refused(500, "InternalError", "it is dead");
                    }
                    writes.store(now - 1, Ordering::Relaxed);
                }
                answers.lock().expect("no panic").answer(asked)
            });
            let args = ["--no-leader-election", "--listen", "127.0.0.1:0"];
            let (_dir, first) = controller(&server, &args);
            let settled = || {
                let kept = kept.lock().expect("no panic");
                kept.run_status["reason"] == "Running" && kept.sync_status["active"][0]["requestedBy"] == "backfill"
            };
            let died = within(SOON, || left.load(Ordering::Relaxed) == 0 || settled());
            first.signal("KILL");
            let outcome = first.wait();
            assert!(died.is_some(), "write {last}: {}", outcome.stderr);
            let whole = settled();
            left.store(usize::MAX, Ordering::Relaxed);
            let (_dir, second) = controller(&server, &args);
            let goes_on = within(SOON, settled);
            // What it would do wrongly, it would do in its first looks.
            std::thread::sleep(Duration::from_millis(if whole { 500 } else { 100 }));
            second.signal("KILL");
            let outcome = second.wait();
            let kept = kept.lock().expect("no panic");
            assert!(goes_on.is_some(), "write {last}: {:?} {}", kept.run_status, outcome.stderr);
            assert_eq!((kept.made, kept.jobs.len()), (1, 1), "write {last}");
            let job = kept.jobs.keys().next().expect("a Job");
            assert_eq!((&kept.run_status["job"], &kept.sync_status["active"][0]["job"]), (&json!(job), &json!(job)));
            let env = &kept.jobs[job]["spec"]["template"]["spec"]["containers"][0]["env"];
            let request = env.as_array().expect("variables").iter().find(|one| one["name"] == "S3SYNC_REQUEST");
            let expected = r#"{"id":"7b4c1fdd9f3e4a0c8f6d000000000001","window":{},"reread":true}"#;
            assert_eq!(request.expect("it is asked for")["value"], expected);
            if whole {
                assert!(last > 5, "cursor, key, rights, Job, two statuses: {last}");
                break;
            }
        }
    }
}
