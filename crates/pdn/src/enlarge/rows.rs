//! Turns the engine's pieces into rows of interleaved samples.

use crate::enlarge::alpha::Transparency;
use crate::enlarge::convert::{luma, put};
use crate::enlarge::stages::Stage;
use pdn_engine::Piece;
use pdn_image::{Header, Sample};
use pdn_network::PictureFormat;
use std::borrow::Cow;
use std::ops::Range;

/// Receives an upscaled picture's rows at the network's size and passes them on at the header's size.
pub(crate) struct Rows<'a, S, T, E> {
    header: &'a Header,
    alpha: Option<Transparency<'a, S, T>>,
    /// Steps in between; without any, both sizes are equal.
    stages: Vec<Box<dyn Stage + 'a>>,
    give: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
    /// Width and height of the incoming rows.
    size: (usize, usize),
    /// Counts of rows received and passed on.
    came: usize,
    given: usize,
    /// Colours of the whole picture, gathered if the engine's pieces are narrower than it: as passed on, or else in 16
    /// bits.
    whole: Vec<T>,
    deep: Vec<u16>,
}

impl<'a, S: Sample, T: Sample, E> Rows<'a, S, T, E> {
    pub(crate) fn new(
        header: &'a Header,
        size: (usize, usize),
        alpha: Option<Transparency<'a, S, T>>,
        stages: Vec<Box<dyn Stage + 'a>>,
        give: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Self {
        Self { header, alpha, stages, give, size, came: 0, given: 0, whole: Vec::new(), deep: Vec::new() }
    }

    /// Returns whether rows arrive in 16 bits and go through stages.
    pub(crate) fn has_stages(&self) -> bool {
        !self.stages.is_empty()
    }

    /// Takes a piece. Either each piece spans the whole width and begins where the last ended, or all are narrower.
    pub(crate) fn piece(&mut self, piece: &Piece, format: &PictureFormat) -> Result<(), E> {
        match self.has_stages() {
            true => self.typed::<u16>(piece, format, |rows| &mut rows.deep, Self::deep),
            false => self.typed::<T>(piece, format, |rows| &mut rows.whole, Self::give),
        }
    }

    /// Takes a piece in samples of type `V`: narrow pieces go to `gathered`, whole rows to `take`.
    fn typed<V: Sample>(
        &mut self,
        piece: &Piece,
        format: &PictureFormat,
        gathered: impl Fn(&mut Self) -> &mut Vec<V>,
        take: impl Fn(&mut Self, &[V]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (width, height) = self.size;
        if piece.columns().len() < width {
            let whole = gathered(self);
            whole.resize(width * height * 3, V::default());
            put(piece, piece.rows(), format, &mut whole[piece.rows().start * width * 3..], width);
            return Ok(());
        }
        assert!(gathered(self).is_empty() && piece.rows().start == self.came, "pieces of whole rows, from the top");
        for band in bands(width, piece.rows()) {
            let mut rgb = vec![V::default(); band.len() * width * 3];
            put(piece, band.clone(), format, &mut rgb, width);
            self.came = band.end;
            take(self, &rgb)?;
        }
        Ok(())
    }

    /// Takes the colours of the next rows in 16 bits, and passes on those that the stages have ready.
    pub(crate) fn deep(&mut self, rgb: &[u16]) -> Result<(), E> {
        let numbers = rgb.iter().map(|v| f32::from(*v) / 65_535.0).collect();
        let ready = self.stages.iter_mut().fold(numbers, |rows, stage| stage.push(rows));
        let most = T::MAX.level();
        let rgb: Vec<T> = ready.into_iter().map(|v| T::rounded(f64::from(v) * most)).collect();
        if rgb.is_empty() { Ok(()) } else { self.give(&rgb) }
    }

    /// Passes on the next rows, given their colours.
    pub(crate) fn give(&mut self, rgb: &[T]) -> Result<(), E> {
        let rows = self.given..self.given + rgb.len() / (3 * self.header.width);
        self.given = rows.end;
        let alpha = self.alpha.as_ref().map(|alpha| alpha.rows(rows));
        let samples = match (self.header.grey, alpha) {
            (false, None) => Cow::Borrowed(rgb),
            (true, None) => luma(rgb).collect(),
            (false, Some(alpha)) => rgb.chunks_exact(3).zip(alpha).flat_map(|(p, a)| [p[0], p[1], p[2], a]).collect(),
            (true, Some(alpha)) => luma(rgb).zip(alpha).flat_map(|(v, a)| [v, a]).collect(),
        };
        (self.give)(&T::bytes(&samples))
    }

    /// Passes on the gathered rows.
    pub(crate) fn end(mut self) -> Result<(), E> {
        let (whole, deep) = (std::mem::take(&mut self.whole), std::mem::take(&mut self.deep));
        let ((width, height), stride) = (self.size, self.size.0 * 3);
        for band in bands(width, 0..height).filter(|_| !whole.is_empty()) {
            self.give(&whole[band.start * stride..band.end * stride])?;
        }
        for band in bands(width, 0..height).filter(|_| !deep.is_empty()) {
            self.deep(&deep[band.start * stride..band.end * stride])?;
        }
        Ok(())
    }
}

/// Splits rows into bands of about one mebibyte of 8-bit colour.
pub(crate) fn bands(width: usize, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    Header { width, ..Header::default() }.bands(rows)
}
