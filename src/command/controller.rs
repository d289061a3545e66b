//! `s3sync controller`: the operator.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Api;
use kube::api::PostParams;
use tokio_util::sync::CancellationToken;

use crate::cli::{ControllerArgs, TenancyArgs, WebhookArgs, WorkerEnvArg};
use crate::command::run::interrupt;
use crate::command::{CommandError, FailureKind};
use crate::controller::build::PodDefaults;
use crate::controller::decide::concurrency::Caps;
use crate::controller::manager::lead::LeaseOptions;
use crate::controller::manager::{self, ManagerError, Options};
use crate::controller::notify;
use crate::controller::policy::{Policy, Rules, WorkerEnv};
use crate::controller::reflectors::WATCH_SECONDS;
use crate::controller::webhook::WebhookOptions;
use crate::controller::webhook::keep::{Shared, Source};

/// A request without a byte of an answer for longer than a watch lasts is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// A renewal of the Lease that takes longer than this is tried again, on another connection: see
/// [`run`](crate::controller::manager::run).
const LEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Operates until it is told to stop.
pub fn execute(args: ControllerArgs) -> Result<(), CommandError> {
    let tenancy = args.tenancy.clone();
    // Said before anything is waited for.
    policy(tenancy.clone(), None)?;
    let options = options(args)?;
    crate::command::runtime()?.block_on(async {
        let stop = CancellationToken::new();
        interrupt::listen(stop.clone()).map_err(|error| {
            CommandError::new(FailureKind::Other, anyhow::Error::new(error).context("signals cannot be caught"))
        })?;
        let config = kube::Config::infer().await.map_err(|error| {
            CommandError::new(
                FailureKind::Usage,
                anyhow::Error::new(error).context("no cluster is configured; give a kubeconfig, or run in a pod"),
            )
        })?;
        let (watching, leases) = (client(&config, READ_TIMEOUT)?, client(&config, LEASE_TIMEOUT)?);
        let policy = policy(tenancy, own_account(&leases).boxed().await?)?;
        manager::run(watching, leases, Options { policy: Arc::new(policy), ..options }, stop)
            .boxed()
            .await
            .map_err(failed)
    })
}

/// A client of the cluster, with connections of its own.
fn client(config: &kube::Config, read_timeout: Duration) -> Result<kube::Client, CommandError> {
    let mut config = config.clone();
    config.read_timeout = Some(read_timeout);
    config.connect_timeout = config.connect_timeout.map(|timeout| timeout.min(read_timeout));
    kube::Client::try_from(config).map_err(|error| {
        CommandError::new(
            FailureKind::Usage,
            anyhow::Error::new(error).context("the cluster's configuration cannot be used"),
        )
    })
}

fn options(args: ControllerArgs) -> Result<Options, CommandError> {
    let defaults = defaults(&args);
    let lease = match (args.no_leader_election, args.lease_namespace) {
        (true, _) => None,
        (false, Some(namespace)) => Some(LeaseOptions { namespace, name: args.lease_name, identity: identity() }),
        (false, None) => {
            let what = "the Lease has no namespace; give --lease-namespace (in a pod: POD_NAMESPACE), or --no-leader-election for one replica";
            return Err(CommandError::new(FailureKind::Usage, anyhow::anyhow!(what)));
        }
    };
    Ok(Options {
        webhook: webhook(args.webhook)?,
        notify_url_file: args.notify_url_file.map(told).transpose()?,
        namespaces: namespaces(args.namespaces),
        caps: Caps { total: args.max_concurrent_runs, per_namespace: args.max_concurrent_runs_per_namespace },
        defaults,
        policy: Arc::default(),
        listen: args.listen,
        lease,
    })
}

/// What is added to every worker's pod.
pub fn defaults(args: &ControllerArgs) -> PodDefaults {
    PodDefaults {
        image: args.image.clone(),
        image_pull_policy: args.image_pull_policy.clone(),
        image_pull_secrets: args.image_pull_secrets.iter().filter(|name| !name.is_empty()).cloned().collect(),
    }
}

