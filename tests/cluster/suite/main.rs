//! The operator on a real cluster, with a real MinIO: what a user does, and what goes wrong. `tests/cluster/test` runs
//! it.
//!
//! Nothing here knows how the operator works: tests apply resources, break things, and read rows back with other
//! engines.

mod connections;
mod definition;
mod ending;
mod installing;
mod lifecycle;
mod many;
mod mending;
mod plugin;
mod requested;
mod running;
mod support;
mod surviving;
mod tenants;
mod webhook;
