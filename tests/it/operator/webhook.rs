//! The validating webhook as API servers meet it: the certificate that they are told to trust, TLS, a review, and its
//! answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use super::server::{Answer, ApiServer, Asked, ok};
use super::{PEAK_BYTES_MAX, Told, common, controller, within};
use crate::support::{Running, Site};

/// What the API server keeps of the webhook: its Secret and its configuration.
type Kept = Arc<Mutex<(Value, Value)>>;

fn kept() -> Kept {
    let service = json!({"name": "s3sync-webhook", "namespace": "ops", "path": "/validate"});
    let webhook = json!({"name": "s3syncs.s3sync.dev", "clientConfig": {"service": service}, "admissionReviewVersions": ["v1"], "sideEffects": "None"});
    Arc::new(Mutex::new((
        json!({"metadata": {"name": "s3sync-webhook"}}),
        json!({"metadata": {"name": "s3sync-webhook"}, "webhooks": [webhook]}),
    )))
}

fn answer(asked: &Asked, kept: &Kept) -> Answer {
    let mut kept = kept.lock().expect("no panic");
    let (is_secret, object) = match asked.path.as_str() {
        "/api/v1/namespaces/ops/secrets/s3sync-webhook" => (true, &mut kept.0),
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/s3sync-webhook" => (false, &mut kept.1),
        _ => return common(asked, &Told::default()),
    };
    if asked.method == "PATCH" && is_secret {
        object["data"] = asked.body["data"].clone();
    } else if asked.method == "PATCH" {
        object["webhooks"][0]["clientConfig"]["caBundle"] =
            asked.body["webhooks"][0]["clientConfig"]["caBundle"].clone();
    }
    ok(object.clone())
}

/// A controller with its webhook.
struct Hook {
    running: Running,
    dir: tempfile::TempDir,
    address: String,
    kept: Kept,
}

impl Hook {
    fn start(args: &[&str]) -> Hook {
        let kept = kept();
        let keeps = Arc::clone(&kept);
        let server = ApiServer::start(move |asked| answer(asked, &keeps));
        // Free a moment ago; nobody else asks for one port twice.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let address = port.to_string();
        let fixed = [
            "--no-leader-election",
            "--listen",
            "127.0.0.1:0",
            "--webhook-listen",
            &address,
            "--webhook-namespace",
            "ops",
        ];
        let (dir, running) = controller(&server, &[&fixed, args].concat());
        Hook { running, dir, address, kept }
    }

    /// The certificates that API servers are told to trust, once they are, and there are answers.
    fn bundle(&self) -> Vec<u8> {
        let bundle = wait(|| {
            let bundle = self.kept.lock().expect("no panic").1["webhooks"][0]["clientConfig"]["caBundle"].clone();
            bundle.is_string().then(|| serde_json::from_value::<k8s_openapi::ByteString>(bundle).expect("base64").0)
        });
        wait(|| self.post(&bundle, "/validate", "{}").ok());
        bundle
    }

    /// A POST as API servers make it. The status, and the body.
    fn post(&self, bundle: &[u8], path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut roots = RootCertStore::empty();
        let certificates = <CertificateDer<'_> as rustls::pki_types::pem::PemObject>::pem_slice_iter(bundle);
        roots.add_parsable_certificates(certificates.map(|certificate| certificate.expect("PEM")));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        // As Go does.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("s3sync-webhook.ops.svc").expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let tcp = TcpStream::connect(&self.address)?;
        tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut stream = StreamOwned::new(connection, tcp);
        write!(
            stream,
            "POST {path}?timeout=5s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        // Whoever refuses a body may hang up before its end.
        let sent = stream.write_all(body.as_bytes());
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            return Err(sent.and(read.map(|_| ())).err().unwrap_or_else(|| std::io::Error::other("no answer")));
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Ok((status, body.to_owned()))
    }

    fn review(&self, bundle: &[u8], object: &Value) -> Value {
        let request =
            json!({"uid": "review-1", "operation": "CREATE", "name": "orders", "namespace": "data", "object": object});
        let body =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string();
        let (status, body) = self.post(bundle, "/validate", &body).expect("an answer");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).expect("JSON")["response"].take()
    }
}

/// What comes within a minute.
#[track_caller]
fn wait<T>(seen: impl Fn() -> Option<T>) -> T {
    let mut found = None;
    within(Duration::from_secs(60), || {
        found = seen();
        found.is_some()
    });
    found.expect("waited in vain")
}

fn sync(spec: Value) -> Value {
    let mut whole = json!({"source": {"bucket": "raw"}, "destination": {"bucket": "lake", "format": "csv"}});
    whole.as_object_mut().expect("a map").extend(spec.as_object().expect("a map").clone());
    json!({"apiVersion": "s3sync.dev/v1alpha1", "kind": "S3Sync", "metadata": {"name": "orders", "namespace": "data"}, "spec": whole})
}