/// The file, which must hold a URL when the controller begins.
fn told(file: PathBuf) -> Result<PathBuf, CommandError> {
    notify::url(&file).map_err(|error| CommandError::new(FailureKind::Usage, error))?;
    Ok(file)
}

/// How the webhook is served, where it is.
fn webhook(args: WebhookArgs) -> Result<Option<WebhookOptions>, CommandError> {
    let Some(listen) = args.webhook_listen else { return Ok(None) };
    let certificate = match (args.webhook_cert_dir, args.webhook_namespace) {
        (Some(directory), _) => Source::Directory(directory),
        (None, Some(namespace)) => Source::Shared(Shared { namespace, name: args.webhook_name }),
        (None, None) => {
            let what = "the webhook's Secret has no namespace; give --webhook-namespace (in a pod: POD_NAMESPACE), or --webhook-cert-dir";
            return Err(CommandError::new(FailureKind::Usage, anyhow::anyhow!(what)));
        }
    };
    Ok(Some(WebhookOptions { listen, certificate }))
}

/// Each once: two watches of one namespace would be one too many.
fn namespaces(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

/// The rules for resources. `own_account`: the controller's own ServiceAccount.
pub fn policy(args: TenancyArgs, own_account: Option<(String, String)>) -> Result<Policy, CommandError> {
    // `--allowed-endpoint=` is an empty list.
    let list = |values: Option<Vec<String>>| {
        values.map(|values| values.into_iter().filter(|value| !value.is_empty()).collect())
    };
    let rules = Rules {
        lockdown: args.lockdown,
        service_accounts: list(args.service_accounts),
        endpoints: list(args.endpoints),
        worker_env: args.worker_env.map(|which| match which {
            WorkerEnvArg::None => WorkerEnv::None,
            WorkerEnvArg::Plain => WorkerEnv::Plain,
            WorkerEnvArg::All => WorkerEnv::All,
        }),
        pod_labels: list(args.pod_labels),
        pod_annotations: list(args.pod_annotations),
        priority_classes: list(args.priority_classes),
        max_replicas: args.max_replicas,
        default_requests: list(args.default_requests),
        default_limits: list(args.default_limits),
        default_deadline_seconds: args.default_active_deadline_seconds,
    };
    Policy::new(rules, own_account).map_err(|error| CommandError::new(FailureKind::Usage, error))
}

/// Who the controller is to the API server, where that is a ServiceAccount: every client may ask for its own name.
async fn own_account(client: &kube::Client) -> Result<Option<(String, String)>, CommandError> {
    match Api::all(client.clone()).create(&PostParams::default(), &SelfSubjectReview::default()).await {
        Ok(review) => Ok(review.status.and_then(|status| service_account(&status.user_info?.username?))),
        // Somebody has taken a right away that all have by default; the rest works without it.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
            tracing::warn!(
                "the API server does not say who the controller is, so workers are not kept from its ServiceAccount: {}",
                status.message
            );
            Ok(None)
        }
        Err(error) => Err(CommandError::new(
            FailureKind::Other,
            anyhow::Error::new(error).context("the API server does not say who the controller is"),
        )),
    }
}

/// Namespace and name of a ServiceAccount, by its user name.
fn service_account(user: &str) -> Option<(String, String)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some((namespace.to_owned(), name.to_owned()))
}

/// This replica's name in the Lease: the pod's, and its own for each start, since a container that was started again
/// holds nothing.
fn identity() -> String {
    let pod = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "s3sync".to_owned());
    format!("{pod}-{}", &crate::command::run::resources::unique()[..8])
}

