//! From a picture's 8 bits to a network's numbers and back.

use pdn_engine::{Piece, Pixels};
use pdn_image::Picture;
use pdn_network::PictureFormat;
use rayon::prelude::*;
use std::ops::Range;

/// A picture as a network's numbers: `range * (v / 255 - mean)`, channel by channel.
pub(crate) struct Numbers<'a> {
    picture: &'a Picture,
    /// The number of each level.
    tables: [[f32; 256]; 3],
}

impl<'a> Numbers<'a> {
    pub(crate) fn new(picture: &'a Picture, format: &PictureFormat) -> Self {
        let number = |v: u8, mean: f64| (format.range * (f64::from(v) / 255.0 - mean)) as f32;
        Self { picture, tables: format.mean.map(|mean| std::array::from_fn(|v| number(v as u8, mean))) }
    }
}

impl Pixels for Numbers<'_> {
    fn size(&self) -> (usize, usize, usize) {
        (3, self.picture.height(), self.picture.width())
    }

    fn number(&self, channel: usize, y: usize, x: usize) -> f32 {
        self.tables[channel][usize::from(self.picture.rgb()[(y * self.picture.width() + x) * 3 + channel])]
    }
}

/// Writes rows of a piece of an enlarged picture into interleaved RGB of 8 bits, rounded and clipped; `rgb` begins with the
/// first of them.
pub(crate) fn put(piece: &Piece, rows: Range<usize>, format: &PictureFormat, rgb: &mut [u8], width: usize) {
    let columns = piece.columns();
    rgb.par_chunks_mut(width * 3).zip(rows).for_each(|(line, y)| {
        let line = &mut line[columns.start * 3..columns.end * 3];
        for (c, mean) in format.mean.into_iter().enumerate() {
            for (out, v) in line.iter_mut().skip(c).step_by(3).zip(piece.row(c, y)) {
                let level = (f64::from(v) / format.range + mean) * 255.0;
                *out = (level + 0.5).floor().clamp(0.0, 255.0) as u8;
            }
        }
    });
}

/// The luma of interleaved RGB, from 0 to 255.
pub(crate) fn luma(rgb: &[u8]) -> impl Iterator<Item = u8> + '_ {
    rgb.chunks_exact(3).map(|p| {
        let [r, g, b] = [p[0], p[1], p[2]].map(f64::from);
        (0.299 * r + 0.587 * g + 0.114 * b).round() as u8
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
        assert!(luma(&[9, 9, 9, 255, 0, 0]).eq([9, 76]));
    }
}
