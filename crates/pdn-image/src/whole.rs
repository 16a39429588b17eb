//! Formats whose encoders want the whole picture: its rows are gathered. JPEG and WebP without loss are encoded here.

#[cfg(feature = "avif")]
use crate::avif_write;
#[cfg(feature = "jxl")]
use crate::jxl_write;
#[cfg(feature = "webp-lossy")]
use crate::webp_lossy;
use crate::write::{Format, WriteOptions};
use crate::{Fault, Header};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};
use image_webp::{ColorType, EncodingError, WebPEncoder};
use std::fmt::Display;

/// JPEG's, where none is chosen.
const JPEG_QUALITY: u8 = 95;

/// A picture that is being gathered.
pub(crate) struct Whole {
    pub(crate) header: Header,
    options: WriteOptions,
    /// Interleaved; for JPEG without alpha.
    pub(crate) samples: Vec<u8>,
    format: Format,
}

/// What an encoder says of its failing.
pub(crate) fn failed(error: impl Display) -> Fault {
    Fault::written(std::io::Error::other(error.to_string()))
}

impl Whole {
    /// A picture of a format, for which it was checked.
    pub(crate) fn new(format: Format, header: &Header, options: &WriteOptions) -> Self {
        Self { header: header.clone(), options: options.clone(), samples: Vec::new(), format }
    }

    pub(crate) fn push(&mut self, rows: &[u8]) -> Result<(), Fault> {
        if self.format != Format::Jpeg || !self.header.alpha {
            self.samples.extend_from_slice(rows);
            return Ok(());
        }
        for pixel in rows.chunks_exact(self.header.samples()) {
            let [colours @ .., 255] = pixel else { return Err(Fault::NoAlpha) };
            self.samples.extend_from_slice(colours);
        }
        Ok(())
    }

    /// The bytes of the file.
    pub(crate) fn encoded(self) -> Result<Vec<u8>, Fault> {
        match (self.format, self.options.quality) {
            #[cfg(feature = "avif")]
            (Format::Avif, quality) => avif_write::encode(&self, quality),
            #[cfg(feature = "jxl")]
            (Format::JpegXl, _) => jxl_write::encode(&self),
            #[cfg(feature = "webp-lossy")]
            (Format::WebP, Some(quality)) => webp_lossy::encode(&self, quality),
            (Format::WebP, _) => self.webp().map_err(failed),
            _ => {
                let bytes = self.jpeg().map_err(failed)?;
                match &self.options.provenance {
                    None => Ok(bytes),
                    Some(provenance) => provenance.in_jpeg(bytes).map_err(failed),
                }
            }
        }
    }

    /// The XMP packet to store.
    #[cfg(any(feature = "avif", feature = "jxl", feature = "webp-lossy"))]
    pub(crate) fn packet(&self) -> Option<Vec<u8>> {
        self.options.provenance.as_ref().map(|provenance| provenance.packet().into_bytes())
    }

    fn jpeg(&self) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        let mut encoder =
            JpegEncoder::new_with_quality(&mut bytes, self.options.quality.unwrap_or(JPEG_QUALITY).clamp(1, 100));
        if let Some(icc) = &self.header.icc {
            encoder.set_icc_profile(icc.clone()).map_err(ImageError::Unsupported)?;
        }
        if let Some(exif) = &self.header.exif {
            encoder.set_exif_metadata(exif.clone()).map_err(ImageError::Unsupported)?;
        }
        if let Some(resolution) = self.header.resolution {
            encoder.set_pixel_density(resolution.jfif());
        }
        let color = if self.header.grey { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        // Sizes fit: the limit of both formats is below 32 bits.
        encoder.write_image(&self.samples, self.header.width as u32, self.header.height as u32, color)?;
        Ok(bytes)
    }

    /// By the encoder that `image` has, which alone takes XMP.
    fn webp(&self) -> Result<Vec<u8>, EncodingError> {
        let color = match (self.header.grey, self.header.alpha) {
            (true, false) => ColorType::L8,
            (true, true) => ColorType::La8,
            (false, false) => ColorType::Rgb8,
            (false, true) => ColorType::Rgba8,
        };
        let mut bytes = Vec::new();
        let mut encoder = WebPEncoder::new(&mut bytes);
        if let Some(icc) = &self.header.icc {
            encoder.set_icc_profile(icc.clone());
        }
        if let Some(exif) = &self.header.exif {
            encoder.set_exif_metadata(exif.clone());
        }
        if let Some(provenance) = &self.options.provenance {
            encoder.set_xmp_metadata(provenance.packet().into_bytes());
        }
        encoder.encode(&self.samples, self.header.width as u32, self.header.height as u32, color)?;
        Ok(bytes)
    }
}
