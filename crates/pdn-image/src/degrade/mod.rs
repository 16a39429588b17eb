//! Degradations: how to make a low-resolution input from a high-resolution picture.

mod faults;
mod manner;
mod mixed;
mod practical;

pub use faults::{Faults, Resampling};

use crate::{AnyPicture, Picture, Scale, bleed, gaussian_blur, resize};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A degradation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Degradation {
    /// MATLAB's bicubic `imresize`, the usual one in the literature.
    Bicubic,
    /// `imgaussfilt` with σ = 1.3, then bicubic `imresize`: the paper's section 4.1.
    BlurBicubic,
    /// The same without MATLAB's two intermediate roundings: rounded to 8 bits once, at the end, as most Python
    /// pipelines do (BasicSR, KAIR). At x2 that is worth a tenth of a decibel and more.
    BlurBicubicFloat,
    /// The same without rounding to 8 bits: the result has 16 bits per sample, as for small pictures that are made
    /// during training and never written.
    BlurBicubic16,
    /// A model of real photographs: blur, noise, JPEG and a resize, each by a random amount and in random order (Zhang
    /// et al. 2021).
    Practical {
        /// The same seed produces the same picture.
        seed: u64,
    },
    /// A wide mix of known faults, by random amounts: see [`Degradation::faults`].
    Mixed {
        /// The same seed produces the same picture.
        seed: u64,
    },
    /// These faults, with noise from a fixed seed.
    Known(Faults),
}

/// The paper's blur, in pixels.
const SIGMA: f64 = 1.3;

/// A picture too small to leave a single pixel when downscaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is {width}x{height}, too small to shrink by a factor of {scale}")]
pub struct TooSmall {
    width: usize,
    height: usize,
    scale: usize,
}

impl Degradation {
    /// Makes the picture `scale` times smaller, after cropping its sides to multiples of `scale`. Colours under full
    /// transparency are replaced by those around them. The result has 8 bits per sample, except for
    /// [`Self::BlurBicubic16`].
    ///
    /// # Errors
    /// Returns [`TooSmall`] if a side is below `scale`.
    pub fn apply(self, picture: &Picture, scale: usize) -> Result<AnyPicture, TooSmall> {
        let (width, height) = (picture.width(), picture.height());
        if scale == 0 || width < scale || height < scale {
            return Err(TooSmall { width, height, scale });
        }
        let cropped = picture.modcrop(scale);
        let cropped = bleed(&cropped);
        // Rounding to 16 bits is negligible beside rounding to 8.
        let in_sixteen = || resize(&gaussian_blur(&cropped.converted::<u16>(), SIGMA), Scale::Down(scale));
        Ok(match self {
            Self::Bicubic => resize(&cropped, Scale::Down(scale)).into(),
            Self::BlurBicubic => resize(&gaussian_blur(&cropped, SIGMA), Scale::Down(scale)).into(),
            Self::BlurBicubicFloat => in_sixteen().converted::<u8>().into(),
            Self::BlurBicubic16 => in_sixteen().into(),
            Self::Practical { seed } => practical::degrade(&cropped, scale, seed).into(),
            Self::Mixed { seed } => mixed::degrade(&cropped, scale, seed).into(),
            Self::Known(faults) => {
                faults.apply(&cropped, scale, &manner::Manner::default(), &mut StdRng::seed_from_u64(0)).into()
            }
        })
    }

    /// Returns what befalls a picture at this scale; `None` for [`Self::Practical`], whose stages come in any order.
    pub fn faults(self, scale: usize) -> Option<Faults> {
        match self {
            Self::Bicubic => Some(Faults::default()),
            Self::BlurBicubic | Self::BlurBicubicFloat | Self::BlurBicubic16 => {
                Some(Faults { blur: SIGMA / scale as f64, ..Faults::default() })
            }
            Self::Practical { .. } => None,
            Self::Mixed { seed } => Some(mixed::draw(&mut StdRng::seed_from_u64(seed)).0),
            Self::Known(faults) => Some(faults),
        }
    }

    /// Returns the degradation with this seed, if it is random.
    pub fn with_seed(self, seed: u64) -> Self {
        match self {
            Self::Practical { .. } => Self::Practical { seed },
            Self::Mixed { .. } => Self::Mixed { seed },
            same => same,
        }
    }

    /// Returns the degradation for one of many pictures: if it is random, its seed depends on the file name.
    pub fn seeded(self, file: &Path) -> Self {
        match self {
            // FNV-1a (Fowler, Noll and Vo): the same on every machine.
            Self::Practical { seed } | Self::Mixed { seed } => {
                let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                let name = file.file_stem().unwrap_or_default().as_encoded_bytes();
                self.with_seed(name.iter().fold(0xcbf2_9ce4_8422_2325 ^ seed, hash))
            }
            same => same,
        }
    }
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bicubic => f.write_str("bicubic"),
            Self::BlurBicubic => f.write_str("blur-bicubic"),
            Self::BlurBicubicFloat => f.write_str("blur-bicubic-float"),
            Self::BlurBicubic16 => f.write_str("blur-bicubic-16"),
            Self::Practical { seed: 0 } => f.write_str("practical"),
            Self::Practical { seed } => write!(f, "practical:{seed}"),
            Self::Mixed { seed: 0 } => f.write_str("mixed"),
            Self::Mixed { seed } => write!(f, "mixed:{seed}"),
            Self::Known(faults) => faults.fmt(f),
        }
    }
}

