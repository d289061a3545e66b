//! What the operator adds to its workers' pods: the image, and what an admin gives to those that leave something open.
//! It stands in the operator's flags alone, so it is taken from its Deployment, or from a Job that it made for the
//! sync.

use clap::Parser;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Api;
use kube::api::ListParams;

use crate::api::S3Sync;
use crate::cli::{Cli, ControllerArgs, Verb};
use crate::command::plugin::cluster::Cluster;
use crate::command::{CommandError, FailureKind, controller};
use crate::controller::build::PodDefaults;
use crate::controller::names::CONTROLLER_SELECTOR;
use crate::controller::pod::CONTAINER;
use crate::controller::policy::{Policy, Rules};

/// Jobs of the sync that are asked for: the last few are enough to find one that was kept.
const JOBS_MAX: usize = 5;

/// Operators of a cluster: one, or one for each team.
const CONTROLLERS_MAX: u32 = 20;

/// What the operator adds.
#[derive(Debug, Default)]
pub struct Added {
    /// Image and how it is pulled.
    pub defaults: PodDefaults,
    /// What a spec gets that leaves it open.
    pub policy: Policy,
    /// Whose image it is, as the end of a sentence; empty where there is nothing to choose from.
    pub which: &'static str,
}

/// What the operator adds to pods of this sync; `image` is what a person names.
pub async fn added(cluster: &Cluster, sync: &S3Sync, image: Option<&str>) -> Result<Added, CommandError> {
    // Who may make Jobs alone can say which image.
    let (operators, run) = tokio::join!(operators(cluster), of_jobs(cluster, sync));
    let found = choose(&operators.unwrap_or_default(), run.ok().flatten(), &cluster.namespace);
    let mut added = match (found, image) {
        (Some(added), _) => added,
        (None, Some(_)) => Added::default(),
        (None, None) => {
            let message = format!(
                "{}/{}: no run's Job is there any more, and the operator's Deployment cannot be seen, so the image is not known: name it with --image",
                cluster.namespace,
                sync.metadata.name.as_deref().unwrap_or_default()
            );
            return Err(CommandError::new(FailureKind::Usage, anyhow::anyhow!(message)));
        }
    };
    if let Some(image) = image {
        added.defaults.image = image.to_owned();
        added.which = "";
    }
    Ok(added)
}

/// The operator's, which the next run has; else the last run's, which may be of a release before an upgrade.
fn choose(operators: &[Deployment], run: Option<Added>, namespace: &str) -> Option<Added> {
    let operator = operators.iter().find_map(|deployment| of_operator(deployment, namespace));
    let operator = match (operator, operators, &run) {
        // Of a release whose flags this one does not know: its image is known all the same.
        (None, [only], Some(_)) if flags(only).is_none() => image_of(only),
        (Some(added), _, _) => return Some(Added { which: differs(&added.defaults.image, run.as_ref()), ..added }),
        (None, _, _) => None,
    };
    let mut added = run?;
    if let Some(image) = operator {
        added.which = differs(&image, Some(&added));
        added.defaults.image = image;
    }
    Some(added)
}

fn differs(image: &str, run: Option<&Added>) -> &'static str {
    if run.is_some_and(|run| run.defaults.image != image) {
        ", which is the operator's; the last run had another"
    } else {
        ""
    }
}

async fn of_jobs(cluster: &Cluster, sync: &S3Sync) -> Result<Option<Added>, kube::Error> {
    let Some(status) = &sync.status else { return Ok(None) };
    let runs = status
        .active
        .iter()
        .map(|run| &run.job)
        .chain(status.last_run.iter().chain(&status.history).map(|run| &run.job));
    for name in runs.take(JOBS_MAX) {
        let job = cluster.api::<Job>().get_opt(name).await?;
        if let Some(added) = job.as_ref().and_then(|job| of_job(job, sync)) {
            return Ok(Some(added));
        }
    }
    Ok(None)
}

/// What stands in a run's Job and may not stand in the spec: a spec that says something of it has its own way.
fn of_job(job: &Job, sync: &S3Sync) -> Option<Added> {
    let spec = job.spec.as_ref()?;
    let pod = spec.template.spec.as_ref()?;
    let worker = pod.containers.iter().find(|container| container.name == CONTAINER)?;
    let resources = worker.resources.clone().unwrap_or_default();
    let amounts = |named: Option<std::collections::BTreeMap<String, Quantity>>| {
        Some(named.unwrap_or_default().into_iter().map(|(name, amount)| format!("{name}={}", amount.0)).collect())
    };
    let rules = Rules {
        default_requests: amounts(resources.requests),
        default_limits: amounts(resources.limits),
        default_deadline_seconds: spec.active_deadline_seconds,
        ..Rules::default()
    };
    let secrets =
        pod.image_pull_secrets.iter().flatten().filter(|secret| !sync.spec.worker.image_pull_secrets.contains(secret));
    Some(Added {
        defaults: PodDefaults {
            image: worker.image.clone()?,
            image_pull_policy: worker.image_pull_policy.clone(),
            image_pull_secrets: secrets.map(|secret| secret.name.clone()).collect(),
        },
        policy: Policy::new(rules, None).ok()?,
        which: "",
    })
}

/// The operators of the cluster.
pub async fn operators(cluster: &Cluster) -> Result<Vec<Deployment>, kube::Error> {
    let deployments: Api<Deployment> = Api::all(cluster.client.clone());
    let params = ListParams::default().labels(CONTROLLER_SELECTOR).limit(CONTROLLERS_MAX);
    Ok(deployments.list(&params).await?.items)
}

