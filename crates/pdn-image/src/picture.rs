//! A picture in memory, at 8 or 16 bits per sample.

use crate::{Header, Resolution, Sample};
use std::borrow::Cow;
use std::ops::Range;

/// A picture at 8 bits per sample, or at 16 as `Picture<u16>`: RGB, with an alpha channel if its file has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture<S = u8> {
    width: usize,
    height: usize,
    rgb: Vec<S>,
    alpha: Option<Vec<S>>,
    /// Whether the picture has no colour: red, green and blue are equal, and it is written as grey.
    pub grey: bool,
    /// The ICC profile that defines the colours.
    pub icc: Option<Vec<u8>>,
    /// EXIF, as the TIFF-structured block of a JPEG. The picture is already upright, and the thumbnail is removed.
    pub exif: Option<Vec<u8>>,
    /// The print resolution, if the file gives one.
    pub resolution: Option<Resolution>,
    /// What the file has and this picture does not, such as 16 bits per sample.
    pub lost: Vec<&'static str>,
}

impl Picture {
    /// Creates a picture from interleaved 8-bit RGB, row by row.
    ///
    /// # Panics
    /// Panics if there are not `width * height * 3` numbers.
    pub fn from_rgb(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        Self::new(width, height, rgb)
    }
}

impl<S: Sample> Picture<S> {
    /// Creates a picture from interleaved RGB, row by row.
    ///
    /// # Panics
    /// Panics if there are not `width * height * 3` numbers.
    pub fn new(width: usize, height: usize, rgb: Vec<S>) -> Self {
        assert_eq!(rgb.len(), width * height * 3, "RGB of {width}x{height}");
        Self { width, height, rgb, alpha: None, grey: false, icc: None, exif: None, resolution: None, lost: Vec::new() }
    }

    /// Returns the same picture with samples of another depth.
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

    /// Returns the same picture with an alpha channel: 0 is transparent, the largest sample opaque.
    ///
    /// # Panics
    /// Panics if there are not `width * height` numbers.
    pub fn with_alpha(mut self, alpha: Option<Vec<S>>) -> Self {
        assert!(alpha.as_ref().is_none_or(|a| a.len() == self.width * self.height), "alpha of another size");
        self.alpha = alpha;
        self
    }

    /// Returns the pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the interleaved RGB, row by row.
    pub fn rgb(&self) -> &[S] {
        &self.rgb
    }

    /// Returns the alpha channel, row by row.
    pub fn alpha(&self) -> Option<&[S]> {
        self.alpha.as_deref()
    }

    /// Creates a picture from all its rows, interleaved as the header says.
    ///
    /// # Panics
    /// Panics if the number of samples does not match the header.
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

    /// Returns what is known of the picture before its rows.
    pub fn header(&self) -> Header {
        let Self { width, height, grey, resolution, .. } = *self;
        let (icc, exif) = (self.icc.clone(), self.exif.clone());
        Header { width, height, grey, alpha: self.alpha.is_some(), depth: S::DEPTH, icc, exif, resolution }
    }

    /// Returns some of the rows, interleaved as the [`Header`] says.
    ///
    /// # Panics
    /// Panics if the picture does not have all of these rows.
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

    /// Returns whether any pixel is not opaque.
    pub fn has_transparency(&self) -> bool {
        self.alpha().is_some_and(|alpha| alpha.iter().any(|a| *a != S::MAX))
    }

    /// Returns the value of the alpha channel if there is one and it is constant.
    pub fn constant_alpha(&self) -> Option<S> {
        let alpha = self.alpha()?;
        let first = *alpha.first()?;
        alpha.iter().all(|a| *a == first).then_some(first)
    }

    /// Iterates over one plane: every third number from `channel`, 0 to 2.
    pub fn plane(&self, channel: usize) -> impl Iterator<Item = S> + '_ {
        self.rgb.iter().skip(channel).step_by(3).copied()
    }

    /// Returns the picture with other colours; size, alpha and metadata stay.
    ///
    /// # Panics
    /// Panics if the number of samples changes.
    pub fn with_rgb(&self, rgb: Vec<S>) -> Self {
        assert_eq!(rgb.len(), self.rgb.len(), "RGB of {}x{}", self.width, self.height);
        self.of_pixels([self.width, self.height], rgb, self.alpha.clone())
    }

    /// Returns the top left `width` x `height`, or less if the picture is smaller.
    pub fn cropped(&self, width: usize, height: usize) -> Self {
        self.part((0, 0), width, height)
    }

    /// Returns the `width` x `height` from column `left` and row `top`, clipped to the picture.
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

    /// Returns the picture with left and right exchanged.
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

    /// Returns a picture with these pixels and this picture's metadata.
    fn of_pixels(&self, [width, height]: [usize; 2], rgb: Vec<S>, alpha: Option<Vec<S>>) -> Self {
        let Self { grey, resolution, .. } = *self;
        let (icc, exif, lost) = (self.icc.clone(), self.exif.clone(), self.lost.clone());
        Self { width, height, rgb, alpha, grey, icc, exif, resolution, lost }
    }

    /// Crops as MATLAB's `modcrop`: drops the rightmost columns and lowest rows so that both sides are multiples of
    /// `scale`.
    pub fn modcrop(&self, scale: usize) -> Self {
        self.cropped(self.width - self.width % scale, self.height - self.height % scale)
    }
}

/// A picture at the depth of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyPicture {
    /// 8 bits per sample.
    Eight(Picture),
    /// 16 bits per sample.
    Sixteen(Picture<u16>),
}

/// Evaluates an expression on the picture, at either depth.
macro_rules! each {
    ($any:expr, $picture:ident => $value:expr) => {
        match $any {
            AnyPicture::Eight($picture) => $value,
            AnyPicture::Sixteen($picture) => $value,
        }
    };
}

impl AnyPicture {
    /// Returns the pixels per row.
    pub fn width(&self) -> usize {
        each!(self, picture => picture.width)
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        each!(self, picture => picture.height)
    }

    /// Returns whether any pixel is not opaque.
    pub fn has_transparency(&self) -> bool {
        each!(self, picture => picture.has_transparency())
    }

    /// Returns what is known of the picture before its rows.
    pub fn header(&self) -> Header {
        each!(self, picture => picture.header())
    }

    /// Returns what the file has and this picture does not.
    pub fn lost(&self) -> &[&'static str] {
        each!(self, picture => &picture.lost)
    }

    /// Returns the picture at 8 bits per sample: as it is, or rounded.
    pub fn eight(&self) -> Cow<'_, Picture> {
        match self {
            Self::Eight(picture) => Cow::Borrowed(picture),
            Self::Sixteen(picture) => Cow::Owned(picture.converted()),
        }
    }

    /// Converts into 8 bits per sample, as [`Self::eight`] does, without a copy if it has 8 already.
    pub fn into_eight(self) -> Picture {
        match self {
            Self::Eight(picture) => picture,
            Self::Sixteen(picture) => picture.converted(),
        }
    }

    /// Returns a part of the picture, as [`Picture::part`] does.
    pub fn part(&self, at: (usize, usize), width: usize, height: usize) -> Self {
        each!(self, picture => picture.part(at, width, height).into())
    }

    /// Removes the EXIF metadata.
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
