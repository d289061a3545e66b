//! The grammar of the verbs that speak to a cluster: `kubectl s3sync …`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;

/// Which cluster, and which namespace of it.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterArgs {
    /// Namespace; the context's unless given
    #[arg(short, long, value_name = "NAME", help_heading = "Cluster")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig; the current one unless given
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub context: Option<String>,
    /// Kubeconfig; $KUBECONFIG, ~/.kube/config or the pod's own service account unless given
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
}

/// Whether a verb does its work in a Job of the cluster.
#[derive(Clone, Debug, Default, Args)]
pub struct JobArgs {
    /// Does it in a Job of the cluster, with the settings, secrets and rights of the sync's workers: for buckets that only they reach
    #[arg(long, requires = "name", conflicts_with = "files", help_heading = "Cluster")]
    pub in_cluster: bool,
    /// The Job's image; that of the sync's last run, or of the operator, unless given
    #[arg(long, value_name = "IMAGE", requires = "in_cluster", help_heading = "Cluster")]
    pub image: Option<String>,
    /// The sync of the pod that this runs in, by the environment that workers have: what --in-cluster starts
    #[arg(long, hide = true)]
    pub in_pod: bool,
}

/// `s3sync status`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  kubectl s3sync status
  kubectl s3sync status orders -n data
  kubectl s3sync status -A -o json | jq '.syncs[] | select(.status.consecutiveFailures > 0) | .name'")]
pub struct StatusArgs {
    /// One sync, in detail; all of the namespace unless given
    pub name: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    pub all_namespaces: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How the status is printed.
    #[command(flatten)]
    pub print: OutputArgs,
}

/// `s3sync trigger`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  kubectl s3sync trigger orders -n data
  kubectl s3sync trigger orders --wait && echo loaded")]
pub struct TriggerArgs {
    /// The sync
    pub name: String,
    /// Waits until the run has ended; the exit code is the run's
    #[arg(long)]
    pub wait: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `s3sync suspend` and `s3sync resume`
#[derive(Clone, Debug, Args)]
pub struct SuspendArgs {
    /// The sync
    pub name: String,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `s3sync logs`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  kubectl s3sync logs orders -n data
  kubectl s3sync logs orders -f --tail 20")]
pub struct LogsArgs {
    /// The sync
    pub name: String,
    /// Goes on until the run has ended
    #[arg(short, long)]
    pub follow: bool,
    /// Lines of each pod from the end; all unless given
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u32))]
    pub tail: Option<u32>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}
