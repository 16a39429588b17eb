//! The square crops of a picture that a picture tower reads.

use pdn_image::{Picture, bleed, centre_square, resize_to};
use serde::{Deserialize, Serialize};

/// How a picture is fitted to the square input of a picture tower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// One square: the whole picture, squeezed with MATLAB's bicubic.
    #[default]
    Squeeze,
    /// One square: the shorter side resized with Pillow's bicubic, the longer side cropped to its centre. This is
    /// CLIP's preprocessing.
    CentreCrop,
    /// Two squares: five sixths of the picture's width and height from the upper left corner, and as much from the
    /// lower right corner, mirrored; both squeezed with MATLAB's bicubic. This project's encoders use it, as they are
    /// trained on crops of pictures.
    Corners,
}

impl Framing {
    pub(crate) fn is_squeeze(&self) -> bool {
        *self == Self::Squeeze
    }

    /// Returns the picture's squares, `side` pixels a side. Colours under full transparency, which nobody sees, are
    /// replaced by those of neighbours.
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
