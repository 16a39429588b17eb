//! What becomes of rows in each format: the one path of pictures into files and into memory.

use crate::png_rows::PngRows;
use crate::tiff_rows::{self, TiffRows};
use crate::whole::Whole;
use crate::write::{Format, WriteOptions};
use crate::{Fault, Header, exif};
use std::io::{Seek, Write};
use tiff::encoder::{TiffKindBig, TiffKindStandard};

/// A picture that is being encoded.
pub(crate) struct Encoding<W: Write + Seek + 'static> {
    body: Body<W>,
    row_bytes: usize,
    /// Rows that were given, and that there will be.
    given: usize,
    height: usize,
}

enum Body<W: Write + Seek + 'static> {
    Png(Box<PngRows<W>>),
    Tiff(Box<TiffRows<W, TiffKindStandard>>),
    BigTiff(Box<TiffRows<W, TiffKindBig>>),
    Whole(Whole),
}

impl<W: Write + Seek + 'static> Encoding<W> {
    /// Checks what the format can hold, and writes what comes before the rows; `sink` makes that to which is written, once.
    pub(crate) fn begin(
        format: Format,
        header: &Header,
        options: &WriteOptions,
        sink: impl FnOnce() -> Result<W, Fault>,
    ) -> Result<Self, Fault> {
        let provenance = options.provenance.as_ref();
        format.check_built()?;
        format.check_size(header.width, header.height)?;
        format.check_depth(header.depth)?;
        provenance.map_or(Ok(()), |provenance| provenance.check(format))?;
        if let Some(block) = header.exif.as_ref().filter(|_| format == Format::Jpeg) {
            exif::check_jpeg(block)?;
        }
        if format == Format::JpegXl && header.is_deep_grey_alpha() && header.icc.is_some() {
            return Err(Fault::GreyProfile);
        }
        #[cfg(feature = "jxl")]
        if let (Format::JpegXl, Some(icc)) = (format, &header.icc) {
            crate::jxl_write::check_profile(icc)?;
        }
        let exif = header.exif.as_ref().map(|block| exif::sized(block, header));
        let exif = match header.resolution.filter(|_| !format.has_resolution()) {
            Some(resolution) => exif::printed(exif, resolution),
            None => exif,
        };
        let header = &Header { exif, ..header.clone() };
        let body = match format {
            Format::Png => Body::Png(Box::new(PngRows::begin(sink()?, header, provenance)?)),
            Format::Tiff if tiff_rows::is_big(header, provenance) => {
                Body::BigTiff(Box::new(TiffRows::begin(sink()?, header, provenance)?))
            }
            Format::Tiff => Body::Tiff(Box::new(TiffRows::begin(sink()?, header, provenance)?)),
            Format::Jpeg | Format::WebP | Format::Avif | Format::JpegXl => {
                Body::Whole(Whole::new(format, header, options))
            }
        };
        Ok(Self { body, row_bytes: header.row_bytes(), given: 0, height: header.height })
    }

    /// Takes whole rows.
    pub(crate) fn write_rows(&mut self, rows: &[u8]) -> Result<(), Fault> {
        if !rows.len().is_multiple_of(self.row_bytes) {
            return Err(Fault::PartOfRow { found: rows.len(), row: self.row_bytes });
        }
        self.given += rows.len() / self.row_bytes;
        if self.given > self.height {
            return Err(Fault::Rows { found: self.given, expected: self.height });
        }
        match &mut self.body {
            Body::Png(png) => png.write(rows),
            Body::Tiff(tiff) => tiff.write(rows),
            Body::BigTiff(tiff) => tiff.write(rows),
            Body::Whole(whole) => whole.push(rows),
        }
    }

    /// Writes what comes after the rows; of a format that wants the whole, gives all its bytes, of which none is written yet.
    pub(crate) fn end(self) -> Result<Option<Vec<u8>>, Fault> {
        if self.given != self.height {
            return Err(Fault::Rows { found: self.given, expected: self.height });
        }
        match self.body {
            Body::Png(png) => png.end()?,
            Body::Tiff(tiff) => tiff.end()?,
            Body::BigTiff(tiff) => tiff.end()?,
            Body::Whole(whole) => return whole.encoded().map(Some),
        }
        Ok(None)
    }
}
