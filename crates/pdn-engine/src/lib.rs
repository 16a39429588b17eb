//! Runs a network on the CPU.
#![forbid(unsafe_code)]

mod dcm;
mod error;
pub mod fold;
mod place;
mod plan;
pub mod reference;
mod rows;
mod run;
mod tile;

pub use error::RunError;
pub use pdn_kernels::Isa;
pub use plan::Plan;
pub use reference::Map;
pub use tile::{Piece, RunOptions};
