//! A place for one test (directories or buckets of its own), the binary run in it, and other engines to look at the
//! outcome.

mod cluster;
mod http;
mod oracle;
mod process;
mod proxy;
mod site;

pub use cluster::{Cluster, Gateway};
pub use http::{Request, request};
pub use oracle::{call, python};
pub use process::{Outcome, Running};
pub use proxy::{Moment, Proxy};
pub use site::{Site, merge};
