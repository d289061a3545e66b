//! Jobs that cannot be made: told once, tried again, nobody else's touched.

use super::*;

#[tokio::test]
async fn a_job_of_somebody_else_is_left_alone() {
    let mut scene = Scene::new(sync_with(json!({"schedule": "* * * * *"})));
    // Made at noon, and seen ten seconds later with the slot of noon still to come: the next minute.
    let mut later = scene.context.reflectors.sync("data", "orders").unwrap().0.clone().unwrap();
    later.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at("11:59:30")));
    listed(&mut scene.writers.syncs, vec![DeserializeGuard(Ok(later))]);
    let conflict = exchange(Method::POST, JOBS, 409, refused(409, "AlreadyExists"));
    let there = exchange(
        Method::GET,
        "/apis/batch/v1/namespaces/data/jobs/orders-202611211200",
        200,
        first_job("uid-of-another"),
    );
    let script = [rights(), vec![make_key(), make_cursor(), conflict, there, event("NameTaken")]]
        .into_iter()
        .flatten()
        .collect();
    scene.look(script).await.unwrap();
    let status = json!({
        "observedGeneration": 3,
        "conditions": [condition("Ready", "True", "Armed", "runs by the schedule * * * * *, Etc/UTC")],
        "message": "runs by the schedule * * * * *, Etc/UTC",
        "nextRunTime": "2026-11-21T12:01:00Z",
        "nextScheduleTime": "2026-11-21T12:01:00Z",
        "consecutiveFailures": 0,
    });
    scene.look(vec![status_written(status), event("SlotMissed")]).await.unwrap();
    scene.look(vec![]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_job_is_told_once_and_tried_again_slowly() {
    let mut scene = Scene::new(sync());
    let quota = || exchange(Method::POST, JOBS, 403, refused(403, "Forbidden"));
    let script = [
        rights(),
        vec![
            make_key(),
            make_cursor(),
            quota(),
            status_patched().check(|body| {
                assert_eq!(
                    body["status"]["conditions"][1]["message"],
                    "the API server refuses what the next run needs: Forbidden!"
                )
            }),
            event("RunRefused"),
        ],
    ];
    let error = scene.look(script.into_iter().flatten().collect()).await.unwrap_err();
    assert_eq!(error.kind(), "forbidden");
    // Held back: whoever makes a look meanwhile makes no request.
    scene.look(vec![]).await.unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    // The cursor is there by now, the rights were applied: only the key may be gone, and one refusal. The cursor is
    // new, the refusal is not.
    scene.sees_cursor(cursor_there());
    scene.look(vec![key_is_there(), quota(), status_patched()]).await.unwrap_err();
    tokio::time::advance(Duration::from_secs(30)).await;
    scene.look(vec![key_is_there(), quota()]).await.unwrap_err();
}

/// Trouble that may pass is told as well, and not at every try; what is new besides is not held up by it.
#[tokio::test]
async fn a_start_that_fails_is_told_once_and_tried_again_at_once() {
    let mut scene = Scene::new(sync());
    let broken = |message: &str| {
        let mut answer = refused(500, "InternalError");
        answer["message"] = json!(message);
        exchange(Method::POST, JOBS, 500, answer)
    };
    let told = status_patched().check(|body| {
        let condition = &body["status"]["conditions"][1];
        assert_eq!((&condition["reason"], &body["status"]["observedGeneration"]), (&json!("RunRefused"), &json!(3)));
        assert_eq!(condition["message"], "the API server refuses what the next run needs: webhook 1 is away");
    });
    let script = [rights(), vec![make_key(), make_cursor(), broken("webhook 1 is away"), told, event("RunRefused")]];
    assert_eq!(scene.look(script.into_iter().flatten().collect()).await.unwrap_err().kind(), "api");
    scene.sees_cursor(cursor_there());
    scene.look(vec![key_is_there(), broken("webhook 2 is away"), status_patched()]).await.unwrap_err();
    scene.look(vec![key_is_there(), broken("webhook 3 is away")]).await.unwrap_err();
    // Malformed by a webhook, for instance: that lasts.
    let told = status_patched();
    scene
        .look(vec![key_is_there(), exchange(Method::POST, JOBS, 400, refused(400, "BadRequest")), told])
        .await
        .unwrap_err();
    scene.look(vec![]).await.unwrap();
}
