//! A look at one resource: observe, decide, apply. Nothing between reading and writing decides anything.

mod apply;
mod observe;
pub mod requested;
mod rights;
pub mod status;
#[cfg(test)]
mod tests;
pub mod warning;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::core::Status;
use kube::runtime::controller::Action;
use kube::{Api, Client, Resource};

use self::status::Undeclared;
use crate::api::S3Sync;
use crate::api::connect::named;
use crate::controller::build::PodDefaults;
use crate::controller::decide::concurrency::Caps;
use crate::controller::decide::decide;
use crate::controller::decide::desired::Note;
use crate::controller::manager::health::Health;
use crate::controller::manager::metrics::Metrics;
use crate::controller::names::FIELD_MANAGER;
use crate::controller::notify::Notices;
use crate::controller::policy::Policy;
use crate::controller::reflectors::expectations::{Expectations, Key};
use crate::controller::reflectors::{Guarded, Reflectors};
use crate::model::reason::Reason;

/// A look that takes longer is given up and tried again: an API server that accepts a request and never answers must
/// not hold a resource for ever. Far longer than a busy server takes.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// How soon to look again where the lists of a namespace are on their way. Nothing is asked for then.
const LISTED_SOON: Duration = Duration::from_secs(1);

/// How soon to look again where a namespace cannot be listed: its watches try again within half a minute.
const UNLISTED_AGAIN: Duration = Duration::from_secs(5);

/// What every look needs.
pub struct Context {
    /// The cluster.
    pub client: Client,
    /// What is watched.
    pub reflectors: Reflectors,
    /// Whether the watches live.
    pub health: Arc<Health>,
    /// What was just written.
    pub expectations: Expectations,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Who is told of conditions that turn.
    pub notices: Notices,
    /// This replica, as events name it.
    pub instance: String,
    /// What the controller adds to pods.
    pub defaults: PodDefaults,
    /// What resources may ask for.
    pub policy: Arc<Policy>,
    /// What the cluster's definition has not of a status.
    pub undeclared: Undeclared,
    /// Runs at once.
    pub caps: Caps,
    /// The time.
    pub clock: fn() -> Timestamp,
}

impl Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("defaults", &self.defaults).field("caps", &self.caps).finish_non_exhaustive()
    }
}

/// Why a look failed. It is tried again, ever more slowly.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The API server.
    #[error("the API server refuses to {what}: {source}")]
    Kube {
        /// What was asked for, as a verb and its object.
        what: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// What is there is not known.
    #[error("{kind} of the namespace {namespace} cannot be listed, and this sync waits until they can: {error}")]
    Unlisted {
        /// The kind's plural.
        kind: &'static str,
        /// Where.
        namespace: String,
        /// The watch's error.
        error: String,
    },
    /// No answer.
    #[error("the API server did not answer within {} s", LOOK_MAX.as_secs())]
    NoAnswer,
    /// A fault of this program, told where it happened.
    #[error("the look ended by a panic, which the log tells")]
    Panicked,
}

impl LookError {
    /// What the API server answered, where it did.
    pub fn answer(&self) -> Option<&Status> {
        match self {
            LookError::Kube { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            LookError::Unlisted { .. } | LookError::NoAnswer | LookError::Panicked => None,
        }
    }

    /// Every word that [`LookError::kind`] gives.
    pub const KINDS: [&'static str; 9] =
        ["conflict", "forbidden", "not_found", "invalid", "api", "connection", "watch", "timeout", "panic"];

    /// The word in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            LookError::Kube { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.is_conflict() => "conflict",
                kube::Error::Api(status) if status.is_forbidden() => "forbidden",
                kube::Error::Api(status) if status.is_not_found() => "not_found",
                kube::Error::Api(status) if status.is_invalid() => "invalid",
                kube::Error::Api(_) => "api",
                _ => "connection",
            },
            LookError::Unlisted { .. } => "watch",
            LookError::NoAnswer => "timeout",
            LookError::Panicked => "panic",
        }
    }
}

/// Adds what was asked for to an error of the client.
fn asked(what: impl Into<String>) -> impl FnOnce(kube::Error) -> LookError {
    let what = what.into();
    move |source| LookError::Kube { what, source: Box::new(source) }
}

/// A look at one resource.
pub fn reconcile(guarded: Arc<Guarded>, context: Arc<Context>) -> BoxFuture<'static, Result<Action, LookError>> {
    timed(guarded, context).boxed()
}

