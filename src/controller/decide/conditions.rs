//! Conditions, by kstatus' rules (<https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus>): Ready and
//! LastRunSucceeded say how things are, Reconciling and Stalled are there only while true. PURE.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::check::{Checked, Refusal};
use super::cursor::Position;
use super::observed::Observed;
use super::run::{Run, Worker};
use crate::api::S3SyncStatus;
use crate::api::status::{ConditionType, RunOutcome, RunResult};
use crate::api::{summary, text};
use crate::controller::names::{ACCEPT_SPEC_CHANGE, cursor_name, worker_name};
use crate::model::reason::{Reason, Verdict};

/// How long a started Job may be without a pod: its controller says that it is started once it has tried to make one.
const POD_WAIT: SignedDuration = SignedDuration::from_secs(15);

/// How long a Job may wait to be started: with hundreds of them in one minute, the Job controller's own rate makes the
/// last wait for long.
const JOB_WAIT: SignedDuration = SignedDuration::from_secs(60);

/// How long a pod may be without a container that has begun, where nobody says why: longer than a node takes to pull
/// the image.
const BEGIN_WAIT: SignedDuration = SignedDuration::from_mins(2);

/// How long a run may wait for what nobody but an admin gives it, before the resource is Stalled and not Ready. As long
/// as a Deployment may make no progress by default (progressDeadlineSeconds), and longer than a cluster takes to add a
/// node.
pub const WAIT_MAX: SignedDuration = SignedDuration::from_mins(10);

/// So long after a time that others wrote: one at the end of all times stays there.
pub fn after(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Which runs may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Any.
    Open,
    /// Only one that ends what is already half visible.
    CommittingOnly,
    /// None.
    Shut,
}

/// What the condition Ready says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the spec is valid and the schedule armed.
    pub ready: bool,
    /// One word.
    pub reason: Reason,
    /// One sentence.
    pub message: String,
    /// Which runs may start.
    pub gate: Gate,
}

/// What conditions are about, beside the status.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What is seen.
    pub seen: &'a Observed,
    /// What Ready says.
    pub ready: &'a Readiness,
    /// A run is due, and there is no room for it.
    pub waits_for_capacity: bool,
}

/// Whether the resource can run. `status` is up to date with the Jobs that are there.
pub fn readiness(checked: &Result<Checked, Refusal>, seen: &Observed, status: &S3SyncStatus) -> Readiness {
    let no = |reason, message: String, gate| Readiness { ready: false, reason, message, gate };
    let yes = |reason, message: String, gate| Readiness { ready: true, reason, message, gate };
    let checked = match checked {
        Ok(checked) => checked,
        Err(refusal) => return no(refusal.reason, refusal.message.clone(), Gate::Shut),
    };
    let name = seen.sync.metadata.name.as_deref().unwrap_or_default();
    let cursor = cursor_name(name);
    if seen.taken.contains_key(&cursor) {
        let message =
            format!("the ConfigMap {cursor} is not a cursor of this sync; remove it, or give the sync another name");
        return no(Reason::CursorInvalid, message, Gate::Shut);
    }
    let rights = worker_name(name);
    if let Some(kind) = seen.taken.get(&rights) {
        let message = format!(
            "the {kind} {rights} is there and not this sync's, and workers need one; remove it, or give the sync another name; it is tried \
             again within ten minutes"
        );
        return no(Reason::NameTaken, message, Gate::Shut);
    }
    match seen.cursor.as_ref().map(|cursor| &cursor.position) {
        Some(Position::Nonsense(reason)) => {
            let message = format!(
                "the cursor in ConfigMap {cursor} makes no sense: {reason}; restore it from a copy, or start over with `s3sync state reset \
                 {name} --yes`; nothing runs until then"
            );
            return no(Reason::CursorInvalid, message, Gate::Shut);
        }
        Some(Position::At { identity: Some(identity), .. }) if !accepted(seen) => {
            if let Some(change) = identity.change_to(&checked.identity) {
                let message = format!(
                    "the {} changed since the last run; {}; accept it with the annotation {ACCEPT_SPEC_CHANGE}: \"{}\", or start over with \
                     `kubectl s3sync state reset {name} --yes`",
                    change.what(),
                    change.effect(),
                    version(seen).unwrap_or_default()
                );
                return no(Reason::SpecChanged, message, Gate::CommittingOnly);
            }
        }
        _ => {}
    }
    if seen.sync.spec.suspend {
        return yes(Reason::Suspended, "no run starts while spec.suspend is true".into(), Gate::CommittingOnly);
    }
    if let Some((reason, message)) = found_by_worker(checked, seen, status) {
        return no(reason, message, Gate::Open);
    }
    let spec = &seen.sync.spec;
    let message = match &spec.schedule {
        Some(schedule) => {
            format!("runs by the schedule {schedule}, {}", spec.time_zone.as_deref().unwrap_or("Etc/UTC"))
        }
        None => "runs when what is synced changes, and on trigger".to_owned(),
    };
    yes(Reason::Armed, message, Gate::Open)
}

