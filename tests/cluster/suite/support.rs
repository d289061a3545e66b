//! A place for one test in the cluster (a namespace, two buckets), the operator's release, and the tools to look at
//! both.

pub mod api;
#[path = "../../it/support/oracle.rs"]
mod oracle;
pub mod release;
mod shell;
mod site;
mod traffic;
mod wait;

pub use oracle::{call, python};
pub use shell::{Printed, helm, kubectl, run, s3sync};
pub use site::{ENDPOINT, Site, condition, endpoint_of_node, history, overlay, var};
pub use traffic::{memory_bytes, traffic};
pub use wait::{until, within};
