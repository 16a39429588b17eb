//! An enlarged picture as its rows: from the engine's pieces to interleaved samples.

use crate::enlarge::alpha::Transparency;
use crate::enlarge::convert::{luma, put};
use crate::enlarge::stages::Stage;
use pdn_engine::Piece;
use pdn_image::{Header, Sample};
use pdn_network::PictureFormat;
use std::borrow::Cow;
use std::ops::Range;

/// What takes an enlarged picture's rows: those that come are of a size of their own, those that are given of the header's.
pub(crate) struct Rows<'a, S, T, E> {
    header: &'a Header,
    alpha: Option<Transparency<'a, S, T>>,
    /// What is done to the rows in between; without any, they come as large as they are given.
    stages: Vec<Box<dyn Stage + 'a>>,
    give: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
    /// Width and height of what comes.
    size: (usize, usize),
    /// Rows that came, and that were given.
    came: usize,
    given: usize,
    /// The colours of the whole, gathered where the engine's pieces are narrower: as they are given, or else in 16 bits.
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

    /// Whether the rows come in 16 bits and go through stages.
    pub(crate) fn has_stages(&self) -> bool {
        !self.stages.is_empty()
    }

    /// Takes a piece: of the whole width, and then each begins where the last ended; or, all of them, narrower.
    pub(crate) fn piece(&mut self, piece: &Piece, format: &PictureFormat) -> Result<(), E> {
        match self.has_stages() {
            true => self.typed::<u16>(piece, format, |rows| &mut rows.deep, Self::deep),
            false => self.typed::<T>(piece, format, |rows| &mut rows.whole, Self::give),
        }
    }

    /// Takes a piece in samples of a type, which are gathered in one place, or taken by another.
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

    /// Takes the colours of the next rows in 16 bits, and gives those that the stages have ready.
    pub(crate) fn deep(&mut self, rgb: &[u16]) -> Result<(), E> {
        let numbers = rgb.iter().map(|v| f32::from(*v) / 65_535.0).collect();
        let ready = self.stages.iter_mut().fold(numbers, |rows, stage| stage.push(rows));
        let most = T::MAX.level();
        let rgb: Vec<T> = ready.into_iter().map(|v| T::rounded(f64::from(v) * most)).collect();
        if rgb.is_empty() { Ok(()) } else { self.give(&rgb) }
    }

    /// Gives the next rows, of which these are the colours.
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

    /// Gives what was gathered.
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

/// Cuts rows of a width into bands of about a mebibyte of colours of 8 bits.
pub(crate) fn bands(width: usize, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    Header { width, ..Header::default() }.bands(rows)
}
