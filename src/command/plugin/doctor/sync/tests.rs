use serde_json::{Value, json};

use super::super::finding::Outcome;
use super::*;
use crate::controller::fixtures::sync_with;

#[test]
fn what_the_operator_says_is_a_line_each() {
    let of = |generation: i64, conditions: Value| {
        let mut sync = serde_json::to_value(sync_with(json!({}))).unwrap();
        sync["status"] = json!({"observedGeneration": generation, "conditions": conditions});
        serde_json::from_value::<S3Sync>(sync).unwrap()
    };
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 3,
            "lastTransitionTime": "2026-11-21T12:00:10Z"})
    };
    let unseen = standing("data/orders", &of(2, json!([])));
    assert_eq!((unseen[0].result, unseen[0].exit_code), (Outcome::Failed, 1));
    let bad = of(
        3,
        json!([
            condition("Ready", "True", "Armed", "ok"),
            condition("LastRunSucceeded", "False", "BadData", "line 2 is torn; mend it")
        ]),
    );
    let found = standing("data/orders", &bad);
    assert_eq!((found[0].result, found[1].exit_code), (Outcome::Ok, 4));
    assert_eq!((found[1].why.as_str(), found[1].fix.as_deref()), ("BadData: line 2 is torn", Some("mend it")));
    let line = line("data/orders", &bad);
    assert_eq!((line.check.as_str(), line.exit_code), ("Sync", 4));
    let cancelled = of(3, json!([condition("LastRunSucceeded", "False", "Cancelled", "it was cancelled")]));
    assert_eq!(standing("data/orders", &cancelled)[0].result, Outcome::Warning);
    let unconnected = of(3, json!([condition("Ready", "False", "ConnectionNotFound", "make it")]));
    assert_eq!(standing("data/orders", &unconnected)[0].exit_code, 2);
    let suspended = of(3, json!([condition("Ready", "True", "Suspended", "spec.suspend is true")]));
    assert_eq!(super::line("data/orders", &suspended).result, Outcome::Warning);
}
