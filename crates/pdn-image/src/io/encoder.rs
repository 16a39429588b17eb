//! The single path of rows into a file or into memory, for every format.

use crate::codecs::png::PngEncoder;
use crate::codecs::raster::Raster;
use crate::codecs::tiff::{self, StripEncoder};
use crate::codecs::{jpeg, webp};
use crate::metadata::exif;
use crate::{Fault, Format, Header, WriteOptions};
use ::tiff::encoder::{TiffKindBig, TiffKindStandard};
use std::io::{Seek, Write};

/// A picture while it is encoded.
pub(crate) struct Encoder<W: Write + Seek + 'static> {
    format: Format,
    quality: Option<u8>,
    body: Body<W>,
    row_bytes: usize,
    /// Rows received so far, and rows in all.
    taken: usize,
    height: usize,
}

enum Body<W: Write + Seek + 'static> {
    Png(Box<PngEncoder<W>>),
    Tiff(Box<StripEncoder<W, TiffKindStandard>>),
    BigTiff(Box<StripEncoder<W, TiffKindBig>>),
    Whole(Raster),
}

impl<W: Write + Seek + 'static> Encoder<W> {
    /// Checks what the format can hold and writes what precedes the rows. `sink` is called once, to create the writer.
    pub(crate) fn new(
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
            crate::codecs::jxl::check_profile(icc)?;
        }
        let exif = header.exif.as_ref().map(|block| exif::sized(block, header));
        let exif = match header.resolution.filter(|_| !format.has_resolution()) {
            Some(resolution) => exif::printed(exif, resolution),
            None => exif,
        };
        let header = &Header { exif, ..header.clone() };
        let body = match format {
            Format::Png => Body::Png(Box::new(PngEncoder::new(sink()?, header, provenance)?)),
            Format::Tiff if tiff::is_big(header, provenance) => {
                Body::BigTiff(Box::new(StripEncoder::new(sink()?, header, provenance)?))
            }
            Format::Tiff => Body::Tiff(Box::new(StripEncoder::new(sink()?, header, provenance)?)),
            Format::Jpeg | Format::WebP | Format::Avif | Format::JpegXl => {
                Body::Whole(Raster::new(header, provenance, format.has_alpha()))
            }
        };
        let quality = options.quality;
        Ok(Self { format, quality, body, row_bytes: header.row_bytes(), taken: 0, height: header.height })
    }

    /// Encodes whole rows.
    pub(crate) fn write_rows(&mut self, rows: &[u8]) -> Result<(), Fault> {
        if !rows.len().is_multiple_of(self.row_bytes) {
            return Err(Fault::PartOfRow { found: rows.len(), row: self.row_bytes });
        }
        self.taken += rows.len() / self.row_bytes;
        if self.taken > self.height {
            return Err(Fault::Rows { found: self.taken, expected: self.height });
        }
        match &mut self.body {
            Body::Png(png) => png.write(rows),
            Body::Tiff(tiff) => tiff.write(rows),
            Body::BigTiff(tiff) => tiff.write(rows),
            Body::Whole(raster) => raster.push(rows),
        }
    }

    /// Writes what follows the rows. For a format that needs the whole picture at once, returns all its bytes; none of
    /// them is written yet.
    pub(crate) fn finish(self) -> Result<Option<Vec<u8>>, Fault> {
        if self.taken != self.height {
            return Err(Fault::Rows { found: self.taken, expected: self.height });
        }
        match self.body {
            Body::Png(png) => png.finish()?,
            Body::Tiff(tiff) => tiff.finish()?,
            Body::BigTiff(tiff) => tiff.finish()?,
            Body::Whole(raster) => return encode(self.format, &raster, self.quality).map(Some),
        }
        Ok(None)
    }
}

/// Encodes a picture for a format whose encoder takes it whole.
fn encode(format: Format, raster: &Raster, quality: Option<u8>) -> Result<Vec<u8>, Fault> {
    match (format, quality) {
        #[cfg(feature = "avif")]
        (Format::Avif, quality) => crate::codecs::avif::encode(raster, quality),
        #[cfg(feature = "jxl")]
        (Format::JpegXl, _) => crate::codecs::jxl::encode(raster),
        #[cfg(feature = "webp-lossy")]
        (Format::WebP, Some(quality)) => webp::lossy::encode(raster, quality),
        (Format::WebP, _) => webp::encode(raster),
        (Format::Jpeg, quality) => jpeg::encode(raster, quality),
        (Format::Png | Format::Tiff, _) => unreachable!("written row by row"),
        #[cfg(not(all(feature = "avif", feature = "jxl")))]
        (other, _) => {
            other.check_built()?;
            unreachable!("{other} is checked before it is encoded")
        }
    }
}
