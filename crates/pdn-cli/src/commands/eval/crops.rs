//! Crops of a picture by several hands, for the report.

use base64::prelude::{BASE64_STANDARD, Engine};
use pdn::{AnyPicture, ColourSpace, CompareError, Format, Picture, Protocol, WriteOptions, encode, psnr};
use std::path::Path;

/// The most pictures that are shown.
const SHOWN: usize = 12;

/// The side of a crop in pixels of the original.
pub(super) const SIDE: usize = 96;

/// Pixels between the places that a crop may have.
const STEP: usize = 8;

/// Returns whether the picture of this number is shown: all of a few, or evenly spaced ones of many, whatever their
/// scores.
pub(super) fn is_shown(number: usize, count: usize) -> bool {
    count <= SHOWN || (number * SHOWN) % count < SHOWN
}

/// The part of a picture that bicubic interpolation misses most, by several hands.
pub(super) struct Crop {
    /// Its left upper corner in the original.
    pub(super) at: (usize, usize),
    pub(super) panels: Vec<Panel>,
}

/// A crop by one hand.
pub(super) struct Panel {
    pub(super) by: String,
    /// The picture, as the address of a page's image.
    pub(super) address: String,
    /// Its PSNR in dB beside the original, in MATLAB's Y; the original and the small picture have none.
    pub(super) psnr: Option<f64>,
}

impl Crop {
    /// Crops the original, the small picture, bicubic interpolation, and the results of some models.
    pub(super) fn new<'a>(
        (original, small, scale): (&Picture, &AnyPicture, usize),
        bicubic: &Picture,
        models: impl Iterator<Item = (&'a Path, &'a Picture)>,
    ) -> Result<Self, CompareError> {
        let side = |length: usize| SIDE.min(length) / scale * scale;
        let (width, height) = (side(original.width()), side(original.height()));
        let at = place(original, bicubic, (width, height), scale);
        let of = |picture: &Picture| picture.part(at, width, height);
        let truth = of(original);
        let protocol = Protocol { space: ColourSpace::YMatlab, shave: 0 };
        let panel = |by: &str, picture: Picture, measured: bool| {
            let psnr = measured.then(|| psnr(&truth, &picture, protocol)).transpose()?;
            Ok::<_, CompareError>(Panel { by: by.to_owned(), address: address(&picture), psnr })
        };
        let low = small.part((at.0 / scale, at.1 / scale), width / scale, height / scale).into_eight();
        let mut panels = vec![panel("small picture", low, false)?];
        panels.push(panel("bicubic", of(bicubic), true)?);
        for (model, picture) in models.filter(|(model, _)| *model != Path::new("bicubic")) {
            panels.push(panel(&model.display().to_string(), of(picture), true)?);
        }
        panels.push(panel("original", truth.clone(), false)?);
        Ok(Self { at, panels })
    }
}

/// Returns where the square error between two pictures is greatest.
fn place(one: &Picture, other: &Picture, (width, height): (usize, usize), scale: usize) -> (usize, usize) {
    let step = STEP.next_multiple_of(scale);
    // Sums over all that lies above and to the left, with a row and a column of zeros before.
    let stride = one.width() + 1;
    let mut sums = vec![0_u64; stride * (one.height() + 1)];
    let pairs: Vec<u64> = one.rgb().iter().zip(other.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).collect();
    for (y, row) in pairs.chunks_exact(one.width() * 3).enumerate() {
        let mut line = 0;
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            line += pixel.iter().sum::<u64>();
            sums[(y + 1) * stride + x + 1] = sums[y * stride + x + 1] + line;
        }
    }
    let at = |x: usize, y: usize| sums[y * stride + x];
    let within = |(x, y): (usize, usize)| at(x + width, y + height) + at(x, y) - at(x + width, y) - at(x, y + height);
    let rows = (0..=one.height() - height).step_by(step);
    let places = rows.flat_map(|y| (0..=one.width() - width).step_by(step).map(move |x| (x, y)));
    places.max_by_key(|place| within(*place)).unwrap_or((0, 0))
}

/// Returns a picture as an address that holds it.
fn address(picture: &Picture) -> String {
    let png = encode(picture, Format::Png, &WriteOptions::default()).expect("PNG holds any crop, in memory");
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_shown_and_evenly() {
        assert!((0..12).all(|number| is_shown(number, 12)));
        for count in [13, 50, 100, 999] {
            let shown: Vec<usize> = (0..count).filter(|number| is_shown(*number, count)).collect();
            assert_eq!((shown.len(), shown[0]), (SHOWN, 0), "{count}: {shown:?}");
        }
    }

    #[test]
    fn a_crop_is_where_the_error_is() {
        let flat = Picture::from_rgb(200, 150, vec![100; 200 * 150 * 3]);
        let mut rgb = flat.rgb().to_vec();
        rgb[(120 * 200 + 150) * 3] = 255;
        let (x, y) = place(&flat, &flat.with_rgb(rgb), (96, 96), 4);
        assert!((x..x + 96).contains(&150) && (y..y + 96).contains(&120) && x % 4 == 0 && y % 4 == 0, "{x} {y}");
        assert_eq!(place(&flat, &flat, (200, 150), 4), (0, 0));
    }
}
