//! The S3 store against a real MinIO, and against servers that misbehave.

#![allow(clippy::unwrap_used, reason = "all of this crate is tests, also what is not marked as one")]

mod endless;
mod listings;
mod minio;
mod misbehaving;
mod requests;
mod server;
mod servers;
mod support;
mod tls;
