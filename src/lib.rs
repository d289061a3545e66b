//! s3sync keeps S3 prefixes in sync as tables, exactly once.

pub mod api;
pub mod cli;
pub mod codec;
pub mod command;
pub mod model;
pub mod pipeline;
pub mod state;
pub mod store;
pub mod telemetry;
