//! What can go wrong.

use std::path::{Path, PathBuf};

/// Why a picture has no score.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// The pictures differ in size.
    #[error("cannot compare {0}x{1} with {2}x{3}: expected the same size")]
    Sizes(usize, usize, usize, usize),
    /// Less is left than the metric needs.
    #[error("{metric} needs {needs}; shaving {shave} pixels from each side of {width}x{height} leaves less")]
    TooSmall {
        /// The metric's name.
        metric: &'static str,
        /// What it needs.
        needs: &'static str,
        /// Width.
        width: usize,
        /// Height.
        height: usize,
        /// Pixels ignored on each side.
        shave: usize,
    },
    /// The metric compares with a reference, and none was given.
    #[error("{0} compares with a reference: expected one")]
    NoReference(&'static str),
    /// The picture has too little structure, such as a picture of one colour.
    #[error("{0} is not defined for this picture: fewer than two of its blocks have any texture")]
    Flat(&'static str),
}

/// Why a metric's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and what was expected.
    pub why: String,
}

impl FileError {
    pub(crate) fn new(path: &Path, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), why: why.into() }
    }
}
