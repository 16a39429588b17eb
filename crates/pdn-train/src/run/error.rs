//! Why a run stopped.

use crate::data::DataError;
use std::path::{Path, PathBuf};

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file could not be written or read.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Data could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A term of the loss, or a gradient, is not finite.
    #[error("{term} is not finite at step {step}{at}; lower the learning rate, or check the data")]
    NotFinite {
        /// The first such term of the loss, or `the gradient`.
        term: String,
        /// The step.
        step: u64,
        /// The first layer or parameter that is not finite.
        at: String,
    },
    /// The loss has diverged. The folder's state is at most a minute older.
    #[error(
        "the run has diverged: at step {step} the loss is {times:.0} times its lowest; resume from the last checkpoint with a \
         lower schedule.rate"
    )]
    Astray {
        /// The step.
        step: u64,
        /// The factor by which the loss has grown.
        times: f64,
    },
    /// The device does not support the requested precision.
    #[error("precision bf16: this device does not support it; set precision = \"f32\", or use another device")]
    Precision,
    /// The folder already holds a run.
    #[error("{0}: already holds a run; choose another folder, or resume the run")]
    Exists(PathBuf),
    /// Another process runs in the folder.
    #[error("{0}: is in use by another run; wait for it or stop it, or choose another folder")]
    Busy(PathBuf),
    /// The weights to start from have already completed every step.
    #[error("{path}: is at step {step}, but the recipe ends at step {last}; raise schedule.steps")]
    Done {
        /// The weights' file.
        path: PathBuf,
        /// Their step.
        step: u64,
        /// The recipe's last step.
        last: u64,
    },
}

impl RunError {
    pub(crate) fn file(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), why: why.to_string() }
    }
}
