//! Notices as a receiver gets them: one when a condition turns, and none of what an earlier controller told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Answer, ApiServer, Asked, ok};
use super::{Told, common, controller, resource, within};

/// Bodies that came, the oldest first.
type Came = Arc<Mutex<Vec<Value>>>;

/// A receiver that takes all.
fn receiver() -> (String, Came) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook?token=a-very-secret-token", listener.local_addr().expect("bound"));
    let came = Came::default();
    let comes = Arc::clone(&came);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
            let head: Vec<String> =
                (&mut reader).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let length =
                head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).expect("a body");
            comes.lock().expect("no panic").push(serde_json::from_slice(&body).expect("JSON"));
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        }
    });
    (url, came)
}

/// One resource with a wrong schedule, and its status as it was written last.
fn answer(asked: &Asked, status: &Mutex<Value>, told: &Told) -> Answer {
    let mut status = status.lock().expect("no panic");
    match (asked.method.as_str(), asked.kind()) {
        ("GET", "s3syncs") => {
            let one = |n| (n == 0).then(|| resource("data", "orders", "1", json!({"schedule": "x"}), status.clone()));
            ok(asked.page(&one))
        }
        ("PATCH", "status") => {
            *status = asked.body["status"].clone();
            common(asked, told)
        }
        _ => common(asked, told),
    }
}

#[test]
fn what_turned_is_told_once_and_not_again_by_the_next_controller() {
    let (url, came) = receiver();
    let (status, told) = (Arc::new(Mutex::new(json!({}))), Told::default());
    let (keeps, tells) = (Arc::clone(&status), Arc::clone(&told));
    let server = ApiServer::start(move |asked| answer(asked, &keeps, &tells));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), url).expect("writable");
    let flags =
        ["--no-leader-election", "--listen", "127.0.0.1:0", "--notify-url-file", file.path().to_str().expect("text")];
    let came = || came.lock().expect("no panic").clone();

    let (_dir, running) = controller(&server, &flags);
    within(Duration::from_secs(60), || !came().is_empty()).expect("a notice");
    running.signal("TERM");
    let first = running.wait();
    let notice = &came()[0];
    let of = |field: &str| notice[field].clone();
    assert_eq!(
        (of("version"), of("namespace"), of("name"), of("condition"), of("status"), of("reason"), of("generation")),
        (json!(1), json!("data"), json!("orders"), json!("Ready"), json!("False"), json!("InvalidSpec"), json!(1))
    );
    let message = of("message");
    assert!(message.as_str().expect("text").starts_with("spec.schedule is \"x\""), "{message}");

    // The next one finds the status as it is, and looks at the resource all the same.
    let (_dir, running) = controller(&server, &flags);
    within(Duration::from_secs(5), || came().len() > 1);
    running.signal("TERM");
    let second = running.wait();
    assert_eq!(came().len(), 1, "{:?}", came());
    for outcome in [first, second] {
        assert!(!outcome.stderr.contains("secret-token") && !outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    }

    std::fs::write(file.path(), "no URL").expect("writable");
    let (_dir, running) = controller(&server, &flags);
    running.wait().expect(2).says(&["--notify-url-file: ", "holds no http:// or https:// URL of a host"]);
}