impl FromStr for Degradation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let seed = |prefix: &str| name.strip_prefix(prefix).and_then(|seed| seed.parse().ok());
        match name {
            "bicubic" => Ok(Self::Bicubic),
            "blur-bicubic" => Ok(Self::BlurBicubic),
            "blur-bicubic-float" => Ok(Self::BlurBicubicFloat),
            "blur-bicubic-16" => Ok(Self::BlurBicubic16),
            "practical" => Ok(Self::Practical { seed: 0 }),
            "mixed" => Ok(Self::Mixed { seed: 0 }),
            _ if name.contains('=') => name.parse().map(Self::Known),
            _ => {
                let practical = seed("practical:").map(|seed| Self::Practical { seed });
                practical.or_else(|| seed("mixed:").map(|seed| Self::Mixed { seed })).ok_or_else(|| {
                    format!(
                        "unknown degradation `{name}`: expected blur-bicubic, blur-bicubic-float, blur-bicubic-16, \
                         bicubic, practical, practical:SEED, mixed, mixed:SEED, or faults such as \
                         blur=0.3,noise=10,jpeg=60"
                    )
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "bicubic",
            "blur-bicubic",
            "blur-bicubic-float",
            "blur-bicubic-16",
            "practical",
            "practical:7",
            "mixed:7",
            "blur=1,jpeg=30",
        ] {
            assert_eq!(name.parse::<Degradation>().unwrap().to_string(), name);
        }
        for name in ["blur", "practical:", "practical:-1"] {
            let said = name.parse::<Degradation>().unwrap_err();
            assert!(said.contains(name) && said.contains("practical:SEED"), "{said}");
        }
    }

    #[test]
    fn in_floating_point_only_the_end_is_rounded() {
        const SIDE: isize = 24;
        let level = |x: isize, y: isize| f64::from(((x * 37 + y * 101 + x * y * 13) % 256) as u8);
        let rgb = (0..SIDE * SIDE).flat_map(|i| [level(i % SIDE, i / SIDE) as u8; 3]).collect();
        let picture = Picture::from_rgb(SIDE as usize, SIDE as usize, rgb);
        let clamped = |at: isize| at.clamp(0, SIDE - 1);
        // The formulas directly, in two dimensions at once.
        let gauss = |d: isize| (-(d * d) as f64 / (2.0 * SIGMA * SIGMA)).exp();
        let total: f64 = (-3..=3).map(gauss).sum();
        let blurred = |x: isize, y: isize| -> f64 {
            let taps = (-3..=3).flat_map(|i| (-3..=3).map(move |j| (i, j)));
            taps.map(|(i, j)| gauss(i) * gauss(j) * level(clamped(x + i), clamped(y + j))).sum::<f64>()
                / (total * total)
        };
        // Keys' cubic, a = -1/2, stretched to twice its width: eight taps around the middle of two pixels.
        let cubic = |d: f64| match d.abs() {
            d if d <= 1.0 => 1.5 * d.powi(3) - 2.5 * d.powi(2) + 1.0,
            d => -0.5 * d.powi(3) + 2.5 * d.powi(2) - 4.0 * d + 2.0,
        };
        let weight = |i: isize| cubic((i as f64 - 0.5) / 2.0) / 2.0;
        let small = |x: isize, y: isize| -> f64 {
            let taps = (-3..=4).flat_map(|i| (-3..=4).map(move |j| (i, j)));
            taps.map(|(i, j)| weight(i) * weight(j) * blurred(clamped(2 * x + i), clamped(2 * y + j))).sum()
        };
        let away = |degradation: Degradation| {
            let levels: Vec<f64> = match degradation.apply(&picture, 2).unwrap() {
                AnyPicture::Eight(made) => made.plane(0).map(f64::from).collect(),
                AnyPicture::Sixteen(made) => made.plane(0).map(|v| f64::from(v) / 257.0).collect(),
            };
            let each = levels.iter().enumerate().map(|(i, v)| {
                let (x, y) = (i as isize % (SIDE / 2), i as isize / (SIDE / 2));
                (v - small(x, y).clamp(0.0, 255.0)).abs()
            });
            each.fold(0.0, f64::max)
        };
        let found = away(Degradation::BlurBicubicFloat);
        assert!(found <= 0.51, "{found}");
        assert!(away(Degradation::BlurBicubic) > 0.6);
        let found = away(Degradation::BlurBicubic16);
        assert!(found <= 0.01, "{found}");
    }

    #[test]
    fn each_picture_s_name_is_another_seed() {
        let practical: Degradation = "practical:7".parse().unwrap();
        let [a, same, b] = ["x/a.png", "a.jpg", "b.png"].map(Path::new);
        assert_eq!(practical.seeded(a), practical.seeded(same));
        assert_ne!(practical.seeded(a), practical.seeded(b));
        assert_ne!(practical.seeded(a), Degradation::Practical { seed: 8 }.seeded(a));
        assert_eq!(Degradation::Bicubic.seeded(a), Degradation::Bicubic);
    }
}
