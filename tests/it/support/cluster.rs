//! A cluster that a test plays: an API server with the few objects that the plugin and a worker ask for, and a kubelet
//! that starts a Job's container as a process. And the only way to S3, which is open to pods alone.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Request, request};

/// A way to a server that takes connections, and lets nothing through while it is shut.
pub struct Gateway {
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    open: Arc<AtomicBool>,
}

impl Gateway {
    /// To `upstream` (`http://HOST:PORT`); open.
    pub fn new(upstream: &str) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        let open = Arc::new(AtomicBool::new(true));
        let (upstream, is_open) = (upstream.trim_start_matches("http://").to_owned(), Arc::clone(&open));
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for client in listener.incoming().map_while(Result::ok) {
                if !is_open.load(Ordering::Relaxed) {
                    held.push(client);
                    continue;
                }
                let server = TcpStream::connect(&upstream).expect("the server is there");
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    std::thread::spawn(move || {
                        // Whoever hangs up ends both.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Gateway { endpoint, open }
    }

    /// Opens or shuts it for new connections.
    pub fn set(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }
}

/// The cluster, with the one namespace `data`.
pub struct Cluster {
    dir: TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    gateway: Gateway,
    kubeconfig: PathBuf,
    objects: Mutex<BTreeMap<String, Value>>,
    /// By the Job's name.
    pods: Mutex<BTreeMap<String, Pod>>,
    /// Paths of what was made and deleted.
    history: Mutex<Vec<String>>,
    /// Bytes after which each of the next connections to a log breaks.
    cuts: Mutex<Vec<usize>>,
    version: AtomicUsize,
    /// Whether the way to S3 stays shut for pods too.
    holds: AtomicBool,
}

struct Pod {
    child: Child,
    log: Arc<Mutex<Vec<u8>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    code: Option<i32>,
}

impl Cluster {
    /// One whose pods reach S3 by this gateway: it opens when a Job's pod starts.
    pub fn new(gateway: Gateway) -> Cluster {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let dir = TempDir::new().expect("a directory");
        let kubeconfig = dir.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", listener.local_addr().expect("bound"))}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "data"}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).expect("writable");
        let shared = Arc::new(Shared {
            gateway,
            kubeconfig,
            objects: Mutex::default(),
            pods: Mutex::default(),
            history: Mutex::default(),
            cuts: Mutex::default(),
            version: AtomicUsize::new(1),
            holds: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                // Whoever hangs up has heard enough.
                std::thread::spawn(move || drop(converse(stream, &shared)));
            }
        });
        Cluster { dir, shared }
    }

    /// Where the plugin is told of it.
    pub fn kubeconfig(&self) -> &str {
        self.shared.kubeconfig.to_str().expect("text")
    }

    /// A directory for processes to start in.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The way to S3.
    pub fn gateway(&self) -> &Gateway {
        &self.shared.gateway
    }

    /// Puts an object of the namespace there: `configmaps/orders-cursor`.
    pub fn put(&self, path: &str, object: Value) {
        lock(&self.shared.objects).insert(path.to_owned(), object);
    }

    /// Takes an object away.
    pub fn remove(&self, path: &str) {
        lock(&self.shared.objects).remove(path);
    }

    /// What was made and deleted so far: `POST jobs/NAME`.
    pub fn history(&self) -> Vec<String> {
        lock(&self.shared.history).clone()
    }

    /// The next connections to logs break after so many bytes each.
    pub fn cut(&self, after: &[usize]) {
        *lock(&self.shared.cuts) = after.iter().rev().copied().collect();
    }

    /// From here on pods do not reach S3 either.
    pub fn hold(&self) {
        self.shared.holds.store(true, Ordering::Relaxed);
    }

    /// Runs a Job's container to its end. Gives its exit code and its log.
    pub fn run(&self, job: &Value) -> (i32, String) {
        let name = job["metadata"]["name"].as_str().expect("a name").to_owned();
        start(&self.shared, job);
        loop {
            std::thread::sleep(Duration::from_millis(20));
            if let Some(code) = ended(&self.shared, &name) {
                let pods = lock(&self.shared.pods);
                return (code, String::from_utf8_lossy(&lock(&pods[&name].log)).into_owned());
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}

/// Starts the container of a Job's pod as the kubelet would.
fn start(shared: &Arc<Shared>, job: &Value) {
    let name = job["metadata"]["name"].as_str().expect("a name").to_owned();
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3sync"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(container["args"].as_array().expect("arguments").iter().map(|arg| arg.as_str().expect("text")));
    command.envs([
        ("KUBECONFIG", shared.kubeconfig.to_str().expect("text")),
        ("JOB_COMPLETION_INDEX", "0"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]);
    command.envs([
        ("S3SYNC_TERMINATION_LOG", "/dev/null"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ]);
    for variable in container["env"].as_array().expect("variables") {
        let from = &variable["valueFrom"];
        let value = match (variable["value"].as_str(), from["secretKeyRef"]["name"].as_str()) {
            (Some(value), _) => Some(value.replace("$$", "$")),
            (None, Some(secret)) => {
                let objects = lock(&shared.objects);
                let key = from["secretKeyRef"]["key"].as_str().expect("a key");
                // Here in plain text, for the kubelet alone.
                objects
                    .get(&format!("secrets/{secret}"))
                    .and_then(|secret| Some(secret["stringData"][key].as_str()?.to_owned()))
            }
            (None, None) => Some("data".to_owned()),
        };
        let variable = variable["name"].as_str().expect("a name");
        if let Some(value) = value {
            command.env(
                variable,
                if variable == "S3SYNC_SCRATCH_DIR" {
                    std::env::temp_dir().to_str().expect("text").to_owned()
                } else {
                    value
                },
            );
        }
    }
    shared.gateway.set(!shared.holds.load(Ordering::Relaxed));
    let mut child = command.spawn().expect("the binary starts");
    let log = Arc::new(Mutex::new(Vec::new()));
    let streams: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
    let readers = streams.into_iter().map(|stream| {
        let log = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                lock(&log).extend([line.as_slice(), b"\n"].concat());
            }
        })
    });
    let readers = readers.collect();
    lock(&shared.pods).insert(name, Pod { child, log, readers, code: None });
}

/// The exit code of a Job's container, once it has ended and its log is whole.
fn ended(shared: &Shared, job: &str) -> Option<i32> {
    let mut pods = lock(&shared.pods);
    let pod = pods.get_mut(job)?;
    if pod.code.is_none()
        && let Some(status) = pod.child.try_wait().expect("our child")
    {
        pod.readers.drain(..).for_each(|reader| reader.join().expect("read to the end"));
        pod.code = Some(status.code().unwrap_or(137));
    }
    pod.code
}

fn pod(shared: &Shared, job: &str) -> Value {
    let state = match ended(shared, job) {
        None => json!({"running": {}}),
        Some(code) => json!({"terminated": {"exitCode": code, "reason": "Error"}}),
    };
    let container =
        json!({"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{job}-0-abcde"), "namespace": "data", "labels": {"batch.kubernetes.io/job-name": job}},
        "status": {"phase": "Running", "containerStatuses": [container]},
    })
}

/// Answers one connection's requests.
fn converse(mut stream: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(Request { method, path, query, body }) = request(&mut reader)? {
        let path = path.split_once("/namespaces/data/").map_or(path.as_str(), |(_, path)| path);
        if let Some(name) = path.strip_prefix("pods/").and_then(|path| path.strip_suffix("/log")) {
            return follow(stream, shared, name.trim_end_matches("-0-abcde"));
        }
        let (status, answer) = answer(&method, path, &query, &body, shared);
        let answer = answer.to_string();
        write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
    Ok(())
}

/// A log to its end, or to where the connection breaks.
fn follow(mut stream: TcpStream, shared: &Shared, job: &str) -> std::io::Result<()> {
    let cut = lock(&shared.cuts).pop().unwrap_or(usize::MAX);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")?;
    let mut sent = 0;
    loop {
        let over = ended(shared, job).is_some();
        let log = lock(&shared.pods).get(job).map(|pod| lock(&pod.log).clone()).unwrap_or_default();
        let new = &log[sent..log.len().min(cut)];
        if !new.is_empty() {
            write!(stream, "{:x}\r\n", new.len())?;
            stream.write_all(new)?;
            stream.write_all(b"\r\n")?;
        }
        sent += new.len();
        if sent == cut {
            return stream.shutdown(Shutdown::Both);
        }
        if over {
            return stream.write_all(b"0\r\n\r\n");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn answer(method: &str, path: &str, query: &str, body: &[u8], shared: &Arc<Shared>) -> (&'static str, Value) {
    let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
    let failure = |code: u16, reason: &str| json!({"kind": "Status", "status": "Failure", "reason": reason, "message": reason, "code": code, "details": {"name": path}});
    let job = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("labelSelector=batch.kubernetes.io%2Fjob-name%3D")?.split('&').next());
    let tell = |what: String| lock(&shared.history).push(what);
    match (method, path, path.split_once('/')) {
        ("POST", "jobs", _) => {
            let name = body["metadata"]["name"].as_str().expect("a name").to_owned();
            body["metadata"]["uid"] = json!(name);
            start(shared, &body);
            tell(format!("POST jobs/{name}"));
            lock(&shared.objects).insert(format!("jobs/{name}"), body.clone());
            ("201 Created", body)
        }
        ("DELETE", _, Some(("jobs", name))) => {
            tell(format!("DELETE jobs/{name}"));
            let _ = lock(&shared.pods).get_mut(name).map(|pod| pod.child.kill());
            lock(&shared.objects).remove(path);
            ("200 OK", json!({"kind": "Status", "status": "Success"}))
        }
        ("GET", "pods", _) => {
            let job = job.filter(|job| lock(&shared.pods).contains_key(*job));
            (
                "200 OK",
                json!({"metadata": {}, "items": job.map(|job| pod(shared, job)).into_iter().collect::<Vec<_>>()}),
            )
        }
        ("GET", _, Some(("pods", name))) => ("200 OK", pod(shared, name.trim_end_matches("-0-abcde"))),
        // Only what lies in the namespace is seen.
        (_, _, _) if path.starts_with("/apis/") || path.starts_with("/api/") => {
            ("403 Forbidden", failure(403, "Forbidden"))
        }
        ("GET", "s3syncs", _) => {
            let objects = lock(&shared.objects);
            let items: Vec<_> =
                objects.iter().filter(|(path, _)| path.starts_with("s3syncs/")).map(|(_, object)| object).collect();
            ("200 OK", json!({"metadata": {}, "items": items}))
        }
        ("GET", "events", _) => ("200 OK", json!({"metadata": {}, "items": []})),
        ("PUT", _, _) => {
            let mut objects = lock(&shared.objects);
            let Some(there) = objects.get(path) else { return ("404 Not Found", failure(404, "NotFound")) };
            if there["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
                return ("409 Conflict", failure(409, "Conflict"));
            }
            body["metadata"]["resourceVersion"] =
                json!((shared.version.fetch_add(1, Ordering::Relaxed) + 1).to_string());
            objects.insert(path.to_owned(), body.clone());
            ("200 OK", body)
        }
        ("GET", _, _) => match lock(&shared.objects).get(path) {
            Some(object) => ("200 OK", object.clone()),
            None => ("404 Not Found", failure(404, "NotFound")),
        },
        _ => ("405 Method Not Allowed", failure(405, "MethodNotAllowed")),
    }
}
