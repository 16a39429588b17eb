//! Errors of reading a checkpoint.

use std::path::PathBuf;

/// Why a file could not be read as a checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: Fault,
}

/// What is wrong with a checkpoint file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// There is no such file.
    #[error("no such file")]
    Missing,
    /// A folder, not a file.
    #[error("is a folder; expected a model file")]
    Folder,
    /// Nothing in it.
    #[error("is empty; expected a model file")]
    Empty,
    /// No kind that is read.
    #[error("is not a model file: expected safetensors, or a PyTorch .pth or .pt")]
    Unknown,
    /// Cut short or overwritten.
    #[error("is damaged or cut short: {0}")]
    Damaged(String),
    /// A pickle that names something that is not on the list.
    #[error("refused: the pickle refers to `{0}`, which is not on the list of allowed types; nothing was executed")]
    Refused(String),
    /// Something that is allowed by the format but not read.
    #[error("contains {0}, which is not supported")]
    Unsupported(String),
    /// No weights in it.
    #[error("contains no floating-point tensors")]
    NoTensors,
}
