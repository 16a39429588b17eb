//! Checkpoints as other projects write them: safetensors, and PyTorch's `.pth` and `.pt` (zip archives, and the pickles
//! from before them). Nothing in a file is ever executed: a pickle is read as data, and only a short list of types may
//! stand in it.

mod pickle;
mod safe;
mod torch;
mod unwrap;
mod write;

pub use write::{Precision, write};

use crate::{Tensors, file};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The largest file that is read: more than any network here has, less than would trouble a machine by mistake.
const MAX_BYTES: u64 = 8 << 30;

/// What a file held.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Floating-point tensors by name, as `f32`.
    pub tensors: Tensors,
    /// Names of tensors that were left out because they hold no floating-point numbers, such as batch counters.
    pub skipped: Vec<String>,
    /// The metadata of a safetensors file.
    pub metadata: BTreeMap<String, String>,
    /// What kind of file it is.
    pub kind: Kind,
    /// The entry that the tensors stood under, such as `params_ema`, where there was one.
    pub unwrapped: Option<String>,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// A kind of checkpoint file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// safetensors.
    Safetensors,
    /// PyTorch's zip archive.
    TorchZip,
    /// TorchScript's zip archive, of which the tensors are read and the code is left alone.
    TorchScript,
    /// PyTorch's pickles from before 1.6.
    TorchLegacy,
}

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

/// Reads a checkpoint; its kind is told by its content.
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
        // A header's length, below the 100 MB that the format allows, then JSON.
        [.., _] if bytes.get(8) == Some(&b'{') => safe::read(bytes)?,
        _ => return Err(Fault::Unknown),
    };
    if contents.tensors.is_empty() {
        return Err(Fault::NoTensors);
    }
    let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let Contents { tensors, skipped, metadata, kind, unwrapped } = contents;
    Ok(Checkpoint { tensors: unwrap::without_prefix(tensors), skipped, metadata, kind, unwrapped, sha256 })
}

/// What a reader found in a file.
struct Contents {
    tensors: Tensors,
    skipped: Vec<String>,
    metadata: BTreeMap<String, String>,
    kind: Kind,
    unwrapped: Option<String>,
}

/// A type of numbers in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dtype {
    F16,
    BF16,
    F32,
    F64,
    /// Integers or truth values of so many bytes.
    Integer(usize),
}

impl Dtype {
    fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Integer(bytes) => bytes,
        }
    }

    /// A number as `f32`, from its little-endian bytes; 0 for integers, which no reader keeps.
    fn number(self, b: &[u8]) -> f32 {
        match (self, b) {
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Self::F16, &[a, b]) => half::f16::from_le_bytes([a, b]).to_f32(),
            (Self::BF16, &[a, b]) => half::bf16::from_le_bytes([a, b]).to_f32(),
            (Self::F64, b) => <[u8; 8]>::try_from(b).map_or(0.0, |b| f64::from_le_bytes(b) as f32),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests;
