//! The validating webhook: a gate before the cluster, that holds nobody up when it is away.

use serde_json::{Value, json};

use crate::support::{Printed, Site, api, release, run, s3sync, until};

/// `kubectl apply`, on the server's side or not, dry or not.
fn apply(site: &Site, sync: &Value, more: &[&str]) -> Printed {
    let args = [&["--namespace", &site.namespace, "apply", "--filename", "-"], more].concat();
    run("kubectl", &args, Some(&sync.to_string()))
}

#[test]
fn what_validate_refuses_is_refused_by_apply_unless_the_webhook_is_away() {
    let _alone = release::alone();
    let site = Site::within_alone("webhook");
    release::install(&["webhook.enabled=true", "tenancy.maxReplicas=4"]);
    release::ready();
    let name = format!("{}-webhook", release::RELEASE);
    let bad = site.sync("bad", "orders/", json!({"schedule": "61 * * * *", "timeZone": "Mars/Base"}));

    // The sentences of validate, by field.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bad.to_string()).expect("writable");
    let validated = s3sync(&["validate", "-o", "json", "-f", file.path().to_str().expect("text")]);
    assert_eq!(validated.code, 2, "{validated:?}");
    let errors: Value = serde_json::from_str(&validated.stdout).expect("JSON");
    let errors: Vec<&str> = errors["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| error["message"].as_str().expect("text"))
        .collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    let dry = "--dry-run=server";
    let refusal = until("the webhook", || {
        let refused = apply(&site, &bad, &[dry]);
        if refused.ok { Err(refused.stdout) } else { Ok(refused.stderr) }
    });
    for error in &errors {
        let (field, rest) = error.split_once(' ').expect("a field");
        assert!(refusal.contains(&format!("{field}: {rest}")), "{error}\n{refusal}");
    }
    for more in [&[dry, "--server-side"][..], &[]] {
        let refused = apply(&site, &bad, more);
        assert!(!refused.ok && refused.stderr.contains("spec.schedule"), "{more:?}: {refused:?}");
    }
    let own = site.sync(
        "own",
        "orders/",
        json!({"destination": {"bucket": site.raw(), "path": "orders/{{UUID}}.{{FORMAT}}"}}),
    );
    let refused = apply(&site, &own, &[dry]);
    assert!(!refused.ok && refused.stderr.contains("spec.destination"), "{refused:?}");
    let many = apply(&site, &site.sync("many", "orders/", json!({"worker": {"replicas": 5}})), &[dry]);
    assert!(!many.ok && many.stderr.contains("--max-replicas=4"), "{many:?}");

    // What is good passes, and is changed in peace.
    site.put("orders/a.csv", "id\n0\n");
    let good = site.sync("good", "orders/", json!({}));
    apply(&site, &good, &[dry]).expect();
    apply(&site, &good, &[]).expect();
    site.succeeded("good", 1);

    // A certificate that somebody removed is made anew, without a pod that is started again.
    let secret = format!("{}/{name}", api::core(release::NAMESPACE, "secrets"));
    api::patch(&secret, &json!({"data": null}));
    until("another certificate", || {
        if api::get(&secret)["data"]["tls.crt"].is_string() { Ok(()) } else { Err("none".to_owned()) }
    });
    until("the webhook again", || {
        let refused = apply(&site, &bad, &[dry]);
        if refused.ok { Err(refused.stdout) } else { Ok(()) }
    });

    // Without anybody who answers, nobody is held up; and what came in meanwhile can be changed, with a warning.
    let deployment = format!("/apis/apps/v1/namespaces/{}/deployments/{}", release::NAMESPACE, release::RELEASE);
    api::patch(&deployment, &json!({"spec": {"replicas": 0}}));
    until("nobody", || if release::controllers().is_empty() { Ok(()) } else { Err("pods".to_owned()) });
    until("an apply that nobody looks at", || {
        let applied = apply(&site, &bad, &[]);
        if applied.ok { Ok(()) } else { Err(applied.stderr) }
    });
    api::patch(&deployment, &json!({"spec": {"replicas": 2}}));
    release::ready();
    site.condition("bad", "Ready", "False", "InvalidSpec");
    let mut suspend = false;
    until("a warning", || {
        // Each time another spec: of one that stays nobody is asked. A node learns a little late who answers.
        suspend = !suspend;
        let patch = json!({"spec": {"suspend": suspend}}).to_string();
        let args = ["--namespace", &site.namespace, "patch", "s3sync", "bad", "--type=merge", "--patch", &patch];
        let patched = run("kubectl", &args, None).expect();
        if patched.stderr.contains("Warning: spec.schedule is") { Ok(()) } else { Err(patched.stderr) }
    });
    let label = run("kubectl", &["--namespace", &site.namespace, "label", "s3sync", "bad", "a=b"], None);
    assert!(!label.expect().stderr.contains("Warning"), "nobody is asked about labels");
    release::install(&[]);
}
