//! A picture in memory, of 8 or 16 bits a sample.

use crate::{Header, Resolution, Sample};
use std::borrow::Cow;
use std::ops::Range;

/// A picture of 8 bits a sample, or of 16 as a `Picture<u16>`: RGB, and an alpha channel where its file had one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture<S = u8> {
    width: usize,
    height: usize,
    rgb: Vec<S>,
    alpha: Option<Vec<S>>,
    /// Whether it has no colour: red, green and blue are then equal, and it is written as grey.
    pub grey: bool,
    /// The ICC profile that its numbers are in.
    pub icc: Option<Vec<u8>>,
    /// EXIF, as the block of a TIFF's structure that a JPEG has; of a picture that is turned already, and without thumbnail.
    pub exif: Option<Vec<u8>>,
    /// How large it is printed, where its file says it.
    pub resolution: Option<Resolution>,
    /// What its file had and this has not, such as 16 bits a sample.
    pub lost: Vec<&'static str>,
}

impl Picture {
    /// A picture from interleaved RGB of 8 bits, row by row.
    ///
    /// # Panics
    /// When there are not `width * height * 3` numbers.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        Self::new(width, height, rgb)
    }
}

impl<S: Sample> Picture<S> {
    /// A picture from interleaved RGB, row by row.
    ///
    /// # Panics
    /// When there are not `width * height * 3` numbers.
    pub fn new(width: usize, height: usize, rgb: Vec<S>) -> Self {
        assert_eq!(rgb.len(), width * height * 3, "RGB of {width}x{height}");
        Self { width, height, rgb, alpha: None, grey: false, icc: None, exif: None, resolution: None, lost: Vec::new() }
    }

    /// The same picture with samples of another depth.
    pub fn converted<T: Sample>(&self) -> Picture<T> {
        let convert = |samples: &Vec<S>| samples.iter().map(|v| T::of(*v)).collect();
        Picture {
            width: self.width,
            height: self.height,
            rgb: convert(&self.rgb),
            alpha: self.alpha.as_ref().map(convert),
            grey: self.grey,
            icc: self.icc.clone(),
            exif: self.exif.clone(),
            resolution: self.resolution,
            lost: self.lost.clone(),
        }
    }

    /// The same picture with an alpha channel: 0 is transparent, the largest sample opaque.
    ///
    /// # Panics
    /// When there are not `width * height` numbers.
    pub fn with_alpha(mut self, alpha: Option<Vec<S>>) -> Self {
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
    pub fn rgb(&self) -> &[S] {
        &self.rgb
    }

    /// Alpha, row by row.
    pub fn alpha(&self) -> Option<&[S]> {
        self.alpha.as_deref()
    }

    /// A picture from all its rows, interleaved as its header says.
    ///
    /// # Panics
    /// When there are not as many samples as the header says.
    pub fn from_samples(header: Header, samples: Vec<S>) -> Self {
        let expected = header.width * header.samples() * header.height;
        assert_eq!(samples.len(), expected, "rows of {}x{}", header.width, header.height);
        let pixels = || samples.chunks_exact(header.samples());
        let alpha = header.alpha.then(|| samples.iter().skip(header.samples() - 1).step_by(header.samples()).copied());
        let alpha = alpha.map(Iterator::collect);
        let rgb = match (header.grey, header.alpha) {
            (false, false) => samples,
            (true, _) => pixels().flat_map(|pixel| [pixel[0]; 3]).collect(),
            (false, true) => pixels().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        };
        let mut picture = Self::new(header.width, header.height, rgb).with_alpha(alpha);
        (picture.grey, picture.icc, picture.exif) = (header.grey, header.icc, header.exif);
        picture.resolution = header.resolution;
        picture
    }

    /// What is said of it before its rows.
    pub fn header(&self) -> Header {
        let Self { width, height, grey, resolution, .. } = *self;
        let (icc, exif) = (self.icc.clone(), self.exif.clone());
        Header { width, height, grey, alpha: self.alpha.is_some(), depth: S::DEPTH, icc, exif, resolution }
    }

    /// Some of its rows, interleaved as its [`Header`] says.
    ///
    /// # Panics
    /// When it has not all of these rows.
    pub fn samples(&self, rows: Range<usize>) -> Cow<'_, [S]> {
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
        self.alpha().is_some_and(|alpha| alpha.iter().any(|a| *a != S::MAX))
    }

    /// The one value of all its alpha, where it has a channel that is constant.
    pub fn constant_alpha(&self) -> Option<S> {
        let alpha = self.alpha()?;
        let first = *alpha.first()?;
        alpha.iter().all(|a| *a == first).then_some(first)
    }

