//! Names of what the controller makes, the labels and annotations by which it finds that again, and the bounds that
//! Kubernetes sets.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Owner of the fields that the controller applies.
pub const FIELD_MANAGER: &str = "s3sync-controller";

/// What Kubernetes' common labels begin with.
pub const KUBERNETES: &str = "app.kubernetes.io/";
/// Annotation: what `kubectl apply` was given.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Label: which sync an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Label: what an object is to the sync.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// [`COMPONENT`] of Jobs, pods and their rights.
pub const WORKER: &str = "worker";
/// [`COMPONENT`] of Jobs and pods that run a command beside the runs: the controller, which looks for workers, does not
/// see them.
pub const COMMAND: &str = "command";
/// [`COMPONENT`] of the Secret with the key of the state.
pub const STATE_KEY: &str = "state-key";
/// [`COMPONENT`] of the cursor's ConfigMap.
pub const CURSOR: &str = "cursor";
/// Labels that Jobs and pods of every sync have.
pub const WORKER_SELECTOR: &str = "app.kubernetes.io/managed-by=s3sync,app.kubernetes.io/component=worker";
/// Labels of the operator's Deployment, as the chart gives them.
pub const CONTROLLER_SELECTOR: &str = "app.kubernetes.io/name=s3sync,app.kubernetes.io/component=controller";
/// Labels that cursors of every sync have.
pub const CURSOR_SELECTOR: &str = "app.kubernetes.io/managed-by=s3sync,app.kubernetes.io/component=cursor";

/// What our own annotations begin with.
pub const DOMAIN: &str = "s3sync.dev/";
/// Annotation of a resource: its value starts a run, as `spec.trigger` does.
pub const TRIGGER: &str = "s3sync.dev/trigger";
/// Annotation of a resource: the Job of the run in progress that is to end.
pub const CANCEL: &str = "s3sync.dev/cancel";
/// Annotation of a resource: the generation whose changed source or destination is accepted.
pub const ACCEPT_SPEC_CHANGE: &str = "s3sync.dev/accept-spec-change";

/// Annotation, in the controller's memory only: why a resource's spec was not kept.
pub const OVERSIZED: &str = "s3sync.dev/oversized";
/// Annotation of what is made for a sync: what it is, for people.
pub const ABOUT: &str = "s3sync.dev/about";
/// Annotation of a run's Job: the slot in its name.
pub const SLOT: &str = "s3sync.dev/slot";
/// Annotation of a run's Job: the minute of a scheduled slot.
pub const SCHEDULED: &str = "s3sync.dev/scheduled-at";
/// Annotation of a run's Job: the hash of what is synced.
pub const SYNCED: &str = "s3sync.dev/spec";
/// Annotation of a run's Job: `spec.trigger` as it was.
pub const RUN_TRIGGER: &str = "s3sync.dev/run-trigger";
/// Annotation of a run's Job: [`TRIGGER`] as it was.
pub const RUN_TRIGGER_ANNOTATION: &str = "s3sync.dev/run-trigger-annotation";
/// Annotation of a run's Job: the S3SyncRun that asked for it.
pub const REQUESTED_BY: &str = "s3sync.dev/requested-by";

/// The Job controller's label of a pod: its Job (<https://kubernetes.io/docs/reference/labels-annotations-taints/>).
pub const POD_JOB: &str = "batch.kubernetes.io/job-name";
/// The Job controller's label of a pod: its index.
pub const POD_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Kueue's label of a Job: the queue that admits it (<https://kueue.sigs.k8s.io/docs/tasks/run/jobs/>).
pub const KUEUE_QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// A pod's host name is its Job's name, a hyphen and its index, and a DNS label (RFC 1123) has 63 characters.
const LABEL_BYTES_MAX: usize = 63;
/// The longest index: a run has at most 1,000 pods.
const INDEX_BYTES_MAX: usize = "-999".len();
/// The longest number of a repetition, so that a run and its repetitions share what stands before it.
const REPEAT_BYTES_MAX: usize = "-r9999".len();
/// The last number of a repetition: at one an hour, the backoff's slowest, it is more than a year away.
const REPEATS_MAX: u32 = 9999;

/// Labels of a sync's child.
pub fn labels(sync: &str, component: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "s3sync"),
        (INSTANCE, sync),
        ("app.kubernetes.io/managed-by", "s3sync"),
        (COMPONENT, component),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// The ConfigMap of a sync's cursor.
pub fn cursor_name(sync: &str) -> String {
    format!("{sync}-cursor")
}

