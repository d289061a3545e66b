//! What is watched, and kept in memory: resources, their Jobs, pods and cursors. Each watch lists again when it has missed something.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, controller::ReconcileRequest};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::health::{Health, Pulse};
use super::lean;
use super::names::{CURSOR_SELECTOR, INSTANCE, WORKER_SELECTOR};
use crate::api::S3Sync;

/// A resource, or that there is one which this build cannot read: it must not keep the others from being seen.
pub type Guarded = DeserializeGuard<S3Sync>;

/// Requests that wait to be scheduled. The scheduler takes them at once; what comes faster waits here for microseconds.
const QUEUE_MAX: usize = 1024;

/// How long one watch request lasts: a connection that died without a word is noticed after it.
pub const WATCH_SECONDS: u32 = 120;

/// Everything that is kept in memory.
#[derive(Clone, Debug)]
pub struct Stores {
    /// The resources.
    pub syncs: Store<Guarded>,
    /// The Jobs of all of them.
    pub jobs: Store<Job>,
    /// Their pods.
    pub pods: Store<Pod>,
    /// Their cursors.
    pub cursors: Store<ConfigMap>,
}

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

/// The writing ends of [`Stores`].
pub struct Writers {
    pub(super) syncs: Writer<Guarded>,
    pub(super) jobs: Writer<Job>,
    pub(super) pods: Writer<Pod>,
    pub(super) cursors: Writer<ConfigMap>,
}

/// Empty stores.
pub fn stores() -> (Stores, Writers) {
    let (syncs, syncs_writer) = reflector::store();
    let (jobs, jobs_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (cursors, cursors_writer) = reflector::store();
    let writers = Writers { syncs: syncs_writer, jobs: jobs_writer, pods: pods_writer, cursors: cursors_writer };
    (Stores { syncs, jobs, pods, cursors }, writers)
}

impl Stores {
    /// Returns when everything has been listed once: before that, a Job that is not seen may be there. An error when a watch has ended.
    pub async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        self.jobs.wait_until_ready().await?;
        self.pods.wait_until_ready().await?;
        self.cursors.wait_until_ready().await?;
        self.syncs.wait_until_ready().await
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

/// Starts the watches. `namespace`: only there, else everywhere.
pub fn watch(client: &Client, namespace: Option<&str>, writers: Writers, health: &Arc<Health>) -> Watches {
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let itself = |sync: &Guarded| Some((sync.namespace()?, sync.name_any()));
    let config = |labels: Option<&str>| {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        labels.map_or(config.clone(), |labels| config.labels(labels))
    };
    let (workers, cursors) = (config(Some(WORKER_SELECTOR)), config(Some(CURSOR_SELECTOR)));
    let tasks = vec![
        drive(api(client, namespace), config(None), writers.syncs, lean::sync, itself, sender.clone(), health.pulse("s3syncs")),
        drive(api(client, namespace), workers.clone(), writers.jobs, lean::job, instance, sender.clone(), health.pulse("jobs")),
        drive(api(client, namespace), workers, writers.pods, lean::pod, instance, sender.clone(), health.pulse("pods")),
        drive(api(client, namespace), cursors, writers.cursors, lean::cursor, instance, sender, health.pulse("configmaps")),
    ];
    Watches { queue, tasks }
}

/// Objects of one namespace, or of all.
pub fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

/// Keeps one store up to date and asks for a look at whatever an object belongs to, for as long as the task lives.
fn drive<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    lean: fn(&mut K),
    whose: fn(&K) -> Option<(String, String)>,
    sender: mpsc::Sender<ReconcileRequest<Guarded>>,
    pulse: Pulse,
) -> AbortOnDropHandle<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    // Boxed, as every future and stream at a border here: their nested types cost the compiler minutes.
    let mut events = watcher(api, config).default_backoff().modify(lean).reflect(writer).boxed();
    AbortOnDropHandle::new(tokio::spawn(async move {
        // The store shows what a list brings when the list is complete: looks before that would see the old.
        let mut listed = BTreeSet::new();
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    pulse.missed(&error);
                    continue;
                }
            };
            pulse.beat();
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
            for (namespace, name) in due {
                let look: ObjectRef<Guarded> = ObjectRef::new(&name).within(&namespace);
                if sender.send(look.into()).await.is_err() {
                    return;
                }
            }
        }
    }))
}
