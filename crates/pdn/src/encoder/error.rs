//! Why an encoder cannot be used.

use pdn_engine::RunError;
use pdn_network::checkpoint;
use pdn_network::zoo::ClipLayout;
use std::path::PathBuf;

/// Why an encoder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// Its file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// Its file is no encoder.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Which GELU its towers have is said nowhere.
    #[error(
        "{path}: CLIP weights in the layout of {layout} do not say whether their activation is quick GELU; put the {} \
         that came with them next to the file, or choose the activation: quick-gelu (OpenAI's weights) or gelu (most \
         others). The wrong one gives embeddings that look right",
        .layout.config()
    )]
    Activation {
        /// The file.
        path: PathBuf,
        /// Whose names its tensors have.
        layout: ClipLayout,
    },
    /// The sentence has no words.
    #[error("the prompt is empty: expected a sentence that describes the picture")]
    EmptyText,
    /// The sentence is longer than the encoder reads.
    #[error("the prompt has {found} tokens, more than the {limit} that the encoder reads; use a shorter sentence")]
    LongText {
        /// Its tokens, with its start and end.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// More text than is looked at: no sentence is as long.
    #[error("the prompt has {found} bytes, more than the limit of {limit}; use a shorter sentence")]
    ManyBytes {
        /// Its bytes.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// A tower could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
}
