//! Errors from reading a checkpoint.

use std::path::PathBuf;

/// The reason why a file could not be read as a checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with the file.
    pub why: Fault,
}

/// What is wrong with a checkpoint file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The file does not exist.
    #[error("no such file")]
    Missing,
    /// The path is a folder.
    #[error("is a folder; expected a model file")]
    Folder,
    /// The file is empty.
    #[error("is empty; expected a model file")]
    Empty,
    /// The file type is unknown.
    #[error("is not a model file: expected safetensors, or a PyTorch .pth or .pt")]
    Unknown,
    /// The file is truncated or corrupted.
    #[error("is damaged or cut short: {0}")]
    Damaged(String),
    /// A pickle refers to a name that is not on the list.
    #[error("refused: the pickle refers to `{0}`, which is not on the list of allowed types; nothing was executed")]
    Refused(String),
    /// The format allows this, but the reader does not support it.
    #[error("contains {0}, which is not supported")]
    Unsupported(String),
    /// The file contains no weights.
    #[error("contains no floating-point tensors")]
    NoTensors,
}
