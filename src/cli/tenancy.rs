//! The grammar of `s3sync controller`'s rules for resources.

use clap::{Args, ValueEnum};

/// What an S3Sync may ask for. In lists, * and ? stand for what has no /, case does not count, and an empty value is an
/// empty list.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tenancy")]
pub struct TenancyArgs {
    /// Gives each rule below that is not given a strict default: no ServiceAccount but the operator's for each sync, no
    /// endpoint but AWS, plain variables, no pod label or annotation, no priority class, 10 replicas; 250m cpu and
    /// 512Mi memory, at most 1Gi, and a day for a run
    #[arg(long, env = "S3SYNC_LOCKDOWN")]
    pub lockdown: bool,
    /// A ServiceAccount that workers may have, beside the one that is made for each sync; may be repeated. The
    /// controller's own never is one
    #[arg(
        long = "allowed-service-account",
        value_name = "PATTERN",
        value_delimiter = ',',
        env = "S3SYNC_ALLOWED_SERVICE_ACCOUNTS"
    )]
    pub service_accounts: Option<Vec<String>>,
    /// An endpoint that source and destination may have, such as https://*.example.com; aws is a side without one; may
    /// be repeated
    #[arg(long = "allowed-endpoint", value_name = "PATTERN", value_delimiter = ',', env = "S3SYNC_ALLOWED_ENDPOINTS")]
    pub endpoints: Option<Vec<String>>,
    /// Variables that spec.worker.env may have; all unless given
    #[arg(long, value_enum, value_name = "WHICH", env = "S3SYNC_WORKER_ENV")]
    pub worker_env: Option<WorkerEnvArg>,
    /// A key that spec.worker.podLabels may have; may be repeated
    #[arg(
        long = "allowed-pod-label",
        value_name = "PATTERN",
        value_delimiter = ',',
        env = "S3SYNC_ALLOWED_POD_LABELS"
    )]
    pub pod_labels: Option<Vec<String>>,
    /// A key that spec.worker.podAnnotations may have; may be repeated
    #[arg(
        long = "allowed-pod-annotation",
        value_name = "PATTERN",
        value_delimiter = ',',
        env = "S3SYNC_ALLOWED_POD_ANNOTATIONS"
    )]
    pub pod_annotations: Option<Vec<String>>,
    /// A priority class that workers may have; may be repeated
    #[arg(
        long = "allowed-priority-class",
        value_name = "PATTERN",
        value_delimiter = ',',
        env = "S3SYNC_ALLOWED_PRIORITY_CLASSES"
    )]
    pub priority_classes: Option<Vec<String>>,
    /// The most pods of a run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), env = "S3SYNC_MAX_REPLICAS")]
    pub max_replicas: Option<i32>,
    /// A request of workers that say nothing of that resource, such as memory=1Gi; may be repeated
    #[arg(
        long = "default-request",
        value_name = "NAME=QUANTITY",
        value_delimiter = ',',
        env = "S3SYNC_DEFAULT_REQUESTS"
    )]
    pub default_requests: Option<Vec<String>>,
    /// A limit of workers that say nothing of that resource; may be repeated
    #[arg(long = "default-limit", value_name = "NAME=QUANTITY", value_delimiter = ',', env = "S3SYNC_DEFAULT_LIMITS")]
    pub default_limits: Option<Vec<String>>,
    /// activeDeadlineSeconds of resources that have none
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..), env = "S3SYNC_DEFAULT_ACTIVE_DEADLINE_SECONDS")]
    pub default_active_deadline_seconds: Option<i64>,
}

/// Which variables `spec.worker.env` may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WorkerEnvArg {
    /// None
    None,
    /// Values that stand in the spec and lead nowhere else: no valueFrom, no $(, no AWS_*, LD_*, SSL_*, KUBE*, *_PROXY,
    /// HOME, nor the resolver's
    Plain,
    /// Any
    All,
}
