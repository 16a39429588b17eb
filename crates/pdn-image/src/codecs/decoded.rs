//! A decoded picture with its metadata, before it becomes a [`Picture`] of 8 or 16 bits; and decoding with the crate
//! `image`.

use crate::limits::Budget;
use crate::metadata::{exif, icc};
use crate::{AnyPicture, Fault, Picture, Resolution, Sample};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Pixel};
use std::io::{BufRead, Seek};

/// The note for a CMYK picture.
pub(crate) const CMYK: &str = "converted from CMYK without its profile: the colours are approximate";
/// The note for a picture with XMP, which may no longer be true of a derived picture.
pub(crate) const XMP: &str = "its XMP is left out";
/// The note for a file with several pictures, such as an animation.
pub(crate) const FIRST: &str = "the file holds more than one picture: only the first is read";
pub(crate) const DAMAGED_EXIF: &str = "its EXIF is damaged, and left out";
/// The note for EXIF beyond the metadata budget.
pub(crate) const LARGE_EXIF: &str = "its EXIF is too large, and left out";
/// The note for a profile that cannot be read or is beyond the metadata budget.
pub(crate) const LARGE_PROFILE: &str = "its ICC profile is damaged or too large, and left out";
const NO_PROFILE: &str = "its ICC profile is damaged or does not match the colours, and left out";

/// An upright picture with its metadata.
pub(crate) struct Decoded {
    pub(crate) picture: DynamicImage,
    /// Bits per sample in the file; 8 if there are fewer.
    pub(crate) bits: u8,
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) exif: Option<Vec<u8>>,
    /// The resolution that the file gives outside EXIF, rotated with the picture.
    pub(crate) resolution: Option<Resolution>,
    /// What differs from the file.
    pub(crate) notes: Vec<&'static str>,
}

impl Decoded {
    /// Rotates the picture as its orientation says, and keeps as much of the profile and EXIF as the budget allows.
    pub(crate) fn new(
        mut picture: DynamicImage,
        orientation: Orientation,
        icc: Option<&[u8]>,
        block: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Self {
        let mut notes = Vec::new();
        let mut held = |bytes: &&[u8]| budget.take(bytes.len() as u64).is_some();
        let kept = icc.filter(&mut held);
        notes.extend((kept.is_none() && icc.is_some()).then_some(LARGE_PROFILE));
        let fits = block.filter(&mut held);
        notes.extend((fits.is_none() && block.is_some()).then_some(LARGE_EXIF));
        let exif = fits.and_then(exif::of_shown);
        notes.extend((exif.is_none() && fits.is_some()).then_some(DAMAGED_EXIF));
        picture.apply_orientation(orientation);
        let color = picture.color();
        let bits = 8 * color.bytes_per_pixel() / color.channel_count();
        Self { picture, bits, icc: kept.map(<[u8]>::to_vec), exif, resolution: None, notes }
    }

    /// Decodes a file with `image`; its resolution is read elsewhere.
    pub(crate) fn by_image(
        file: impl BufRead + Seek,
        format: ImageFormat,
        resolution: Option<Resolution>,
        budget: &mut Budget,
    ) -> Result<Self, Fault> {
        let mut reader = ImageReader::with_format(file, format);
        reader.limits(image_limits(budget));
        let mut decoder = reader.into_decoder().map_err(image_fault)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut decoded = Self::from_decoder(decoder, orientation, budget)?;
        decoded.resolution = resolution.map(|resolution| resolution.turned(orientation));
        Ok(decoded)
    }

    /// Decodes with any decoder that implements `image`'s trait.
    pub(crate) fn from_decoder(
        mut decoder: impl ImageDecoder,
        orientation: Orientation,
        budget: &mut Budget,
    ) -> Result<Self, Fault> {
        let (width, height) = decoder.dimensions();
        budget.check_pixels(width.into(), height.into())?;
        let icc = decoder.icc_profile().unwrap_or(None);
        let block = decoder.exif_metadata().unwrap_or(None);
        let has_xmp = decoder.xmp_metadata().unwrap_or(None).is_some();
        budget.in_time()?;
        let picture = DynamicImage::from_decoder(decoder).map_err(image_fault)?;
        budget.in_time()?;
        let mut decoded = Self::new(picture, orientation, icc.as_deref(), block.as_deref(), budget);
        decoded.notes.extend(has_xmp.then_some(XMP));
        Ok(decoded)
    }

    /// Converts to a picture: 16 bits per sample if there are more than 8.
    pub(crate) fn any(mut self) -> AnyPicture {
        if self.bits == 8 {
            return self.eight().into();
        }
        self.notes.extend((self.bits > 16).then_some("read as 16 bits per sample, though the file has more"));
        let picture = std::mem::take(&mut self.picture);
        let color = picture.color();
        match color.has_alpha() {
            false => self.built(color, (picture.width(), picture.height()), picture.into_rgb16().into_raw()).into(),
            true => self.built(color, (picture.width(), picture.height()), picture.into_rgba16().into_raw()).into(),
        }
    }

    pub(crate) fn eight(mut self) -> Picture {
        self.notes.extend(match self.bits {
            8 => None,
            16 => Some("read as 8 bits per sample, though the file has 16"),
            _ => Some("read as 8 bits per sample, though the file has more than 16"),
        });
        let picture = std::mem::take(&mut self.picture);
        let color = picture.color();
        match color.has_alpha() {
            false => self.built(color, (picture.width(), picture.height()), picture.into_rgb8().into_raw()),
            true => self.built(color, (picture.width(), picture.height()), picture.into_rgba8().into_raw()),
        }
    }

    /// Builds a picture from interleaved RGB or RGBA and the metadata.
    fn built<S: Sample>(self, color: ColorType, (width, height): (u32, u32), samples: Vec<S>) -> Picture<S> {
        let (width, height) = (width as usize, height as usize);
        let mut picture = match color.has_alpha() {
            false => Picture::new(width, height, samples),
            true => {
                let alpha = samples.iter().skip(3).step_by(4).copied().collect();
                let rgb = samples.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
                Picture::new(width, height, rgb).with_alpha(Some(alpha))
            }
        };
        picture.resolution = self.resolution.or_else(|| exif::resolution(self.exif.as_deref()?));
        (picture.grey, picture.exif, picture.lost) = (!color.has_color(), self.exif, self.notes);
        // WebP has no grey, but its profile may be a grey one.
        let is_grey = || picture.rgb().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
        let icc = self.icc.map(icc::cut_to_length);
        let profile_is_grey = icc.as_ref().is_some_and(|icc| icc::fits(icc, true));
        picture.grey |= profile_is_grey && is_grey();
        let fits = icc.as_ref().is_none_or(|icc| icc::fits(icc, picture.grey));
        picture.lost.extend((!fits).then_some(NO_PROFILE));
        picture.icc = icc.filter(|_| fits);
        picture
    }
}

/// Returns the budget as `image`'s limits.
pub(crate) fn image_limits(budget: &Budget) -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(budget.decoder());
    limits
}

