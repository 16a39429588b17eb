//! MATLAB's `imresize` with bicubic interpolation, bit-identical to the files that the literature publishes.
//!
//! The kernel is Keys' cubic with a = -0.5. When shrinking it is widened by the factor (antialiasing), weights are
//! normalised for each output pixel, and samples beyond the edge repeat the edge. The height is resized first, then the
//! width, and **each pass is rounded to 8 bits**: without that a tenth of the pixels of the published files are off by
//! one. Others use the name "bicubic" for other rules: BasicSR mirrors the edge and rounds nothing; OpenCV's kernel has
//! a = -0.75 and no antialiasing; PIL rounds its weights.

use crate::{Picture, Sample};
use rayon::prelude::*;
use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::Range;

/// A whole factor to resize by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Multiplies each side.
    Up(usize),
    /// Divides each side; a side that is not a multiple is rounded up.
    Down(usize),
}

impl Scale {
    /// Returns the resized length of a side of `length`.
    pub fn of(self, length: usize) -> usize {
        match self {
            Self::Up(s) => length * s,
            Self::Down(s) => length.div_ceil(s),
        }
    }

    fn factor(self) -> f64 {
        match self {
            Self::Up(s) => s as f64,
            Self::Down(s) => 1.0 / s as f64,
        }
    }
}

/// Resizes a picture, including its alpha channel, by the same rule.
pub fn resize<S: Sample>(picture: &Picture<S>, scale: Scale) -> Picture<S> {
    resize_sides(picture, [picture.width(), picture.height()].map(|length| Side::scaled(length, scale)))
}

/// Resizes a picture to any width and height by the rule of [`resize`]: rows first, then columns. MATLAB's `imresize`
/// starts with the side that shrinks more, so with unequal factors the result may differ by a level.
///
/// # Panics
/// Panics if the width, the height or the picture is empty.
pub fn resize_to<S: Sample>(picture: &Picture<S>, width: usize, height: usize) -> Picture<S> {
    assert!(width * height * picture.width() * picture.height() > 0, "an empty picture");
    resize_sides(picture, [Side::of_lengths(picture.width(), width), Side::of_lengths(picture.height(), height)])
}

/// How to resize one side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    from: usize,
    to: usize,
    factor: f64,
}

impl Side {
    fn scaled(length: usize, scale: Scale) -> Self {
        Self { from: length, to: scale.of(length), factor: scale.factor() }
    }

    pub(crate) fn of_lengths(from: usize, to: usize) -> Self {
        Self { from, to, factor: to as f64 / from as f64 }
    }

    /// Returns how many input samples the cubic reaches on each side of its centre.
    fn reach(self) -> f64 {
        4.0 / self.factor.min(1.0)
    }

    /// Returns the taps of output sample `out`.
    fn taps(self, out: usize) -> Taps {
        let (stretch, reach) = (self.factor.min(1.0), self.reach());
        let count = reach.ceil() as isize + 2;
        // The output's centre in input samples, counted from 0.
        let centre = (out as f64 + 0.5) / self.factor - 0.5;
        let first = (centre - reach / 2.0).floor() as isize;
        let raw: Taps = (first..first + count)
            .map(|i| (i.clamp(0, self.from as isize - 1) as usize, cubic(stretch * (centre - i as f64))))
            .filter(|(_, w)| *w != 0.0)
            .collect();
        let total: f64 = raw.iter().map(|(_, w)| w).sum();
        raw.into_iter().map(|(i, w)| (i, w / total)).collect()
    }
}

/// The taps of each output sample of a side. They are computed once, or on demand for a very long side, so that a table
/// never takes more than a few MiB.
#[derive(Debug)]
pub(crate) enum TapTable {
    Stored(Vec<Taps>),
    Computed(Side),
}

/// The most weights in a table.
const STORED: f64 = (1 << 20) as f64;

impl TapTable {
    pub(crate) fn new(side: Side) -> Self {
        match side.to as f64 * side.reach() <= STORED {
            true => Self::Stored((0..side.to).map(|out| side.taps(out)).collect()),
            false => Self::Computed(side),
        }
    }