/// Whether somebody has accepted a changed source or destination, for this version of it.
pub fn accepted(seen: &Observed) -> bool {
    let annotation = seen.sync.metadata.annotations.as_ref().and_then(|all| all.get(ACCEPT_SPEC_CHANGE));
    annotation.is_some_and(|value| version(seen).as_ref() == Some(value))
}

/// Which version of source and destination it is that somebody accepts: the resource's generation, and the version of
/// the connections that it names, so that what was accepted once does not accept what an S3Connection says later.
fn version(seen: &Observed) -> Option<String> {
    let generation = seen.sync.metadata.generation?;
    Some(match &seen.connections.version {
        Some(connections) => format!("{generation}-{connections}"),
        None => generation.to_string(),
    })
}

/// What a run found out about the spec as it is now: what only a look into the buckets shows. The next run tries again,
/// and it stands until one gets further: neither a run under way nor one that ended before it could look takes it back.
fn found_by_worker(checked: &Checked, seen: &Observed, status: &S3SyncStatus) -> Option<(Reason, String)> {
    let says = |run: &RunResult, verdict| run.known_reason().filter(|reason| reason.verdict() == verdict);
    let telling = |run: &&RunResult| run.result == RunOutcome::Succeeded || says(run, Verdict::Unknown).is_none();
    let before = seen.sync.status.as_ref();
    let Some(run) = status.last_run.iter().chain(&status.history).find(telling) else {
        // The run that found it is no longer kept, and none since came as far: what Ready says of this spec stands.
        let said = before
            .filter(|before| before.last_spec_hash.as_ref() == Some(&checked.synced))?
            .condition(ConditionType::Ready)?;
        let faulty = |reason: &Reason| reason.verdict() == Verdict::Faulty;
        let reason =
            summary::reason(said).filter(faulty).filter(|_| said.status == "False" && status.last_run.is_some())?;
        return (status.last_spec_hash.as_ref() == Some(&checked.synced)).then(|| (reason, said.message.clone()));
    };
    let run = Some(run).filter(|run| run.result == RunOutcome::Failed)?;
    let reason = says(run, Verdict::Faulty)?;
    let is_new =
        before.is_none_or(|before| before.last_run.iter().chain(&before.history).all(|known| known.job != run.job));
    // One that was known is about another spec when the spec was another before this look, or when Ready said already
    // that it does not count.
    let same = |status: &S3SyncStatus| status.last_spec_hash.as_ref() == Some(&checked.synced);
    // Only what would be Armed says that its run has waited for too long.
    let armed = |status: &S3SyncStatus| {
        let reason = status.condition(ConditionType::Ready).and_then(summary::reason);
        reason.is_some_and(|reason| reason == Reason::Armed || reason.is_stuck())
    };
    let counts = is_new || before.is_some_and(|before| same(before) && !armed(before));
    (same(status) && counts).then(|| (reason, sentence_of(run)))
}

fn sentence_of(run: &RunResult) -> String {
    run.message.clone().unwrap_or_else(|| format!("the run {} says no more", run.job))
}

/// The conditions, in the order in which they are shown.
pub fn conditions(before: &[Condition], status: &S3SyncStatus, situation: &Situation<'_>) -> Vec<Condition> {
    let Situation { seen, ready, .. } = situation;
    let waits = waits(status, situation);
    let stuck = waits.as_ref().filter(|waits| waits.is_stuck());
    let overdue = stuck.zip(status.waiting_since.as_ref()).filter(|(_, since)| after(since.0, WAIT_MAX) <= seen.now);
    let overdue =
        overdue.map(|(waits, since)| (waits.reason, format!("{}; it has waited since {}", waits.message, since.0)));
    let generation = seen.sync.metadata.generation;
    let mut conditions = Vec::new();
    let mut add = |kind: ConditionType, is: bool, reason: Reason, message: &str| {
        conditions.push(condition(before, kind, is, reason, message, generation, seen.now));
    };
    // What keeps a pod from starting is mostly the spec's business, so it stands where people look first.
    let told = waits.as_ref().filter(|waits| waits.reason.is_stuck());
    match (&overdue, told) {
        (Some((reason, message)), _) if ready.ready => add(ConditionType::Ready, false, *reason, message),
        (None, Some(waits)) if ready.ready => add(ConditionType::Ready, true, ready.reason, &waits.message),
        _ => add(ConditionType::Ready, ready.ready, ready.reason, &ready.message),
    }
    if let Some(run) = &status.last_run {
        add(
            ConditionType::LastRunSucceeded,
            run.result == RunOutcome::Succeeded,
            last_run_reason(run),
            &sentence_of(run),
        );
    }
    // To kstatus and Argo CD, what is Reconciling is in progress. What has waited for too long makes none.
    if overdue.is_none()
        && let Some((reason, message)) = reconciling(status, waits)
    {
        add(ConditionType::Reconciling, true, reason, &message);
    }
    if let Some((reason, message)) = stalled(status, ready, overdue) {
        add(ConditionType::Stalled, true, reason, &message);
    }
    conditions
}

