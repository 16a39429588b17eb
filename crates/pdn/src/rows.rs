//! An enlarged picture as its rows: from the engine's pieces to interleaved samples of 8 bits.

use crate::convert::{luma, put};
use pdn_engine::Piece;
use pdn_image::{Header, Resized};
use pdn_network::PictureFormat;
use std::borrow::Cow;
use std::ops::Range;

/// What takes an enlarged picture's rows.
pub(crate) struct Rows<'a, E> {
    header: &'a Header,
    alpha: Option<Resized<'a, 1>>,
    give: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
    /// The first row that was not given.
    next: usize,
    /// The colours of the whole, gathered where the engine's pieces are narrower.
    whole: Vec<u8>,
}

impl<'a, E> Rows<'a, E> {
    pub(crate) fn new(
        header: &'a Header,
        alpha: Option<Resized<'a, 1>>,
        give: &'a mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Self {
        Self { header, alpha, give, next: 0, whole: Vec::new() }
    }

    /// Takes a piece: of the whole width, and then each begins where the last ended; or, all of them, narrower.
    pub(crate) fn piece(&mut self, piece: &Piece, format: &PictureFormat) -> Result<(), E> {
        let Header { width, height, .. } = *self.header;
        if piece.columns().len() < width {
            self.whole.resize(width * height * 3, 0);
            put(piece, piece.rows(), format, &mut self.whole[piece.rows().start * width * 3..], width);
            return Ok(());
        }
        assert!(self.whole.is_empty() && piece.rows().start == self.next, "pieces of whole rows, from the top");
        for band in self.header.bands(piece.rows()) {
            let mut rgb = vec![0; band.len() * width * 3];
            put(piece, band.clone(), format, &mut rgb, width);
            self.give(band, &rgb)?;
        }
        Ok(())
    }

    /// Gives the next rows, of which these are the colours.
    pub(crate) fn give(&mut self, rows: Range<usize>, rgb: &[u8]) -> Result<(), E> {
        self.next = rows.end;
        let alpha = self.alpha.as_ref().map(|alpha| alpha.rows(rows));
        let samples = match (self.header.grey, alpha) {
            (false, None) => Cow::Borrowed(rgb),
            (true, None) => luma(rgb).collect(),
            (false, Some(alpha)) => rgb.chunks_exact(3).zip(alpha).flat_map(|(p, a)| [p[0], p[1], p[2], a]).collect(),
            (true, Some(alpha)) => luma(rgb).zip(alpha).flat_map(|(v, a)| [v, a]).collect(),
        };
        (self.give)(&samples)
    }

    /// Gives what was gathered.
    pub(crate) fn end(mut self) -> Result<(), E> {
        let whole = std::mem::take(&mut self.whole);
        if whole.is_empty() {
            return Ok(());
        }
        let stride = self.header.width * 3;
        self.header
            .bands(0..self.header.height)
            .try_for_each(|band| self.give(band.clone(), &whole[band.start * stride..band.end * stride]))
    }
}
