//! AVIF encoding, with rav1e: 4:4:4 or one plane of grey, at 8 or 10 bits.

use crate::codecs::avif::serialize::{AvifFile, CodePoints, Coded};
use crate::codecs::raster::Raster;
use crate::{Depth, Fault, Sample};
use rav1e::prelude::*;

/// The default quality.
const QUALITY: u8 = 90;

/// rav1e's fastest preset. Pictures are large here, and preset 8 takes three times as long for 8 in 100 less.
const SPEED: u8 = 10;

/// The approximate number of pixels per tile. Tiles are encoded in parallel; their number must not depend on the number
/// of threads, or the file would.
const TILE: usize = 1 << 18;
const MOST_TILES: usize = 64;

/// BT.601's weights of red and blue (H.273, matrix 6).
const BT601: (u16, f32, f32) = (6, 0.299, 0.114);

/// H.273's code points for sRGB, and for a picture with a profile.
const SRGB: (u16, u16) = (1, 13);
const UNSPECIFIED: (u16, u16) = (2, 2);

/// Encodes a picture at a quality from 1 to 100.
pub(crate) fn encode(raster: &Raster, quality: Option<u8>) -> Result<Vec<u8>, Fault> {
    // libavif's mapping, 0 to 255: 100 is the finest lossy setting of AV1.
    let quantizer = (100 - usize::from(quality.unwrap_or(QUALITY).clamp(1, 100))) * 255 / 100;
    match raster.header.depth {
        Depth::Eight => Planes { raster, levels: &raster.samples, bits: 8 }.file::<u8>(quantizer),
        Depth::Sixteen => {
            let levels = u16::from_bytes(raster.samples.clone());
            Planes { raster, levels: &levels, bits: 10 }.file::<u16>(quantizer)
        }
    }
}

/// A picture as the planes of a video.
struct Planes<'a, S> {
    raster: &'a Raster,
    levels: &'a [S],
    /// Bits per encoded sample.
    bits: u8,
}

impl<S: Sample> Planes<'_, S> {
    fn file<P: Pixel>(&self, quantizer: usize) -> Result<Vec<u8>, Fault> {
        let header = &self.raster.header;
        let (primaries, transfer) = if header.icc.is_some() { UNSPECIFIED } else { SRGB };
        let alpha_at = header.samples() - 1;
        let colour = self.encoded::<P>(header.grey, quantizer, |pixel| self.yuv(pixel))?;
        // Alpha must not waver, so it is encoded at the finest setting; its planes are small in any case.
        let alpha = header.alpha.then(|| self.encoded::<P>(true, 0, |pixel| [self.scaled(pixel[alpha_at]), 0.0, 0.0]));
        let file = AvifFile {
            // The sizes fit: AVIF's limit is below 32 bits.
            width: header.width as u32,
            height: header.height as u32,
            colour,
            alpha: alpha.transpose()?,
            points: CodePoints { primaries, transfer, matrix: BT601.0, full: true },
            icc: header.icc.clone(),
            exif: header.exif.clone(),
            xmp: self.raster.packet(),
        };
        file.serialize()
    }

    /// Scales a sample to the range 0 to the largest encoded value.
    fn scaled(&self, sample: S) -> f32 {
        (sample.level() / S::MAX.level()) as f32 * self.largest()
    }

    fn largest(&self) -> f32 {
        f32::from((1_u16 << self.bits) - 1)
    }

    /// Returns luma, and the blue and red differences from it around the middle (H.273, equations 38 to 40 and 51 to
    /// 53).
    fn yuv(&self, pixel: &[S]) -> [f32; 3] {
        if self.raster.header.grey {
            return [self.scaled(pixel[0]), 0.0, 0.0];
        }
        let [r, g, b] = [0, 1, 2].map(|c| self.scaled(pixel[c]));
        let (_, red, blue) = BT601;
        let luma = red * r + (1.0 - red - blue) * g + blue * b;
        let middle = f32::from(1_u16 << (self.bits - 1));
        [luma, 0.5 * (b - luma) / (1.0 - blue) + middle, 0.5 * (r - luma) / (1.0 - red) + middle]
    }

    fn encoded<P: Pixel>(
        &self,
        mono: bool,
        quantizer: usize,
        levels: impl Fn(&[S]) -> [f32; 3],
    ) -> Result<Coded, Fault> {
        let mut context: Context<P> = self.configuration(mono, quantizer).new_context().map_err(Fault::on_encode)?;
        let mut frame = context.new_frame();
        let (header, largest) = (&self.raster.header, self.largest());
        let samples = header.samples();
        for (plane, into) in frame.planes.iter_mut().enumerate().take(if mono { 1 } else { 3 }) {
            let stride = into.cfg.stride;
            let rows = into.data_origin_mut().chunks_mut(stride);
            for (into, row) in rows.zip(self.levels.chunks_exact(header.width * samples)) {
                for (into, pixel) in into.iter_mut().zip(row.chunks_exact(samples)) {
                    *into = P::cast_from((levels(pixel)[plane] + 0.5).clamp(0.0, largest) as u16);
                }
            }
        }
        context.send_frame(frame).map_err(Fault::on_encode)?;
        context.flush();
        let mut data = Vec::new();
        loop {
            match context.receive_packet() {
                Ok(packet) => data.extend(packet.data),
                Err(EncoderStatus::Encoded) => {}
                Err(EncoderStatus::LimitReached) => return Ok(Coded { data, bits: self.bits, mono }),
                Err(status) => return Err(Fault::on_encode(status)),
            }
        }
    }

    fn configuration(&self, mono: bool, quantizer: usize) -> Config {
        let header = &self.raster.header;
        let (width, height) = (header.width, header.height);
        let description = |(primaries, transfer): (u16, u16)| ColorDescription {
            color_primaries: if primaries == SRGB.0 { ColorPrimaries::BT709 } else { ColorPrimaries::Unspecified },
            transfer_characteristics: match transfer == SRGB.1 {
                true => TransferCharacteristics::SRGB,
                false => TransferCharacteristics::Unspecified,
            },
            matrix_coefficients: MatrixCoefficients::BT601,
        };
        let points = if header.icc.is_some() { UNSPECIFIED } else { SRGB };
        Config::new().with_encoder_config(EncoderConfig {
            width,
            height,
            bit_depth: self.bits.into(),
            chroma_sampling: if mono { ChromaSampling::Cs400 } else { ChromaSampling::Cs444 },
            pixel_range: PixelRange::Full,
            color_description: Some(description(points)),
            still_picture: true,
            quantizer,
            min_quantizer: quantizer as u8,
            tiles: (width * height / TILE).clamp(1, MOST_TILES),
            ..EncoderConfig::with_speed_preset(SPEED)
        })
    }
}
