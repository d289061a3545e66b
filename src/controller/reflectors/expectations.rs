//! What the controller knows before its watches do: what it has just written. Losing it costs a request or two, never a
//! second run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use tokio::time::Instant;

use crate::api::{S3SyncRunStatus, S3SyncStatus};
use crate::controller::decide::concurrency::{Caps, Share, is_free};
use crate::controller::decide::run::{Refused, is_held};

/// Namespace and name of a resource.
pub type Key = (String, String);

/// A watch that is this far behind has failed, and lists again.
const RECENT_MAX: Duration = Duration::from_secs(60);

/// How long a name that somebody else has is left alone before it is tried again.
const TAKEN_FOR: Duration = Duration::from_secs(600);

/// How long a refused run is held back: a quota that is raised, or a policy that is mended, is noticed within that.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// How often the events of an object that does not begin are read: a quota changes, and each event makes a look.
const WARNED_FOR: Duration = Duration::from_secs(60);

/// A progress that moves is written this often at most: people read it, and every write is one for all who watch.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// The first wait after an error, doubled with each further one.
const ERROR_WAIT_MIN: Duration = Duration::from_secs(1);

/// The longest wait after errors.
const ERROR_WAIT_MAX: Duration = Duration::from_secs(300);

/// A resource that waits for a place looks again every two seconds; one that has not for this long is gone, or has
/// changed its mind.
const WAITS_FOR: Duration = Duration::from_secs(15);

/// Jobs that are seen, by namespace and name; whether each takes a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenJobs(pub BTreeMap<Key, bool>);

/// What is remembered of all resources.
#[derive(Debug, Default)]
pub struct Expectations(Mutex<HashMap<Key, Remembered>>);

/// What is remembered of one.
#[derive(Debug, Default)]
struct Remembered {
    /// The uid that all of it is about.
    uid: String,
    /// The resource version that a status came to be with, and the status.
    written: Option<(u64, S3SyncStatus)>,
    /// When a status was written.
    written_at: Option<Instant>,
    /// The same of its S3SyncRuns, by uid.
    written_runs: BTreeMap<String, (u64, S3SyncRunStatus, Instant)>,
    /// Jobs that were made, and are maybe not seen yet. `None` while the request is under way.
    recent: BTreeMap<String, (Option<Arc<Job>>, Instant)>,
    /// Names that others have.
    taken: BTreeMap<String, (&'static str, Instant)>,
    /// Digest of the rights that were applied, and when.
    applied: Option<(String, Instant)>,
    /// Why the API server takes no Job, and when it said so.
    refused: Option<(Refused, Instant)>,
    /// What the last warning says of the object with this uid, and when that was read.
    warned: Option<(String, Option<String>, Instant)>,
    /// When it last asked for a place under the caps, and got none.
    waits: Option<Instant>,
    /// When it last got one.
    started: Option<Instant>,
    /// Pods whose end was told, of those that are seen.
    told: BTreeSet<String>,
    /// Whether the namespace is being deleted: it never stops that.
    namespace_ends: bool,
    /// When it was last asked whether it is.
    asked: Option<Instant>,
    /// Errors in a row.
    errors: u32,
    /// What was said last of a resource that cannot be read.
    unreadable: Option<String>,
}

impl Expectations {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, key: &Key, change: impl FnOnce(&mut Remembered) -> T) -> T {
        change(self.lock().entry(key.clone()).or_default())
    }

    /// Begins a look at a resource: what is known of a namesake that is gone is forgotten.
    pub fn meet(&self, key: &Key, uid: &str) {
        self.with(key, |known| {
            if known.uid != uid {
                *known = Remembered { uid: uid.to_owned(), ..Remembered::default() };
            }
        });
    }

    /// Forgets all resources but these; those that it forgot.
    pub fn keep(&self, alive: &BTreeSet<Key>) -> Vec<Key> {
        self.lock().extract_if(|key, _| !alive.contains(key)).map(|(key, _)| key).collect()
    }

    /// The status that was written later than this version of the resource, and that the watch has not shown yet.
    /// Whoever else writes to the resource makes versions in between.
    pub fn status_over(&self, key: &Key, resource_version: Option<&str>) -> Option<S3SyncStatus> {
        let shown = number(resource_version)?;
        self.with(key, |known| {
            let fresh = known.written_at.is_some_and(|since| since.elapsed() < RECENT_MAX);
            known.written.as_ref().filter(|(version, _)| fresh && shown < *version).map(|(_, status)| status.clone())
        })
    }

    /// A status was written, which made this version of the resource.
    pub fn wrote_status(&self, key: &Key, resource_version: Option<&str>, status: &S3SyncStatus) {
        self.with(key, |known| {
            known.written = number(resource_version).map(|version| (version, status.clone()));
            known.written_at = Some(Instant::now());
        });
    }

