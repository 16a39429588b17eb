//! Runs a network on the CPU.
#![forbid(unsafe_code)]

mod error;
pub mod fold;
pub mod reference;

pub use error::RunError;
use error::check_inputs;
