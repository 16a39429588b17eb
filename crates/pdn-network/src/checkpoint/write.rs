//! Writing safetensors.

use crate::{Tensor, Tensors};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::HashMap;
use std::str::FromStr;

/// The type of a file's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits, unchanged.
    #[default]
    F32,
    /// Half as large: 11 bits of significand.
    F16,
    /// Half as large: 8 bits of significand, and the range of `f32`.
    Bf16,
}

impl Precision {
    /// Returns the numbers as a file of this precision returns them.
    pub fn round(self, tensors: &Tensors) -> Tensors {
        let round = |v: &f32| match self {
            Self::F32 => *v,
            Self::F16 => half::f16::from_f32(*v).to_f32(),
            Self::Bf16 => half::bf16::from_f32(*v).to_f32(),
        };
        let rounded = |t: &Tensor| Tensor::new(t.shape().to_vec(), t.data().iter().map(round).collect());
        tensors.iter().map(|(name, tensor)| (name.clone(), rounded(tensor))).collect()
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    fn bytes(self, numbers: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => numbers.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => numbers.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
            Self::Bf16 => numbers.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("unknown precision `{name}`: expected f32, f16 or bf16")),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

/// Returns the bytes of a safetensors file. The same tensors and metadata always give the same bytes.
pub fn write(tensors: &Tensors, metadata: HashMap<String, String>, precision: Precision) -> Vec<u8> {
    let bytes: Vec<(&String, &[usize], Vec<u8>)> =
        tensors.iter().map(|(name, t)| (name, t.shape(), precision.bytes(t.data()))).collect();
    let views = bytes.iter().map(|(name, shape, data)| {
        let view = TensorView::new(precision.dtype(), shape.to_vec(), data);
        (*name, view.expect("a tensor holds as many numbers as its shape says"))
    });
    safetensors::serialize(views, Some(metadata)).expect("named tensors are safetensors")
}