/// What the end of a controller means: a lost Lease is nobody's mistake, and safe to start again from.
fn failed(error: ManagerError) -> CommandError {
    let kind = match error {
        ManagerError::Listen { .. } => FailureKind::Usage,
        ManagerError::NotLeading => FailureKind::Interrupted,
        ManagerError::Lease { .. } | ManagerError::WatchesEnded => FailureKind::Other,
    };
    CommandError::new(kind, error)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Verb};

    fn parse(args: &[&str]) -> Result<Options, CommandError> {
        let Verb::Controller(args) =
            Cli::parse_from([&["s3sync", "controller", "--image", "s3sync:1"], args].concat()).verb
        else {
            panic!()
        };
        options(ControllerArgs {
            lease_namespace: args.lease_namespace.filter(|_| std::env::var_os("POD_NAMESPACE").is_none()),
            ..*args
        })
    }

    #[test]
    fn flags_make_the_rules_for_resources() {
        let of = |args: &[&str]| {
            let Verb::Controller(args) =
                Cli::parse_from([&["s3sync", "controller", "--image", "s3sync:1"], args].concat()).verb
            else {
                panic!()
            };
            policy(args.tenancy, None)
        };
        assert!(of(&["--lockdown", "--allowed-endpoint=", "--default-limit=memory=1Gi,cpu=2"]).is_ok());
        let refused = of(&["--allowed-endpoint", "aws"]).unwrap_err();
        assert_eq!(
            (refused.kind, refused.to_string().starts_with("--allowed-endpoint needs")),
            (FailureKind::Usage, true)
        );
        let sync = crate::controller::fixtures::sync();
        let none = of(&["--allowed-endpoint=", "--worker-env=none"]).unwrap().check(&sync).unwrap_err();
        assert!(none.message.starts_with("spec.source.endpoint is not set and so aws"), "{}", none.message);
        assert!(of(&["--allowed-endpoint=http://x,aws", "--worker-env=none"]).unwrap().check(&sync).is_ok());
    }

    #[test]
    fn a_service_account_is_known_by_its_user_name() {
        for (user, expected) in [
            ("system:serviceaccount:s3sync-system:s3sync", Some(("s3sync-system", "s3sync"))),
            ("kubernetes-admin", None),
            ("system:node:a", None),
        ] {
            assert_eq!(
                service_account(user),
                expected.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
                "{user}"
            );
        }
    }

    #[test]
    fn a_webhook_needs_a_place_for_its_certificate() {
        let of = |args: &[&str]| {
            let all = [&["s3sync", "controller", "--image", "s3sync:1"], args].concat();
            let Verb::Controller(args) = Cli::parse_from(all).verb else { panic!() };
            let webhook_namespace =
                args.webhook.webhook_namespace.filter(|_| std::env::var_os("POD_NAMESPACE").is_none());
            webhook(WebhookArgs { webhook_namespace, ..args.webhook })
        };
        assert_eq!(of(&[]).unwrap(), None);
        let listen = ["--webhook-listen", "0.0.0.0:9443"];
        assert!(of(&listen).unwrap_err().to_string().starts_with("the webhook's Secret has no namespace; "));
        let shared = of(&[&listen[..], &["--webhook-namespace", "ops"]].concat()).unwrap().unwrap();
        assert_eq!(
            shared.certificate,
            Source::Shared(Shared { namespace: "ops".into(), name: "s3sync-webhook".into() })
        );
        let files = of(&[&listen[..], &["--webhook-cert-dir", "certs"]].concat()).unwrap().unwrap();
        assert_eq!(files.certificate, Source::Directory("certs".into()));
    }

    #[test]
    fn a_lease_needs_a_namespace_or_to_be_refused() {
        let refused = parse(&[]).unwrap_err();
        assert_eq!(
            (refused.kind, refused.to_string().starts_with("the Lease has no namespace; ")),
            (FailureKind::Usage, true)
        );
        assert!(parse(&["--no-leader-election"]).unwrap().lease.is_none());
        let options =
            parse(&["--lease-namespace", "ops", "--image-pull-secret", "a,b", "--image-pull-secret", "c"]).unwrap();
        let lease = options.lease.unwrap();
        assert_eq!((lease.namespace.as_str(), lease.name.as_str()), ("ops", "s3sync-controller"));
        assert_eq!(options.defaults.image_pull_secrets, ["a", "b", "c"]);
        assert_eq!(options.namespaces, Vec::<String>::new());
        let options = parse(&[
            "--no-leader-election",
            "--namespace",
            "b,a",
            "--namespace",
            "b",
            "--max-concurrent-runs-per-namespace=2",
        ])
        .unwrap();
        assert_eq!(
            (options.namespaces, options.caps),
            (vec!["a".into(), "b".into()], Caps { total: 0, per_namespace: 2 })
        );
    }
}
