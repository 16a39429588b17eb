//! Training: the burn executor over the same networks, data, losses, recipes and checkpoints.

pub mod captions;
pub mod contrastive;
pub mod convolution;
pub mod data;
pub mod dcm;
pub mod executor;
pub mod recipe;
pub mod run;
pub mod weights;