    /// The status of an S3SyncRun that was written later than this version of it.
    pub fn run_status_over(&self, key: &Key, uid: &str, resource_version: Option<&str>) -> Option<S3SyncRunStatus> {
        let shown = number(resource_version)?;
        self.with(key, |known| {
            let (_, status, _) = known
                .written_runs
                .get(uid)
                .filter(|(version, _, since)| since.elapsed() < RECENT_MAX && shown < *version)?;
            Some(status.clone())
        })
    }

    /// The status of an S3SyncRun was written, which made this version of it.
    pub fn wrote_run_status(&self, key: &Key, uid: &str, resource_version: Option<&str>, status: &S3SyncRunStatus) {
        let Some(version) = number(resource_version) else { return };
        self.with(key, |known| {
            known.written_runs.retain(|_, (_, _, since)| since.elapsed() < RECENT_MAX);
            known.written_runs.insert(uid.to_owned(), (version, status.clone(), Instant::now()));
        });
    }

    /// How long a status that says nothing new but progress has to wait.
    pub fn progress_waits(&self, key: &Key) -> Option<Duration> {
        let written = self.with(key, |known| known.written_at)?;
        PROGRESS_EVERY.checked_sub(written.elapsed()).filter(|wait| !wait.is_zero())
    }

    /// Jobs that were made and that `seen` does not have.
    pub fn unseen_jobs(&self, key: &Key, seen: &dyn Fn(&str) -> bool) -> Vec<Arc<Job>> {
        self.with(key, |known| {
            known.recent.retain(|name, (_, since)| since.elapsed() < RECENT_MAX && !seen(name));
            known.recent.values().filter_map(|(job, _)| job.clone()).collect()
        })
    }

    /// Takes a place under the caps for a Job that is about to be made. `jobs` are those that are seen. One lock over
    /// counting and taking: two looks at once must not both take the last place.
    pub fn take_place(&self, key: &Key, job: &str, jobs: &SeenJobs, caps: Caps) -> bool {
        let mut all = self.lock();
        if !caps.none() && !is_free(&key.0, &shares(&all, jobs), caps) {
            return false;
        }
        let known = all.entry(key.clone()).or_default();
        known.recent.insert(job.to_owned(), (None, Instant::now()));
        known.started = Some(Instant::now());
        true
    }

    /// Whether there is a place under the caps, and it is this namespace's turn.
    pub fn has_place(&self, key: &Key, jobs: &SeenJobs, caps: Caps) -> bool {
        caps.none() || is_free(&key.0, &shares(&self.lock(), jobs), caps)
    }

    /// Whether the resource waits for a place: others let it have its turn.
    pub fn waits(&self, key: &Key, waits: bool) {
        self.with(key, |known| known.waits = waits.then(Instant::now));
    }

    /// The Job was made, or was there already.
    pub fn made(&self, key: &Key, name: &str, job: Arc<Job>) {
        self.with(key, |known| {
            known.recent.insert(name.to_owned(), (Some(job), Instant::now()));
            known.refused = None;
        });
    }

    /// The Job was not made, and why.
    pub fn not_made(&self, key: &Key, name: &str, refused: Option<Refused>) {
        self.with(key, |known| {
            known.recent.remove(name);
            let Some(refused) = refused else {
                known.refused = None;
                return;
            };
            // What is told makes another look, which tries again at once: a text that is never the same must not make
            // an endless row.
            let soon = known.refused.as_ref().is_some_and(|(_, since)| since.elapsed() < REFUSED_FOR);
            if refused.lasting || !soon {
                known.refused = Some((refused, Instant::now()));
            }
        });
    }

    /// What the last warning about an object says, where that was read a moment ago.
    pub fn warned(&self, key: &Key, uid: &str) -> Option<Option<String>> {
        self.with(key, |known| {
            let fresh = known.warned.as_ref().filter(|(of, _, since)| of == uid && since.elapsed() < WARNED_FOR);
            fresh.map(|(_, said, _)| said.clone())
        })
    }

    /// The last warning about an object was read, or could not be.
    pub fn was_warned(&self, key: &Key, uid: &str, said: Option<String>) {
        self.with(key, |known| known.warned = Some((uid.to_owned(), said, Instant::now())));
    }

    /// Why the API server took no Job at the last try.
    pub fn refused(&self, key: &Key) -> Option<String> {
        self.with(key, |known| known.refused.as_ref().map(|(refused, _)| refused.answer.clone()))
    }

    /// Whether that was so lately that another try would be answered the same. Every look would try, and what is
    /// refused makes looks.
    pub fn holds_back(&self, key: &Key) -> bool {
        self.with(key, |known| {
            known.refused.as_ref().is_some_and(|(refused, since)| refused.lasting && since.elapsed() < REFUSED_FOR)
        })
    }

