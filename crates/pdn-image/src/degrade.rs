//! How a high-resolution picture becomes the low-resolution one that a network is given.

use crate::{Picture, Scale, gaussian_blur, resize};
use std::fmt;
use std::str::FromStr;

/// A degradation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degradation {
    /// MATLAB's bicubic `imresize`: the literature's usual one.
    Bicubic,
    /// `imgaussfilt` with σ = 1.3, then bicubic `imresize`: the paper's section 4.1.
    BlurBicubic,
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
    /// The picture made `scale` times smaller, after its sides are cut to multiples of it.
    ///
    /// # Errors
    /// [`TooSmall`] where a side is below `scale`.
    pub fn apply(self, picture: &Picture, scale: usize) -> Result<Picture, TooSmall> {
        let (width, height) = (picture.width(), picture.height());
        if scale == 0 || width < scale || height < scale {
            return Err(TooSmall { width, height, scale });
        }
        let cropped = picture.modcrop(scale);
        let source = match self {
            Self::Bicubic => cropped,
            Self::BlurBicubic => gaussian_blur(&cropped, SIGMA),
        };
        Ok(resize(&source, Scale::Down(scale)))
    }
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bicubic => "bicubic",
            Self::BlurBicubic => "blur-bicubic",
        })
    }
}

impl FromStr for Degradation {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Bicubic, Self::BlurBicubic]
            .into_iter()
            .find(|d| d.to_string() == name)
            .ok_or_else(|| format!("degradation `{name}` is not known: expected blur-bicubic or bicubic"))
    }
}