    /// Returns the number of output samples.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Stored(taps) => taps.len(),
            Self::Computed(side) => side.to,
        }
    }

    /// Returns the taps of sample `out`, which must be in range.
    pub(crate) fn taps(&self, out: usize) -> Cow<'_, [(usize, f64)]> {
        match self {
            Self::Stored(taps) => Cow::Borrowed(&taps[out]),
            Self::Computed(side) => Cow::Owned(side.taps(out)),
        }
    }
}

fn resize_sides<S: Sample>(picture: &Picture<S>, [width, height]: [Side; 2]) -> Picture<S> {
    let rgb = Resized::<S, S, 3>::of_sides(picture.rgb(), width, height).rows(0..height.to);
    let alpha = picture.alpha().map(|alpha| Resized::<S, S, 1>::of_sides(alpha, width, height).rows(0..height.to));
    let mut resized = Picture::new(width.to, height.to, rgb).with_alpha(alpha);
    (resized.grey, resized.icc, resized.lost) = (picture.grey, picture.icc.clone(), picture.lost.clone());
    resized.exif = picture.exif.clone();
    resized
}

/// Interleaved samples of `N` channels and type `S`, resized to type `T` as [`resize`] does. Rows are computed only on
/// request.
#[derive(Debug)]
pub struct Resized<'a, S, T, const N: usize> {
    data: &'a [S],
    /// Samples per row of `data`.
    stride: usize,
    columns: TapTable,
    height: Side,
    to: PhantomData<T>,
}

/// The input samples of one output sample, with their weights.
pub(crate) type Taps = Vec<(usize, f64)>;

impl<'a, S: Sample, T: Sample, const N: usize> Resized<'a, S, T, N> {
    /// Prepares samples of this width and height, row by row, for resizing by a scale.
    ///
    /// # Panics
    /// Panics if there are not `width * height * N` samples.
    pub fn new(data: &'a [S], width: usize, height: usize, scale: Scale) -> Self {
        Self::of_sides(data, Side::scaled(width, scale), Side::scaled(height, scale))
    }

    /// Prepares samples of this width and height, row by row, for resizing to another width and height.
    ///
    /// # Panics
    /// Panics if there are not `width * height * N` samples.
    pub fn to_size(data: &'a [S], width: usize, height: usize, to_width: usize, to_height: usize) -> Self {
        Self::of_sides(data, Side::of_lengths(width, to_width), Side::of_lengths(height, to_height))
    }

    fn of_sides(data: &'a [S], width: Side, height: Side) -> Self {
        assert_eq!(data.len(), width.from * height.from * N, "{N} channels of {}x{}", width.from, height.from);
        Self { data, stride: width.from * N, columns: TapTable::new(width), height, to: PhantomData }
    }

    /// Computes some rows of the result.
    pub fn rows(&self, rows: Range<usize>) -> Vec<T> {
        let width = self.columns.len() * N;
        let mut out = vec![T::default(); rows.len() * width];
        if !self.data.is_empty() {
            out.par_chunks_mut(width).zip(rows).for_each(|(out, y)| self.row(y, out));
        }
        out
    }

    fn row(&self, y: usize, out: &mut [T]) {
        let rows = self.height.taps(y);
        // One level of `S` in levels of `T`: 1, 257 or 1/257.
        let unit = T::MAX.level() / S::MAX.level();
        if self.stride > WIDE {
            let tall = |at: usize| {
                let sum = rows.iter().fold(0.0, |sum, (row, w)| sum + w * self.data[row * self.stride + at].level());
                T::rounded(sum * unit)
            };
            return self.across(out, tall);
        }
        let mut sums = vec![0.0; self.stride];
        for (row, weight) in &rows {
            let source = &self.data[row * self.stride..][..self.stride];
            sums.iter_mut().zip(source).for_each(|(s, v)| *s += weight * v.level());
        }
        let tall: Vec<T> = sums.into_iter().map(|sum| T::rounded(sum * unit)).collect();
        self.across(out, |at| tall[at]);
    }

    /// Resizes a row horizontally; `sample` returns its samples.
    fn across(&self, out: &mut [T], sample: impl Fn(usize) -> T) {
        for (x, pixel) in out.chunks_exact_mut(N).enumerate() {
            let mut sums = [0.0; N];
            for (column, weight) in self.columns.taps(x).iter() {
                sums.iter_mut().enumerate().for_each(|(c, s)| *s += weight * sample(column * N + c).level());
            }
            pixel.iter_mut().zip(sums).for_each(|(out, sum)| *out = T::rounded(sum));
        }
    }
}