    /// Somebody else has this name. `true` when that is new.
    pub fn is_taken(&self, key: &Key, kind: &'static str, name: &str) -> bool {
        self.with(key, |known| known.taken.insert(name.to_owned(), (kind, Instant::now())).is_none())
    }

    /// Names that somebody else has, with the kind of the object.
    pub fn taken(&self, key: &Key) -> BTreeMap<String, &'static str> {
        self.with(key, |known| {
            known.taken.retain(|_, (_, since)| since.elapsed() < TAKEN_FOR);
            known.taken.iter().map(|(name, (kind, _))| (name.clone(), *kind)).collect()
        })
    }

    /// How long ago rights with this digest were applied.
    pub fn applied_ago(&self, key: &Key, digest: &str) -> Option<Duration> {
        self.with(key, |known| {
            known.applied.as_ref().filter(|(applied, _)| applied == digest).map(|(_, since)| since.elapsed())
        })
    }

    /// Rights with this digest were applied; `None`: they may be gone.
    pub fn applied(&self, key: &Key, digest: Option<String>) {
        self.with(key, |known| known.applied = digest.map(|digest| (digest, Instant::now())));
    }

    /// Whether the end of a pod is still to be told. `seen` are the pods that are there: the others are forgotten.
    pub fn tells_of(&self, key: &Key, pod: &str, seen: &dyn Fn(&str) -> bool) -> bool {
        self.with(key, |known| {
            known.told.retain(|pod| seen(pod));
            known.told.insert(pod.to_owned())
        })
    }

    /// Whether the namespace is known to be in deletion.
    pub fn namespace_ends(&self, key: &Key) -> bool {
        self.with(key, |known| known.namespace_ends)
    }

    /// It is.
    pub fn namespace_ended(&self, key: &Key) {
        self.with(key, |known| known.namespace_ends = true);
    }

    /// Whether to ask, at most this often; it counts as asked then.
    pub fn asks(&self, key: &Key, every: Duration) -> bool {
        self.with(key, |known| {
            let due = known.asked.is_none_or(|asked| asked.elapsed() >= every);
            if due {
                known.asked = Some(Instant::now());
            }
            due
        })
    }

    /// A look went well.
    pub fn went_well(&self, key: &Key) {
        self.with(key, |known| known.errors = 0);
    }

    /// A look failed: how long to wait.
    pub fn failed(&self, key: &Key) -> Duration {
        let errors = self.with(key, |known| {
            known.errors = known.errors.saturating_add(1);
            known.errors
        });
        ERROR_WAIT_MIN.saturating_mul(1 << (errors - 1).min(16)).min(ERROR_WAIT_MAX)
    }

    /// Whether this is new to say of a resource that cannot be read.
    pub fn is_news(&self, key: &Key, message: &str) -> bool {
        self.with(key, |known| known.unreadable.as_deref() != Some(message))
    }

    /// This was said of a resource that cannot be read.
    pub fn said(&self, key: &Key, message: String) {
        self.with(key, |known| known.unreadable = Some(message));
    }
}

/// Versions of one kind of resource grow, as whole numbers
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>).
fn number(resource_version: Option<&str>) -> Option<u64> {
    resource_version?.parse().ok()
}

