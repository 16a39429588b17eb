//! Training: the burn executor over the same networks, data, losses, recipes and checkpoints.

pub mod activity;
pub mod captions;
pub mod convolution;
pub mod data;
pub mod dcm;
pub mod degradations;
pub mod device;
pub mod embed;
pub mod executor;
pub mod layer_norm;
pub mod log;
mod memory;
pub mod nouns;
pub mod pictures;
mod plain;
pub mod recipe;
mod recipe_table;
pub mod restore;
mod retrieval;
pub mod run;
pub mod scenes;
pub mod sentences;
pub mod shelf;
pub mod source;
pub mod state;
pub mod teacher;
pub mod weights;
