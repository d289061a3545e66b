//! `s3sync controller`: the operator.

use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::run::interrupt;
use super::{CommandError, Kind};
use crate::cli::ControllerArgs;
use crate::controller::build::PodDefaults;
use crate::controller::operate::{LeaseOptions, OperateError, Options, operate};
use crate::controller::stores::WATCH_SECONDS;

/// A request without a byte of an answer for longer than a watch lasts is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// A renewal of the Lease that takes longer than this is tried again, on another connection: see [`operate`].
const LEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Operates until it is told to stop.
pub fn execute(args: ControllerArgs) -> Result<(), CommandError> {
    let options = options(args)?;
    super::runtime()?.block_on(async {
        let stop = CancellationToken::new();
        interrupt::listen(stop.clone())
            .map_err(|error| CommandError::new(Kind::Other, anyhow::Error::new(error).context("signals cannot be caught")))?;
        let config = kube::Config::infer().await.map_err(|error| {
            CommandError::new(
                Kind::Usage,
                anyhow::Error::new(error).context("no cluster is configured; give a kubeconfig, or run in a pod"),
            )
        })?;
        let client = |read_timeout| client(&config, read_timeout);
        operate(client(READ_TIMEOUT)?, client(LEASE_TIMEOUT)?, options, stop).boxed().await.map_err(failed)
    })
}

/// A client of the cluster, with connections of its own.
fn client(config: &kube::Config, read_timeout: Duration) -> Result<kube::Client, CommandError> {
    let mut config = config.clone();
    config.read_timeout = Some(read_timeout);
    config.connect_timeout = config.connect_timeout.map(|timeout| timeout.min(read_timeout));
    kube::Client::try_from(config)
        .map_err(|error| CommandError::new(Kind::Usage, anyhow::Error::new(error).context("the cluster's configuration cannot be used")))
}

fn options(args: ControllerArgs) -> Result<Options, CommandError> {
    let lease = match (args.no_leader_election, args.lease_namespace) {
        (true, _) => None,
        (false, Some(namespace)) => Some(LeaseOptions { namespace, name: args.lease_name, identity: identity() }),
        (false, None) => {
            let what =
                "the Lease has no namespace; give --lease-namespace (in a pod: POD_NAMESPACE), or --no-leader-election for one replica";
            return Err(CommandError::new(Kind::Usage, anyhow::anyhow!(what)));
        }
    };
    Ok(Options {
        namespace: args.namespace.filter(|namespace| !namespace.is_empty()),
        max_concurrent_runs: args.max_concurrent_runs,
        defaults: PodDefaults {
            image: args.image,
            image_pull_policy: args.image_pull_policy,
            image_pull_secrets: args.image_pull_secrets.into_iter().filter(|name| !name.is_empty()).collect(),
        },
        listen: args.listen,
        lease,
    })
}

/// This replica's name in the Lease: the pod's, and its own for each start, since a container that was started again holds nothing.
fn identity() -> String {
    let pod = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "s3sync".to_owned());
    format!("{pod}-{}", &super::machine::unique()[..8])
}

/// What the end of a controller means: a lost Lease is nobody's mistake, and safe to start again from.
fn failed(error: OperateError) -> CommandError {
    let kind = match error {
        OperateError::Listen { .. } => Kind::Usage,
        OperateError::NotLeading => Kind::Interrupted,
        OperateError::Lease { .. } | OperateError::WatchesEnded => Kind::Other,
    };
    CommandError::new(kind, error)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Verb};

    fn parse(args: &[&str]) -> Result<Options, CommandError> {
        let Verb::Controller(args) = Cli::parse_from([&["s3sync", "controller", "--image", "s3sync:1"], args].concat()).verb else {
            panic!()
        };
        options(ControllerArgs { lease_namespace: args.lease_namespace.filter(|_| std::env::var_os("POD_NAMESPACE").is_none()), ..args })
    }

    #[test]
    fn a_lease_needs_a_namespace_or_to_be_refused() {
        let refused = parse(&[]).unwrap_err();
        assert_eq!((refused.kind, refused.to_string().starts_with("the Lease has no namespace; ")), (Kind::Usage, true));
        assert!(parse(&["--no-leader-election"]).unwrap().lease.is_none());
        let options = parse(&["--lease-namespace", "ops", "--image-pull-secret", "a,b", "--image-pull-secret", "c"]).unwrap();
        let lease = options.lease.unwrap();
        assert_eq!((lease.namespace.as_str(), lease.name.as_str()), ("ops", "s3sync-controller"));
        assert_eq!(options.defaults.image_pull_secrets, ["a", "b", "c"]);
    }
}
