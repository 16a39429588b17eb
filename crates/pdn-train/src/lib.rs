//! Training: the burn executor over the same networks, data, losses, recipes and checkpoints.

pub mod convolution;
pub mod dcm;
pub mod executor;
pub mod weights;
