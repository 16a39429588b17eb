//! A smaller version of a result that browsers cannot show, made as the result's rows are written.

use pdn::{Depth, FileFault, Format, Header, RowEncoder, WriteOptions};

/// What browsers decode and show without trouble: the longest side, and the number of pixels.
pub(crate) const SHOWN_SIDE: usize = 16_384;
pub(crate) const SHOWN_PIXELS: usize = 100_000_000;

/// The most pixels of a preview.
const PIXELS: usize = 16_000_000;

/// The JPEG quality of a preview.
const QUALITY: u8 = 90;

/// A picture of the means over squares of a larger one, built row by row.
pub(crate) struct Preview {
    file: RowEncoder,
    from: Header,
    /// The side of a square, in pixels.
    side: usize,
    to: (usize, usize),
    /// The running sum of each sample of a row.
    sums: Vec<u64>,
    /// How many rows are in the sums.
    rows: usize,
    /// How many rows are still to come.
    left: usize,
}

impl Preview {
    /// The most bytes that a preview takes: its samples, and its file as it grows.
    pub(crate) const MEMORY: usize = PIXELS * 4 * 3;

    /// Creates a preview for a result; `None` if browsers can show the result itself.
    pub(crate) fn of(header: &Header) -> Result<Option<Self>, FileFault> {
        let (width, height) = (header.width, header.height);
        if is_shown(width, height) {
            return Ok(None);
        }
        let by_pixels = (width as f64 * height as f64 / PIXELS as f64).sqrt().ceil() as usize;
        let side = by_pixels.max(width.max(height).div_ceil(SHOWN_SIDE)).max(1);
        let to = (width.div_ceil(side), height.div_ceil(side));
        let small = Header { width: to.0, height: to.1, depth: Depth::Eight, exif: None, ..header.clone() };
        // JPEG has no transparency.
        let (format, quality) = match header.alpha {
            true => (Format::Png, None),
            false => (Format::Jpeg, Some(QUALITY)),
        };
        let file = RowEncoder::new(format, &small, &WriteOptions { quality, ..WriteOptions::default() })?;
        let sums = vec![0; to.0 * header.samples()];
        Ok(Some(Self { file, from: header.clone(), side, to, sums, rows: 0, left: height }))
    }

    /// Takes whole rows of the result.
    pub(crate) fn rows(&mut self, rows: &[u8]) -> Result<(), FileFault> {
        rows.chunks_exact(self.from.row_bytes()).try_for_each(|row| self.row(row))
    }

    fn row(&mut self, row: &[u8]) -> Result<(), FileFault> {
        let (samples, side) = (self.from.samples(), self.side);
        match self.from.depth {
            Depth::Eight => add(&mut self.sums, row.iter().map(|v| u64::from(*v)), samples, side),
            Depth::Sixteen => {
                let levels = row.chunks_exact(2).map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair[1]])));
                add(&mut self.sums, levels, samples, side);
            }
        }
        self.rows += 1;
        self.left = self.left.saturating_sub(1);
        match self.rows == side || self.left == 0 {
            true => self.write(),
            false => Ok(()),
        }
    }

    /// Writes the row of means.
    fn write(&mut self) -> Result<(), FileFault> {
        let (samples, side) = (self.from.samples(), self.side);
        let level = if self.from.depth == Depth::Sixteen { 257 } else { 1 };
        let mean = |(at, sum): (usize, &u64)| {
            // The last square may be narrower.
            let columns = side.min(self.from.width - at / samples * side);
            let count = (columns * self.rows * level) as u64;
            ((sum + count / 2) / count).min(255) as u8
        };
        let means: Vec<u8> = self.sums.iter().enumerate().map(mean).collect();
        self.file.write_rows(&means)?;
        self.sums.fill(0);
        self.rows = 0;
        Ok(())
    }

    /// Finishes the preview: width, height, and the file.
    pub(crate) fn finish(self) -> Result<(usize, usize, Vec<u8>), FileFault> {
        Ok((self.to.0, self.to.1, self.file.finish()?))
    }
}

/// Returns whether browsers can show a picture of this size.
pub(crate) fn is_shown(width: usize, height: usize) -> bool {
    width.max(height) <= SHOWN_SIDE && width.saturating_mul(height) <= SHOWN_PIXELS
}

/// Adds a row's samples to the sums of their squares.
fn add(sums: &mut [u64], levels: impl Iterator<Item = u64>, samples: usize, side: usize) {
    let (mut column, mut sample, mut within) = (0, 0, 0);
    for level in levels {
        sums[column * samples + sample] += level;
        sample += 1;
        if sample == samples {
            sample = 0;
            within += 1;
            if within == side {
                within = 0;
                column += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(width: usize, height: usize, alpha: bool, depth: Depth) -> Header {
        Header { width, height, alpha, depth, ..Header::default() }
    }

    #[test]
    fn what_browsers_show_needs_none() {
        for (width, height) in [(1, 1), (16_384, 100), (10_000, 10_000)] {
            assert!(Preview::of(&header(width, height, false, Depth::Eight)).unwrap().is_none());
        }
        for (width, height) in [(16_385, 1), (1, 16_385), (10_001, 10_000)] {
            assert!(Preview::of(&header(width, height, false, Depth::Eight)).unwrap().is_some());
        }
    }

    #[test]
    fn a_preview_is_of_means() {
        for depth in [Depth::Eight, Depth::Sixteen] {
            let header = header(16_385, 3, true, depth);
            let mut preview = Preview::of(&header).unwrap().unwrap();
            // Rows of 0, 100 and 50: squares of two pixels a side.
            for level in [0, 100, 50_u8] {
                let row: Vec<u8> = match depth {
                    Depth::Eight => vec![level; header.row_bytes()],
                    Depth::Sixteen => {
                        (0..header.row_bytes() / 2).flat_map(|_| (u16::from(level) * 257).to_ne_bytes()).collect()
                    }
                };
                preview.rows(&row).unwrap();
            }
            let (width, height, file) = preview.finish().unwrap();
            let picture = pdn::read_bytes(&file, &pdn::Limits::default()).unwrap();
            assert_eq!((picture.width(), picture.height(), width, height), (8193, 2, 8193, 2));
            let (above, below) = picture.rgb().split_at(8193 * 3);
            assert!(above.iter().all(|v| *v == 50) && below.iter().all(|v| *v == 50), "{depth:?}");
        }
    }
}
