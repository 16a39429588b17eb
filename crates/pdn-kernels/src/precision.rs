//! The precision of a convolution's operands.

use crate::Isa;
use crate::conv::amx;
use crate::lanes::has_pairs;
use std::fmt;
use std::str::FromStr;

/// The significand bits of a convolution's operands in the multiplication. Sums are always 32 bits wide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 24 bits: IEEE single precision, with any instruction set.
    #[default]
    F32,
    /// About 16 bits: each operand is two bf16 numbers. Needs AMX.
    Bf16x2,
    /// 8 bits: operands are bf16, and with AMX so are maps that only convolutions read. Needs AMX, or AVX-512's
    /// products of bf16 numbers.
    Bf16,
}

impl Precision {
    /// Every precision, finest first.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16x2, Self::Bf16];

    /// Returns whether convolutions on this machine read and write maps stored as
    /// [`Format::Lines`](crate::Format::Lines).
    pub fn keeps_lines(self) -> bool {
        self == Self::Bf16 && amx::is_available()
    }

    /// Returns whether this machine supports the precision.
    pub fn is_available(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16x2 => amx::is_available(),
            Self::Bf16 => amx::is_available() || has_pairs(),
        }
    }

    /// Returns the fastest precision of 16 bits or more with an instruction set: two bf16 numbers if there is AMX,
    /// whose difference from float32 hardly any 8-bit level shows, otherwise float32.
    pub fn fast(isa: Isa) -> Self {
        if isa == Isa::Avx512 && amx::is_available() { Self::Bf16x2 } else { Self::F32 }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16x2 => "bf16x2",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|precision| precision.to_string() == name).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.iter().map(Self::to_string).collect();
            format!("precision `{name}` is not known: expected one of {}", known.join(", "))
        })
    }
}
