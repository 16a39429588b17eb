//! Training: a burn executor for the same networks, data, losses, recipes and checkpoints.

pub mod data;
pub mod device;
pub mod executor;
pub mod recipe;
pub mod run;
pub mod tasks;