/// The status of a resource that this build cannot read, written by another version of the definition: its Ready, and
/// nothing else.
pub fn unreadable(error: &str, generation: Option<i64>, now: Timestamp) -> S3SyncStatus {
    let message = format!("the resource cannot be read: {error}; it was written for another version of s3sync");
    let ready = condition(&[], ConditionType::Ready, false, Reason::InvalidSpec, &message, generation, now);
    let status = S3SyncStatus { conditions: vec![ready], ..S3SyncStatus::default() };
    S3SyncStatus { message: status.sentence().map(|sentence| text::message(&sentence)), ..status }
}

/// What a run waits for before it can begin its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// One that [waits](Reason::waits).
    pub reason: Reason,
    /// One sentence.
    pub message: String,
    /// Whether nothing of the run is under way. An idle worker takes the shards of one that does not come, so that with
    /// worker 0 the run is.
    pub whole: bool,
}

impl Waits {
    /// Whether it may wait for ever unless somebody does something. A queue and the caps on runs let it go by
    /// themselves, and both have an owner who looks at them.
    pub fn is_stuck(&self) -> bool {
        self.whole && self.reason.is_stuck()
    }
}

/// What a run in progress, or one that is due, waits for.
pub fn waits(status: &S3SyncStatus, situation: &Situation<'_>) -> Option<Waits> {
    let seen = situation.seen;
    // Its newest pod: one that was replaced has begun once, and does nothing any more.
    let leads = |run: &str| {
        let of = seen.workers.iter().filter(|worker| worker.job == run && worker.index == 0);
        of.max_by_key(|worker| worker.created).is_some_and(|worker| worker.begun)
    };
    let whole = !status.active.first().is_some_and(|run| leads(&run.job));
    let waits = |reason, message| Some(Waits { reason, message, whole });
    let worker = waiting(seen);
    let Some(run) = status.active.first() else {
        let message = "a run is due, and waits until fewer runs are in progress than --max-concurrent-runs allows, in all namespaces or its own";
        return match worker.or_else(|| refused(situation)) {
            Some(sentence) => waits(Reason::RunRefused, sentence),
            None if situation.waits_for_capacity => waits(Reason::WaitingForCapacity, message.to_owned()),
            None => None,
        };
    };
    if let Some(sentence) = worker.or_else(|| refused(situation)) {
        return waits(Reason::WorkerWaiting, sentence);
    }
    let held = seen.runs.iter().any(|seen| seen.job == run.job && seen.held && seen.active());
    if held { waits(Reason::Queued, format!("the run {} waits to be admitted by its queue", run.job)) } else { None }
}

pub(super) fn condition(
    before: &[Condition],
    kind: ConditionType,
    is: bool,
    reason: Reason,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let status = if is { "True" } else { "False" };
    let same = before.iter().find(|condition| condition.type_ == kind.name() && condition.status == status);
    Condition {
        type_: kind.name().to_owned(),
        status: status.to_owned(),
        reason: reason.into(),
        message: text::message(message),
        observed_generation: generation,
        // Kubernetes' own rule: the time of the last change of status, not of reason or message.
        last_transition_time: same.map_or(Time(whole_seconds(now)), |condition| condition.last_transition_time.clone()),
    }
}

/// The words that LastRunSucceeded knows; what a run says beyond them is about the spec, and stands under Ready.
fn last_run_reason(run: &RunResult) -> Reason {
    match (run.result, run.known_reason()) {
        (RunOutcome::Succeeded, Some(Reason::NothingFound)) => Reason::NothingFound,
        (RunOutcome::Succeeded, _) => Reason::Succeeded,
        (
            RunOutcome::Failed,
            Some(
                reason @ (Reason::OomKilled
                | Reason::BadData
                | Reason::Denied
                | Reason::NotFound
                | Reason::Interrupted
                | Reason::Cancelled
                | Reason::DeadlineExceeded
                | Reason::DecisionUnpublishable),
            ),
        ) => reason,
        (RunOutcome::Failed, _) => Reason::Failed,
    }
}

