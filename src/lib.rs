//! s3sync keeps S3 prefixes in sync as tables: it finds new objects, reads them as Arrow batches, and publishes each
//! object's rows exactly once, in bounded memory.
//!
//! # The rooms
//!
//! | room | what it is | may use |
//! | --- | --- | --- |
//! | [`model`] | values and rules: pure, nothing awaits | itself |
//! | [`codec`] | bytes to record batches and back, without I/O | `model` |
//! | [`net`] | the way out by HTTP: whom TLS trusts, through which proxy, when it is tried again | `model` |
//! | [`store`] | one trait for a bucket; S3, a directory, memory, a store that fails on purpose | `model`, `net` |
//! | [`state`] | the cursor by compare-and-swap, the blobs that it names, the ledger | `store`, `model`, `net` |
//! | [`pipeline`] | the epoch: plan, prepare, decide, publish, record | all of the above |
//! | [`api`] | the `S3Sync` resource and its validation into [`model::settings`] | `model` |
//! | [`controller`] | the operator: observe, decide, apply | `api`, `state`, `model`, `net` |
//! | [`command`] | the composition root: a file a verb | everything |
//!
//! Data flows one way: object, plan, shard, record batch, staged file, manifest, cursor. Each step is a type that the
//! next one takes.
//!
//! # The invariants
//!
//! The code and its tests name them by number; `docs/protocol.md` says how they are kept.
//!
//! - **I1** Every object version that a listing shows, and that is still readable when its shard reads it, is published
//!   exactly once.
//! - **I2** Nothing is visible at the destination before the epoch's decision; after it everything becomes visible,
//!   whoever crashes, while the uploads or their sources survive; otherwise the run stops loudly with the objects
//!   named.
//! - **I3** The cursor moves only forward, by compare-and-swap, and only over what is visible.
//! - **I4** An object that could not be read is never passed silently: it fails the epoch, or it is quarantined by
//!   name.
//! - **I5** In one build, the same plan gives byte-identical files on any machine, in any attempt. Safety rests on
//!   recorded rows instead.
//! - **I6** Memory is bounded by the budget, whatever the size of an object, a row group, the listing, or the number of
//!   partitions.
//! - **I7** Deleting the resource deletes no data; deleting a worker at any instruction loses none.

#![forbid(unsafe_code)]

pub mod api;
pub mod cli;
pub mod codec;
pub mod command;
pub mod controller;
pub mod model;
pub mod net;
pub mod pipeline;
pub mod state;
pub mod store;
pub mod telemetry;
