//! S3Connections come and go under the syncs that name them.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};

use super::failover::get;
use super::*;

/// How soon a change is answered; a sync is looked at without one every minute.
const SOON: Duration = Duration::from_secs(30);

/// Syncs that name no connection.
const OTHERS: usize = 200;

/// Two syncs that name `minio`, and many that name none.
fn sync(n: usize) -> Option<Value> {
    let by = json!({"name": "minio"});
    let named = json!({"source": {"bucket": "raw", "connectionRef": by}, "destination": {"bucket": "lake", "format": "csv", "connectionRef": by}});
    match n {
        0 => Some(resource("data", "orders", "1", named, json!({}))),
        1 => Some(resource("data", "events", "1", named, json!({}))),
        n if n < OTHERS + 2 => {
            Some(resource("data", &format!("sync-{n:03}"), "1", json!({"suspend": true}), json!({})))
        }
        _ => None,
    }
}

fn minio(version: &str, endpoint: &str) -> Value {
    json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Connection",
        "metadata": {"name": "minio", "namespace": "data", "uid": "minio", "generation": 1, "resourceVersion": version},
        "spec": {"endpoint": endpoint, "secretRef": {"name": "s3"}}})
}

/// Where nothing is made but Jobs, whose manifests are kept.
fn made(asked: &Asked, told: &Told, manifests: &Mutex<Vec<Value>>) -> Answer {
    match (asked.method.as_str(), asked.kind()) {
        ("GET", _) if asked.namespace() == "other" => common(asked, told),
        ("GET", "s3syncs") => ok(asked.page(&sync)),
        ("POST", "jobs") => {
            let env = asked.body["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("variables");
            let manifest = env.iter().find(|variable| variable["name"] == "S3SYNC_MANIFEST").expect("a manifest");
            let manifest = manifest["value"].as_str().expect("a text");
            manifests.lock().expect("no panic").push(serde_json::from_str(manifest).expect("JSON"));
            let mut job = asked.body.clone();
            job["metadata"]["creationTimestamp"] = json!("2026-11-21T12:00:10Z");
            created(job)
        }
        ("POST", "secrets" | "configmaps" | "serviceaccounts" | "roles" | "rolebindings") => {
            created(asked.body.clone())
        }
        _ => common(asked, told),
    }
}

fn looks(address: &str) -> u64 {
    let metrics = get(address, "/metrics");
    let line = metrics.lines().find(|line| line.starts_with("s3sync_reconciles_total")).expect("a metric");
    line.rsplit(' ').next().expect("a value").parse().expect("a number")
}

/// One that is applied after its syncs heals them, one that is deleted stops them, and nobody else is looked at.
#[test]
fn a_change_of_a_connection_is_a_look_at_the_syncs_that_name_it() {
    let (told, manifests) = (Told::default(), Arc::<Mutex<Vec<Value>>>::default());
    let (tells, makes) = (Arc::clone(&told), Arc::clone(&manifests));
    let server = ApiServer::start(move |asked| match (asked.method.as_str(), asked.kind()) {
        ("GET", "s3connections") => ok(asked.page(&|_| None)),
        _ => made(asked, &tells, &makes),
    });
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let (_dir, running) = controller(&server, &["--no-leader-election", "--listen", &address]);
    let both = |reason: &str| {
        let told = told.lock().expect("no panic");
        ["orders", "events"]
            .iter()
            .all(|name| told.contains(&("data".to_owned(), (*name).to_owned(), reason.to_owned())))
    };
    let all = || told.lock().expect("no panic").len() == OTHERS + 2;
    let missing = within(SOON, || both("ConnectionNotFound") && all());
    let nothing_ran = manifests.lock().expect("no panic").is_empty();
    // What was written makes no further look here, since no watch shows it.
    std::thread::sleep(Duration::from_millis(500));
    let before = looks(&address);
    server.tell("s3connections", "ADDED", &minio("2", "http://minio:9000"));
    let count = || manifests.lock().expect("no panic").len();
    let healed = within(SOON, || count() == 2 && both("Armed"));
    let looked = looks(&address) - before;
    told.lock().expect("no panic").clear();
    server.tell("s3connections", "DELETED", &minio("3", "http://minio:9000"));
    let gone = within(SOON, || both("ConnectionNotFound"));
    running.signal("KILL");
    let outcome = running.wait();
    assert!(missing.is_some() && nothing_ran, "{told:?}\n{}", outcome.stderr);
    assert!(healed.is_some(), "{} Jobs, {told:?}\n{}", count(), outcome.stderr);
    // Each of the two: the change, the Job that was made, the status after it.
    // A look at all of them would be hundreds.
    assert!(looked < 100, "{looked} looks at {} syncs", OTHERS + 2);
    assert!(gone.is_some(), "{told:?}\n{}", outcome.stderr);
    for manifest in manifests.lock().expect("no panic").iter() {
        let source = &manifest["spec"]["source"];
        assert_eq!(
            (&source["endpoint"], &source["secretRef"]["name"], &source["connectionRef"]),
            (&json!("http://minio:9000"), &json!("s3"), &Value::Null)
        );
    }
}

/// An operator that was upgraded before its definitions or its rights: what names no connection goes on, and what names
/// one says what is missing.
#[test]
fn a_cluster_without_the_definition_holds_up_only_those_who_name_one() {
    let (told, notes, there) =
        (Told::default(), Arc::<Mutex<BTreeSet<String>>>::default(), Arc::new(AtomicBool::new(false)));
    let (tells, noted, defined) = (Arc::clone(&told), Arc::clone(&notes), Arc::clone(&there));
    let server = ApiServer::start(move |asked| match (asked.method.as_str(), asked.kind()) {
        ("POST", "events") => {
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            noted.lock().expect("no panic").insert(format!(
                "{}: {}",
                text(&asked.body["reason"]),
                text(&asked.body["note"])
            ));
            created(json!({"metadata": {"name": "e"}, "eventTime": null}))
        }
        ("GET", "s3connections") if defined.load(Ordering::Relaxed) => {
            ok(asked.page(&|n| (n == 0 && asked.namespace() != "other").then(|| minio("1", "http://minio:9000"))))
        }
        _ => made(asked, &tells, &Mutex::default()),
    });
    for namespaces in [&[][..], &["--namespace", "data", "--namespace", "other"]] {
        told.lock().expect("no panic").clear();
        notes.lock().expect("no panic").clear();
        there.store(false, Ordering::Relaxed);
        let args = [&["--no-leader-election", "--listen", "127.0.0.1:0"], namespaces].concat();
        let (_dir, running) = controller(&server, &args);
        let of = |reason: &str| told.lock().expect("no panic").iter().filter(|(_, _, of)| of == reason).count();
        let others = within(SOON, || of("Suspended") >= OTHERS);
        let begins = "NotWatched: s3connections of the namespace data cannot be listed, and this sync waits until they can: no such thing";
        let said = within(SOON, || notes.lock().expect("no panic").iter().any(|note| note.starts_with(begins)));
        let silent = of("Armed") == 0 && of("ConnectionNotFound") == 0;
        there.store(true, Ordering::Relaxed);
        // The watch tries again within half a minute.
        let healed = within(Duration::from_secs(60), || of("Armed") >= 2);
        running.signal("KILL");
        let outcome = running.wait();
        assert!(others.is_some(), "{namespaces:?}: {} of {OTHERS}: {}", of("Suspended"), outcome.stderr);
        assert!(said.is_some() && silent, "{namespaces:?}: {:?}: {}", notes.lock(), outcome.stderr);
        assert!(healed.is_some(), "{namespaces:?}: {told:?}: {}", outcome.stderr);
    }
}
