//! The binary from outside: manifests and objects in, files out, read back by engines that share no code with it.
//! `tests/run` prepares what these tests need; without it they fail and say so.

mod advice;
mod asked;
mod avro;
mod bad_input;
mod chart;
mod cli;
mod crash;
mod destination;
mod doctor;
mod examples;
mod forged;
mod formats;
mod in_cluster;
mod kinds;
mod layout;
mod memory;
mod messages;
mod operator;
mod others;
mod parquet;
mod publish;
mod quickstart;
mod requests;
mod servers;
mod state;
mod statistics;
mod supply;
mod support;
mod systems;
mod tenancy;
mod text;
mod tidy;
