//! Checkpoints as other projects write them: safetensors, and PyTorch's `.pth` and `.pt` (zip archives, and the pickles
//! from before them). Nothing in a file is ever executed: a pickle is read as data, and may contain only a short list
//! of types.

mod contents;
mod error;
mod pickle;
mod safetensors;
mod torch;
mod unwrap;
mod write;

pub use contents::Kind;
pub use error::{Error, Fault};
pub use write::{Precision, write};

use crate::{Tensors, file};
use contents::Contents;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// The largest file to read: more than any network here needs, and not enough to exhaust a machine by mistake.
const MAX_BYTES: u64 = 8 << 30;

/// The contents of a checkpoint file.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Floating-point tensors by name, as `f32`.
    pub tensors: Tensors,
    /// Names of skipped tensors, which hold no floating-point numbers, such as batch counters.
    pub skipped: Vec<String>,
    /// The metadata of a safetensors file.
    pub metadata: BTreeMap<String, String>,
    /// The file type.
    pub kind: Kind,
    /// The entry that held the tensors, such as `params_ema`, if there was one.
    pub unwrapped: Option<String>,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// Reads a checkpoint; the content determines the file type.
///
/// # Errors
/// [`Error`] names the file and says what is wrong with it.
pub fn read(path: &Path) -> Result<Checkpoint, Error> {
    load(path).and_then(|bytes| parse(&bytes)).map_err(|why| Error { path: path.to_owned(), why })
}

fn load(path: &Path) -> Result<Vec<u8>, Fault> {
    file::read(path, MAX_BYTES).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Fault::Missing,
        ErrorKind::IsADirectory => Fault::Folder,
        _ => Fault::Io(error),
    })
}

/// Reads a checkpoint from memory.
///
/// # Errors
/// [`Fault`] says what is wrong.
pub fn parse(bytes: &[u8]) -> Result<Checkpoint, Fault> {
    let contents = match bytes {
        [] => return Err(Fault::Empty),
        [b'P', b'K', 3, 4, ..] => torch::read_zip(bytes)?,
        // A pickle of protocol 2 that begins with torch's magic number, an integer of ten bytes.
        [0x80, 2, 0x8a, 10, ..] => torch::read_legacy(bytes)?,
        // The length of a header, below the 100 MB that the format allows, then JSON.
        [.., _] if bytes.get(8) == Some(&b'{') => safetensors::read(bytes)?,
        _ => return Err(Fault::Unknown),
    };
    if contents.tensors.is_empty() {
        return Err(Fault::NoTensors);
    }
    let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let Contents { tensors, skipped, metadata, kind, unwrapped } = contents;
    Ok(Checkpoint { tensors: unwrap::without_prefix(tensors), skipped, metadata, kind, unwrapped, sha256 })
}

#[cfg(test)]
mod tests;
