//! The operator: `S3Sync` resources become worker Jobs.
//!
//! A look at one resource goes one way: observe (reads, from memory mostly), [`decide`] (PURE), apply (writes). What is read and written
//! are Kubernetes objects alone: the controller sees no bucket and no Secret but its webhook's, and of the cursor it makes the empty ConfigMap and reads what
//! workers write into it.
//!
//! | module | what it is | pure |
//! | --- | --- | --- |
//! | [`schedule`] | slots, delay, what was missed | yes |
//! | [`connections`] | what the S3Connections that a resource names say, in its place | yes |
//! | [`check`] | whether a resource can run in a cluster | yes |
//! | [`policy`] | what the admin lets a resource ask for | yes |
//! | [`run`], [`cursor`] | Jobs, pods and ConfigMaps as deciding needs them | yes |
//! | [`record`] | the status brought up to date with the Jobs | yes |
//! | [`decide`] | the decision | yes |
//! | [`places`] | whose turn it is under the caps on runs | yes |
//! | [`conditions`], [`events`] | what people are told | yes |
//! | [`build`] | the objects of a run | yes |
//! | [`lean`] | what is kept in memory of watched objects | yes |
//! | [`stores`], [`memory`] | what is watched, and what was just written | no |
//! | [`reconcile`] | one look: observe, decide, apply | no |
//! | [`lead`] | the Lease that makes one replica the leader | no |
//! | [`operate`] | serve, lead, watch, look | no |
//! | [`webhook`] | what is wrong with a resource, said when it is applied | in part |
//! | [`exposition`] | the formats of metrics | yes |
//! | [`notify`] | notices of conditions that turn, to a URL | in part |
//! | [`health`], [`metrics`], [`serve`] | what the kubelet and Prometheus ask for | no |

pub mod build;
pub mod check;
pub mod conditions;
pub mod connections;
pub mod cursor;
pub mod decide;
pub mod events;
pub mod exposition;
#[cfg(test)]
pub mod fixtures;
pub mod health;
pub mod lead;
pub mod lean;
pub mod memory;
pub mod metrics;
pub mod names;
pub mod notify;
pub mod operate;
pub mod places;
pub mod policy;
pub mod reconcile;
pub mod record;
pub mod run;
pub mod schedule;
pub mod serve;
pub mod stores;
pub mod webhook;
