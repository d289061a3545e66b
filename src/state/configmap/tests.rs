use serde_json::json;

use super::server::{Fault, Server};
use super::*;
use crate::model::cursor::Phase;

const GET: &str = "GET /api/v1/namespaces/data/configmaps/orders-cursor";
const PUT: &str = "PUT /api/v1/namespaces/data/configmaps/orders-cursor?&fieldManager=s3sync-worker";

fn watch(seconds: u32, from: u32) -> String {
    format!(
        "WATCH /api/v1/namespaces/data/configmaps?&watch=true&timeoutSeconds={seconds}&fieldSelector=metadata.name%3Dorders-cursor\
         &allowWatchBookmarks=true&resourceVersion={from}"
    )
}

fn cursor(epoch: u64) -> Cursor {
    Cursor::empty("abc".into(), epoch, "x-y".into())
}

fn worker(server: &Server) -> ConfigMapCursor {
    ConfigMapCursor::new(server.client(), "data", "orders-cursor", Patience::WORKER)
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_a_run_are_these() {
    let server = Server::with_empty_map();
    let store = worker(&server);
    assert!(store.load().await.unwrap().is_none());
    let first = store.create(&cursor(0)).await.unwrap();
    let second = store.swap(&first, &cursor(1)).await.unwrap();
    assert_eq!(store.load().await.unwrap().unwrap(), (cursor(1), second));
    // What was read or written last is the next write's base: a write is one request.
    assert_eq!(server.requests(), [GET, PUT, PUT, GET]);
    let bodies = server.bodies();
    assert_eq!(
        bodies[1]["metadata"],
        json!({
            "name": "orders-cursor", "namespace": "data", "uid": "uid-1", "resourceVersion": "2",
            "labels": {"app.kubernetes.io/instance": "orders"},
        })
    );
    assert_eq!(bodies[1]["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["cursor"]);
}

#[tokio::test(start_paused = true)]
async fn progress_of_others_is_no_conflict() {
    let server = Server::with_empty_map();
    let (leader, follower) = (worker(&server), worker(&server));
    let first = leader.create(&cursor(0)).await.unwrap();
    follower.put_progress(1, "{\"epoch\":1}").await.unwrap();
    server.requests();
    let second = leader.swap(&first, &cursor(1)).await.unwrap();
    assert_eq!(server.requests(), [PUT, GET, PUT]);
    assert_eq!(leader.load().await.unwrap().unwrap().1, second);
    assert_eq!(server.text("progress.1").unwrap(), "{\"epoch\":1}");

    // The same progress again is no write; the follower's base is old by now, which it notices.
    follower.put_progress(1, "{\"epoch\":1}").await.unwrap();
    follower.put_progress(1, "{\"epoch\":2}").await.unwrap();
    assert_eq!(server.text("progress.1").unwrap(), "{\"epoch\":2}");
    assert_eq!(leader.load().await.unwrap().unwrap(), (cursor(1), second));
    leader.clear_progress().await.unwrap();
    assert_eq!(server.text("progress.1"), None);
    assert!(server.text("cursor").is_some());
    server.requests();
    leader.clear_progress().await.unwrap();
    assert_eq!(server.requests(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_recognised() {
    for fault in [Fault::Lost, Fault::Silence, Fault::Status(500), Fault::Refused, Fault::Status(429)] {
        let server = Server::with_empty_map();
        let store = worker(&server);
        let first = store.create(&cursor(0)).await.unwrap();
        server.fail("PUT", fault);
        server.requests();
        let second = store.swap(&first, &cursor(1)).await.unwrap();
        let expected: &[&str] = if fault == Fault::Lost { &[PUT, GET] } else { &[PUT, GET, PUT] };
        assert_eq!(server.requests(), expected, "{fault:?}");
        assert_eq!(store.load().await.unwrap().unwrap(), (cursor(1), second), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_worker_that_writes_the_same_is_still_another() {
    let server = Server::with_empty_map();
    let (one, two) = (worker(&server), worker(&server));
    let first = one.create(&cursor(0)).await.unwrap();
    two.load().await.unwrap();
    one.swap(&first, &cursor(1)).await.unwrap();
    assert!(two.swap(&first, &cursor(1)).await.unwrap_err().is_conflict());
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_half_a_minute_fails_nothing() {
    let server = Server::with_empty_map();
    let store = worker(&server);
    let first = store.create(&cursor(0)).await.unwrap();
    let began = Instant::now();
    // A server that is stopped answers nothing, and then refuses connections while it starts.
    let fresh = [Fault::Refused, Fault::Status(503), Fault::Status(403)];
    for fault in [Fault::Silence; 3].into_iter().chain(fresh) {
        server.fail("GET", fault);
    }
    assert_eq!(store.load().await.unwrap().unwrap(), (cursor(0), first.clone()));
    assert!(began.elapsed() >= Duration::from_secs(30));
    server.fail("PUT", Fault::Silence);
    server.fail("GET", Fault::Silence);
    store.swap(&first, &cursor(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_outage_without_an_end_has_one() {
    for (fault, expected) in [
        (Fault::Silence, "the API server did not answer within"),
        (Fault::Refused, "the API server could not be reached for"),
        (Fault::Status(503), "the API server could not be reached for"),
    ] {
        let server = Server::with_empty_map();
        let store = worker(&server);
        (0..200).for_each(|_| server.fail("GET", fault));
        let began = Instant::now();
        let error = store.load().await.unwrap_err();
        assert!(began.elapsed() <= Patience::WORKER.outage + Patience::WORKER.request, "{fault:?}");
        assert!(matches!(error, StateError::Unavailable { .. }), "{error:?}");
        assert!(
            error.to_string().starts_with(&format!("the cursor ConfigMap data/orders-cursor: {expected}")),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_may_come_late_but_must_come() {
    let server = Server::with_empty_map();
    server.fail("GET", Fault::Status(403));
    let store = worker(&server);
    assert!(store.load().await.unwrap().is_none());
    (0..200).for_each(|_| server.fail("GET", Fault::Status(403)));
    let error = store.load().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cursor ConfigMap data/orders-cursor: the server says 403; grant get, list, watch and update on it, as the Role that the \
         operator makes does"
    );
}

#[tokio::test(start_paused = true)]
async fn a_config_map_that_goes_or_is_another_ends_the_worker() {
    let deleted = "the cursor ConfigMap data/orders-cursor was deleted while it was in use; nothing is lost: run again";
    let replaced = "the cursor ConfigMap data/orders-cursor was deleted and made again while it was in use; nothing is lost: run again";
    for (make_again, expected) in [(false, deleted), (true, replaced)] {
        let server = Server::with_empty_map();
        let store = worker(&server);
        let first = store.create(&cursor(0)).await.unwrap();
        server.delete();
        if make_again {
            server.make("uid-2");
        }
        assert_eq!(store.swap(&first, &cursor(1)).await.unwrap_err().to_string(), expected);
        assert_eq!(store.load().await.unwrap_err().to_string(), expected);
        assert_eq!(store.changed(Some(&first), Duration::from_secs(30)).await.unwrap_err().to_string(), expected);
        assert_eq!(server.text("cursor"), None);
    }
    // Where there never was one, there is no cursor, and none can be made.
    let store = worker(&Server::default());
    assert!(store.load().await.unwrap().is_none());
    assert_eq!(store.create(&cursor(0)).await.unwrap_err().to_string(), deleted);
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_and_progress_does_not() {
    let server = Server::with_empty_map();
    let (leader, follower) = (worker(&server), worker(&server));
    let first = leader.create(&cursor(0)).await.unwrap();
    follower.load().await.unwrap();
    server.requests();
    let waiting = tokio::spawn({
        let (follower, first) = (follower.clone(), first.clone());
        async move { follower.changed(Some(&first), Duration::from_secs(30)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.edit("progress.0", "{}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    let second = leader.swap(&first, &cursor(1)).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(server.requests(), [watch(30, 2), PUT.to_owned(), GET.to_owned(), PUT.to_owned()]);

    // Nothing happens: the wait ends on time. A cursor that has moved already is no wait.
    let began = Instant::now();
    follower.changed(Some(&second), Duration::from_secs(30)).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    follower.changed(Some(&first), Duration::from_secs(30)).await.unwrap();
    follower.changed(None, Duration::from_secs(30)).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_misses_nothing() {
    for fault in [Fault::Cut, Fault::TooOld, Fault::Status(410), Fault::Status(500), Fault::Refused, Fault::Silence] {
        let server = Server::with_empty_map();
        let (leader, follower) = (worker(&server), worker(&server));
        let first = leader.create(&cursor(0)).await.unwrap();
        follower.load().await.unwrap();
        server.fail("WATCH", fault);
        let began = Instant::now();
        let changed = follower.changed(Some(&first), Duration::from_secs(30));
        let moved = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            leader.swap(&first, &cursor(1)).await.unwrap()
        };
        let (changed, second) = tokio::join!(changed, moved);
        changed.unwrap();
        assert!(began.elapsed() < Duration::from_secs(12), "{fault:?}: {:?}", began.elapsed());
        assert_eq!(follower.load().await.unwrap().unwrap(), (cursor(1), second), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_costs_no_request() {
    let server = Server::with_empty_map();
    let (leader, follower) = (worker(&server), worker(&server));
    let first = leader.create(&cursor(0)).await.unwrap();
    follower.load().await.unwrap();
    leader.swap(&first, &cursor(1)).await.unwrap();
    server.requests();
    assert_eq!(follower.recent().await.unwrap().unwrap().0, cursor(0));
    assert_eq!(server.requests(), [""; 0]);
    tokio::time::sleep(RECENT).await;
    assert_eq!(follower.recent().await.unwrap().unwrap().0, cursor(1));
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_an_error_and_nothing_is_written() {
    let server = Server::with_empty_map();
    let store = worker(&server);
    let first = store.create(&cursor(0)).await.unwrap();
    server.edit("cursor", "{}");
    let error = store.load().await.unwrap_err();
    assert!(error.is_nonsense(), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("the cursor ConfigMap data/orders-cursor makes no sense: key cursor: missing field"),
        "{error}"
    );
    assert!(store.swap(&first, &Cursor { phase: Phase::Running, ..cursor(0) }).await.unwrap_err().is_conflict());
    assert!(store.create(&cursor(0)).await.unwrap_err().is_conflict());
    assert_eq!(server.text("cursor").unwrap(), "{}");
}
