use serde_json::json;

use super::super::finding::Outcome;
use super::*;
use crate::controller::build;
use crate::controller::fixtures::sync_with;

#[test]
fn definitions_are_compared_by_their_fields() {
    let ours = fields(crd::definitions()[0].value());
    assert!(
        ours.contains("v1alpha1.spec.source.bucket") && ours.contains("v1alpha1.status.lastRun.reason"),
        "{ours:?}"
    );
    let without = |field: &str| ours.iter().filter(|ours| *ours != field).cloned().collect::<BTreeSet<String>>();
    assert_eq!(compared("x", &ours, &ours, true).result, Outcome::Ok);
    let beside = compared("x", &without("v1alpha1.status.run"), &ours, true);
    assert_eq!(
        (beside.result, beside.why.as_str(), beside.fix.as_deref()),
        (
            Outcome::Failed,
            "x is older than the operator: it has no v1alpha1.status.run, so what that says is lost",
            Some("`s3sync crd | kubectl apply --server-side -f -`")
        )
    );
    // A cluster of an earlier release is well, and this program alone is newer.
    let older = compared("x", &without("v1alpha1.spec.trigger"), &ours, false);
    assert_eq!(
        (older.result, older.why.as_str()),
        (Outcome::Warning, "x is older than this release: it has no v1alpha1.spec.trigger")
    );
    assert!(compared("x", &ours, &without("v1alpha1.spec.trigger"), true).why.contains("newer than this release"));
}

#[test]
fn every_right_of_the_chart_is_asked_for() {
    let asked: Vec<String> = questions(granted(), "data").iter().map(words).collect();
    for right in [
        "patch s3syncs.s3sync.dev/status",
        "create jobs.batch",
        "create secrets",
        "patch rolebindings.rbac.authorization.k8s.io",
    ] {
        assert!(asked.iter().any(|asked| asked == right), "{right} is not in {asked:?}");
    }
    assert!(!asked.iter().any(|asked| asked == "get secrets"));
    let worker = questions(&build::role(&sync_with(json!({}))).rules.unwrap(), "data");
    assert!(worker.iter().all(|question| question.name.as_deref() == Some("orders-cursor")), "{worker:?}");
}
