//! The epoch: plan, prepare, decide, publish, record. Where bytes meet CPU.

pub mod budget;
pub mod commit;
pub mod context;
pub mod cpu;
pub mod error;
pub mod fetch;
#[cfg(test)]
mod frozen;
pub mod layout;
pub mod open_log;
pub mod planner;
pub mod prepare;
pub mod progress;
pub mod read;
pub mod run;
pub mod sample;
pub mod stage;
