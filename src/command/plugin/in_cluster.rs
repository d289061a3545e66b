//! A verb in a Job of the cluster, for a person whose machine reaches the API server and not the buckets: the same
//! binary with the same verb, in a pod like a worker's, made by the rights of whoever asks. Its output comes by the
//! pod's log, and its exit code is ours. The controller takes it for no run, and the Job goes when it has ended, or
//! when it is not waited for any more.

mod added;
pub mod frames;
mod needs;

use std::pin::pin;
use std::time::Duration;

use clap::ValueEnum;
use futures::AsyncBufRead;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, LogParams, PostParams, Preconditions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use self::frames::{Gap, Part, Reader};
use crate::api::{S3Sync, text};
use crate::cli::{LogArgs, Output};
use crate::command::plugin::cluster::{Cluster, FIELD_MANAGER};
use crate::command::plugin::logs;
use crate::command::plugin::status;
use crate::command::run::resources;
use crate::command::{CommandError, FailureKind, note};
use crate::controller::decide::check::{Checked, check};
use crate::controller::pod::CONTAINER;
use crate::controller::reconcile::warning;
use crate::controller::{build, names, pod};
use crate::model::reason::Reason;
use crate::store::secrets;

pub use self::added::{flags, operators};
pub use self::needs::missing;

/// How often the pod is looked at: a person does not see a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the pod may take to start: an autoscaler's new node with a large image is there within five minutes.
const START_MAX: Duration = Duration::from_secs(300);

/// How long what does not pass by itself is waited for: a Secret or an image that is put there meanwhile, a registry
/// that fails once.
const STUCK_MAX: Duration = Duration::from_secs(60);

/// How long what usually passes by itself is not worth a word.
const USUAL: Duration = Duration::from_secs(10);

/// Looks in a row that may fail, and connections to one log that may break: an API server that restarts is back within
/// two minutes.
const UNSEEN_MAX: u32 = 120;

/// How long the end waits for the Job to be removed; one that is not goes by itself.
const REMOVED_WITHIN: Duration = Duration::from_secs(10);

/// What is done in a Job.
pub struct Command<'a> {
    /// The binary's arguments; with --in-pod among them.
    pub args: Vec<String>,
    /// The image, where a person names it.
    pub image: Option<&'a str>,
    /// What must hold of the sync until the pod has started.
    pub while_starting: fn(&Cluster, &S3Sync) -> Result<(), CommandError>,
}

