//! Why a recipe cannot be followed.

use crate::data::DataError;
use std::path::PathBuf;

/// Why a recipe cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The recipe is invalid.
    #[error("{path}: {why}")]
    Recipe {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Its data is invalid.
    #[error(transparent)]
    Data(#[from] DataError),
}
