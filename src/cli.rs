//! The command line's grammar: structs only. What a verb does stands in [`crate::command`].

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::model::size::parse_size;

mod cluster;
mod request;
mod tenancy;
mod webhook;

pub use cluster::{
    CancelArgs, ClusterArgs, DoctorArgs, JobArgs, LogsArgs, SelectArgs, StatusArgs, SuspendArgs, TriggerArgs,
};
pub use tenancy::{TenancyArgs, WorkerEnvArg};
pub use webhook::WebhookArgs;

pub use self::request::{RequestArgs, options};

/// Keeps S3 prefixes in sync as tables: each object's rows are published exactly once, in bounded memory.
#[derive(Debug, Parser)]
#[command(
    name = "s3sync",
    version,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done, 1 unexpected failure, 2 usage or invalid spec, 3 denied or missing bucket, key or secret, \
                  4 bad input data, 5 interrupted and safe to repeat."
)]
pub struct Cli {
    /// How much is logged, and how.
    #[command(flatten)]
    pub logging: LogArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// How log lines on stderr are written
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "S3SYNC_LOG_FORMAT", help_heading = "Logging")]
    pub log_format: LogFormat,
    /// Says more: -v for progress in detail and the causes of errors, -vv for every request
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Logging")]
    pub verbose: u8,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// How a result is written to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Runs every sync of the manifests to its end, and prints what was read and written
    Run(RunArgs),
    /// Shows what a run would read and write, and why, and writes nothing
    Plan(PlanArgs),
    /// Shows the tables that the syncs find, with their objects, schemas and positions
    Tables(TablesArgs),
    /// Shows, exports and changes cursors
    State(StateArgs),
    /// Checks manifests by the API server's rules, and by those that only the whole spec shows
    Validate(ValidateArgs),
    /// Shows the syncs of a cluster: how far they are, their last runs, and what is wrong
    Status(StatusArgs),
    /// Starts runs of syncs in a cluster
    Trigger(TriggerArgs),
    /// Ends the runs of syncs in a cluster that are in progress; what they published stays, and the next run goes on
    /// from there
    Cancel(CancelArgs),
    /// Starts no more runs of syncs in a cluster; one in progress goes on
    #[command(after_help = "Examples:\n  kubectl s3sync suspend orders -n data\n  kubectl s3sync suspend --all -A")]
    Suspend(SuspendArgs),
    /// Starts runs of suspended syncs again, by their schedules
    #[command(after_help = "Examples:\n  kubectl s3sync resume orders -n data\n  kubectl s3sync resume --all -A")]
    Resume(SuspendArgs),
    /// Shows what the pods of a sync's run in progress, or of its last one, have logged
    Logs(LogsArgs),
    /// Looks at all that a sync needs (connections, credentials, rights, state, the cluster), and says of each how it
    /// is and what to do
    Doctor(DoctorArgs),
    /// Does one pod's part of a run; started by the operator, which tells it everything by the environment
    Worker,
    /// Operates the S3Sync resources of a cluster: makes their runs' Jobs, and says in their status how they fare
    Controller(Box<ControllerArgs>),
    /// Prints the CustomResourceDefinitions as YAML
    #[command(after_help = "Example:\n  s3sync crd | kubectl apply --server-side -f -")]
    Crd,
    /// Prints a script that completes commands in a shell
    #[command(after_help = "Example:\n  s3sync completions bash > /etc/bash_completion.d/s3sync")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where manifests come from.