/// Namespaces with their runs, those that no watch has shown yet among them.
fn shares<'a>(all: &'a HashMap<Key, Remembered>, jobs: &'a SeenJobs) -> BTreeMap<&'a str, Share> {
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    for ((namespace, _), active) in &jobs.0 {
        shares.entry(namespace).or_default().runs += usize::from(*active);
    }
    for ((namespace, _), known) in all {
        let share = shares.entry(namespace).or_default();
        share.waits |= known.waits.is_some_and(|since| since.elapsed() < WAITS_FOR);
        share.started = share.started.max(known.started);
        let unseen = known.recent.iter().filter(|(name, (job, since))| {
            let held = job.as_ref().is_some_and(|job| is_held(job));
            !held && since.elapsed() < RECENT_MAX && !jobs.0.contains_key(&(namespace.clone(), (*name).clone()))
        });
        share.runs += unseen.count();
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        ("data".into(), name.into())
    }

    fn seen(jobs: &[(&str, bool)]) -> SeenJobs {
        SeenJobs(jobs.iter().map(|(name, active)| (key(name), *active)).collect())
    }

    fn of_all(total: usize) -> Caps {
        Caps { total, per_namespace: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_place_is_taken_once() {
        let expectations = Expectations::default();
        let none = seen(&[]);
        assert!(expectations.take_place(&key("a"), "a-1", &none, of_all(1)));
        assert!(!expectations.take_place(&key("b"), "b-1", &none, of_all(1)));
        // Seen by now, and counted once.
        let one = seen(&[("a-1", true)]);
        assert!(expectations.take_place(&key("b"), "b-1", &one, of_all(2)));
        expectations.not_made(&key("b"), "b-1", Some(Refused { answer: "quota".into(), lasting: true }));
        assert_eq!((expectations.refused(&key("b")), expectations.holds_back(&key("b"))), (Some("quota".into()), true));
        let has = |cap| expectations.has_place(&key("b"), &one, of_all(cap));
        assert!(has(2) && !has(1) && has(0));
        // A request that never came back does not hold its place for ever.
        tokio::time::advance(RECENT_MAX).await;
        assert!(expectations.take_place(&key("b"), "b-2", &none, of_all(1)) && !expectations.holds_back(&key("b")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_a_queue_holds_takes_no_place() {
        let expectations = Expectations::default();
        let held: Job = serde_json::from_value(
            serde_json::json!({"metadata": {"name": "a-1"}, "spec": {"suspend": true, "template": {}}}),
        )
        .unwrap();
        expectations.made(&key("a"), "a-1", Arc::new(held));
        assert!(expectations.has_place(&key("b"), &seen(&[]), of_all(1)), "not seen yet");
        assert!(expectations.has_place(&key("b"), &seen(&[("a-1", false)]), of_all(1)), "seen");
        assert!(!expectations.has_place(&key("b"), &seen(&[("a-1", true)]), of_all(1)), "admitted");
    }

    /// A hundred due resources of one namespace, and one of another: each place that comes free is offered to all of
    /// them, the hundred first.
    #[tokio::test(start_paused = true)]
    async fn a_busy_namespace_does_not_starve_another() {
        let expectations = Expectations::default();
        let many: Vec<Key> = (0..100).map(|n| ("many".to_owned(), format!("m{n}"))).collect();
        let one: Key = ("one".to_owned(), "x".to_owned());
        let mut order = Vec::new();
        for round in 0..6 {
            // Nothing runs: the last run has ended.
            for key in many.iter().chain([&one]) {
                expectations.waits(key, true);
            }
            let taken = many
                .iter()
                .chain([&one])
                .find(|key| expectations.take_place(key, &format!("{}-{round}", key.1), &seen(&[]), of_all(1)));
            let taken = taken.expect("a place is free");
            expectations.not_made(taken, &format!("{}-{round}", taken.1), None);
            order.push(taken.0.as_str());
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        assert_eq!(order, ["many", "one", "many", "one", "many", "one"]);
        // What has not asked for long waits no more.
        tokio::time::advance(WAITS_FOR).await;
        expectations.waits(&many[0], true);
        expectations.take_place(&many[0], "m0-9", &seen(&[]), of_all(9));
        assert!(expectations.has_place(&many[0], &seen(&[]), of_all(9)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_holds_until_it_is_seen() {
        let expectations = Expectations::default();
        let status = S3SyncStatus { consecutive_failures: 7, ..S3SyncStatus::default() };
        expectations.meet(&key("a"), "uid-1");
        expectations.wrote_status(&key("a"), Some("102"), &status);
        assert_eq!(expectations.status_over(&key("a"), Some("99")), Some(status.clone()));
        assert_eq!(
            expectations.status_over(&key("a"), Some("101")),
            Some(status),
            "somebody else's version, made before ours"
        );
        assert_eq!(expectations.status_over(&key("a"), Some("102")), None);
        assert_eq!(expectations.progress_waits(&key("a")), Some(PROGRESS_EVERY));
        tokio::time::advance(PROGRESS_EVERY).await;
        assert_eq!(expectations.progress_waits(&key("a")), None);
        expectations.meet(&key("a"), "uid-2");
        assert_eq!(expectations.status_over(&key("a"), Some("101")), None, "a namesake's");
        expectations.wrote_status(&key("a"), Some("102"), &S3SyncStatus::default());
        tokio::time::advance(RECENT_MAX).await;
        assert_eq!(expectations.status_over(&key("a"), Some("101")), None, "a watch this far behind lists again");
    }

    #[tokio::test(start_paused = true)]
    async fn errors_are_repeated_ever_more_slowly() {
        let expectations = Expectations::default();
        let waits: Vec<u64> = (0..11).map(|_| expectations.failed(&key("a")).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        expectations.went_well(&key("a"));
        assert_eq!(expectations.failed(&key("a")).as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_taken_name_is_tried_again_later() {
        let expectations = Expectations::default();
        assert!(expectations.is_taken(&key("a"), "Job", "a-1"));
        assert!(!expectations.is_taken(&key("a"), "Job", "a-1"));
        assert_eq!(expectations.taken(&key("a")), BTreeMap::from([("a-1".to_owned(), "Job")]));
        tokio::time::advance(TAKEN_FOR).await;
        assert_eq!(expectations.taken(&key("a")), BTreeMap::new());
    }
}
