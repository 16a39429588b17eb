//! Shapes of maps, relative to the picture to upscale.

/// The size of a map, relative to the picture to upscale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One pixel, whatever the picture's size.
    One,
    /// This many pixels a side for each pixel a side of the picture.
    Picture(usize),
    /// One pixel a side for this many pixels a side of the picture.
    Reduced(usize),
    /// As many pixels as a sentence has tokens, or a picture patches.
    Sequence,
}

impl Extent {
    /// Returns the pixels a side for a picture with `picture` pixels a side.
    pub fn side(self, picture: usize) -> usize {
        match self {
            Self::Picture(scale) => picture * scale,
            Self::Reduced(by) => picture / by,
            Self::One | Self::Sequence => 1,
        }
    }

    /// Converts a count per pixel of the map to a count per pixel of the picture.
    pub fn per_picture_pixel(self, count: usize) -> usize {
        match self {
            Self::Picture(scale) => count * scale * scale,
            Self::Reduced(by) => count / (by * by),
            Self::One | Self::Sequence => 0,
        }
    }

    /// Multiplies the side by `r`.
    pub(crate) fn times(self, r: usize) -> Option<Self> {
        match self {
            Self::Picture(scale) => Some(Self::Picture(scale * r)),
            Self::Reduced(by) if by == r => Some(Self::Picture(1)),
            Self::Reduced(by) if by % r == 0 => Some(Self::Reduced(by / r)),
            _ => None,
        }
    }

    /// Divides the side by `r`.
    pub(crate) fn over(self, r: usize) -> Option<Self> {
        match self {
            Self::Picture(1) => Some(Self::Reduced(r)),
            Self::Picture(scale) if scale % r == 0 => Some(Self::Picture(scale / r)),
            Self::Reduced(by) => Some(Self::Reduced(by * r)),
            _ => None,
        }
    }
}

/// The channels and extent of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of channels.
    pub channels: usize,
    /// Size, relative to the picture.
    pub extent: Extent,
}

impl Shape {
    /// Returns the shape of a map of one pixel.
    pub fn vector(channels: usize) -> Self {
        Self { channels, extent: Extent::One }
    }

    /// Returns whether `other` broadcasts to this map: its one channel or one pixel is used everywhere.
    pub(crate) fn broadcasts(self, other: Self) -> bool {
        (other.channels == self.channels || other.channels == 1)
            && (other.extent == self.extent || other.extent == Extent::One)
    }
}
