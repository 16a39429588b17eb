//! MATLAB's `imgaussfilt`: a Gaussian of `2 ceil(2σ) + 1` taps, with edges replicated, rounded to the picture's depth
//! at the end.

use crate::{Picture, Sample};
use rayon::prelude::*;

/// Blurs the colours by a Gaussian with this standard deviation, in pixels; alpha stays.
///
/// # Panics
/// Panics if `sigma` is not a positive finite number.
pub fn gaussian_blur<S: Sample>(picture: &Picture<S>, sigma: f64) -> Picture<S> {
    assert!(sigma.is_finite() && sigma > 0.0, "a Gaussian of standard deviation {sigma}");
    let taps = gaussian(sigma, (2.0 * sigma).ceil() as usize);
    let (width, height, radius) = (picture.width(), picture.height(), taps.len() / 2);
    let stride = width * 3;
    if picture.rgb().is_empty() {
        return picture.clone();
    }
    let mut rgb = vec![S::default(); picture.rgb().len()];
    rgb.par_chunks_mut(stride).enumerate().for_each(|(y, out)| {
        // Tap by tap over whole rows, which vectorises; each sum still adds its taps in order.
        let mut tall = vec![0.0; stride + 6 * radius];
        for (tap, weight) in taps.iter().enumerate() {
            let row = (y + tap).saturating_sub(radius).min(height - 1);
            let row = &picture.rgb()[row * stride..][..stride];
            tall[3 * radius..].iter_mut().zip(row).for_each(|(s, v)| *s += weight * v.level());
        }
        for side in 0..3 * radius {
            tall[side] = tall[3 * radius + side % 3];
            tall[3 * radius + stride + side] = tall[stride + 3 * radius - 3 + side % 3];
        }
        let mut sums = vec![0.0; stride];
        for (tap, weight) in taps.iter().enumerate() {
            sums.iter_mut().zip(&tall[3 * tap..]).for_each(|(sum, v)| *sum += weight * v);
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = S::rounded(sum));
    });
    picture.with_rgb(rgb)
}

/// Returns a normalised Gaussian of `2 radius + 1` taps.
pub(crate) fn gaussian(sigma: f64, radius: usize) -> Vec<f64> {
    let raw: Vec<f64> =
        (0..=2 * radius).map(|i| (-(i as f64 - radius as f64).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
    let total: f64 = raw.iter().sum();
    raw.into_iter().map(|w| w / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_becomes_the_gaussian_and_a_flat_picture_stays() {
        let mut rgb = vec![0; 9 * 9 * 3];
        rgb[(4 * 9 + 4) * 3] = 255;
        let blurred = gaussian_blur(&Picture::from_rgb(9, 9, rgb), 1.3);
        let taps = gaussian(1.3, 3);
        assert_eq!(taps.len(), 7);
        for (i, tap) in taps.iter().enumerate() {
            assert_eq!(blurred.rgb()[(4 * 9 + 1 + i) * 3], u8::rounded(255.0 * tap * taps[3]));
        }
        assert!(blurred.plane(1).all(|v| v == 0));
        let flat = Picture::from_rgb(3, 2, vec![77; 18]);
        assert_eq!(gaussian_blur(&flat, 1.3), flat);
    }
}
