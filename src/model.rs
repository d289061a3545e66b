//! Values and rules, pure: no I/O, no clock, no randomness, nothing that awaits.

pub mod commit_record;
pub mod connection;
pub mod cron;
pub mod cursor;
pub mod data_file;
pub mod failure;
#[cfg(test)]
pub mod fixtures;
pub mod format;
pub mod glob;
pub mod hive;
pub mod identity;
pub mod layout;
pub mod ledger;
pub mod manifest;
pub mod memory;
pub mod object;
pub mod passed_over;
pub mod plan;
pub mod planned_table;
pub mod reason;
pub mod request;
pub mod retry;
pub mod rolling_policy;
pub mod scalar;
pub mod schema;
pub mod server;
pub mod settings;
pub mod shard;
pub mod shown;
pub mod size;
pub mod spec_hash;
pub mod table;
pub mod template;
pub mod write_mode;