/// Row length in samples above which the height is resized sample by sample: sums for a whole row would take, on each
/// thread, many times the memory of the row.
const WIDE: usize = 1 << 20;

/// Evaluates Keys' cubic, a = -0.5.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    match x {
        _ if x <= 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        _ if x <= 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, read};
    use proptest::prelude::*;

    /// Every published low-resolution file is reproduced, pixel for pixel.
    #[test]
    fn published_files_are_reproduced() {
        let mut files = 0;
        for (set, scale) in [("Set5", 2), ("Set5", 3), ("Set5", 4), ("Set14", 4)] {
            let Some(folder) = pdn_testing::data(&format!("eval/{set}")) else { return };
            for entry in std::fs::read_dir(folder.join(format!("LR_bicubic/X{scale}"))).unwrap() {
                let path = entry.unwrap().path();
                let stem = path.file_stem().unwrap().to_string_lossy();
                let name = stem.strip_suffix(&format!("x{scale}")).unwrap();
                let published = read(&path, &Limits::default()).unwrap();
                let hr = read(&folder.join(format!("HR/{name}.png")), &Limits::default()).unwrap();
                let ours = resize(&hr.modcrop(scale), Scale::Down(scale));
                assert_eq!((ours.width(), ours.height()), (published.width(), published.height()), "{set} {name}");
                let different = ours.rgb().iter().zip(published.rgb()).filter(|(a, b)| a != b).count();
                assert_eq!(different, 0, "{set} {name} x{scale}: samples that differ");
                files += 1;
            }
        }
        assert_eq!(files, 29);
    }

    #[test]
    fn a_long_side_needs_no_long_table_and_gives_the_same() {
        let long = STORED as usize / 2;
        let side = Side::of_lengths(long, long + 7);
        let table = TapTable::new(side);
        assert!(matches!(table, TapTable::Computed(_)) && table.len() == long + 7);
        assert_eq!(*table.taps(1000), side.taps(1000)[..]);
        assert!(matches!(TapTable::new(Side::of_lengths(4000, 16_000)), TapTable::Stored(_)));
        // Wider than the row-by-row limit: the pixels must match those of its parts, away from the cut.
        let width = WIDE / 3 + 8;
        let rgb: Vec<u8> = (0..width * 2 * 3).map(|i| (i * i % 251) as u8).collect();
        let wide = Picture::from_rgb(width, 2, rgb);
        let left = wide.cropped(40, 2);
        let (found, expected) = (resize(&wide, Scale::Up(2)), resize(&left, Scale::Up(2)));
        for y in 0..4 {
            assert_eq!(found.rgb()[y * width * 6..][..64 * 3], expected.rgb()[y * 80 * 3..][..64 * 3]);
        }
    }

    proptest! {
        #[test]
        fn a_flat_picture_stays_flat(level: u8, width in 1_usize..20, height in 1_usize..20, s in 1_usize..5) {
            let picture = Picture::from_rgb(width, height, vec![level; width * height * 3]);
            for scale in [Scale::Up(s), Scale::Down(s)] {
                let resized = resize(&picture, scale);
                prop_assert_eq!(resized.width(), scale.of(width));
                prop_assert!(resized.rgb().iter().all(|v| *v == level));
            }
        }

        #[test]
        fn a_size_is_a_scale_where_it_is_a_multiple(width in 1_usize..9, height in 1_usize..9, s in 1_usize..4) {
            let rgb = (0..width * height * s * s * 3).map(|i| (i * 37 % 256) as u8).collect();
            let picture = Picture::from_rgb(width * s, height * s, rgb);
            prop_assert_eq!(resize_to(&picture, width, height), resize(&picture, Scale::Down(s)));
        }

        #[test]
        fn resizing_by_one_changes_nothing(rgb in prop::collection::vec(any::<u8>(), 5 * 4 * 3)) {
            let picture = Picture::from_rgb(5, 4, rgb);
            prop_assert_eq!(resize(&picture, Scale::Up(1)), picture);
        }
    }
}
