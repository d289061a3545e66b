//! What events say of an object, in the words of who wrote them: the API server's, where it takes no pod.

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use kube::api::ListParams;
use kube::{Api, Client};

use crate::api::text;

/// Events of one object that are looked at: whoever writes them counts repeated ones up, so that there are few.
const EVENTS_MAX: u32 = 100;

/// The last warning about the object with this uid, by the operator's right to `events.k8s.io`.
pub async fn last(client: &Client, namespace: &str, uid: &str) -> Result<Option<String>, kube::Error> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    Ok(newest(events.list(&warnings("regarding", uid)).await?.items))
}

/// The same by the right to the core group's events, which are the same ones: the roles `view` and `edit` have no
/// other.
pub async fn last_of_core(client: &Client, namespace: &str, uid: &str) -> Result<Option<String>, kube::Error> {
    let events: Api<core::Event> = Api::namespaced(client.clone(), namespace);
    let found = events.list(&warnings("involvedObject", uid)).await?.items;
    Ok(newest(found.into_iter().map(of_core).collect()))
}

fn warnings(object: &str, uid: &str) -> ListParams {
    ListParams::default().fields(&format!("{object}.uid={uid},type=Warning")).limit(EVENTS_MAX)
}

fn newest(events: Vec<Event>) -> Option<String> {
    let note = events.into_iter().max_by_key(last_seen)?.note?;
    Some(text::message(&note)).filter(|note| !note.is_empty())
}

fn of_core(event: core::Event) -> Event {
    let series = event.series.and_then(|series| {
        Some(EventSeries { count: series.count.unwrap_or(0), last_observed_time: series.last_observed_time? })
    });
    Event {
        metadata: event.metadata,
        note: event.message,
        series,
        deprecated_last_timestamp: event.last_timestamp,
        event_time: event.event_time,
        ..Event::default()
    }
}

/// When an event was last seen, by whichever field its writer fills.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let deprecated = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    let made = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    [series, deprecated, event.event_time.as_ref().map(|time| time.0), made].into_iter().flatten().max()
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// Events come in no order, and each writer fills another field: the Job controller the old ones, the scheduler the
    /// new one, and a repeated one its series.
    #[tokio::test]
    async fn the_last_warning_is_told_whoever_wrote_it() {
        let event = |note: &str, times: serde_json::Value| {
            let mut event = json!({"metadata": {"name": note, "creationTimestamp": "2026-11-21T12:00:00Z"}, "note": note, "eventTime": null});
            event.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
            event
        };
        let series = |last: &str| json!({"eventTime": "2026-11-21T12:01:00.000000Z", "series": {"count": 9, "lastObservedTime": last}});
        let old = event("made", json!({}));
        let counted = event("exceeded quota", json!({"deprecatedLastTimestamp": "2026-11-21T12:05:00Z"}));
        let once = event("unschedulable", json!({"eventTime": "2026-11-21T12:04:00.000000Z"}));
        for (events, expected) in [
            (json!([]), None),
            (json!([old, counted, once]), Some("exceeded quota")),
            (json!([counted, event("again", series("2026-11-21T12:06:00.000000Z")), old]), Some("again")),
            (json!([event("", json!({}))]), None),
            (json!([event("two\nlines \u{1b}[31m", json!({}))]), Some("two lines [31m")),
        ] {
            let (service, mut server) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
            let answers = tokio::spawn(async move {
                let (request, send) = server.next_request().await.unwrap();
                let query = request.uri().query().unwrap().to_owned();
                let list =
                    json!({"apiVersion": "events.k8s.io/v1", "kind": "EventList", "metadata": {}, "items": events});
                send.send_response(Response::new(Body::from(list.to_string().into_bytes())));
                query
            });
            let said = last(&Client::new(service, "data"), "data", "uid-1").await.unwrap();
            assert_eq!(said.as_deref(), expected);
            assert!(answers.await.unwrap().contains("regarding.uid%3Duid-1%2Ctype%3DWarning"));
        }
    }

    /// Who has the role `edit` sees the core group's, as docs/security.md says.
    #[tokio::test]
    async fn the_same_is_told_by_the_core_group() {
        let event = |message: &str, times: serde_json::Value| {
            let mut event = json!({"metadata": {"name": message, "creationTimestamp": "2026-11-21T12:00:00Z"}, "message": message, "involvedObject": {}});
            event.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
            event
        };
        let series = json!({"series": {"count": 9, "lastObservedTime": "2026-11-21T12:06:00.000000Z"}});
        let items = [
            event("counted", json!({"lastTimestamp": "2026-11-21T12:05:00Z"})),
            event("again", series),
            event("once", json!({"eventTime": "2026-11-21T12:04:00.000000Z"})),
        ];
        let (service, mut server) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let answers = tokio::spawn(async move {
            let (request, send) = server.next_request().await.unwrap();
            let list = json!({"apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": items});
            send.send_response(Response::new(Body::from(list.to_string().into_bytes())));
            request.uri().to_string()
        });
        let said = last_of_core(&Client::new(service, "data"), "data", "uid-1").await.unwrap();
        assert_eq!(said.as_deref(), Some("again"));
        let asked = answers.await.unwrap();
        assert!(
            asked.starts_with("/api/v1/namespaces/data/events?") && asked.contains("involvedObject.uid%3Duid-1"),
            "{asked}"
        );
    }
}
