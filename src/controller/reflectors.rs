//! What is watched, and kept in memory: resources, who asks them to run, their Jobs, pods and cursors. Each watch lists
//! again when it has missed something.

pub mod expectations;
pub mod prune;

mod merge;
mod naming;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, controller::ReconcileRequest};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use self::merge::{Watch, merge};
pub use self::naming::Naming;
use crate::api::{S3Connection, S3Sync, S3SyncRun};
use crate::controller::manager::health::Health;
use crate::controller::names::{CURSOR_SELECTOR, INSTANCE, WORKER_SELECTOR};

/// A resource, or that there is one which this build cannot read: it must not keep the others from being seen.
pub type Guarded = DeserializeGuard<S3Sync>;

/// An S3Connection, or that there is one which this build cannot read.
pub type GuardedConnection = DeserializeGuard<S3Connection>;

/// An S3SyncRun, or that there is one which this build cannot read.
pub type GuardedRun = DeserializeGuard<S3SyncRun>;

/// Requests that wait to be scheduled. The scheduler takes them at once; what comes faster waits here for microseconds.
const QUEUE_MAX: usize = 1024;

/// Objects of one page of a list, which is read whole before the first of them is cut: each may have 1.5 MiB (etcd's
/// bound of a request), several times that as a tree of values, and six lists are read at once.
const PAGE_MAX: u32 = 16;

/// How long one watch request lasts: a connection that died without a word is noticed after it.
pub const WATCH_SECONDS: u32 = 120;

/// Everything that is kept in memory.
#[derive(Clone, Debug)]
pub struct Reflectors {
    /// The resources.
    pub syncs: Store<Guarded>,
    /// The Jobs of all of them.
    pub jobs: Store<Job>,
    /// Their pods.
    pub pods: Store<Pod>,
    /// Their cursors.
    pub cursors: Store<ConfigMap>,
    /// What resources name.
    pub connections: Store<GuardedConnection>,
    /// Which of them name what.
    pub naming: Arc<Naming>,
    /// Who asks resources to run.
    pub runs: Store<GuardedRun>,
    /// Which namespaces are listed.
    pub(in crate::controller) listed: watch::Receiver<Listed>,
}

