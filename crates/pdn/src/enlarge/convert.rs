//! Conversion between a picture's samples and a network's numbers.

use pdn_engine::{Piece, Pixels};
use pdn_image::{Picture, Sample};
use pdn_network::PictureFormat;
use rayon::prelude::*;
use std::ops::Range;

/// A picture as a network's numbers: `range * (v / 255 - mean)`, channel by channel; `v / 65535` for 16 bits.
pub(crate) struct Numbers<'a, S> {
    picture: &'a Picture<S>,
    format: PictureFormat,
}

impl<'a, S: Sample> Numbers<'a, S> {
    pub(crate) fn new(picture: &'a Picture<S>, format: &PictureFormat) -> Self {
        Self { picture, format: *format }
    }
}

impl<S: Sample> Pixels for Numbers<'_, S> {
    fn size(&self) -> (usize, usize, usize) {
        (3, self.picture.height(), self.picture.width())
    }

    fn number(&self, channel: usize, y: usize, x: usize) -> f32 {
        let v = self.picture.rgb()[(y * self.picture.width() + x) * 3 + channel];
        (self.format.range * (v.level() / S::MAX.level() - self.format.mean[channel])) as f32
    }
}

/// Converts a network's numbers to samples.
pub(crate) struct Levels {
    factor: f64,
    offset: [f64; 3],
}

impl Levels {
    /// Creates the conversion to samples of type `T`.
    pub(crate) fn new<T: Sample>(format: &PictureFormat) -> Self {
        let most = T::MAX.level();
        Self { factor: most / format.range, offset: format.mean.map(|mean| mean * most) }
    }

    /// Converts a number of a channel, with rounding and clipping.
    pub(crate) fn sample<T: Sample>(&self, number: f32, channel: usize) -> T {
        T::rounded(f64::from(number) * self.factor + self.offset[channel])
    }
}

/// Writes rows of a piece of an upscaled picture as interleaved RGB, rounded and clipped; `rgb` starts at the first of
/// these rows.
pub(crate) fn put<T: Sample>(piece: &Piece, rows: Range<usize>, format: &PictureFormat, rgb: &mut [T], width: usize) {
    let (columns, levels) = (piece.columns(), Levels::new::<T>(format));
    rgb.par_chunks_mut(width * 3).zip(rows).for_each_init(Vec::new, |numbers, (line, y)| {
        let line = &mut line[columns.start * 3..columns.end * 3];
        numbers.resize(columns.len(), 0.0);
        for c in 0..3 {
            piece.read(c, y, numbers);
            for (pixel, v) in line.chunks_exact_mut(3).zip(&*numbers) {
                pixel[c] = levels.sample(*v, c);
            }
        }
    });
}

/// Returns the luma of interleaved RGB, from 0 to the largest sample.
pub(crate) fn luma<T: Sample>(rgb: &[T]) -> impl Iterator<Item = T> + '_ {
    rgb.chunks_exact(3).map(|p| {
        let [r, g, b] = [p[0], p[1], p[2]].map(T::level);
        T::rounded(0.299 * r + 0.587 * g + 0.114 * b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_format_s() {
        let picture = Picture::from_rgb(2, 1, vec![0, 51, 255, 102, 153, 204]);
        let numbers = Numbers::new(&picture, &PictureFormat { range: 255.0, mean: [0.0, 0.2, 1.0] });
        let all = (0..3).flat_map(|c| (0..2).map(move |x| (c, x)));
        assert!(all.map(|(c, x)| numbers.number(c, 0, x)).eq([0.0, 102.0, 0.0, 102.0, 0.0, -51.0]));
        assert!(luma(&[9_u8, 9, 9, 255, 0, 0]).eq([9, 76]));
    }

    #[test]
    fn sixteen_bits_are_a_number_each() {
        let format = PictureFormat { range: 1.0, mean: [0.4488, 0.4371, 0.404] };
        let out = Levels::new::<u16>(&format);
        let levels: Vec<u16> = (0..=u16::MAX).flat_map(|v| [v; 3]).collect();
        let picture = Picture::new(256, 256, levels);
        let numbers = Numbers::new(&picture, &format);
        for (i, level) in (0..=u16::MAX).enumerate() {
            for c in 0..3 {
                assert_eq!(out.sample::<u16>(numbers.number(c, i / 256, i % 256), c), level);
            }
        }
    }
}
