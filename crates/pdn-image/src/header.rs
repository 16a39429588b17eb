//! A picture's header: its size, its kind of samples and its metadata, known before its rows.

use crate::{Depth, Resolution};
use std::ops::Range;

/// What is said of a picture before its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether a pixel is one sample of grey, and not red, green and blue.
    pub grey: bool,
    /// Whether alpha follows as the last sample of each pixel: 0 is transparent, the largest opaque.
    pub alpha: bool,
    /// Bits of a sample.
    pub depth: Depth,
    /// The ICC profile that the numbers are in.
    pub icc: Option<Vec<u8>>,
    /// EXIF, as [`Picture::exif`](crate::Picture::exif) has it; its size is made to agree.
    pub exif: Option<Vec<u8>>,
    /// How large it is printed. WebP, AVIF and JPEG XL have no place for it but EXIF, which is made to hold it where there is none.
    pub resolution: Option<Resolution>,
}

/// Rows of about this many bytes are a band.
const BAND: usize = 1 << 20;

impl Header {
    /// Samples of a pixel, 1 to 4.
    pub fn samples(&self) -> usize {
        let colours = if self.grey { 1 } else { 3 };
        colours + usize::from(self.alpha)
    }

    /// Whether it is grey of 16 bits with alpha, which JPEG XL's encoder takes as colour only.
    pub(crate) fn is_deep_grey_alpha(&self) -> bool {
        self.grey && self.alpha && self.depth == Depth::Sixteen
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.width * self.samples() * self.depth.bytes()
    }

    /// Cuts rows into bands of about a mebibyte, from the first on.
    pub fn bands(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let tall = (BAND / self.row_bytes().max(1)).max(1);
        let end = rows.end;
        rows.step_by(tall).map(move |first| first..(first + tall).min(end))
    }
}