/// Kinds and namespaces that were listed, where several namespaces are watched each by itself; `None` where one watch
/// sees all.
pub(in crate::controller) type Listed = Option<BTreeSet<(&'static str, String)>>;

/// What is watched: every one is listed before a resource is looked at.
const KINDS: [&str; 4] = ["s3syncs", "jobs", "pods", "configmaps"];

/// What is watched, too: it is listed before a resource is looked at that names one, so that the others need neither
/// the definition nor the right.
pub(in crate::controller) const CONNECTIONS: &str = "s3connections";

/// What is watched, too, and holds nothing up: where the definition or the right is missing, nobody asks for a run by
/// name.
pub(in crate::controller) const RUNS: &str = "s3syncruns";

/// Running watches: they end when this is dropped.
pub struct Watches {
    /// Resources to look at.
    pub queue: mpsc::Receiver<ReconcileRequest<Guarded>>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

impl Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

/// The writing ends of [`Reflectors`].
pub struct Writers {
    pub(in crate::controller) syncs: Writer<Guarded>,
    pub(in crate::controller) jobs: Writer<Job>,
    pub(in crate::controller) pods: Writer<Pod>,
    pub(in crate::controller) cursors: Writer<ConfigMap>,
    pub(in crate::controller) connections: Writer<GuardedConnection>,
    pub(in crate::controller) runs: Writer<GuardedRun>,
    naming: Arc<Naming>,
    listed: Arc<watch::Sender<Listed>>,
}

/// Empty reflectors, and what writes into them.
pub fn reflectors() -> (Reflectors, Writers) {
    let (syncs, syncs_writer) = reflector::store();
    let (jobs, jobs_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (cursors, cursors_writer) = reflector::store();
    let (connections, connections_writer) = reflector::store();
    let (runs, runs_writer) = reflector::store();
    let naming = Arc::new(Naming::default());
    let (lists, listed) = watch::channel(None);
    let writers = Writers {
        syncs: syncs_writer,
        jobs: jobs_writer,
        pods: pods_writer,
        cursors: cursors_writer,
        connections: connections_writer,
        runs: runs_writer,
        naming: Arc::clone(&naming),
        listed: Arc::new(lists),
    };
    (Reflectors { syncs, jobs, pods, cursors, connections, naming, runs, listed }, writers)
}

impl Reflectors {
    /// Returns when everything has been listed once, or where each namespace is watched by itself when the lists have
    /// begun: before that, a Job that is not seen may be there. For one task alone: of several that wait for one store,
    /// only the last is woken. An error when a watch has ended.
    pub async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        self.jobs.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.cursors.wait_until_ready().await?;
        self.syncs.wait_until_ready().await
    }

    /// The kinds that were not listed yet: those of a namespace that is watched by itself, and for a resource that
    /// names some, S3Connections. It waits for nothing: a namespace that cannot be listed must not hold up the others.
    pub fn unlisted(&self, namespace: &str, connections: bool) -> Vec<&'static str> {
        let listed = self.listed.borrow();
        match listed.as_ref() {
            Some(listed) => {
                let kinds = KINDS.into_iter().chain(connections.then_some(CONNECTIONS));
                kinds.filter(|kind| !listed.contains(&(kind, namespace.to_owned()))).collect()
            }
            // The others were, see [`Reflectors::ready`].
            None if connections && self.connections.wait_until_ready().now_or_never().is_none() => vec![CONNECTIONS],
            None => Vec::new(),
        }
    }

    /// Whether the S3SyncRuns of a namespace were listed: before that, one that is not seen may be there.
    pub fn knows_runs(&self, namespace: &str) -> bool {
        match self.listed.borrow().as_ref() {
            Some(listed) => listed.contains(&(RUNS, namespace.to_owned())),
            None => self.runs.wait_until_ready().now_or_never().is_some(),
        }
    }

    /// The S3Connection with this namespace and name.
    pub fn connection(&self, namespace: &str, name: &str) -> Option<Arc<GuardedConnection>> {
        self.connections.get(&ObjectRef::new(name).within(namespace))
    }

    /// The resource with this namespace and name.
    pub fn sync(&self, namespace: &str, name: &str) -> Option<Arc<Guarded>> {
        self.syncs.get(&ObjectRef::new(name).within(namespace))
    }
}

/// Whose an object is, by its label.
pub fn instance<K: Resource>(object: &K) -> Option<(String, String)> {
    let meta = object.meta();
    Some((meta.namespace.clone()?, meta.labels.as_ref()?.get(INSTANCE)?.clone()))
}

/// Starts the watches. `namespaces`: only there, else everywhere.
pub fn watch(client: &Client, namespaces: &[String], writers: Writers, health: &Arc<Health>) -> Watches {
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let config = |labels: Option<&str>| {
        let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE_MAX);
        labels.map_or(config.clone(), |labels| config.labels(labels))
    };
    let (workers, cursors) = (config(Some(WORKER_SELECTOR)), config(Some(CURSOR_SELECTOR)));
    let lists = writers.listed;
    if namespaces.len() > 1 {
        lists.send_replace(Some(BTreeSet::new()));
    }
    let watching = |kind, naming| {
        let (health, lists, sender) = (Arc::clone(health), Arc::clone(&lists), sender.clone());
        Watching { kind, health, lists, sender, naming }
    };
    let [syncs, jobs, pods, maps] = KINDS.map(|kind| watching(kind, None));
    let connections = watching(CONNECTIONS, Some(writers.naming));
    let runs = watching(RUNS, None);
    let tasks = vec![
        drive(apis(client, namespaces), config(None), writers.syncs, prune::sync, itself, syncs),
        drive(apis(client, namespaces), workers.clone(), writers.jobs, prune::job, instance, jobs),
        drive(apis(client, namespaces), workers, writers.pods, prune::pod, instance, pods),
        drive(apis(client, namespaces), cursors, writers.cursors, prune::cursor, instance, maps),
        drive(apis(client, namespaces), config(None), writers.connections, prune::connection, itself, connections),
        drive(apis(client, namespaces), config(None), writers.runs, prune::run, whom_it_asks, runs),
    ];
    Watches { queue, tasks }
}

