//! A picture in memory.

use crate::Header;
use std::borrow::Cow;
use std::ops::Range;

/// A picture of 8 bits a sample: RGB, and an alpha channel where its file had one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
    alpha: Option<Vec<u8>>,
    /// Whether it has no colour: red, green and blue are then equal, and it is written as grey.
    pub grey: bool,
    /// The ICC profile that its numbers are in.
    pub icc: Option<Vec<u8>>,
    /// What its file had and this has not, such as 16 bits a sample.
    pub lost: Vec<&'static str>,
}

impl Picture {
    /// A picture from interleaved RGB, row by row.
    ///
    /// # Panics
    /// When there are not `width * height * 3` numbers.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        assert_eq!(rgb.len(), width * height * 3, "RGB of {width}x{height}");
        Self { width, height, rgb, alpha: None, grey: false, icc: None, lost: Vec::new() }
    }

    /// The same picture with an alpha channel: 0 is transparent, 255 opaque.
    ///
    /// # Panics
    /// When there are not `width * height` numbers.
    pub fn with_alpha(mut self, alpha: Option<Vec<u8>>) -> Self {
        assert!(alpha.as_ref().is_none_or(|a| a.len() == self.width * self.height), "alpha of another size");
        self.alpha = alpha;
        self
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Interleaved RGB, row by row.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Alpha, row by row.
    pub fn alpha(&self) -> Option<&[u8]> {
        self.alpha.as_deref()
    }

    /// A picture from all its rows, interleaved as its header says.
    ///
    /// # Panics
    /// When there are not as many bytes as the header says.
    pub fn from_samples(header: Header, samples: Vec<u8>) -> Self {
        assert_eq!(samples.len(), header.row_bytes() * header.height, "rows of {}x{}", header.width, header.height);
        let pixels = || samples.chunks_exact(header.samples());
        let alpha = header.alpha.then(|| samples.iter().skip(header.samples() - 1).step_by(header.samples()).copied());
        let alpha = alpha.map(Iterator::collect);
        let rgb = match (header.grey, header.alpha) {
            (false, false) => samples,
            (true, _) => pixels().flat_map(|pixel| [pixel[0]; 3]).collect(),
            (false, true) => pixels().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        };
        let mut picture = Self::from_rgb(header.width, header.height, rgb).with_alpha(alpha);
        (picture.grey, picture.icc) = (header.grey, header.icc);
        picture
    }

    /// What is said of it before its rows.
    pub fn header(&self) -> Header {
        let Self { width, height, grey, .. } = *self;
        Header { width, height, grey, alpha: self.alpha.is_some(), icc: self.icc.clone() }
    }

    /// Some of its rows, interleaved as its [`Header`] says.
    ///
    /// # Panics
    /// When it has not all of these rows.
    pub fn samples(&self, rows: Range<usize>) -> Cow<'_, [u8]> {
        let rgb = &self.rgb[rows.start * self.width * 3..rows.end * self.width * 3];
        let alpha = self.alpha().map(|alpha| &alpha[rows.start * self.width..rows.end * self.width]);
        match (self.grey, alpha) {
            (false, None) => Cow::Borrowed(rgb),
            (true, None) => rgb.iter().step_by(3).copied().collect(),
            (false, Some(alpha)) => rgb.chunks_exact(3).zip(alpha).flat_map(|(p, a)| [p[0], p[1], p[2], *a]).collect(),
            (true, Some(alpha)) => rgb.iter().step_by(3).zip(alpha).flat_map(|(v, a)| [*v, *a]).collect(),
        }
    }

    /// Whether any pixel is not opaque.
    pub fn has_transparency(&self) -> bool {
        self.alpha().is_some_and(|alpha| alpha.iter().any(|a| *a < 255))
    }

    /// One plane: every third number from `channel`, 0 to 2.
    pub fn plane(&self, channel: usize) -> impl Iterator<Item = u8> + '_ {
        self.rgb.iter().skip(channel).step_by(3).copied()
    }

    /// The same picture with its colours changed; size, alpha and the rest stay.
    ///
    /// # Panics
    /// When there are not as many numbers as before.
    pub fn with_rgb(&self, rgb: Vec<u8>) -> Self {
        assert_eq!(rgb.len(), self.rgb.len(), "RGB of {}x{}", self.width, self.height);
        Self { rgb, ..self.clone() }
    }

    /// The top left `width` x `height`, or all where that is less.
    pub fn cropped(&self, width: usize, height: usize) -> Self {
        self.part((0, 0), width, height)
    }

    /// The `width` x `height` from column `left` and row `top`, or what there is of that.
    pub fn part(&self, (left, top): (usize, usize), width: usize, height: usize) -> Self {
        let (left, top) = (left.min(self.width), top.min(self.height));
        let (width, height) = (width.min(self.width - left), height.min(self.height - top));
        let cut = |data: &[u8], samples: usize| {
            let rows = data.chunks_exact((self.width * samples).max(1)).skip(top).take(height);
            rows.flat_map(|row| &row[left * samples..(left + width) * samples]).copied().collect::<Vec<u8>>()
        };
        let alpha = self.alpha.as_ref().map(|alpha| cut(alpha, 1));
        Self { width, height, rgb: cut(&self.rgb, 3), alpha, ..self.clone() }
    }

    /// The picture as a mirror shows it: left and right exchanged.
    pub fn mirrored(&self) -> Self {
        let turn = |data: &[u8], samples: usize| {
            let rows = data.chunks_exact((self.width * samples).max(1));
            rows.flat_map(|row| row.chunks_exact(samples).rev().flatten()).copied().collect::<Vec<u8>>()
        };
        let alpha = self.alpha.as_ref().map(|alpha| turn(alpha, 1));
        Self { rgb: turn(&self.rgb, 3), alpha, ..self.clone() }
    }

    /// MATLAB's `modcrop`: the rightmost columns and lowest rows dropped, so that both sides are multiples of `scale`.
    pub fn modcrop(&self, scale: usize) -> Self {
        self.cropped(self.width - self.width % scale, self.height - self.height % scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_taken_as_they_are_given() {
        let grey = Picture::from_rgb(5, 3, (0..15).flat_map(|v| [v; 3]).collect());
        for plain in [Picture { grey: true, ..grey }, Picture::from_rgb(5, 3, (0..45).collect())] {
            for alpha in [None, Some((100..115).collect())] {
                let picture = plain.clone().with_alpha(alpha);
                let samples = [picture.samples(0..2), picture.samples(2..3)].concat();
                assert_eq!(Picture::from_samples(picture.header(), samples), picture);
            }
        }
    }

    #[test]
    fn modcrop_drops_right_and_below() {
        let picture = Picture::from_rgb(5, 3, (0..45).collect()).with_alpha(Some((0..15).collect()));
        let cropped = picture.modcrop(2);
        assert_eq!((cropped.width(), cropped.height()), (4, 2));
        assert_eq!(cropped.rgb()[9..15], [9, 10, 11, 15, 16, 17]);
        assert_eq!(cropped.alpha().unwrap(), [0, 1, 2, 3, 5, 6, 7, 8]);
        assert_eq!(cropped.plane(1).take(2).collect::<Vec<_>>(), [1, 4]);
    }
}
