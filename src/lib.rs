//! s3sync keeps S3 prefixes in sync as tables, exactly once.

pub mod codec;
pub mod model;
pub mod store;