/// An operator's flags; `None` where they are those of another release.
pub fn flags(deployment: &Deployment) -> Option<ControllerArgs> {
    let (container, image) = (controller_of(deployment)?, image_of(deployment)?);
    let given = container.args.iter().flatten().map(String::as_str);
    match Cli::try_parse_from(["s3sync"].into_iter().chain(given).chain(["--image", &image])).ok()?.verb {
        Verb::Controller(args) => Some(*args),
        _ => None,
    }
}

fn controller_of(deployment: &Deployment) -> Option<&Container> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.iter().find(|container| container.name == "controller")
}

/// The image of an operator's workers: its own unless it is told another.
fn image_of(deployment: &Deployment) -> Option<String> {
    let container = controller_of(deployment)?;
    let variable = container.env.iter().flatten().find(|variable| variable.name == "S3SYNC_IMAGE");
    variable.and_then(|variable| variable.value.clone()).or_else(|| container.image.clone())
}

/// What an operator adds, where it watches the namespace.
fn of_operator(deployment: &Deployment, namespace: &str) -> Option<Added> {
    let args = flags(deployment)
        .filter(|args| args.namespaces.is_empty() || args.namespaces.iter().any(|watched| watched == namespace))?;
    let policy = controller::policy(args.tenancy.clone(), None).ok()?;
    Some(Added { policy, defaults: controller::defaults(&args), which: "" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::build;
    use crate::controller::decide::check::check;
    use crate::controller::decide::run::Marks;
    use crate::controller::decide::{Start, Why};
    use crate::controller::fixtures::sync_with;

    fn deployment(args: &[&str]) -> Deployment {
        let container = json!({"name": "controller", "image": "s3sync:1", "args": args, "env": [{"name": "S3SYNC_IMAGE", "value": "s3sync:2"}]});
        let spec = json!({"selector": {}, "template": {"spec": {"containers": [container]}}});
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    /// The next run has the operator's image, so a command's pod has it: the last run's may be older than this program.
    #[test]
    fn the_operators_image_comes_before_the_last_runs() {
        let run = || Added {
            defaults: PodDefaults { image: "s3sync:1".into(), ..PodDefaults::default() },
            ..Added::default()
        };
        let (here, elsewhere) = (deployment(&["controller"]), deployment(&["controller", "--namespace=shop"]));
        let later = deployment(&["controller", "--of-a-later-release"]);
        let same = Added { defaults: PodDefaults { image: "s3sync:2".into(), ..PodDefaults::default() }, ..run() };
        let both = ", which is the operator's; the last run had another";
        for (operators, run, expected) in [
            (vec![here.clone()], Some(run()), Some(("s3sync:2", both))),
            (vec![here.clone()], Some(same), Some(("s3sync:2", ""))),
            (vec![elsewhere.clone(), here.clone()], None, Some(("s3sync:2", ""))),
            (vec![later.clone()], Some(run()), Some(("s3sync:2", both))),
            // It may be that of another namespace.
            (vec![later.clone(), elsewhere.clone()], Some(run()), Some(("s3sync:1", ""))),
            (vec![elsewhere], Some(run()), Some(("s3sync:1", ""))),
            (vec![later], None, None),
            (vec![], Some(run()), Some(("s3sync:1", ""))),
            (vec![], None, None),
        ] {
            let found = choose(&operators, run, "data");
            let found = found.as_ref().map(|added| (added.defaults.image.as_str(), added.which));
            assert_eq!(found, expected, "{operators:?}");
        }
    }

    /// Whether it is seen by a Job or by the operator's flags: a command's pod has what a worker's has.
    #[test]
    fn a_command_gets_what_the_operator_adds() {
        let args = [
            "controller",
            "--image-pull-policy=Never",
            "--image-pull-secret=registry",
            "--lockdown",
            "--namespace=data",
        ];
        let operator = of_operator(&deployment(&args), "data").unwrap();
        assert!(of_operator(&deployment(&args), "shop").is_none(), "another's");
        assert!(of_operator(&deployment(&["controller", "--of-a-later-release"]), "data").is_none());
        let sync = sync_with(
            json!({"worker": {"resources": {"limits": {"memory": "3Gi"}}, "imagePullSecrets": [{"name": "mine"}]}}),
        );
        let checked = check(&sync).unwrap();
        let start = Start { job: "orders-202611211530".into(), marks: Marks::default(), why: Why::Slot, request: None };
        let run = build::job(&operator.policy.completed(&sync), &checked, &start, false, &operator.defaults);
        let of = |added: &Added| {
            let completed = added.policy.completed(&sync);
            let job = build::command_job(&completed, &checked, &start.job, vec!["worker".into()], &added.defaults);
            (job.spec.clone().unwrap().active_deadline_seconds, job.spec.unwrap().template.spec.unwrap())
        };
        let spec = run.spec.clone().unwrap();
        let expected = (spec.active_deadline_seconds, spec.template.spec.unwrap());
        assert_eq!(expected.1.containers[0].image.as_deref(), Some("s3sync:2"));
        assert_eq!(expected.0, Some(24 * 3600));
        assert_eq!(of(&operator), expected);
        assert_eq!(of(&of_job(&run, &sync).unwrap()), expected);
        assert!(of_job(&Job::default(), &sync).is_none());
    }
}
