//! A controller that takes over: what is due starts soon, whatever comes late, and one namespace does not hold up
//! another.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// As many resources as a controller is meant for.
const MANY: usize = 300;

/// How soon all of them are looked at once they are listed: a slot is late by that. Seconds, but for a machine that
/// does much besides.
const SOON: Duration = Duration::from_secs(60);

fn many(namespace: &str, spec: &Value, status: &Value) -> impl Fn(usize) -> Option<Value> {
    move |n| (n < MANY).then(|| resource(namespace, &format!("sync-{n:03}"), "1", spec.clone(), status.clone()))
}

/// Looks wait for the lists together, and all of them go on.
#[test]
fn lists_that_arrive_late_hold_up_no_look() {
    let told = Told::default();
    let tells = Arc::clone(&told);
    let server = ApiServer::start(move |asked| {
        let late = ["s3syncs", "jobs", "pods", "configmaps"]
            .iter()
            .position(|kind| asked.method == "GET" && asked.kind() == *kind);
        std::thread::sleep(Duration::from_secs(late.unwrap_or(0) as u64));
        match (asked.method.as_str(), asked.kind()) {
            ("GET", "s3syncs") => ok(asked.page(&many("data", &json!({"suspend": true}), &json!({})))),
            _ => common(asked, &tells),
        }
    });
    let (_dir, running) = controller(&server, &["--no-leader-election", "--listen", "127.0.0.1:0"]);
    let count = || told.lock().expect("no panic").len();
    let took = within(SOON, || count() == MANY);
    running.signal("KILL");
    let outcome = running.wait();
    assert!(took.is_some(), "{} of {MANY} were looked at: {}", count(), outcome.stderr);
}

/// Every resource has a slot that is due, and everything of its earlier runs is there. An answer takes as long as a
/// busy API server's.
#[test]
fn every_slot_that_is_due_starts_soon_after_a_failover() {
    let jobs = Arc::new(Mutex::new(BTreeSet::new()));
    let (told, made) = (Told::default(), Arc::clone(&jobs));
    let due = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(90);
    let status = json!({"observedGeneration": 1, "consecutiveFailures": 0, "nextScheduleTime": due.strftime("%Y-%m-%dT%H:%M:00Z").to_string()});
    let server = ApiServer::start(move |asked| {
        std::thread::sleep(Duration::from_millis(if asked.method == "GET" && asked.kind() == "pods" {
            1500
        } else {
            20
        }));
        match (asked.method.as_str(), asked.kind()) {
            ("GET", "s3syncs") => ok(asked.page(&many("data", &json!({"schedule": "* * * * *"}), &status))),
            ("POST", "jobs") => {
                let mut job = asked.body.clone();
                job["metadata"]["creationTimestamp"] = json!("2026-11-21T12:00:10Z");
                made.lock().expect("no panic").insert(job["metadata"]["name"].as_str().expect("a name").to_owned());
                created(job)
            }
            ("POST", "secrets") => refused(409, "AlreadyExists", "it is there"),
            ("POST", "configmaps" | "serviceaccounts" | "roles" | "rolebindings") => created(asked.body.clone()),
            _ => common(asked, &told),
        }
    });
    let (_dir, running) = controller(&server, &["--no-leader-election", "--listen", "127.0.0.1:0"]);
    let count = || jobs.lock().expect("no panic").len();
    let took = within(SOON, || count() == MANY);
    running.signal("KILL");
    let outcome = running.wait();
    println!("{MANY} slots started within {took:?}");
    assert!(took.is_some(), "{} of {MANY} slots were started: {}", count(), outcome.stderr);
}

/// Two namespaces are watched, and a Role lacks a right in one of them: the other one's looks go on, the reason is
/// told, and it heals.
#[test]
fn a_namespace_that_cannot_be_listed_holds_up_no_other() {
    let (told, events, allowed) = (Told::default(), Told::default(), Arc::new(AtomicBool::new(false)));
    let (tells, tells_events, allows) = (Arc::clone(&told), Arc::clone(&events), Arc::clone(&allowed));
    let repeated = Arc::<Mutex<Vec<Value>>>::default();
    let repeats = Arc::clone(&repeated);
    let server = ApiServer::start(move |asked| match (asked.method.as_str(), asked.kind()) {
        ("GET", "pods") if asked.namespace() == "broken" && !allows.load(Ordering::Relaxed) => refused(
            403,
            "Forbidden",
            "pods is forbidden: User \"s3sync\" cannot list resource \"pods\" in the namespace \"broken\"",
        ),
        ("GET", "s3syncs") => ok(asked.page(&many(asked.namespace(), &json!({"suspend": true}), &json!({})))),
        ("POST", "events") => {
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let body = &asked.body;
            let event = (text(&body["regarding"]["name"]), text(&body["reason"]), text(&body["note"]));
            if !tells_events.lock().expect("no panic").insert(event) {
                repeats.lock().expect("no panic").push(body.clone());
            }
            created(json!({"metadata": {"name": "e"}, "eventTime": null}))
        }
        _ => common(asked, &tells),
    });
    let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let args = ["--no-leader-election", "--listen", &address, "--namespace", "broken", "--namespace", "whole"];
    let (_dir, running) = controller(&server, &args);
    let of = |namespace: &str| told.lock().expect("no panic").iter().filter(|(of, _, _)| of == namespace).count();
    let whole = within(SOON, || of("whole") == MANY);
    let said = within(SOON, || events.lock().expect("no panic").len() == MANY);
    let before = of("broken");
    let metrics = get(&address, "/metrics");
    let health = get(&address, "/healthz");
    allowed.store(true, Ordering::Relaxed);
    // The watch tries again within half a minute.
    let healed = within(Duration::from_secs(60), || of("broken") == MANY);
    let metrics_after = get(&address, "/metrics");
    running.signal("KILL");
    let outcome = running.wait();
    assert!(whole.is_some(), "{} of {MANY} were looked at: {}", of("whole"), outcome.stderr);
    assert_eq!((before, said.is_some()), (0, true), "{}", outcome.stderr);
    let repeated = repeated.lock().expect("no panic").clone();
    assert!(repeated.is_empty(), "told twice: {repeated:?}");
    let events = events.lock().expect("no panic").clone();
    let (_, reason, note) = events.first().expect("an event");
    let sentence =
        "pods of the namespace broken cannot be listed, and this sync waits until they can: pods is forbidden: ";
    assert!(reason == "NotWatched" && note.starts_with(sentence), "{reason}: {note}");
    assert!(outcome.stderr.contains("a watch failed") && outcome.stderr.contains("broken"), "{}", outcome.stderr);
    let failing = |value: &str| format!("s3sync_watch_failing{{kind=\"pods\",namespace=\"broken\"}} {value}");
    assert!(
        metrics.contains(&failing("1.0"))
            && metrics.contains("s3sync_watch_failing{kind=\"pods\",namespace=\"whole\"} 0.0"),
        "{metrics}"
    );
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    assert!(healed.is_some(), "{} of {MANY} were looked at in the end: {}", of("broken"), outcome.stderr);
    assert!(metrics_after.contains(&failing("0.0")), "{metrics_after}");
}

