//! Lossy WebP encoding, with libwebp: colours as VP8; alpha and metadata are lossless.

use crate::Fault;
use crate::codecs::raster::Raster;
use std::borrow::Cow;
use webpx::{EncoderConfig, Unstoppable};

/// Encodes a picture at a quality from 1 to 100.
pub(crate) fn encode(raster: &Raster, quality: u8) -> Result<Vec<u8>, Fault> {
    let header = &raster.header;
    let mut config = EncoderConfig::new().quality(f32::from(quality.clamp(1, 100)));
    if let Some(icc) = &header.icc {
        config = config.icc_profile(icc.clone());
    }
    if let Some(exif) = &header.exif {
        config = config.exif(exif.clone());
    }
    if let Some(packet) = raster.packet() {
        config = config.xmp(packet);
    }
    // The sizes fit: WebP's limit is below 32 bits.
    let (width, height) = (header.width as u32, header.height as u32);
    let samples = coloured(raster);
    let encoded = match header.alpha {
        false => config.encode_rgb(&samples, width, height, Unstoppable),
        true => config.encode_rgba(&samples, width, height, Unstoppable),
    };
    encoded.map_err(Fault::on_encode)
}

/// Returns the samples as RGB: WebP has no grey.
fn coloured(raster: &Raster) -> Cow<'_, [u8]> {
    match (raster.header.grey, raster.header.alpha) {
        (false, _) => Cow::Borrowed(&raster.samples),
        (true, false) => raster.samples.iter().flat_map(|v| [*v; 3]).collect(),
        (true, true) => raster.samples.as_chunks().0.iter().flat_map(|[v, a]| [*v, *v, *v, *a]).collect(),
    }
}
