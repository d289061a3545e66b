//! Writing the status, as far as the cluster's definition knows it.
//!
//! Server-side apply is strict: a status with a field that the definition does not declare is refused whole. The
//! definition may be older than the controller (Helm updates none), and a run must not stop for that: what it does not
//! declare is left out, and told.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Context, LookError, asked, tell};
use crate::api::{S3Sync, S3SyncStatus};
use crate::controller::decide::{Desired, Observed, events};
use crate::controller::names::FIELD_MANAGER;
use crate::controller::notify::notice::notices;
use crate::controller::reflectors::Guarded;
use crate::controller::reflectors::expectations::Key;

/// How long a definition is taken to be as it was: one that is updated is noticed within that.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// Fields that are left out at most: the status has fewer. More are no answer of an API server.
const FIELDS_MAX: usize = 64;

/// Fields of the status that the cluster's definition does not declare, by their paths within it.
#[derive(Debug, Default)]
pub struct Undeclared(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    fields: BTreeSet<String>,
    since: Option<Instant>,
    /// What the log has told.
    told: BTreeSet<String>,
}

impl Undeclared {
    /// The status without them.
    fn left_out(&self, status: &S3SyncStatus) -> S3SyncStatus {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.since.is_some_and(|since| since.elapsed() > KNOWN_FOR) {
            (known.fields, known.since) = (BTreeSet::new(), None);
        }
        if known.fields.is_empty() {
            return status.clone();
        }
        let mut value = json!(status);
        for field in &known.fields {
            remove(&mut value, &field.split('.').collect::<Vec<_>>());
        }
        // A field that a status cannot be without is in every definition.
        serde_json::from_value(value).unwrap_or_else(|_| status.clone())
    }

    /// Takes in what the API server answered to a status. Whether there is a field to leave out that was not before.
    fn learn(&self, answer: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.fields.len();
        known.fields.extend(undeclared(answer).into_iter().take(FIELDS_MAX - before.min(FIELDS_MAX)));
        if known.fields.len() == before {
            return false;
        }
        known.since.get_or_insert_with(Instant::now);
        true
    }

    /// Says in the log what is left out, once of each field.
    fn tell(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news: Vec<String> = known.fields.difference(&known.told).cloned().collect();
        if !news.is_empty() {
            let fields = news.iter().map(|field| format!("status.{field}")).collect::<Vec<_>>().join(", ");
            tracing::warn!(
                "the definition of S3Sync in this cluster is older than this controller: it has no {fields}, which cannot be shown; runs go on; \
                 update it: `s3sync crd | kubectl apply --server-side -f -`"
            );
            known.told.extend(news);
        }
    }
}

/// The paths within the status that the API server's typed patch does not know. It says each as
/// `.status.history[0].reason: field not declared in schema`
/// (<https://github.com/kubernetes-sigs/structured-merge-diff/blob/master/typed/validate.go>).
fn undeclared(answer: &str) -> Vec<String> {
    let ends = answer.match_indices(": field not declared in schema");
    let paths = ends.filter_map(|(end, _)| answer[..end].rsplit(char::is_whitespace).next()?.strip_prefix(".status."));
    paths.map(without_indexes).collect()
}

