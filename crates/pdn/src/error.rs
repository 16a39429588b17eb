//! Why pictures cannot be enlarged.

use crate::prompt::PromptError;
use pdn_engine::RunError;
use pdn_network::onnx::OnnxError;
use pdn_network::{ModelError, NetworkError};

/// Why pictures cannot be enlarged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model's file.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The model's network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The prompt.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The prompt is another encoder's.
    #[error(
        "the prompt was embedded by {found}, but the model was trained with {expected}; embed it again with that encoder"
    )]
    EncoderMismatch {
        /// The model's encoder.
        expected: String,
        /// The embedding's.
        found: String,
    },
    /// The ONNX file.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A factor that bicubic interpolation is not asked for.
    #[error("bicubic supports scales from 1 to 64, not {0}")]
    Scale(usize),
    /// A result of more pixels than are made.
    #[error("would become {width}x{height}, more than the limit of {limit} pixels")]
    TooLarge {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// The most pixels.
        limit: usize,
    },
    /// A size that no picture has.
    #[error("cannot be resized to {0}")]
    Size(String),
}