#[derive(Clone, Debug, Args)]
pub struct FileArgs {
    /// A manifest, a directory of manifests (read recursively: *.yaml, *.yml, *.json), or - for stdin; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", required = true)]
    pub files: Vec<PathBuf>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArgs {
    /// How the result on stdout is written
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Where cursors are.
#[derive(Clone, Debug, Args)]
pub struct StateDirArgs {
    /// Directory of the cursors; `.s3sync` beside the manifest unless given
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// `s3sync run`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  s3sync run -f sync.yaml
  s3sync run -f syncs/ --memory 512Mi --replicas 2
  s3sync run -f sync.yaml --dry-run -o json
  s3sync run -f sync.yaml --reread --from-key orders/2026-01 --to-key orders/2026-02")]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub from: FileArgs,
    /// How the summary is printed.
    #[command(flatten)]
    pub print: OutputArgs,
    /// Where the cursors are.
    #[command(flatten)]
    pub state: StateDirArgs,
    /// Memory budget such as 512Mi; a share of the machine's or the container's memory unless given
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "S3SYNC_MEMORY")]
    pub memory: Option<u64>,
    /// Directory for data that does not fit the memory budget; the system's temporary directory unless given
    #[arg(long, value_name = "DIR")]
    pub scratch_dir: Option<PathBuf>,
    /// Workers of each run, side by side in this process; 1 unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub replicas: Option<u32>,
    /// Prints what a run would read and write, and writes nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Goes on under a changed source, table rule, destination or path; a new destination or path starts with an empty
    /// ledger
    #[arg(long)]
    pub accept_spec_change: bool,
    /// What is read.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `s3sync plan`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  s3sync plan -f sync.yaml
  s3sync plan -f sync.yaml -o json | jq '.syncs[].tables'")]
pub struct PlanArgs {
    /// What to plan.
    #[command(flatten)]
    pub from: FileArgs,
    /// How the plan is printed.
    #[command(flatten)]
    pub print: OutputArgs,
    /// Where the cursors are.
    #[command(flatten)]
    pub state: StateDirArgs,
    /// What is read.
    #[command(flatten)]
    pub request: RequestArgs,
}

/// `s3sync tables`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  s3sync tables -f sync.yaml
  s3sync tables -f sync.yaml -o yaml")]
pub struct TablesArgs {
    /// Whose tables.
    #[command(flatten)]
    pub from: FileArgs,
    /// How they are printed.
    #[command(flatten)]
    pub print: OutputArgs,
    /// Where the cursors are.
    #[command(flatten)]
    pub state: StateDirArgs,
}

/// `s3sync validate`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  s3sync validate -f sync.yaml
  helm template my-chart | s3sync validate -f -")]
pub struct ValidateArgs {
    /// What to check.
    #[command(flatten)]
    pub from: FileArgs,
    /// How the verdict is printed.
    #[command(flatten)]
    pub print: OutputArgs,
}

/// `s3sync state`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  s3sync state show -f sync.yaml
  s3sync state export -f sync.yaml -o json
  s3sync state reset -f sync.yaml --yes
  kubectl s3sync state show orders -n data
  kubectl s3sync state export orders -n data --in-cluster -o json > files.json")]
pub struct StateArgs {
    /// What to do with the cursor.
    #[command(subcommand)]
    pub verb: StateVerb,
}

/// What to do with a cursor.
#[derive(Clone, Debug, Subcommand)]
pub enum StateVerb {
    /// Shows the cursor: epoch, phase, and each table's watermark and counts
    Show(CursorArgs),
    /// Forgets what was read, so that the next run reads everything; epochs go on counting. Refused during a run
    Reset(ResetArgs),
    /// Prints the committed manifests: load_id, table, key, rows, bytes, and the keys that were read
    Export(CursorArgs),
    /// Takes the claim on a destination over from another cursor
    Adopt(CursorArgs),
    /// Gives up a decision that can no longer be published, and records the objects it named
    Abandon(CursorArgs),
}

impl StateVerb {
    /// Whose cursor, and where the verb does its work.
    pub fn cursor(&self) -> &CursorArgs {
        match self {
            StateVerb::Reset(args) => &args.cursor,
            StateVerb::Show(args) | StateVerb::Export(args) | StateVerb::Adopt(args) | StateVerb::Abandon(args) => args,
        }
    }
}

/// Which cursor: those of manifests, in files, or the one of a sync in a cluster.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("whose").required(true).args(["files", "name", "in_pod"])))]
pub struct CursorArgs {
    /// A sync in a cluster
    pub name: Option<String>,
    /// A manifest, a directory of manifests (read recursively: *.yaml, *.yml, *.json), or - for stdin; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", conflicts_with_all = ["namespace", "context", "kubeconfig"])]
    pub files: Vec<PathBuf>,
    /// How it is printed.
    #[command(flatten)]
    pub print: OutputArgs,
    /// Where the cursors of manifests are.
    #[command(flatten)]
    pub state: StateDirArgs,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Where the verb does its work.
    #[command(flatten)]
    pub job: JobArgs,
}

/// `s3sync state reset`
#[derive(Clone, Debug, Args)]
pub struct ResetArgs {
    /// Which cursor.
    #[command(flatten)]
    pub cursor: CursorArgs,
    /// Does it without asking
    #[arg(long)]
    pub yes: bool,
}

/// `s3sync controller`
#[derive(Clone, Debug, Args)]
pub struct ControllerArgs {
    /// Operates the resources of this namespace alone; may be repeated; all namespaces unless given
    #[arg(long = "namespace", value_name = "NAMESPACE", value_delimiter = ',', env = "S3SYNC_NAMESPACE")]
    pub namespaces: Vec<String>,
    /// Runs at once in all namespaces; what is due beyond them waits, and namespaces take turns. 0: no cap
    #[arg(long, value_name = "N", default_value_t = 0, env = "S3SYNC_MAX_CONCURRENT_RUNS")]
    pub max_concurrent_runs: usize,
    /// Runs at once in each namespace. 0: no cap
    #[arg(long, value_name = "N", default_value_t = 0, env = "S3SYNC_MAX_CONCURRENT_RUNS_PER_NAMESPACE")]
    pub max_concurrent_runs_per_namespace: usize,
    /// The workers' image: the controller's own
    #[arg(long, value_name = "IMAGE", env = "S3SYNC_IMAGE")]
    pub image: String,
    /// When the workers' image is pulled: Always, IfNotPresent or Never; Kubernetes' rule unless given
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"], env = "S3SYNC_IMAGE_PULL_POLICY")]
    pub image_pull_policy: Option<String>,
    /// A Secret for pulling the workers' image, in each resource's namespace; may be repeated
    #[arg(long = "image-pull-secret", value_name = "SECRET", value_delimiter = ',', env = "S3SYNC_IMAGE_PULL_SECRETS")]
    pub image_pull_secrets: Vec<String>,
    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "S3SYNC_LISTEN")]
    pub listen: SocketAddr,
    /// The namespace of the Lease that makes one of several replicas the leader; the pod's own unless given
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// The Lease's name
    #[arg(long, value_name = "NAME", default_value = "s3sync-controller", env = "S3SYNC_LEASE_NAME")]
    pub lease_name: String,
    /// Operates without a Lease: there must be one replica
    #[arg(long, env = "S3SYNC_NO_LEADER_ELECTION")]
    pub no_leader_election: bool,
    /// A file with a URL, which gets a POST with a small JSON whenever Ready or LastRunSucceeded of a resource turns
    /// False, or True again
    #[arg(long, value_name = "FILE", env = "S3SYNC_NOTIFY_URL_FILE")]
    pub notify_url_file: Option<PathBuf>,
    /// What resources may ask for.
    #[command(flatten)]
    pub tenancy: TenancyArgs,
    /// The validating webhook.
    #[command(flatten)]
    pub webhook: WebhookArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }
}