    /// One plane: every third number from `channel`, 0 to 2.
    pub fn plane(&self, channel: usize) -> impl Iterator<Item = S> + '_ {
        self.rgb.iter().skip(channel).step_by(3).copied()
    }

    /// The same picture with its colours changed; size, alpha and the rest stay.
    ///
    /// # Panics
    /// When there are not as many numbers as before.
    pub fn with_rgb(&self, rgb: Vec<S>) -> Self {
        assert_eq!(rgb.len(), self.rgb.len(), "RGB of {}x{}", self.width, self.height);
        self.of_pixels([self.width, self.height], rgb, self.alpha.clone())
    }

    /// The top left `width` x `height`, or all where that is less.
    pub fn cropped(&self, width: usize, height: usize) -> Self {
        self.part((0, 0), width, height)
    }

    /// The `width` x `height` from column `left` and row `top`, or what there is of that.
    pub fn part(&self, (left, top): (usize, usize), width: usize, height: usize) -> Self {
        let (left, top) = (left.min(self.width), top.min(self.height));
        let (width, height) = (width.min(self.width - left), height.min(self.height - top));
        let cut = |data: &[S], samples: usize| {
            let rows = data.chunks_exact((self.width * samples).max(1)).skip(top).take(height);
            let rows: Vec<&[S]> = rows.map(|row| &row[left * samples..(left + width) * samples]).collect();
            rows.concat()
        };
        self.of_pixels([width, height], cut(&self.rgb, 3), self.alpha.as_ref().map(|alpha| cut(alpha, 1)))
    }

    /// The picture as a mirror shows it: left and right exchanged.
    pub fn mirrored(&self) -> Self {
        let turn = |data: &[S], samples: usize| {
            let row = (self.width * samples).max(1);
            let mut turned = data.to_vec();
            for (to, from) in turned.chunks_exact_mut(row).zip(data.chunks_exact(row)) {
                let pixels = to.chunks_exact_mut(samples).zip(from.chunks_exact(samples).rev());
                pixels.for_each(|(to, from)| to.copy_from_slice(from));
            }
            turned
        };
        self.of_pixels([self.width, self.height], turn(&self.rgb, 3), self.alpha.as_ref().map(|alpha| turn(alpha, 1)))
    }

    /// Other pixels, with what else is known of this picture.
    fn of_pixels(&self, [width, height]: [usize; 2], rgb: Vec<S>, alpha: Option<Vec<S>>) -> Self {
        let Self { grey, resolution, .. } = *self;
        let (icc, exif, lost) = (self.icc.clone(), self.exif.clone(), self.lost.clone());
        Self { width, height, rgb, alpha, grey, icc, exif, resolution, lost }
    }

    /// MATLAB's `modcrop`: the rightmost columns and lowest rows dropped, so that both sides are multiples of `scale`.
    pub fn modcrop(&self, scale: usize) -> Self {
        self.cropped(self.width - self.width % scale, self.height - self.height % scale)
    }
}

/// A picture of the depth that its file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyPicture {
    /// Of 8 bits a sample.
    Eight(Picture),
    /// Of 16.
    Sixteen(Picture<u16>),
}

/// Evaluates an expression on the picture, of whatever depth.
macro_rules! each {
    ($any:expr, $picture:ident => $value:expr) => {
        match $any {
            AnyPicture::Eight($picture) => $value,
            AnyPicture::Sixteen($picture) => $value,
        }
    };
}

impl AnyPicture {
    /// Pixels in a row.
    pub fn width(&self) -> usize {
        each!(self, picture => picture.width)
    }

    /// Rows.
    pub fn height(&self) -> usize {
        each!(self, picture => picture.height)
    }

    /// Whether any pixel is not opaque.
    pub fn has_transparency(&self) -> bool {
        each!(self, picture => picture.has_transparency())
    }

    /// What is said of it before its rows.
    pub fn header(&self) -> Header {
        each!(self, picture => picture.header())
    }

    /// What its file had and this has not.
    pub fn lost(&self) -> &[&'static str] {
        each!(self, picture => &picture.lost)
    }

    /// The picture in 8 bits a sample: as it is, or rounded.
    pub fn eight(&self) -> Cow<'_, Picture> {
        match self {
            Self::Eight(picture) => Cow::Borrowed(picture),
            Self::Sixteen(picture) => Cow::Owned(picture.converted()),
        }
    }

    /// As [`Self::eight`], of a picture that is no longer needed.
    pub fn into_eight(self) -> Picture {
        match self {
            Self::Eight(picture) => picture,
            Self::Sixteen(picture) => picture.converted(),
        }
    }

    /// As [`Picture::part`].
    pub fn part(&self, at: (usize, usize), width: usize, height: usize) -> Self {
        each!(self, picture => picture.part(at, width, height).into())
    }

    /// Drops what is said of how it was taken.
    pub fn without_exif(mut self) -> Self {
        each!(&mut self, picture => picture.exif = None);
        self
    }
}

impl From<Picture> for AnyPicture {
    fn from(picture: Picture) -> Self {
        Self::Eight(picture)
    }
}

impl From<Picture<u16>> for AnyPicture {
    fn from(picture: Picture<u16>) -> Self {
        Self::Sixteen(picture)
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
