//! The operator: `S3Sync` resources become worker Jobs.
//!
//! A look at one resource goes one way: observe (reads, from memory mostly), [`decide`] (PURE), apply (writes). What is
//! read and written are Kubernetes objects alone: the controller sees no bucket and no Secret but its webhook's, and of
//! the cursor it makes the empty ConfigMap and reads what workers write into it.
//!
//! | module | what it is | pure |
//! | --- | --- | --- |
//! | [`decide::schedule`] | slots, delay, what was missed | yes |
//! | [`connections`] | what the S3Connections that a resource names say, in its place | yes |
//! | [`decide::check`], [`decide::size`] | whether a resource can run in a cluster | yes |
//! | [`policy`] | what the admin lets a resource ask for | yes |
//! | [`decide::run`], [`decide::cursor`] | Jobs, pods and ConfigMaps as deciding needs them | yes |
//! | [`decide::observed`], [`decide::desired`] | what a decision is made from, and what it is | yes |
//! | [`pod`] | what a pod says of its worker | yes |
//! | [`decide::record`] | the status brought up to date with the Jobs | yes |
//! | [`decide::requested`] | runs that S3SyncRuns ask for, and what those are told | yes |
//! | [`decide`] | the decision | yes |
//! | [`decide::concurrency`] | whose turn it is under the caps on runs | yes |
//! | [`decide::conditions`], [`decide::events`] | what people are told | yes |
//! | [`build`] | the objects of a run | yes |
//! | [`reflectors::prune`] | what is kept in memory of watched objects | yes |
//! | [`reflectors`], [`reflectors::expectations`] | what is watched, and what was just written | no |
//! | [`reconcile`] | one look: observe, decide, apply | no |
//! | [`manager::lead`] | the Lease that makes one replica the leader | no |
//! | [`manager`] | serve, lead, watch, look | no |
//! | [`webhook`] | what is wrong with a resource, said when it is applied | in part |
//! | [`manager::exposition`] | the formats of metrics | yes |
//! | [`notify`] | notices of conditions that turn, to a URL | in part |
//! | [`manager::health`], [`manager::metrics`], [`manager::serve`] | what the kubelet and Prometheus ask for | no |

pub mod build;
pub mod connections;
pub mod decide;
#[cfg(test)]
pub mod fixtures;
pub mod manager;
pub mod names;
pub mod notify;
pub mod pod;
pub mod policy;
pub mod reconcile;
pub mod reflectors;
pub mod webhook;
