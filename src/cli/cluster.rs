//! The grammar of the verbs that speak to a cluster: `kubectl s3sync …`.

use std::path::PathBuf;

use clap::Args;

use super::{OutputArgs, StateDirArgs};

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
    /// Does it in a Job of the cluster, with the settings, secrets and rights of the sync's workers: for buckets that
    /// only they reach
    #[arg(long, requires = "name", conflicts_with = "files", help_heading = "Cluster")]
    pub in_cluster: bool,
    /// The Job's image; that of the sync's last run, or of the operator, unless given
    #[arg(long, value_name = "IMAGE", requires = "in_cluster", help_heading = "Cluster")]
    pub image: Option<String>,
    /// The sync of the pod that this runs in, by the environment that workers have: what --in-cluster starts
    #[arg(long, hide = true)]
    pub in_pod: bool,
}

/// Which syncs of the cluster.
#[derive(Clone, Debug, Default, Args)]
pub struct SelectArgs {
    /// The syncs, by name
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// All syncs of the namespace
    #[arg(long, conflicts_with_all = ["names", "selector"])]
    pub all: bool,
    /// Those with these labels, such as team=sales,tier!=test
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "names")]
    pub selector: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["names", "namespace"])]
    pub all_namespaces: bool,
}

/// `s3sync doctor`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  kubectl s3sync doctor orders -n data
  kubectl s3sync doctor -n data -o json | jq '.checks[] | select(.result != \"Ok\")'
  s3sync doctor -f sync.yaml

The exit code is 0 where all is well or worth a warning, else that of what failed first.")]
pub struct DoctorArgs {
    /// A sync in a cluster, with its buckets; the cluster and each sync of the namespace in a line unless given
    #[arg(conflicts_with = "files")]
    pub name: Option<String>,
    /// A manifest, a directory of manifests (read recursively: *.yaml, *.yml, *.json), or - for stdin; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", conflicts_with_all = ["namespace", "context", "kubeconfig"])]
    pub files: Vec<PathBuf>,
    /// Looks at the buckets from here, with the Secrets that you may read, and not in a Job where the sync's workers
    /// are
    #[arg(long, requires = "name")]
    pub local: bool,
    /// The Job's image; that of the sync's last run, or of the operator, unless given
    #[arg(long, value_name = "IMAGE", requires = "name", conflicts_with = "local")]
    pub image: Option<String>,
    /// The sync of the pod that this runs in, by the environment that workers have
    #[arg(long, hide = true)]
    pub in_pod: bool,
    /// Where the cursors of manifests are.
    #[command(flatten)]
    pub state: StateDirArgs,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How it is printed.
    #[command(flatten)]
    pub print: OutputArgs,
}

/// `s3sync status`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  kubectl s3sync status
  kubectl s3sync status orders -n data
  kubectl s3sync status -l team=sales
  kubectl s3sync status -A -o json | jq '.syncs[] | select(.status.consecutiveFailures > 0) | .name'")]
pub struct StatusArgs {
    /// Which syncs; one that is named is shown in detail, all of the namespace are shown unless some are named or
    /// selected.
    #[command(flatten)]
    pub select: SelectArgs,
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
  kubectl s3sync trigger orders --wait && echo loaded
  kubectl s3sync trigger -l team=sales -A")]
pub struct TriggerArgs {
    /// Which syncs.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Waits until the runs have ended; the exit code is that of the first one that failed
    #[arg(long)]
    pub wait: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `s3sync suspend` and `s3sync resume`
#[derive(Clone, Debug, Args)]
pub struct SuspendArgs {
    /// Which syncs.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// `s3sync cancel`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  kubectl s3sync cancel orders -n data
  kubectl s3sync cancel --all --wait")]
pub struct CancelArgs {
    /// Which syncs.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Waits until the runs have ended
    #[arg(long)]
    pub wait: bool,
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