/// A Lease, as an API server keeps it.
fn leases(asked: &Asked, kept: &Mutex<Option<Value>>) -> Answer {
    let mut kept = kept.lock().expect("no panic");
    match (asked.method.as_str(), kept.as_mut()) {
        ("GET", Some(lease)) => ok(lease.clone()),
        ("POST", None) => {
            let mut lease = asked.body.clone();
            lease["metadata"]["resourceVersion"] = json!("1");
            *kept = Some(lease.clone());
            created(lease)
        }
        ("PATCH", Some(lease)) if asked.body["metadata"]["resourceVersion"] == lease["metadata"]["resourceVersion"] => {
            for (field, value) in asked.body["spec"].as_object().expect("a spec") {
                lease["spec"][field] = value.clone();
            }
            let version: u64 = lease["metadata"]["resourceVersion"].as_str().expect("text").parse().expect("a number");
            lease["metadata"]["resourceVersion"] = json!((version + 1).to_string());
            ok(lease.clone())
        }
        (_, None) => refused(404, "NotFound", "no such Lease"),
        _ => refused(409, "Conflict", "it is another by now"),
    }
}

/// The first is killed, the second ended as a rollout ends it.
#[test]
fn a_killed_leader_is_followed_after_its_lease_and_one_that_ends_at_once() {
    let (told, lease, reads) = (Told::default(), Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
    let (kept, counts) = (Arc::clone(&lease), Arc::clone(&reads));
    let server = ApiServer::start(move |asked| match asked.path.contains("/leases") {
        true => {
            counts.fetch_add(usize::from(asked.method == "GET"), Ordering::Relaxed);
            leases(asked, &kept)
        }
        false => common(asked, &told),
    });
    let port = || TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let replica =
        |listen: &str| controller(&server, &["--lease-namespace", "ops", "--lease-name", "s3sync", "--listen", listen]);
    let holder = || {
        let lease = lease.lock().expect("no panic").clone().unwrap_or_default();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    };
    // Another holds it.
    let follows = |before: &str| within(Duration::from_secs(60), || ![before, ""].contains(&holder().as_str()));
    let (_first, one) = replica("127.0.0.1:0");
    follows("").expect("the first leads");
    // It is ready, and the Lease was read more often since than its holder alone does in the same second.
    let waits = |address: &str| {
        let is_ready = || TcpStream::connect(address).is_ok() && get(address, "/readyz").starts_with("HTTP/1.1 200");
        within(Duration::from_secs(60), is_ready).expect("the replica is ready");
        let since = reads.load(Ordering::Relaxed);
        within(Duration::from_secs(60), || reads.load(Ordering::Relaxed) >= since + 3).expect("the Lease is read");
    };
    let second_at = port();
    let (_second, two) = replica(&second_at);
    waits(&second_at);
    let first = holder();
    one.signal("KILL");
    let killed = follows(&first);
    let third_at = port();
    let (_third, three) = replica(&third_at);
    waits(&third_at);
    let second = holder();
    two.signal("TERM");
    let ended = follows(&second);
    three.signal("KILL");
    println!("followed {killed:?} after a kill, and {ended:?} after an end");
    let outcomes = (one.wait(), two.wait(), three.wait());
    assert!(
        killed.is_some_and(|took| took > Duration::from_secs(10) && took < Duration::from_secs(30)),
        "{killed:?}: {outcomes:?}"
    );
    assert!(ended.is_some_and(|took| took < Duration::from_secs(10)), "{ended:?}: {outcomes:?}");
    assert_eq!(outcomes.1.code, Some(0), "{:?}", outcomes.1);
}

/// What the controller serves.
pub(super) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: s3sync\r\nconnection: close\r\n\r\n").expect("it hears");
    std::io::read_to_string(stream).expect("it answers")
}