/// A time as Kubernetes writes it; finer, it would differ from itself after the first write.
pub(super) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Runs in progress that have not a single pod, and the time from which that is wrong.
pub fn without_pods(seen: &Observed) -> impl Iterator<Item = (&Run, Timestamp)> {
    let bare = |run: &&Run| {
        run.owned
            && run.active()
            && !run.held
            && !run.deleting
            && !seen.workers.iter().any(|worker| worker.job == run.job)
    };
    seen.runs
        .iter()
        .filter(bare)
        .map(|run| (run, run.started.map_or(after(run.created, JOB_WAIT), |started| after(started, POD_WAIT))))
}

/// The uid of the object whose events say why no worker begins, where nothing else does: the Job that can make no pod,
/// or the pod.
pub fn silent(seen: &Observed) -> Option<&str> {
    late_run(seen).map(|run| run.uid.as_str()).or_else(|| {
        let known = not_begun(seen).any(|(worker, _)| worker.waits.is_some());
        late_worker(seen).filter(|_| !known).map(|worker| worker.uid.as_str())
    })
}

fn late_run(seen: &Observed) -> Option<&Run> {
    without_pods(seen).find(|(_, late)| *late <= seen.now).map(|(run, _)| run)
}

fn late_worker(seen: &Observed) -> Option<&Worker> {
    not_begun(seen).filter(|(_, late)| *late <= seen.now).map(|(worker, _)| worker).min_by_key(|worker| worker.index)
}

/// Why a worker of a run in progress does not start.
fn waiting(seen: &Observed) -> Option<String> {
    if let Some(run) = late_run(seen) {
        if let Some(said) = &seen.warned {
            return Some(format!("no pod could be made for the run {}: {said}", run.job));
        }
        return Some(format!(
            "no pod could be made for the run {0}: a quota, Pod Security, a ServiceAccount or priority class that is not there; see kubectl \
             describe job {0}",
            run.job
        ));
    }
    let known = not_begun(seen)
        .filter_map(|(worker, _)| Some((worker, worker.waits.as_ref()?)))
        .min_by_key(|(worker, _)| worker.index);
    if let Some((worker, sentence)) = known {
        return Some(format!("worker {} does not start: {sentence}", worker.index));
    }
    let worker = late_worker(seen)?;
    if let Some(said) = &seen.warned {
        return Some(format!("worker {} does not start: {said}", worker.index));
    }
    Some(format!(
        "worker {} does not start: its container has not begun, minutes after the pod was made; see kubectl describe pod {}",
        worker.index, worker.pod
    ))
}

/// Pods of runs in progress whose container has not begun, and the time from which that is wrong even where nobody says
/// why: a volume that cannot be mounted, a sandbox that cannot be made and a kubelet that is gone stand in events
/// alone.
pub fn not_begun(seen: &Observed) -> impl Iterator<Item = (&Worker, Timestamp)> {
    let active = |job: &str| seen.runs.iter().any(|run| run.owned && run.active() && run.job == job);
    let waiting =
        seen.workers.iter().filter(move |worker| !worker.begun && worker.deleted.is_none() && active(&worker.job));
    waiting.map(|worker| (worker, worker.created.map_or(seen.now, |created| after(created, BEGIN_WAIT))))
}

/// Why a run that is due does not start.
fn refused(situation: &Situation<'_>) -> Option<String> {
    let answer = situation.seen.refused.as_ref().filter(|_| situation.waits_for_capacity)?;
    Some(format!("the API server refuses what the next run needs: {answer}"))
}

fn reconciling(status: &S3SyncStatus, waits: Option<Waits>) -> Option<(Reason, String)> {
    match waits {
        Some(waits) => Some((waits.reason, waits.message)),
        None => status.active.first().map(|run| (Reason::Running, format!("the run {} is in progress", run.job))),
    }
}

/// What needs somebody's hand.
fn stalled(status: &S3SyncStatus, ready: &Readiness, overdue: Option<(Reason, String)>) -> Option<(Reason, String)> {
    // First: a wait is known by this reason from look to look, also where Ready is False for another one.
    if overdue.is_some() {
        return overdue;
    }
    if !ready.ready {
        return Some((ready.reason, ready.message.clone()));
    }
    let unpublishable = |run: &&RunResult| run.known_reason() == Some(Reason::DecisionUnpublishable);
    let last = status.last_run.as_ref().filter(unpublishable)?;
    Some((Reason::DecisionUnpublishable, sentence_of(last)))
}
