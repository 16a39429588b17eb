//! Operations that change a map's height and width without weights: pixel shuffles and upscaling.

use crate::{NetworkError, Shape};

/// How to interpolate between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Repeats each pixel.
    Nearest,
    /// Interpolates the nearest two along each axis, with pixels as areas (PyTorch's `align_corners=False`).
    Bilinear,
}

impl Interpolation {
    /// Returns the two pixels of a line of `length` that contribute to pixel `at` of the line upscaled by `r`, with
    /// their weights. The weights depend on `at % r` alone, so that they are bit-identical wherever the line is cut.
    pub fn taps(self, at: usize, r: usize, length: usize) -> [(usize, f64); 2] {
        let (pixel, phase) = (at / r, 2 * (at % r) + 1);
        match self {
            Self::Nearest => [(pixel, 1.0), (pixel, 0.0)],
            // The centre lies (phase - r) / 2r of a pixel after that of the pixel it falls in.
            Self::Bilinear if phase < r => {
                let other = (r - phase) as f64 / (2 * r) as f64;
                [(pixel.saturating_sub(1), other), (pixel, 1.0 - other)]
            }
            Self::Bilinear => {
                let other = (phase - r) as f64 / (2 * r) as f64;
                [(pixel, 1.0 - other), ((pixel + 1).min(length - 1), other)]
            }
        }
    }
}

pub(super) fn shuffle_shape(x: Shape, r: usize) -> Result<Shape, NetworkError> {
    match (x.channels, x.extent.times(r)) {
        (channels, Some(extent)) if r > 0 && channels % (r * r) == 0 => {
            Ok(Shape { channels: channels / (r * r), extent })
        }
        _ => Err(NetworkError::Shape(format!("expected a map with a multiple of {r}² channels, found {x:?}"))),
    }
}

/// Returns the margin before a shuffle. A part of the output starts at a multiple of the scale, so a margin of m pixels
/// lies in ceil(m / r) blocks.
pub(super) fn shuffle_margin(margin: usize, r: usize) -> usize {
    margin.div_ceil(r)
}

pub(super) fn unshuffle_shape(x: Shape, r: usize) -> Result<Shape, NetworkError> {
    match x.extent.over(r) {
        Some(extent) => Ok(Shape { channels: x.channels * r * r, extent }),
        None => Err(NetworkError::Shape(format!("{x:?} is no multiple of {r} pixels a side"))),
    }
}

pub(super) fn unshuffle_margin(margin: usize, r: usize) -> usize {
    margin * r
}

pub(super) fn enlarge_shape(x: Shape, r: usize) -> Result<Shape, NetworkError> {
    match x.extent.times(r) {
        Some(extent) if r > 0 => Ok(Shape { extent, ..x }),
        _ => Err(NetworkError::Shape(format!("{x:?} cannot be enlarged by {r}"))),
    }
}

pub(super) fn enlarge_margin(margin: usize, interpolation: Interpolation, r: usize) -> usize {
    match interpolation {
        Interpolation::Nearest => margin.div_ceil(r),
        Interpolation::Bilinear => margin.div_ceil(r) + 1,
    }
}
