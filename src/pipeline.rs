//! The epoch: plan, prepare, decide, publish, record. Where bytes meet CPU.

pub mod attempts;
pub mod budget;
pub mod claim;
pub mod context;
pub mod cpu;
pub mod decide;
pub mod error;
pub mod fetch;
#[cfg(test)]
mod frozen;
pub mod layout;
pub mod open_log;
pub mod outputs;
pub mod own;
pub mod planner;
pub mod prepare;
pub mod progress;
pub mod publish;
pub mod read;
pub mod rebuild;
pub mod run;
pub mod sample;
pub mod stage;
pub mod sweep;
pub mod windows;