/// A resource's or an S3Connection's own namespace and name.
fn itself<K: Resource>(object: &K) -> Option<(String, String)> {
    Some((object.namespace()?, object.name_any()))
}

/// The resource that an S3SyncRun asks to run.
pub fn whom_it_asks(run: &GuardedRun) -> Option<(String, String)> {
    Some((run.namespace()?, run.0.as_ref().ok()?.spec.sync_ref.name.clone()))
}

/// Objects of each namespace, or of all together.
fn apis<K>(client: &Client, namespaces: &[String]) -> Vec<(String, Api<K>)>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    let everywhere = namespaces.is_empty().then(|| (String::new(), Api::all(client.clone())));
    let each = namespaces.iter().map(|namespace| (namespace.clone(), Api::namespaced(client.clone(), namespace)));
    everywhere.into_iter().chain(each).collect()
}

/// Whom a watch tells what.
struct Watching {
    kind: &'static str,
    health: Arc<Health>,
    lists: Arc<watch::Sender<Listed>>,
    sender: mpsc::Sender<ReconcileRequest<Guarded>>,
    /// Who names the objects; `None` where an object belongs to one resource.
    naming: Option<Arc<Naming>>,
}

/// Keeps one store up to date and asks for a look at whatever an object belongs to, for as long as the task lives.
fn drive<K>(
    apis: Vec<(String, Api<K>)>,
    config: watcher::Config,
    writer: Writer<K>,
    lean: fn(&mut K),
    whose: fn(&K) -> Option<(String, String)>,
    watching: Watching,
) -> AbortOnDropHandle<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let Watching { kind, health, lists, sender, naming } = watching;
    let begun = apis.into_iter().map(|(namespace, api)| {
        let pulse = health.pulse(kind, &namespace);
        let watch =
            watcher(api, config.clone()).default_backoff().inspect(move |brought| pulse.heard(brought)).modify(lean);
        // Boxed, as every future and stream at a border here: their nested types cost the compiler minutes.
        (namespace, watch.boxed())
    });
    let mut begun: Vec<(String, Watch<K>)> = begun.collect();
    let one = if begun.len() == 1 { begun.pop().map(|(_, watch)| watch) } else { None };
    let events = one.unwrap_or_else(|| {
        merge(begun, writer.as_reader(), move |namespace| {
            lists.send_modify(|listed| {
                listed.get_or_insert_default().insert((kind, namespace.to_owned()));
            });
        })
    });
    let mut events = events.reflect(writer).boxed();
    AbortOnDropHandle::new(tokio::spawn(async move {
        // The store shows what a list brings when the list is complete: looks before that would see the old.
        let mut listed = BTreeSet::new();
        while let Some(event) = events.next().await {
            // Told already, of its own watch.
            let Ok(event) = event else { continue };
            let due: Vec<_> = match event {
                Event::Init => {
                    listed.clear();
                    continue;
                }
                Event::InitApply(object) => {
                    listed.extend(whose(&object));
                    continue;
                }
                Event::InitDone => std::mem::take(&mut listed).into_iter().collect(),
                Event::Apply(object) | Event::Delete(object) => whose(&object).into_iter().collect(),
            };
            // Who names a connection is asked for once the store shows it, see [`Naming`].
            let looks = |key| match &naming {
                None => vec![key],
                Some(naming) => naming.of(&key),
            };
            for (namespace, name) in due.into_iter().flat_map(looks) {
                let look: ObjectRef<Guarded> = ObjectRef::new(&name).within(&namespace);
                if sender.send(look.into()).await.is_err() {
                    return;
                }
            }
        }
    }))
}
