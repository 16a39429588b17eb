//! Why a picture cannot be upscaled.

use crate::prompt::PromptError;
use pdn_engine::RunError;
use pdn_network::onnx::OnnxError;
use pdn_network::{ModelError, NetworkError};

/// Why a picture cannot be upscaled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model's file is invalid.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The run failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The model's network is invalid.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The prompt is invalid.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The prompt comes from another encoder.
    #[error(
        "the prompt was embedded by {found}, but the model was trained with {expected}; embed it again with that encoder"
    )]
    EncoderMismatch {
        /// The model's encoder.
        expected: String,
        /// The embedding's encoder.
        found: String,
    },
    /// The ONNX file cannot be made.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The factor of bicubic interpolation is out of range.
    #[error("bicubic supports scales from 1 to 64, not {0}")]
    Scale(usize),
    /// The result would have too many pixels.
    #[error("would become {width}x{height}, more than the limit of {limit} pixels")]
    TooLarge {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// The most pixels.
        limit: usize,
    },
    /// The size is invalid.
    #[error("cannot be resized to {0}")]
    Size(String),
}