/// The arguments of the binary in the pod: a verb's, with how its result and its log are written here.
pub fn arguments(verb: &[&str], output: Output, logging: &LogArgs) -> Vec<String> {
    let value = |value: Option<clap::builder::PossibleValue>| {
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let mut arguments: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
    arguments.push(format!("--output={}", value(output.to_possible_value())));
    arguments.push(format!("--log-format={}", value(logging.log_format.to_possible_value())));
    arguments.extend((0..logging.verbose).map(|_| "-v".to_owned()));
    arguments
}

/// Runs it. `take` gets the result as it comes; what is said beside it goes to stderr. An exit code of the pod's
/// becomes an error that says no more.
pub async fn run(
    cluster: &Cluster,
    sync: &S3Sync,
    command: Command<'_>,
    take: &mut (dyn FnMut(&str) -> Result<(), CommandError> + Send),
) -> Result<(), CommandError> {
    let cannot = |error: std::io::Error| {
        CommandError::new(FailureKind::Other, anyhow::Error::new(error).context("signals cannot be caught"))
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    (command.while_starting)(cluster, sync)?;
    let (job, which) = job(cluster, sync, &command).await?;
    if let Some(missing) = missing(cluster, sync).await {
        let message = format!("{}: {}; {}", place(cluster, sync), missing.why, missing.fix);
        return Err(CommandError::new(FailureKind::Access, anyhow::anyhow!(message)));
    }
    let name = job.name_any();
    let what = format!("the Job {}/{name}", cluster.namespace);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    // Not given up half-way: a Job that was made without our knowing would stay.
    let made = cluster.api::<Job>().create(&params, &job).await.map_err(|error| cluster.failed(&what, error))?;
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let image = pod.and_then(|pod| pod.containers.first()?.image.as_deref()).unwrap_or_default();
    note(&format!("{what} does it, with the image {image}{which}"));
    let mut followed = pin!(follow(cluster, sync, &made, &command, take));
    let result = tokio::select! {
        result = &mut followed => result,
        _ = interrupt.recv() => Err(stopped(&what)),
        _ = terminate.recv() => Err(stopped(&what)),
    };
    remove(cluster, &made).await;
    result
}

/// The Job that runs it, and whose image it has where that is worth a word. It is not made yet.
pub async fn job(cluster: &Cluster, sync: &S3Sync, command: &Command<'_>) -> Result<(Job, &'static str), CommandError> {
    let checked = allowed(cluster, sync)?;
    let added = added::added(cluster, sync, command.image).await?;
    if let Err(refusal) = added.policy.check(sync) {
        return Err(CommandError::new(
            FailureKind::Usage,
            anyhow::anyhow!("{}: {}: {}", place(cluster, sync), refusal.reason, refusal.message),
        ));
    }
    let name = names::command_job_name(&sync.name_any(), &resources::unique()[..6]);
    let job = build::command_job(&added.policy.completed(sync), &checked, &name, command.args.clone(), &added.defaults);
    Ok((job, added.which))
}

fn stopped(what: &str) -> CommandError {
    let message = format!(
        "stopped, and {what} with it; nothing is lost, and `kubectl s3sync state show` says where the sync stands"
    );
    CommandError::new(FailureKind::Interrupted, anyhow::anyhow!(message))
}

fn place(cluster: &Cluster, sync: &S3Sync) -> String {
    format!("{}/{}", cluster.namespace, sync.name_any())
}

/// The sync as workers get it, where the operator would run it: a Job of ours is a way around no rule of an admin's.
fn allowed(cluster: &Cluster, sync: &S3Sync) -> Result<Checked, CommandError> {
    let refused = |reason: Reason, message: &str| {
        CommandError::new(FailureKind::Usage, anyhow::anyhow!("{}: {reason}: {message}", place(cluster, sync)))
    };
    let ready = sync
        .status
        .as_ref()
        .and_then(status::ready)
        .filter(|ready| ready.observed_generation == sync.metadata.generation);
    if let Some(ready) = ready.filter(|ready| ready.status == "False" && ready.reason == Reason::NotAllowed) {
        return Err(refused(Reason::NotAllowed, &ready.message));
    }
    check(sync).map_err(|refusal| refused(refusal.reason, &refusal.message))
}

/// Removes the Job with its pod. One that cannot be goes by itself, minutes after its end.
async fn remove(cluster: &Cluster, job: &Job) {
    let preconditions = Some(Preconditions { uid: job.uid(), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::background() };
    let (api, name) = (cluster.api::<Job>(), job.name_any());
    let removed = tokio::time::timeout(REMOVED_WITHIN, api.delete(&name, &params)).await;
    match removed {
        Ok(Ok(_)) => {}
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => {}
        _ => note(&format!(
            "the Job {}/{name} could not be removed; it goes by itself some minutes after its end",
            cluster.namespace
        )),
    }
}

/// Follows the Job to its end.
async fn follow(
    cluster: &Cluster,
    sync: &S3Sync,
    job: &Job,
    command: &Command<'_>,
    take: &mut (dyn FnMut(&str) -> Result<(), CommandError> + Send),
) -> Result<(), CommandError> {
    let pod = started(cluster, sync, job, command).await?;
    let mut reader = Reader::default();
    let mut unseen = 0;
    let end = loop {
        let whole = match log(cluster, &pod, &mut reader, take).await {
            Ok(()) => true,
            Err(Broken::Log) => false,
            Err(Broken::Print(error)) => return Err(error),
            Err(Broken::Gap) => {
                let why = "its output came faster than it could be fetched, and a part of it is lost; ask for it again from nearer by";
                return Err(failed(cluster, &pod, why));
            }
        };
        // The kubelet tells the end a moment after the log's.
        tokio::time::sleep(LOOK_EVERY).await;
        match ended(cluster, &pod).await {
            Ok(Some(end @ End::Lost(_))) => break end,
            Ok(Some(end)) if whole || unseen == UNSEEN_MAX => break end,
            Err(error) if error.kind != FailureKind::Other || unseen == UNSEEN_MAX => return Err(error),
            Ok(None) if unseen == UNSEEN_MAX => {
                return Err(failed(cluster, &pod, "its log cannot be followed; try again"));
            }
            Ok(_) | Err(_) => unseen += 1,
        }
        reader.again();
    };
    match end {
        End::Code(0, _) if reader.ended => Ok(()),
        End::Code(0, _) => Err(failed(cluster, &pod, "the end of its output is lost; ask for it again")),
        End::Code(code, why) => Err(match FailureKind::of_exit_code(code) {
            Some(kind) => CommandError::reported(kind),
            None => failed(cluster, &pod, &format!("it was ended: {why} (exit code {code}); try again")),
        }),
        End::Lost(why) => Err(failed(cluster, &pod, &format!("it was ended: {why}; try again"))),
    }
}

fn failed(cluster: &Cluster, pod: &str, why: &str) -> CommandError {
    CommandError::new(FailureKind::Interrupted, anyhow::anyhow!("the pod {}/{pod}: {why}", cluster.namespace))
}

/// Waits until the pod has started. Gives its name.
async fn started(cluster: &Cluster, sync: &S3Sync, job: &Job, command: &Command<'_>) -> Result<String, CommandError> {
    let (began, mut unseen, mut said) = (Instant::now(), 0, String::new());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let look = async {
            (command.while_starting)(cluster, &cluster.sync(&sync.name_any()).await?)?;
            waits(cluster, job).await
        };
        let (reason, stuck) = match look.await {
            Ok(Waits::Started(pod)) => return Ok(pod),
            Ok(Waits::For { reason, stuck }) => (reason, stuck),
            Err(error) if error.kind == FailureKind::Other && unseen < UNSEEN_MAX => {
                unseen += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        unseen = 0;
        let most = if stuck { STUCK_MAX } else { START_MAX };
        if began.elapsed() > most {
            let message = format!("{}: its pod does not start: {reason}", place(cluster, sync));
            return Err(CommandError::new(FailureKind::Interrupted, anyhow::anyhow!(message)));
        }
        if began.elapsed() > USUAL && reason != said {
            note(&format!("its pod has not started: {reason}"));
            said = reason;
        }
    }
}

enum Waits {
    /// Or has ended already: the pod's name.
    Started(String),
    For {
        /// Why not.
        reason: String,
        /// Whether somebody has to do something about it.
        stuck: bool,
    },
}

async fn waits(cluster: &Cluster, job: &Job) -> Result<Waits, CommandError> {
    let name = job.name_any();
    let params = ListParams::default().labels(&format!("{}={name}", names::POD_JOB)).limit(1);
    let pods = cluster.api::<Pod>().list(&params).await;
    let pods = pods.map_err(|error| cluster.failed(&format!("pods of the Job {}/{name}", cluster.namespace), error))?;
    if let Some(pod) = pods.items.first() {
        // One that was evicted before it began has no container, and has ended.
        let over =
            pod.status.as_ref().and_then(|status| status.phase.as_deref()).is_some_and(|phase| phase == "Failed");
        return Ok(match pod::not_started(pod).filter(|_| !over) {
            Some(why) => Waits::For { reason: text::message(&why.to_string()), stuck: why.is_stuck() },
            None => Waits::Started(pod.name_any()),
        });
    }
    let now = cluster
        .api::<Job>()
        .get(&name)
        .await
        .map_err(|error| cluster.failed(&format!("the Job {}/{name}", cluster.namespace), error))?;
    if crate::controller::decide::run::is_held(&now) {
        let reason = "its queue (worker.queueName) holds the Job back".to_owned();
        return Ok(Waits::For { reason, stuck: false });
    }
    let mut conditions = now.status.iter().flat_map(|status| status.conditions.iter().flatten());
    if let Some(failed) = conditions.find(|condition| condition.type_ == "Failed" && condition.status == "True") {
        let why = text::message(failed.message.as_deref().or(failed.reason.as_deref()).unwrap_or_default());
        let message = format!("the Job {}/{name} failed without a pod: {why}", cluster.namespace);
        return Err(CommandError::new(FailureKind::Interrupted, anyhow::anyhow!(message)));
    }
    // Who may not see events is not told what the Job controller says of pods that it cannot make.
    let said =
        warning::last_of_core(&cluster.client, &cluster.namespace, &now.uid().unwrap_or_default()).await.ok().flatten();
    Ok(Waits::For { reason: said.unwrap_or_else(|| "no pod was made yet".to_owned()), stuck: false })
}

/// How a pod ended.
enum End {
    /// With this exit code, and the kubelet's word for it.
    Code(i32, String),
    /// Without one.
    Lost(String),
}

async fn ended(cluster: &Cluster, pod: &str) -> Result<Option<End>, CommandError> {
    let found = cluster.api::<Pod>().get_opt(pod).await;
    let found = found.map_err(|error| cluster.failed(&format!("the pod {}/{pod}", cluster.namespace), error))?;
    let Some(found) = found else { return Ok(Some(End::Lost("it was removed".to_owned()))) };
    Ok(end(&found))
}

fn end(pod: &Pod) -> Option<End> {
    let status = pod.status.clone().unwrap_or_default();
    if let Some(end) = pod::terminated(pod) {
        return Some(End::Code(end.exit_code, end.reason.clone().unwrap_or_default()));
    }
    let over = status.phase.as_deref().is_some_and(|phase| phase == "Failed" || phase == "Succeeded");
    let why = [status.reason, status.message].into_iter().flatten().collect::<Vec<_>>().join(": ");
    over.then(|| End::Lost(text::message(if why.is_empty() { "its node gives no reason" } else { &why })))
}

enum Broken {
    /// It is read once more.
    Log,
    Gap,
    Print(CommandError),
}

/// Reads the pod's log to its end.
async fn log(
    cluster: &Cluster,
    pod: &str,
    reader: &mut Reader,
    take: &mut (dyn FnMut(&str) -> Result<(), CommandError> + Send),
) -> Result<(), Broken> {
    let params = LogParams { container: Some(CONTAINER.to_owned()), follow: true, ..LogParams::default() };
    let log = cluster.api::<Pod>().log_stream(pod, &params).await.map_err(|_| Broken::Log)?;
    read(&mut pin!(log), reader, take).await
}

async fn read(
    log: &mut (impl AsyncBufRead + Unpin),
    reader: &mut Reader,
    take: &mut (dyn FnMut(&str) -> Result<(), CommandError> + Send),
) -> Result<(), Broken> {
    while let Some((bytes, _)) = logs::raw_line(log).await.map_err(|_| Broken::Log)? {
        let line = String::from_utf8_lossy(&bytes);
        let Some(line) = line.strip_suffix('\n') else {
            // A line that is cut where the connection broke: it is read once more.
            return if bytes.len() < logs::LINE_BYTES_MAX { Err(Broken::Log) } else { continue };
        };
        match reader.line(line).map_err(|Gap| Broken::Gap)? {
            Part::Result(text, ends) => take(&fit(text, ends)).map_err(Broken::Print)?,
            Part::Said(text) => note(&secrets::clean(text, logs::LINE_BYTES_MAX)),
            Part::Known => {}
        }
    }
    Ok(())
}

/// A piece of a result as it was, but for what none of ours has in it and a terminal would obey.
fn fit(text: &str, ends: bool) -> String {
    let shown =
        text.chars().filter(|character| !character.is_ascii_control() || *character == '\t' || *character == '\u{7f}');
    shown.chain(ends.then_some('\n')).collect()
}