/// The Secret with the key of a sync's state.
pub fn state_key_name(sync: &str) -> String {
    format!("{sync}-state-key")
}

/// The Role, RoleBinding and, unless the user names one, ServiceAccount of a sync's workers.
pub fn worker_name(sync: &str) -> String {
    format!("{sync}-worker")
}

/// Ten hexadecimal digits of a digest: enough to tell a sync's versions apart, short enough for a name.
pub fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // Lengths before texts: ("ab", "c") must not meet ("a", "bc").
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// How a run repeats an earlier one of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The slot's first run.
    First,
    /// Another attempt, from 2.
    Attempt(u32),
    /// Finishes what was left, from 1.
    Recovery(u32),
}

/// The Job of a run: `<sync>-<slot>`, with `-a<n>` or `-r<n>` when it repeats. A sync whose name is too long, or has
/// dots (which a host name may not have), is cut and gets a hash of the whole name.
pub fn job_name(sync: &str, slot: &str, repeat: Repeat) -> String {
    let base = base(sync, slot);
    match repeat {
        Repeat::First => base,
        Repeat::Attempt(n) => format!("{base}-a{}", n.min(REPEATS_MAX)),
        Repeat::Recovery(n) => format!("{base}-r{}", n.min(REPEATS_MAX)),
    }
}

/// The Job of a command; `id` is six hexadecimal digits. No run has this name: a slot is longer.
pub fn command_job_name(sync: &str, id: &str) -> String {
    base(sync, &format!("command-{id}"))
}

fn base(sync: &str, slot: &str) -> String {
    let room = LABEL_BYTES_MAX - INDEX_BYTES_MAX - REPEAT_BYTES_MAX - "-".len() - slot.len();
    if sync.len() <= room && !sync.contains('.') {
        return format!("{sync}-{slot}");
    }
    let hash = short_hash(&[sync]);
    let plain = sync.replace('.', "-");
    let kept = &plain[..plain.len().min(room - "-".len() - hash.len())];
    format!("{}-{hash}-{slot}", kept.trim_end_matches('-'))
}

/// Slot and repetition of a run, from its Job's name: `None` for a name that is not one of ours.
pub fn parse_job_name(job: &str) -> Option<(&str, Repeat)> {
    let (head, last) = job.rsplit_once('-')?;
    let number = |kind: char| last.strip_prefix(kind).and_then(|digits| digits.parse::<u32>().ok());
    // A slot has at least ten characters, a repetition at most five.
    let repeat = if last.len() > 5 {
        None
    } else {
        number('a').map(Repeat::Attempt).or_else(|| number('r').map(Repeat::Recovery))
    };
    match repeat {
        None => Some((last, Repeat::First)),
        Some(repeat) => Some((head.rsplit_once('-')?.1, repeat)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs() {
        let long = "a-sync-whose-name-has-exactly-fifty-two-characters-x";
        assert_eq!(long.len(), 52);
        for (sync, slot, repeat, expected) in [
            ("orders", "202611211530", Repeat::First, "orders-202611211530"),
            ("orders", "0123456789", Repeat::Attempt(2), "orders-0123456789-a2"),
            ("orders", "202611211530", Repeat::Recovery(1), "orders-202611211530-r1"),
            ("orders", "202611211530", Repeat::Recovery(70_000), "orders-202611211530-r9999"),
            ("raw.orders", "202611211530", Repeat::First, "raw-orders-HASH-202611211530"),
            (long, "202611211530", Repeat::Recovery(12), "a-sync-whose-name-has-exactly-HASH-202611211530-r12"),
        ] {
            let name = job_name(sync, slot, repeat);
            assert_eq!(name, expected.replace("HASH", &short_hash(&[sync])));
            assert!(format!("{name}-999").len() <= 63, "{name}");
            let repeat = match repeat {
                Repeat::Recovery(n) => Repeat::Recovery(n.min(REPEATS_MAX)),
                other => other,
            };
            assert_eq!(parse_job_name(&name), Some((slot, repeat)));
        }
        for (sync, expected) in
            [("orders", "orders-command-0a1b2c"), (long, "a-sync-whose-name-has-exact-HASH-command-0a1b2c")]
        {
            let name = command_job_name(sync, "0a1b2c");
            assert_eq!(name, expected.replace("HASH", &short_hash(&[sync])));
            assert!(format!("{name}-0").len() <= 63, "{name}");
        }
    }

    #[test]
    fn names_that_look_alike_stay_apart() {
        let names = ["a.b", "a-b", "x.a-b"].map(|sync| job_name(sync, "202611211530", Repeat::First));
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{names:?}");
    }
}
