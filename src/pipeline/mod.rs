//! The epoch: plan, prepare, decide, publish, record.

pub mod cpu;
pub mod layout;
