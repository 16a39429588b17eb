//! PSNR and SSIM, each under a protocol that fixes the colour space and how much of the border is left out.
//!
//! The protocol alone moves a figure by two decibels, so no figure goes without it. The literature uses Y as MATLAB's
//! `rgb2ycbcr` gives it, not rounded, with `scale` pixels shaved (`Evaluate_PSNR_SSIM.m` of yulunzhang/RCAN).

use crate::Picture;
use crate::ops::blur::gaussian;
use std::fmt;

/// The channels that a comparison uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColourSpace {
    /// Luma from 16 to 235, as in MATLAB's `rgb2ycbcr`.
    YMatlab,
    /// Luma from 0 to 255, as in JPEG.
    YFull,
    /// Red, green and blue.
    Rgb,
}

/// How two pictures are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The channels to compare.
    pub space: ColourSpace,
    /// Pixels to ignore on each side.
    pub shave: usize,
}

impl fmt::Display for ColourSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::YMatlab => "Y (MATLAB)",
            Self::YFull => "Y (full range)",
            Self::Rgb => "RGB",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, shave {}", self.space, self.shave)
    }
}

/// Why two pictures cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// The pictures differ in size.
    #[error("cannot compare {0}x{1} with {2}x{3}: expected the same size")]
    Sizes(usize, usize, usize, usize),
    /// Shaving leaves nothing, or less than SSIM's window.
    #[error("shaving {shave} pixels from each side of {width}x{height} leaves less than {least} pixels per side")]
    TooSmall {
        /// Width.
        width: usize,
        /// Height.
        height: usize,
        /// Pixels ignored on each side.
        shave: usize,
        /// The least that must be left.
        least: usize,
    },
    /// The picture cannot be degraded.
    #[error(transparent)]
    Degrade(#[from] crate::TooSmall),
}

/// One channel in float64.
struct Plane {
    data: Vec<f64>,
    width: usize,
}

/// Returns the peak signal-to-noise ratio in decibels, for a peak of 255. It is infinite for equal pictures.
///
/// # Errors
/// Returns a [`CompareError`] if the sizes differ or nothing is left.
pub fn psnr(a: &Picture, b: &Picture, protocol: Protocol) -> Result<f64, CompareError> {
    let (a, b) = planes(a, b, protocol, 1)?;
    let samples: usize = a.iter().map(|plane| plane.data.len()).sum();
    let squares = |(a, b): (&Plane, &Plane)| a.data.iter().zip(&b.data).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mean = a.iter().zip(&b).map(squares).sum::<f64>() / samples as f64;
    Ok(10.0 * (255.0_f64.powi(2) / mean).log10())
}

/// Returns the structural similarity (Wang et al. 2004): Gaussian window of 11x11 with σ = 1.5, K = (0.01, 0.03), L =
/// 255, only where the window lies inside, no downsampling. In RGB it is the mean over the channels.
///
/// # Errors
/// Returns a [`CompareError`] if the sizes differ or fewer than 11 pixels a side are left.
pub fn ssim(a: &Picture, b: &Picture, protocol: Protocol) -> Result<f64, CompareError> {
    let (a, b) = planes(a, b, protocol, WINDOW)?;
    let total: f64 = a.iter().zip(&b).map(|(a, b)| similarity(a, b)).sum();
    Ok(total / a.len() as f64)
}

/// The side of SSIM's window.
const WINDOW: usize = 11;

fn similarity(a: &Plane, b: &Plane) -> f64 {
    let window = gaussian(1.5, WINDOW / 2);
    let product = |x: &Plane, y: &Plane| {
        let data = x.data.iter().zip(&y.data).map(|(x, y)| x * y).collect();
        filtered(&Plane { data, width: x.width }, &window)
    };
    let (mean_a, mean_b) = (filtered(a, &window), filtered(b, &window));
    let (aa, bb, ab) = (product(a, a), product(b, b), product(a, b));
    let (c1, c2) = ((0.01 * 255.0_f64).powi(2), (0.03 * 255.0_f64).powi(2));
    let total: f64 = (0..mean_a.len())
        .map(|i| {
            let (ma, mb) = (mean_a[i], mean_b[i]);
            let (va, vb, cov) = (aa[i] - ma * ma, bb[i] - mb * mb, ab[i] - ma * mb);
            (2.0 * ma * mb + c1) * (2.0 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
        })
        .sum();
    total / mean_a.len() as f64
}

/// Filters a plane along both axes, only where the window lies inside.
fn filtered(plane: &Plane, window: &[f64]) -> Vec<f64> {
    let (width, height) = (plane.width, plane.data.len() / plane.width);
    let (out_width, out_height) = (width + 1 - window.len(), height + 1 - window.len());
    let mut tall = vec![0.0; width * out_height];
    for (y, out) in tall.chunks_exact_mut(width).enumerate() {
        for (tap, weight) in window.iter().enumerate() {
            let row = &plane.data[(y + tap) * width..][..width];
            out.iter_mut().zip(row).for_each(|(s, v)| *s += weight * v);
        }
    }
    let mut out = vec![0.0; out_width * out_height];
    for (out, row) in out.chunks_exact_mut(out_width).zip(tall.chunks_exact(width)) {
        for (tap, weight) in window.iter().enumerate() {
            out.iter_mut().zip(&row[tap..]).for_each(|(s, v)| *s += weight * v);
        }
    }
    out
}

/// Returns both pictures' channels in the protocol's colour space, shaved.
fn planes(
    a: &Picture,
    b: &Picture,
    Protocol { space, shave }: Protocol,
    least: usize,
) -> Result<(Vec<Plane>, Vec<Plane>), CompareError> {
    let (width, height) = (a.width(), a.height());
    if (width, height) != (b.width(), b.height()) {
        return Err(CompareError::Sizes(width, height, b.width(), b.height()));
    }
    if width.min(height) < shave.saturating_mul(2).saturating_add(least) {
        return Err(CompareError::TooSmall { width, height, shave, least });
    }
    Ok((channels(a, space, shave), channels(b, space, shave)))
}

fn channels(picture: &Picture, space: ColourSpace, shave: usize) -> Vec<Plane> {
    let (width, height) = (picture.width() - 2 * shave, picture.height() - 2 * shave);
    let plane = |f: &dyn Fn([f64; 3]) -> f64| {
        let rows = picture.rgb().chunks_exact(picture.width() * 3).skip(shave).take(height);
        let pixels = rows.flat_map(|row| row[shave * 3..(shave + width) * 3].chunks_exact(3));
        let data = pixels.map(|p| f([p[0], p[1], p[2]].map(f64::from))).collect();
        Plane { data, width }
    };
    match space {
        ColourSpace::YMatlab => {
            vec![plane(&|[r, g, b]| 16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0)]
        }
        ColourSpace::YFull => vec![plane(&|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b)],
        ColourSpace::Rgb => (0..3).map(|c| plane(&move |p| p[c])).collect(),
    }
}
