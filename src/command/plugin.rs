//! The verbs of `kubectl s3sync`: what a person does with the syncs of a cluster, by the API server alone.

pub mod cancel;
pub mod cluster;
pub mod doctor;
pub mod in_cluster;
pub mod logs;
pub mod select;
pub mod status;
pub mod suspend;
pub mod trigger;
