//! What events say of an object, in the words of who wrote them: the API server's, where it takes no pod.

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::api::text;

/// Events of one object that are looked at: whoever writes them counts repeated ones up, so that there are few.
const EVENTS_MAX: u32 = 100;

/// The last warning about the object with this uid.
pub async fn last(client: &Client, namespace: &str, uid: &str) -> Result<Option<String>, kube::Error> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().fields(&format!("regarding.uid={uid},type=Warning")).limit(EVENTS_MAX);
    let last = events.list(&params).await?.items.into_iter().max_by_key(last_seen).and_then(|event| event.note);
    Ok(last.map(|note| text::message(&note)).filter(|note| !note.is_empty()))
}

/// When an event was last seen, by whichever field its writer fills.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let deprecated = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    let times = [
        series,
        deprecated,
        event.event_time.as_ref().map(|time| time.0),
        event.metadata.creation_timestamp.as_ref().map(|t| t.0),
    ];
    times.into_iter().flatten().max()
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
}
