//! JPEG encoding, with `image`; the XMP packet is inserted afterwards.

use crate::Fault;
use crate::codecs::raster::Raster;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};

/// The default quality.
const QUALITY: u8 = 95;

/// Encodes a picture at a quality from 1 to 100.
pub(crate) fn encode(raster: &Raster, quality: Option<u8>) -> Result<Vec<u8>, Fault> {
    let bytes = without_xmp(raster, quality.unwrap_or(QUALITY).clamp(1, 100)).map_err(Fault::on_encode)?;
    match &raster.provenance {
        None => Ok(bytes),
        Some(provenance) => provenance.in_jpeg(bytes).map_err(Fault::on_encode),
    }
}

fn without_xmp(raster: &Raster, quality: u8) -> Result<Vec<u8>, ImageError> {
    let header = &raster.header;
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    if let Some(icc) = &header.icc {
        encoder.set_icc_profile(icc.clone()).map_err(ImageError::Unsupported)?;
    }
    if let Some(exif) = &header.exif {
        encoder.set_exif_metadata(exif.clone()).map_err(ImageError::Unsupported)?;
    }
    if let Some(resolution) = header.resolution {
        encoder.set_pixel_density(resolution.jfif());
    }
    let color = if header.grey { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    // The sizes fit: the format's limit is below 32 bits.
    encoder.write_image(&raster.samples, header.width as u32, header.height as u32, color)?;
    Ok(bytes)
}
