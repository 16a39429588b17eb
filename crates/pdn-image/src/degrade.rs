//! How a high-resolution picture becomes the low-resolution one that a network is given.

use crate::{Picture, Scale, bleed, gaussian_blur, practical, resize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A degradation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degradation {
    /// MATLAB's bicubic `imresize`: the literature's usual one.
    Bicubic,
    /// `imgaussfilt` with σ = 1.3, then bicubic `imresize`: the paper's section 4.1.
    BlurBicubic,
    /// Like what befalls photographs: blur, noise, JPEG and a resize, each by a random amount and in random order (Zhang et al.
    /// 2021).
    Practical {
        /// The same seed gives the same picture.
        seed: u64,
    },
}

/// The paper's blur, in pixels.
const SIGMA: f64 = 1.3;

/// A picture that has not one pixel left when it is made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is {width}x{height}, too small to be made {scale} times smaller")]
pub struct TooSmall {
    width: usize,
    height: usize,
    scale: usize,
}

impl Degradation {
    /// The picture made `scale` times smaller, after its sides are cut to multiples of it. Colours under full transparency give way to
    /// those around them.
    ///
    /// # Errors
    /// [`TooSmall`] where a side is below `scale`.
    pub fn apply(self, picture: &Picture, scale: usize) -> Result<Picture, TooSmall> {
        let (width, height) = (picture.width(), picture.height());
        if scale == 0 || width < scale || height < scale {
            return Err(TooSmall { width, height, scale });
        }
        let cropped = picture.modcrop(scale);
        let cropped = bleed(&cropped);
        Ok(match self {
            Self::Bicubic => resize(&cropped, Scale::Down(scale)),
            Self::BlurBicubic => resize(&gaussian_blur(&cropped, SIGMA), Scale::Down(scale)),
            Self::Practical { seed } => practical::degrade(&cropped, scale, seed),
        })
    }

    /// The same for one of many pictures: where chance has a part, it is another for another file's name.
    pub fn seeded(self, file: &Path) -> Self {
        match self {
            // FNV-1a (Fowler, Noll and Vo): the same on every machine.
            Self::Practical { seed } => {
                let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                let name = file.file_stem().unwrap_or_default().as_encoded_bytes();
                Self::Practical { seed: name.iter().fold(0xcbf2_9ce4_8422_2325 ^ seed, hash) }
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
            Self::Practical { seed: 0 } => f.write_str("practical"),
            Self::Practical { seed } => write!(f, "practical:{seed}"),
        }
    }
}

impl FromStr for Degradation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let seed = || name.strip_prefix("practical:").and_then(|seed| seed.parse().ok());
        match name {
            "bicubic" => Ok(Self::Bicubic),
            "blur-bicubic" => Ok(Self::BlurBicubic),
            "practical" => Ok(Self::Practical { seed: 0 }),
            _ => seed().map(|seed| Self::Practical { seed }).ok_or_else(|| {
                format!(
                    "degradation `{name}` is not known: expected blur-bicubic, bicubic, practical or practical:SEED"
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["bicubic", "blur-bicubic", "practical", "practical:7"] {
            assert_eq!(name.parse::<Degradation>().unwrap().to_string(), name);
        }
        for name in ["blur", "practical:", "practical:-1"] {
            let said = name.parse::<Degradation>().unwrap_err();
            assert!(said.contains(name) && said.contains("practical:SEED"), "{said}");
        }
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