/// Converts an error of `image`.
pub(crate) fn image_fault(error: ImageError) -> Fault {
    match error {
        ImageError::IoError(error) => Fault::on_decode(error),
        ImageError::Unsupported(error) => Fault::Unsupported(error.to_string().replace('\n', " ")),
        other => Fault::Damaged(other.to_string().replace('\n', " ")),
    }
}

/// Builds a picture from 8-bit samples: grey or RGB, then alpha.
pub(crate) fn eight(grey: bool, alpha: bool, size: (u32, u32), samples: Vec<u8>) -> Result<DynamicImage, Fault> {
    match (grey, alpha) {
        (true, false) => buffer(size, samples).map(DynamicImage::ImageLuma8),
        (true, true) => buffer(size, samples).map(DynamicImage::ImageLumaA8),
        (false, false) => buffer(size, samples).map(DynamicImage::ImageRgb8),
        (false, true) => buffer(size, samples).map(DynamicImage::ImageRgba8),
    }
}

/// Builds a picture from 16-bit samples.
pub(crate) fn sixteen(grey: bool, alpha: bool, size: (u32, u32), samples: Vec<u16>) -> Result<DynamicImage, Fault> {
    match (grey, alpha) {
        (true, false) => buffer(size, samples).map(DynamicImage::ImageLuma16),
        (true, true) => buffer(size, samples).map(DynamicImage::ImageLumaA16),
        (false, false) => buffer(size, samples).map(DynamicImage::ImageRgb16),
        (false, true) => buffer(size, samples).map(DynamicImage::ImageRgba16),
    }
}

fn buffer<P: Pixel>(
    (width, height): (u32, u32),
    samples: Vec<P::Subpixel>,
) -> Result<ImageBuffer<P, Vec<P::Subpixel>>, Fault> {
    ImageBuffer::from_raw(width, height, samples).ok_or_else(Fault::truncated)
}
