//! Upscaling transparency without halos or jagged edges.
//!
//! A transparent pixel still has a colour, often an arbitrary one, and upscaling mixes it into the edge of the visible
//! part. So the colours of visible pixels are first spread over the transparent ones; then colour and alpha are
//! upscaled separately.

use crate::{Picture, Resized, Sample};
use std::borrow::Cow;
use std::ops::Range;

/// Replaces the colours of fully transparent pixels by those of the nearest visible ones: from the edge outwards, ring
/// by ring, each the mean of its known neighbours. A picture with no visible or no transparent pixel is returned
/// unchanged.
pub fn bleed<S: Sample>(picture: &Picture<S>) -> Cow<'_, Picture<S>> {
    let Some(alpha) = picture.alpha().filter(|alpha| alpha.contains(&S::default())) else {
        return Cow::Borrowed(picture);
    };
    let (width, height) = (picture.width(), picture.height());
    let mut rgb = picture.rgb().to_vec();
    let mut known: Vec<bool> = alpha.iter().map(|a| *a != S::default()).collect();
    let neighbours = |at: usize| {
        let (x, y) = (at % width, at / width);
        let columns = x.saturating_sub(1)..(x + 2).min(width);
        (y.saturating_sub(1)..(y + 2).min(height))
            .flat_map(move |y| columns.clone().map(move |x| y * width + x))
            .filter(move |other| *other != at)
    };
    let unknown_around = |at: usize, known: &[bool]| neighbours(at).filter(|n| !known[*n]).collect::<Vec<_>>();
    let mut ring: Vec<usize> = (0..known.len()).filter(|at| !known[*at] && neighbours(*at).any(|n| known[n])).collect();
    while !ring.is_empty() {
        let colours: Vec<[S; 3]> = ring
            .iter()
            .map(|at| {
                let around: Vec<usize> = neighbours(*at).filter(|n| known[*n]).collect();
                let sum = |c: usize| around.iter().map(|n| rgb[n * 3 + c].level()).sum::<f64>();
                std::array::from_fn(|c| S::rounded(sum(c) / around.len() as f64))
            })
            .collect();
        for (at, colour) in ring.iter().zip(colours) {
            rgb[at * 3..at * 3 + 3].copy_from_slice(&colour);
            known[*at] = true;
        }
        let mut next: Vec<usize> = ring.iter().flat_map(|at| unknown_around(*at, &known)).collect();
        next.sort_unstable();
        next.dedup();
        ring = next;
    }
    Cow::Owned(picture.with_rgb(rgb))
}

/// An upscaled alpha channel that computes rows only on request.
#[derive(Debug)]
pub enum Alpha<'a, S, T> {
    /// The same value everywhere, so nothing is computed.
    Constant {
        /// The value.
        value: T,
        /// Pixels per row.
        width: usize,
    },
    /// Resized by MATLAB's bicubic rule: clear and opaque areas stay exact away from edges.
    Resized(Resized<'a, S, T, 1>),
}

impl<'a, S: Sample, T: Sample> Alpha<'a, S, T> {
    /// Prepares a picture's alpha channel, if it has one, for the given size.
    ///
    /// # Panics
    /// Panics if the size or the picture is empty.
    pub fn new(picture: &'a Picture<S>, width: usize, height: usize) -> Option<Self> {
        let alpha = picture.alpha()?;
        Some(match picture.constant_alpha() {
            Some(value) => Self::Constant { value: T::of(value), width },
            None => Self::Resized(Resized::to_size(alpha, picture.width(), picture.height(), width, height)),
        })
    }

    /// Computes some rows.
    pub fn rows(&self, rows: Range<usize>) -> Vec<T> {
        match self {
            Self::Constant { value, width } => vec![*value; width * rows.len()],
            Self::Resized(resized) => resized.rows(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Degradation, Scale, resize};

    /// Draws a red disc; the transparent pixels around it hide green.
    fn disc(side: usize) -> Picture {
        let inside = |i: usize| {
            let (x, y) = ((i % side) as f64 - 7.5, (i / side) as f64 - 7.5);
            x * x + y * y < 30.0
        };
        let rgb = (0..side * side).flat_map(|i| if inside(i) { [200, 0, 0] } else { [0, 255, 0] }).collect();
        let alpha = (0..side * side).map(|i| if inside(i) { 255 } else { 0 }).collect();
        Picture::from_rgb(side, side, rgb).with_alpha(Some(alpha))
    }

    fn alpha(picture: &Picture, scale: usize) -> Vec<u8> {
        Alpha::new(picture, picture.width() * scale, picture.height() * scale)
            .unwrap()
            .rows(0..picture.height() * scale)
    }

    /// Returns the most green that shows over black.
    fn green(picture: &Picture, alpha: &[u8]) -> u32 {
        let shown = picture.plane(1).zip(alpha).map(|(g, a)| u32::from(g) * u32::from(*a) / 255);
        shown.max().unwrap()
    }

    #[test]
    fn hidden_colours_are_no_part_of_what_is_degraded() {
        let picture = disc(16);
        for degradation in [
            Degradation::Bicubic,
            Degradation::BlurBicubic,
            Degradation::BlurBicubicFloat,
            Degradation::BlurBicubic16,
            Degradation::Practical { seed: 3 },
        ] {
            let small = degradation.apply(&picture, 2).unwrap();
            let blue =
                Picture::from_rgb(16, 16, picture.rgb().iter().map(|v| if *v == 255 { 9 } else { *v }).collect());
            let other = degradation.apply(&blue.with_alpha(picture.alpha().map(<[u8]>::to_vec)), 2).unwrap();
            assert_eq!(small, other, "{degradation}");
        }
    }

    #[test]
    fn hidden_colours_make_no_halo() {
        let picture = disc(16);
        let alpha = alpha(&picture, 4);
        let naive = resize(&picture, Scale::Up(4));
        assert!(green(&naive, &alpha) > 50, "without spreading there is a green halo");
        let spread = resize(&bleed(&picture), Scale::Up(4));
        assert_eq!(green(&spread, &alpha), 0);
        assert!(spread.plane(0).all(|r| r == 200), "red is spread to every corner");
    }

    #[test]
    fn opaque_and_clear_stay_exact() {
        let soft = alpha(&disc(16), 4);
        assert_eq!((soft[0], soft[32 * 64 + 32]), (0, 255));
        assert!(soft.iter().any(|a| (1..255).contains(a)), "edges are soft");
        let opaque = disc(16).with_alpha(Some(vec![255; 256]));
        assert!(alpha(&opaque, 3).iter().all(|a| *a == 255));
        assert_eq!(*bleed(&opaque), opaque);
        let half = disc(16).with_alpha(Some(vec![128; 256]));
        assert_eq!(alpha(&half, 2), vec![128; 1024]);
        assert_eq!(Alpha::<_, u16>::new(&half, 3, 2).unwrap().rows(0..2), [128 * 257; 6]);
        let clear = disc(16).with_alpha(Some(vec![0; 256]));
        assert_eq!(*bleed(&clear), clear);
    }
}
