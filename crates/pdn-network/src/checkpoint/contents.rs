//! What each reader returns: tensors, metadata and the file type.

use crate::Tensors;
use std::collections::BTreeMap;

/// The type of a checkpoint file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// safetensors.
    Safetensors,
    /// PyTorch's zip archive.
    TorchZip,
    /// TorchScript's zip archive, whose tensors are read and whose code is ignored.
    TorchScript,
    /// PyTorch's pickles from before 1.6.
    TorchLegacy,
}

/// The contents of a file.
pub(super) struct Contents {
    pub(super) tensors: Tensors,
    pub(super) skipped: Vec<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) kind: Kind,
    pub(super) unwrapped: Option<String>,
}

/// The element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F16,
    BF16,
    F32,
    F64,
    /// Integers or booleans of this many bytes.
    Integer(usize),
}

impl Dtype {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Integer(bytes) => bytes,
        }
    }

    /// Converts a number from its little-endian bytes to `f32`; returns 0 for integers, which no reader keeps.
    pub(super) fn number(self, b: &[u8]) -> f32 {
        match (self, b) {
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Self::F16, &[a, b]) => half::f16::from_le_bytes([a, b]).to_f32(),
            (Self::BF16, &[a, b]) => half::bf16::from_le_bytes([a, b]).to_f32(),
            (Self::F64, b) => <[u8; 8]>::try_from(b).map_or(0.0, |b| f64::from_le_bytes(b) as f32),
            _ => 0.0,
        }
    }
}
