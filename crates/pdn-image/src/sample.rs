//! The type of a picture's samples: 8 or 16 bits.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::str::FromStr;

/// Bits per sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// 8 bits: 0 to 255.
    #[default]
    Eight,
    /// 16 bits: 0 to 65,535.
    Sixteen,
}

impl Depth {
    /// Returns 8 or 16.
    pub fn bits(self) -> usize {
        match self {
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }

    /// Returns the bytes per sample.
    pub fn bytes(self) -> usize {
        self.bits() / 8
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bits())
    }
}

impl FromStr for Depth {
    type Err = String;

    fn from_str(bits: &str) -> Result<Self, String> {
        match bits {
            "8" => Ok(Self::Eight),
            "16" => Ok(Self::Sixteen),
            _ => Err(format!("{bits} bits per sample: expected 8 or 16")),
        }
    }
}

/// The type of a sample, `u8` or `u16`: 0 is black or transparent, the largest value is full.
pub trait Sample: Copy + Debug + Default + Eq + Send + Sync + 'static + sealed::Sealed {
    /// The largest value.
    const MAX: Self;
    /// The depth of this type.
    const DEPTH: Depth;

    /// Converts the sample to a number.
    fn level(self) -> f64;

    /// Rounds a level to the nearest sample: half up, and clipped.
    fn rounded(level: f64) -> Self;

    /// Returns samples as bytes in native byte order.
    fn bytes(samples: &[Self]) -> Cow<'_, [u8]>;

    /// Reverses [`Self::bytes`]; drops an incomplete sample at the end.
    fn from_bytes(bytes: Vec<u8>) -> Vec<Self>;

    /// Converts from either depth: 255 becomes 65,535, and 65,535 becomes 255, rounded.
    fn of<T: Sample>(other: T) -> Self {
        match T::DEPTH == Self::DEPTH {
            true => Self::rounded(other.level()),
            false => Self::rounded(other.level() * Self::MAX.level() / T::MAX.level()),
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
}

impl Sample for u8 {
    const MAX: Self = Self::MAX;
    const DEPTH: Depth = Depth::Eight;

    fn level(self) -> f64 {
        f64::from(self)
    }

    fn rounded(level: f64) -> Self {
        (level + 0.5).clamp(0.0, 255.0) as Self
    }

    fn bytes(samples: &[Self]) -> Cow<'_, [u8]> {
        Cow::Borrowed(samples)
    }

    fn from_bytes(bytes: Vec<u8>) -> Vec<Self> {
        bytes
    }
}

impl Sample for u16 {
    const MAX: Self = Self::MAX;
    const DEPTH: Depth = Depth::Sixteen;

    fn level(self) -> f64 {
        f64::from(self)
    }

    fn rounded(level: f64) -> Self {
        (level + 0.5).clamp(0.0, 65_535.0) as Self
    }

    fn bytes(samples: &[Self]) -> Cow<'_, [u8]> {
        samples.iter().flat_map(|v| v.to_ne_bytes()).collect()
    }

    fn from_bytes(bytes: Vec<u8>) -> Vec<Self> {
        bytes.as_chunks().0.iter().map(|pair| Self::from_ne_bytes(*pair)).collect()
    }
}

/// Reverses premultiplication: returns the colour before it was multiplied by its alpha.
pub(crate) fn divided<S: Sample>(colour: S, alpha: Option<S>) -> S {
    match alpha {
        Some(alpha) if alpha != S::default() => S::rounded(colour.level() * S::MAX.level() / alpha.level()),
        _ => colour,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_survive_sixteen() {
        for v in 0..=u8::MAX {
            assert_eq!(u16::of(v), u16::from(v) * 257);
            assert_eq!(u8::of(u16::of(v)), v);
        }
        assert_eq!([128, 129, 65_406, 65_407].map(u8::of::<u16>), [0, 1, 254, 255]);
        assert_eq!(u16::from_bytes(u16::bytes(&[0, 1, 65_535, 258]).into_owned()), [0, 1, 65_535, 258]);
        assert!("12".parse::<Depth>().is_err() && "16".parse() == Ok(Depth::Sixteen));
    }
}