#[test]
fn an_api_server_is_answered_in_the_words_of_validate() {
    let hook = Hook::start(&["--max-replicas", "4"]);
    let bundle = hook.bundle();
    assert_eq!(
        hook.review(&bundle, &sync(json!({"schedule": "H/15 * * * *"}))),
        json!({"uid": "review-1", "allowed": true})
    );
    let bad = sync(json!({"schedule": "61 * * * *", "timeZone": "Mars/Base"}));
    let response = hook.review(&bundle, &bad);
    let site = Site::directory();
    site.manifest(std::slice::from_ref(&bad));
    let validated = site.start(&["validate"], &["-o", "json"]).wait().expect(2).json();
    let sentences = validated["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| error["message"].as_str().expect("a message"));
    assert_eq!(response["status"]["message"], sentences.collect::<Vec<_>>().join("; "));
    let forbidden = hook.review(&bundle, &sync(json!({"worker": {"replicas": 5}})));
    assert_eq!((&forbidden["allowed"], &forbidden["status"]["reason"]), (&json!(false), &json!("Forbidden")));
    for (path, body, status) in [("/validate", "{}", 400), ("/other", "{}", 404)] {
        assert_eq!(hook.post(&bundle, path, body).expect("an answer").0, status, "{path} {body}");
    }
    // Whoever trusts another certificate sends nothing.
    let stranger = rcgen::generate_simple_self_signed(vec!["s3sync-webhook.ops.svc".to_owned()])
        .expect("a certificate")
        .cert
        .pem();
    let error = hook.post(stranger.as_bytes(), "/validate", "{}").expect_err("a stranger");
    assert!(error.to_string().contains("certificate"), "{error}");
    hook.running.signal("TERM");
    let outcome = hook.running.wait();
    assert!(!outcome.stderr.contains("PRIVATE") && !outcome.stderr.contains("panicked"), "{}", outcome.stderr);
}

#[test]
fn files_that_somebody_else_renews_are_shown_instead() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = rcgen::generate_simple_self_signed(vec!["s3sync-webhook.ops.svc".to_owned()]).expect("a certificate");
    std::fs::write(dir.path().join("tls.crt"), pair.cert.pem()).expect("writable");
    std::fs::write(dir.path().join("tls.key"), pair.signing_key.serialize_pem()).expect("writable");
    let hook = Hook::start(&["--webhook-cert-dir", dir.path().to_str().expect("text")]);
    let bundle = pair.cert.pem().into_bytes();
    wait(|| hook.post(&bundle, "/validate", "{}").ok());
    assert_eq!(hook.review(&bundle, &sync(json!({"schedule": "x"})))["allowed"], false);
    let kept = hook.kept.lock().expect("no panic").clone();
    assert_eq!(
        (&kept.0["data"], &kept.1["webhooks"][0]["clientConfig"]["caBundle"]),
        (&Value::Null, &Value::Null),
        "both are somebody else's"
    );
    hook.running.signal("KILL");
    hook.running.wait();
    drop(hook.dir);
}

/// Whoever does not read a body to its end resets the connection, and the answer may be lost with it.
fn hung_up(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof].contains(&error.kind())
}

#[test]
fn reviews_that_are_filled_to_the_brim_do_not_end_the_controller() {
    let hook = Hook::start(&[]);
    let bundle = hook.bundle();
    // The most values in the fewest bytes; as many objects as a review can hold.
    let env = format!("[{}]", vec![r#"{"name":""}"#; 300_000].join(","));
    let texts = format!("[{}]", vec![r#""""#; 1_000_000].join(","));
    let term = format!(
        r#"{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":[{{"matchExpressions":[{{"key":"a","operator":"In","values":{texts}}}]}}]}}}}}}"#
    );
    let review = |worker: &str| {
        let spec = format!(
            r#"{{"source":{{"bucket":"raw"}},"destination":{{"bucket":"lake","format":"csv"}},"worker":{{{worker}}}}}"#
        );
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","request":{{"uid":"u","operation":"UPDATE","object":{{"spec":{spec}}},"oldObject":{{"spec":{{}}}}}}}}"#
        )
    };
    let bodies = [review(&format!(r#""env":{env}"#)), review(&format!(r#""affinity":{term}"#))];
    let mut answers = Vec::new();
    std::thread::scope(|scope| {
        let (hook, bundle, bodies) = (&hook, &bundle, &bodies);
        let asked: Vec<_> =
            (0..16).map(|n| scope.spawn(move || hook.post(bundle, "/validate", &bodies[n % 2]))).collect();
        answers.extend(asked.into_iter().map(|asked| asked.join().expect("no panic")));
    });
    for answer in answers {
        // Where a debug build is slow, the last of them wait for longer than anybody does.
        let refused = |status: u16, body: &str| status == 503 || (status == 200 && body.contains(r#""allowed":false"#));
        assert!(answer.as_ref().map_or_else(hung_up, |(status, body)| refused(*status, body)), "{answer:?}");
    }
    let answer = hook.post(&bundle, "/validate", &" ".repeat(5 << 20));
    assert!(answer.as_ref().map_or_else(hung_up, |(status, _)| *status == 413), "{answer:?}");
    let peak_bytes = hook.running.peak_bytes().expect("it is there");
    assert!(peak_bytes < PEAK_BYTES_MAX, "peak of {} MiB", peak_bytes >> 20);
    assert_eq!(hook.review(&bundle, &sync(json!({})))["allowed"], true);
    hook.running.signal("KILL");
    hook.running.wait();
}
