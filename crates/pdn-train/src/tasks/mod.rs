//! Tasks: what can be trained.

pub mod activity;
pub mod fault_prompts;
pub mod faults;
pub mod pictures;
pub(crate) mod retrieval;
pub mod sentences;
pub mod super_resolution;
