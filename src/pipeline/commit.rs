//! The commit: what happens after the attempts of an epoch, from the choice among them to the cursor that says what is
//! published, and to the removal of what nothing names any more. [Who leads a run](super::run) calls these in order.
//!
//! | step | file | gives |
//! | --- | --- | --- |
//! | who may commit here | [`claim`], [`outputs`] | the claim of a sync, and of keys that every run writes |
//! | what was prepared | [`attempts`], [`own`] | the attempts of each shard, as far as they are ours |
//! | decide | [`decide`](mod@decide) | one attempt of each shard, or a wider schema: the commit point |
//! | publish | [`publish`], [`rebuild`](mod@rebuild) | uploads completed; those that vanished, built again |
//! | record | [`record`](mod@record) | ledger, list of files and garbage, and the cursor that names them |
//! | sweep | [`garbage`], [`sweep`](mod@sweep) | what was replaced, given up or is old, removed |
//!
//! What a write mode decides of it is one method each of [`WriteMode`](crate::model::write_mode::WriteMode).

pub mod attempts;
pub mod claim;
pub mod decide;
pub mod garbage;
pub mod outputs;
pub mod own;
pub mod publish;
pub mod rebuild;
pub mod record;
pub mod sweep;