/// `history[0].reason` is `history.reason`.
fn without_indexes(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

/// Removes a field, of every item where a list stands on the way.
fn remove(value: &mut Value, path: &[&str]) {
    match (value, path) {
        (Value::Array(items), _) => items.iter_mut().for_each(|item| remove(item, path)),
        (Value::Object(fields), [last]) => {
            fields.remove(*last);
        }
        (Value::Object(fields), [first, rest @ ..]) => {
            if let Some(field) = fields.get_mut(*first) {
                remove(field, rest);
            }
        }
        _ => {}
    }
}

/// What became of a status.
pub enum Written {
    /// It is as it should be.
    Already,
    /// It was written.
    Now,
    /// Only progress is new, and was written a moment ago.
    Later(Duration),
}

/// Writes the status where it says something new, and tells what follows from that.
pub async fn write_status(
    seen: &Observed,
    desired: &Desired,
    key: &Key,
    context: &Context,
) -> Result<Written, LookError> {
    let sync = &seen.sync;
    let before = sync.status.clone().unwrap_or_default();
    if context.undeclared.left_out(&before) == context.undeclared.left_out(&desired.status) {
        return Ok(Written::Already);
    }
    let notices = notices(key, &before, &desired.status);
    if desired.moves_progress_alone(before)
        && let Some(wait) = context.expectations.progress_waits(key)
    {
        return Ok(Written::Later(wait));
    }
    let syncs: Api<Guarded> = Api::namespaced(context.client.clone(), &key.0);
    let undeclared = &context.undeclared;
    let patched = loop {
        let sent = undeclared.left_out(&desired.status);
        // The uid: a status about one that is gone is not for its namesake.
        let patch = json!({
            "apiVersion": S3Sync::api_version(&()),
            "kind": S3Sync::kind(&()),
            "metadata": {"name": key.1, "uid": sync.metadata.uid},
            "status": sent,
        });
        match syncs.patch_status(&key.1, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch)).await {
            Ok(patched) => break patched,
            // It names one field at a time: each round leaves out more, which another look may have learned meanwhile.
            Err(kube::Error::Api(answer))
                if undeclared.learn(&answer.message) || undeclared.left_out(&desired.status) != sent => {}
            Err(error) => return Err(asked("write the status")(error)),
        }
    };
    undeclared.tell();
    context.expectations.wrote_status(key, patched.meta().resource_version.as_deref(), &desired.status);
    // What was written is what the next controller begins with: it tells nothing of it again.
    context.notices.tell(notices);
    context.metrics.missed(key, desired.missed);
    if desired.missed > 0 {
        tell(sync, &events::missed(desired.missed), context).await;
    }
    for run in &desired.ended {
        context.metrics.ended(key, run);
    }
    for note in &desired.notes {
        tell(sync, note, context).await;
    }
    Ok(Written::Now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As API servers say it: one field (1.34), or several.
    #[test]
    fn fields_that_a_definition_does_not_declare_are_read_from_the_answer() {
        let typed = "failed to create typed patch object (data/orders; s3sync.dev/v1alpha1, Kind=S3Sync): ";
        for (answer, expected) in [
            (format!("{typed}.status.run: field not declared in schema"), vec!["run"]),
            (
                format!(
                    "{typed}errors:\n  .status.message: field not declared in schema\n  .status.lastRun.passedOver: field not declared in schema"
                ),
                vec!["message", "lastRun.passedOver"],
            ),
            (format!("{typed}.status.history[0].reason: field not declared in schema"), vec!["history.reason"]),
            (
                format!("{typed}.status.conditions[type=\"Ready\"].severity: field not declared in schema"),
                vec!["conditions.severity"],
            ),
            // Another one's business.
            (format!("{typed}.spec.run: field not declared in schema"), vec![]),
            ("status.run: Too long: may not be more than 256 bytes".to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            assert_eq!(undeclared(&answer), expected, "{answer}");
        }
    }

    #[test]
    fn what_is_left_out_is_left_out_of_every_item() {
        let status: S3SyncStatus = serde_json::from_value(json!({
            "run": "Running", "lastRun": {"job": "b", "result": "Failed", "reason": "BadData"},
            "history": [{"job": "a", "result": "Failed", "reason": "Denied"}],
        }))
        .unwrap();
        let all = Undeclared::default();
        assert_eq!(all.left_out(&status), status);
        assert!(all.learn(
            ".status.run: field not declared in schema .status.history[0].reason: field not declared in schema"
        ));
        assert!(!all.learn(".status.run: field not declared in schema"), "that was left out already");
        let left = all.left_out(&status);
        assert_eq!((left.run, left.history[0].reason.clone()), (None, None));
        assert_eq!(left.last_run, status.last_run);
        // What no status can be without stays, and the API server says so.
        assert!(all.learn(".status.lastRun.job: field not declared in schema"));
        assert_eq!(all.left_out(&status), status);
    }
}
