//! The squares of a picture that a picture tower looks at.

use pdn_image::{Picture, bleed, centre_square, resize_to};
use serde::{Deserialize, Serialize};

/// How a picture is brought to squares that a picture tower looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// One square: all of the picture, squeezed to it by MATLAB's bicubic.
    #[default]
    Squeeze,
    /// One square: its shorter side resized by Pillow's bicubic, the middle of the longer one. CLIP's.
    CentreCrop,
    /// Two squares: five sixths of the picture's width and height from its upper left corner, and as much from its lower
    /// right one in a mirror, both squeezed by MATLAB's bicubic. What this project's own encoders are trained for: parts of
    /// pictures are what they learn from.
    Corners,
}

impl Framing {
    pub(crate) fn is_squeeze(&self) -> bool {
        *self == Self::Squeeze
    }

    /// A picture's squares, of so many pixels a side. Colours under full transparency, which nobody sees, give way to those
    /// around them.
    pub fn squares(self, picture: &Picture, side: usize) -> Vec<Picture> {
        let picture = bleed(picture).into_owned().with_alpha(None);
        let squeezed = |picture: &Picture| resize_to(picture, side, side);
        match self {
            Self::Squeeze => vec![squeezed(&picture)],
            Self::CentreCrop => vec![centre_square(&picture, side)],
            Self::Corners => {
                let [width, height] = [picture.width(), picture.height()].map(|length| (5 * length).div_ceil(6));
                let part = |left, top| squeezed(&picture.part((left, top), width, height));
                vec![part(0, 0), part(picture.width() - width, picture.height() - height).mirrored()]
            }
        }
    }
}
