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
    /// A term of the loss, or a gradient, is no number.
    #[error("{term} is no number at step {step}{at}: lower the rate, or look at the data")]
    NotFinite {
        /// The loss's first such term, or `the gradient`.
        term: String,
        /// The step.
        step: u64,
        /// The first layer or parameter of which that holds.
        at: String,
    },
    /// The loss has grown to many times what it was. The folder's state is of a minute before at most.
    #[error(
        "the loss of step {step} is {times:.0} times what it was before: the run went astray; go on with a lower rate, from its \
         last checkpoint: --resume --set schedule.rate=..."
    )]
    Astray {
        /// The step.
        step: u64,
        /// How many times.
        times: f64,
    },
    /// The device has no numbers of the precision that is asked for.
    #[error(
        "precision bf16: this device has no such numbers; expected precision = \"f32\" in the recipe, or another --device"
    )]
    Precision,
    /// The folder holds a run already.
    #[error("{0}: holds a run already: go on with --resume, or name another folder")]
    Exists(PathBuf),
    /// Another process runs in the folder.
    #[error("{0}: another run is at work there: wait for it or stop it, or name another folder")]
    Busy(PathBuf),
    /// Nothing is left to do for weights that a run should begin with.
    #[error("{path}: is of step {step}, expected one before the recipe's last, {last}: --set schedule.steps=...")]
    Done {
        /// The weights' file.
        path: PathBuf,
        /// Their step.
        step: u64,
        /// The recipe's last.
        last: u64,
    },
}

impl RunError {
    pub(crate) fn file(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::File { path: path.to_owned(), why: why.to_string() }
    }
}
