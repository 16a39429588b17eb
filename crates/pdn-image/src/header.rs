//! A picture's header: size, sample type and metadata, known before its rows.

use crate::{Depth, Resolution};
use std::ops::Range;

/// What is known of a picture before its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Pixels per row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// Whether a pixel is one grey sample instead of red, green and blue.
    pub grey: bool,
    /// Whether alpha follows as the last sample of each pixel: 0 is transparent, the largest value opaque.
    pub alpha: bool,
    /// Bits per sample.
    pub depth: Depth,
    /// The ICC profile that defines the colours.
    pub icc: Option<Vec<u8>>,
    /// EXIF, in the form of [`Picture::exif`](crate::Picture::exif). Its size fields are updated to match the picture.
    pub exif: Option<Vec<u8>>,
    /// The print resolution. WebP, AVIF and JPEG XL can store it only in EXIF, which is created if there is none.
    pub resolution: Option<Resolution>,
}

/// The approximate size of a band, in bytes.
const BAND: usize = 1 << 20;

impl Header {
    /// Returns the samples per pixel, 1 to 4.
    pub fn samples(&self) -> usize {
        let colours = if self.grey { 1 } else { 3 };
        colours + usize::from(self.alpha)
    }

    /// Returns whether this is 16-bit grey with alpha, which the JPEG XL encoder accepts as colour only.
    pub(crate) fn is_deep_grey_alpha(&self) -> bool {
        self.grey && self.alpha && self.depth == Depth::Sixteen
    }

    /// Returns the bytes per row.
    pub fn row_bytes(&self) -> usize {
        self.width * self.samples() * self.depth.bytes()
    }

    /// Splits rows into bands of about one mebibyte, from the top.
    pub fn bands(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let tall = (BAND / self.row_bytes().max(1)).max(1);
        let end = rows.end;
        rows.step_by(tall).map(move |first| first..(first + tall).min(end))
    }
}