async fn timed(guarded: Arc<Guarded>, context: Arc<Context>) -> Result<Action, LookError> {
    let began = tokio::time::Instant::now();
    let result = match tokio::time::timeout(LOOK_MAX, look(&guarded, &context).boxed()).await {
        Ok(result) => result,
        Err(_) => Err(LookError::NoAnswer),
    };
    context.metrics.looked(began.elapsed(), result.as_ref().err().map(LookError::kind));
    if result.is_ok() {
        context.expectations.went_well(&key(guarded.meta()));
    }
    result
}

/// When to look again after an error.
pub fn after_error(guarded: Arc<Guarded>, error: &LookError, context: Arc<Context>) -> Action {
    // Said once of the watch, and not of each resource behind it.
    if let LookError::Unlisted { .. } = error {
        return Action::requeue(UNLISTED_AGAIN);
    }
    let key = key(guarded.meta());
    let wait = context.expectations.failed(&key);
    tracing::warn!(namespace = key.0, name = key.1, retry_seconds = wait.as_secs(), "{error}");
    Action::requeue(wait)
}

async fn look(guarded: &Guarded, context: &Context) -> Result<Action, LookError> {
    let meta = guarded.meta();
    context.expectations.meet(&key(meta), meta.uid.as_deref().unwrap_or_default());
    // Said before the connections are read, see [`Naming`](crate::controller::reflectors::Naming).
    let names = guarded.0.as_ref().map(|sync| named(sync).collect::<Vec<_>>()).unwrap_or_default();
    context.reflectors.naming.set(&key(meta), names.iter().copied());
    let unlisted = context.reflectors.unlisted(meta.namespace.as_deref().unwrap_or_default(), !names.is_empty());
    if !unlisted.is_empty() {
        return blind(guarded, &unlisted, context).boxed().await;
    }
    match &guarded.0 {
        Ok(sync) => {
            let seen = observe::observe(sync, context).boxed().await?;
            let desired = decide(&seen);
            apply::apply(&seen, desired, context).boxed().await
        }
        Err(invalid) => apply::unreadable(guarded, &invalid.error, context).boxed().await,
    }
}

/// A look that cannot know what is there, because kinds of its namespace were not listed: it gives up its place.
async fn blind(guarded: &Guarded, unlisted: &[&'static str], context: &Context) -> Result<Action, LookError> {
    let key = key(guarded.meta());
    let failure = unlisted.iter().find_map(|kind| Some((*kind, context.health.failure(kind, &key.0)?)));
    let Some((kind, error)) = failure else { return Ok(Action::requeue(LISTED_SOON)) };
    let error = LookError::Unlisted { kind, namespace: key.0.clone(), error };
    if let Ok(sync) = &guarded.0
        && context.expectations.is_news(&key, kind)
    {
        context.expectations.said(&key, kind.to_owned());
        tell(sync, &Note::warning(Reason::NotWatched, error.to_string()), context).await;
    }
    Err(error)
}

/// Whose a look is.
pub(in crate::controller) fn key(meta: &kube::core::ObjectMeta) -> Key {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// Tells people something. An event that is lost is lost: nothing depends on it.
async fn tell(sync: &S3Sync, note: &Note, context: &Context) {
    // The time makes it unique: no two are told at once of one resource.
    let event = format!("{}.{:x}", key(&sync.metadata).1, (context.clock)().as_nanosecond());
    tell_as(sync, &event, note, context).await;
}

/// As [`tell`], by an event of this name: one that is there already was told.
async fn tell_as(sync: &S3Sync, event: &str, note: &Note, context: &Context) {
    let (namespace, name) = key(&sync.metadata);
    tracing::info!(namespace, name, reason = note.reason, "{}", note.message);
    let now = (context.clock)();
    let event = Event {
        metadata: ObjectMeta {
            name: Some(event.to_owned()),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(note.reason.clone()),
        note: Some(note.message.clone()),
        action: Some("Reconcile".to_owned()),
        regarding: Some(sync.object_ref(&())),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(context.instance.clone()),
        ..Event::default()
    };
    // Not by kube's Recorder: it counts up an earlier event of the same reason, and so would show an earlier run's
    // sentence.
    let events: Api<Event> = Api::namespaced(context.client.clone(), &namespace);
    if let Err(error) = events.create(&PostParams::default(), &event).boxed().await
        && !matches!(&error, kube::Error::Api(status) if status.is_already_exists())
    {
        tracing::warn!(namespace, name, "the event {} could not be written: {error}", note.reason);
    }
}
