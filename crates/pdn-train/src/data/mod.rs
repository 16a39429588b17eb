//! Reads training data.

pub mod batch_encoder;
pub mod captions;
pub mod degradations;
pub mod nouns;
pub mod patch_cache;
pub mod source;
pub mod teacher;
pub mod training_images;

use pdn_image::{Limits, Picture};
use std::path::{Path, PathBuf};

/// Why data could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}")]
pub struct DataError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl From<pdn::CaptionError> for DataError {
    fn from(error: pdn::CaptionError) -> Self {
        Self { path: error.path, why: error.why }
    }
}

/// Reads a picture without its transparency.
pub(crate) fn read_picture(path: &Path) -> Result<Picture, DataError> {
    let picture = pdn_image::read(path, &Limits::default());
    let picture = picture.map_err(|e| DataError { path: path.to_owned(), why: e.why.to_string() })?;
    Ok(picture.with_alpha(None))
}

/// Formats bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
