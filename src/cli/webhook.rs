//! The grammar of `s3sync controller`'s validating webhook.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// What refuses an invalid S3Sync when it is applied.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Webhook")]
pub struct WebhookArgs {
    /// Where the validating webhook is served, at /validate; not at all unless given
    #[arg(long, value_name = "ADDRESS", env = "S3SYNC_WEBHOOK_LISTEN")]
    pub webhook_listen: Option<SocketAddr>,
    /// A directory with tls.crt and tls.key, which somebody else renews, as cert-manager does; the controller makes a
    /// certificate unless given
    #[arg(long, value_name = "DIR", env = "S3SYNC_WEBHOOK_CERT_DIR", requires = "webhook_listen")]
    pub webhook_cert_dir: Option<PathBuf>,
    /// The name of the Service that leads to the webhook, of the Secret in which replicas share the certificate that
    /// they make, and of the ValidatingWebhookConfiguration that gets its authority; all three must be there
    #[arg(long, value_name = "NAME", default_value = "s3sync-webhook", env = "S3SYNC_WEBHOOK_NAME")]
    pub webhook_name: String,
    /// The namespace of that Service and Secret; the pod's own unless given
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub webhook_namespace: Option<String>,
}
