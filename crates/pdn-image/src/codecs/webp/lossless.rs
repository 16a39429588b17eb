//! Lossless WebP encoding, with the crate `image-webp`, which `image` also uses: it accepts XMP, `image` does not.

use crate::Fault;
use crate::codecs::raster::Raster;
use image_webp::{ColorType, WebPEncoder};

/// Encodes a picture.
pub(crate) fn encode(raster: &Raster) -> Result<Vec<u8>, Fault> {
    let header = &raster.header;
    let color = match (header.grey, header.alpha) {
        (true, false) => ColorType::L8,
        (true, true) => ColorType::La8,
        (false, false) => ColorType::Rgb8,
        (false, true) => ColorType::Rgba8,
    };
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new(&mut bytes);
    if let Some(icc) = &header.icc {
        encoder.set_icc_profile(icc.clone());
    }
    if let Some(exif) = &header.exif {
        encoder.set_exif_metadata(exif.clone());
    }
    if let Some(packet) = raster.packet() {
        encoder.set_xmp_metadata(packet);
    }
    // The sizes fit: the format's limit is below 32 bits.
    encoder.encode(&raster.samples, header.width as u32, header.height as u32, color).map_err(Fault::on_encode)?;
    Ok(bytes)
}
