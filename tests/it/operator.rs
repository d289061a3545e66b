//! The controller as a process, against an API server that a test plays: what somebody fills to the brim must not end it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Running;

/// The chart's memory limit of the controller.
const PEAK_BYTES_MAX: u64 = 256 << 20;

/// Resources that are filled to the brim, and cursors: as many as somebody can write in a minute.
const FULL: usize = 300;

/// What an object is filled with: etcd takes 1.5 MiB.
const BRIM_BYTES: usize = 1 << 20;

/// Asks of the API server, and its answers.
struct ApiServer {
    url: String,
    /// Names of resources whose status was written, with the reason of Ready.
    told: Arc<Mutex<BTreeSet<(String, String)>>>,
}

impl ApiServer {
    fn start() -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let told = Arc::new(Mutex::new(BTreeSet::new()));
        let tells = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&tells);
                // Whoever hangs up has heard enough.
                std::thread::spawn(move || drop(converse(stream, &told)));
            }
        });
        ApiServer { url, told }
    }
}

/// Answers one connection's requests.
fn converse(mut stream: TcpStream, told: &Mutex<BTreeSet<(String, String)>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        if query.contains("watch=") {
            // Nothing changes any more.
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")?;
            std::thread::sleep(Duration::from_secs(600));
            return Ok(());
        }
        let (status, answer) = answer(&method, path, query, &body, told);
        write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len())?;
        stream.write_all(answer.as_bytes())?;
    }
}

fn answer(method: &str, path: &str, query: &str, body: &[u8], told: &Mutex<BTreeSet<(String, String)>>) -> (&'static str, String) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("POST", "selfsubjectreviews") => ("201 Created", json!({"status": {"userInfo": {"username": "admin"}}}).to_string()),
        ("POST", "events") => ("201 Created", json!({"metadata": {"name": "e"}, "eventTime": null}).to_string()),
        ("PATCH", "status") => {
            let name = body["metadata"]["name"].as_str().expect("a name").to_owned();
            let reason = body["status"]["conditions"][0]["reason"].as_str().expect("a reason").to_owned();
            let answer = resource(&name, "2", json!({}), body["status"].clone()).to_string();
            told.lock().expect("no panic").insert((name, reason));
            ("200 OK", answer)
        }
        ("GET", "s3syncs") => ("200 OK", page(query, &full_sync)),
        ("GET", "configmaps") => ("200 OK", page(query, &full_cursor)),
        ("GET", "jobs" | "pods") => ("200 OK", page("limit=1", &|_| None)),
        _ => ("404 Not Found", json!({"status": "Failure", "reason": "NotFound", "message": "no such thing", "code": 404}).to_string()),
    }
}

/// One page of a list.
fn page(query: &str, item: &dyn Fn(usize) -> Option<Value>) -> String {
    let number = |name: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.map(|text| text.parse::<usize>().expect("a number"))
    };
    let limit = number("limit").unwrap_or(usize::MAX);
    let from = number("continue").unwrap_or(0);
    let items: Vec<Value> = (from..).map_while(item).take(limit).collect();
    let next = from + items.len();
    let next = if items.len() == limit { next.to_string() } else { String::new() };
    json!({"metadata": {"resourceVersion": "1", "continue": next}, "items": items}).to_string()
}

fn resource(name: &str, version: &str, worker: Value, status: Value) -> Value {
    json!({
        "apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync",
        "metadata": {"name": name, "namespace": "data", "uid": name, "generation": 1, "resourceVersion": version,
            "creationTimestamp": "2026-11-21T12:00:00Z"},
        "spec": {"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "csv"}, "suspend": true, "worker": worker},
        "status": status,
    })
}

/// One in three is small in its spec and full of annotations; one in three holds one long text, and the last a hundred thousand short ones.
fn full_sync(n: usize) -> Option<Value> {
    if n == FULL {
        return None;
    }
    let (name, text) = (format!("sync-{n:03}"), "x".repeat(BRIM_BYTES / 4));
    let sync = match n % 3 {
        0 => {
            let mut sync = resource(&name, "1", json!({}), json!({}));
            sync["metadata"]["annotations"] = json!({"note": text});
            sync["metadata"]["managedFields"] = json!([{"manager": text}, {"manager": text}, {"manager": text}]);
            sync
        }
        1 => resource(&name, "1", json!({"env": [{"name": "A", "value": text.repeat(4)}]}), json!({})),
        _ => {
            let term = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": vec![""; BRIM_BYTES / 8]}]});
            let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}});
            resource(&name, "1", json!({"affinity": affinity}), json!({}))
        }
    };
    Some(sync)
}

fn full_cursor(n: usize) -> Option<Value> {
    let labels = json!({"app.kubernetes.io/name": "s3sync", "app.kubernetes.io/instance": format!("sync-{n:03}"),
        "app.kubernetes.io/managed-by": "s3sync", "app.kubernetes.io/component": "cursor"});
    let metadata = json!({"name": format!("sync-{n:03}-cursor"), "namespace": "data", "uid": format!("cursor-{n}"), "labels": labels});
    (n < FULL).then(|| json!({"metadata": metadata, "data": {"other": "x".repeat(BRIM_BYTES)}}))
}

#[test]
fn hundreds_of_resources_that_are_filled_to_the_brim_do_not_end_the_controller() {
    let server = ApiServer::start();
    let dir = tempfile::tempdir().expect("a directory");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server.url}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "data"}}],
    });
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, config.to_string()).expect("writable");
    let args = ["controller", "--image", "s3sync:1", "--no-leader-election", "--listen", "127.0.0.1:0"];
    let mut running = Running::start(dir.path(), &args, &[("KUBECONFIG", kubeconfig.to_str().expect("text"))]);
    let (started, mut peak_bytes) = (Instant::now(), 0);
    let told = || server.told.lock().expect("no panic").clone();
    while told().len() < FULL && running.is_running() && started.elapsed() < Duration::from_secs(300) {
        peak_bytes = running.peak_bytes().unwrap_or(0).max(peak_bytes);
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal("KILL");
    let outcome = running.wait();
    let told = told();
    assert_eq!(told.len(), FULL, "{}", outcome.stderr);
    let of = |reason: &str| told.iter().filter(|(_, found)| found == reason).count();
    assert_eq!((of("Suspended"), of("InvalidSpec")), (FULL / 3, FULL / 3 * 2), "{told:?}");
    assert!(peak_bytes > 0 && peak_bytes < PEAK_BYTES_MAX, "peak of {} MiB", peak_bytes >> 20);
}
