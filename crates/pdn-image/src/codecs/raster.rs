//! A picture collected row by row, for the encoders that take it whole: JPEG, WebP, AVIF and JPEG XL.

use crate::{Fault, Header, Provenance};

/// A picture while it is collected.
pub(crate) struct Raster {
    pub(crate) header: Header,
    pub(crate) provenance: Option<Provenance>,
    /// Samples, interleaved as the header says; without alpha if the format has none.
    pub(crate) samples: Vec<u8>,
    has_alpha: bool,
}

impl Raster {
    /// Creates a picture without rows, for a format that fits it and has alpha if `has_alpha`.
    pub(crate) fn new(header: &Header, provenance: Option<&Provenance>, has_alpha: bool) -> Self {
        Self { header: header.clone(), provenance: provenance.cloned(), samples: Vec::new(), has_alpha }
    }

    /// Appends whole rows.
    ///
    /// # Errors
    /// Returns [`Fault::NoAlpha`] if a pixel is not opaque and the format has no alpha.
    pub(crate) fn push(&mut self, rows: &[u8]) -> Result<(), Fault> {
        if self.has_alpha || !self.header.alpha {
            self.samples.extend_from_slice(rows);
            return Ok(());
        }
        for pixel in rows.chunks_exact(self.header.samples()) {
            let [colours @ .., 255] = pixel else { return Err(Fault::NoAlpha) };
            self.samples.extend_from_slice(colours);
        }
        Ok(())
    }

    /// Returns the XMP packet to store.
    pub(crate) fn packet(&self) -> Option<Vec<u8>> {
        self.provenance.as_ref().map(|provenance| provenance.packet().into_bytes())
    }
}
