//! Why an encoder cannot be used.

use pdn_engine::RunError;
use pdn_network::checkpoint;
use pdn_network::zoo::ClipLayout;
use std::path::PathBuf;

/// Why an encoder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// The file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The file is not an encoder.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Nothing says which GELU the towers use.
    #[error(
        "{path}: CLIP weights in the layout of {layout} do not say whether their activation is quick GELU; put the {} \
         that came with them next to the file, or choose the activation: quick-gelu (OpenAI's weights) or gelu (most \
         others). The wrong one gives embeddings that look right",
        .layout.config()
    )]
    Activation {
        /// The file.
        path: PathBuf,
        /// The project whose tensor names the file uses.
        layout: ClipLayout,
    },
    /// The sentence has no words.
    #[error("the prompt is empty: expected a sentence that describes the picture")]
    EmptyText,
    /// The sentence has more tokens than the encoder reads.
    #[error("the prompt has {found} tokens, more than the {limit} that the encoder reads; use a shorter sentence")]
    LongText {
        /// Its tokens, including start and end.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The text has more bytes than are examined; no sentence is that long.
    #[error("the prompt has {found} bytes, more than the limit of {limit}; use a shorter sentence")]
    ManyBytes {
        /// Its bytes.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A tower failed to run.
    #[error(transparent)]
    Run(#[from] RunError),
}
