//! What `image` does not read of a TIFF: grey with alpha, profiles larger than their picture, and whether more follow.

use crate::read::{check_pixels, unreadable};
use crate::{Fault, Limits};
use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage};
use std::io::{Read, Seek};
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::{ExtraSamples, PlanarConfiguration, Tag};
use tiff::{ColorType, TiffError, TiffResult};

/// A TIFF's first picture, less what `image` reads.
pub(crate) struct Found {
    /// The picture, where it is of grey with alpha.
    pub(crate) picture: Option<DynamicImage>,
    pub(crate) icc: Option<Vec<u8>>,
    /// Whether more pictures follow.
    pub(crate) more: bool,
}

/// Whether a file begins as a TIFF of 64 bits does, which `image` reads and does not recognise.
pub(crate) fn is_big(begin: &[u8]) -> bool {
    begin.starts_with(b"II\x2b\0") || begin.starts_with(b"MM\0\x2b")
}

pub(crate) fn read(file: impl Read + Seek, limits: &Limits) -> Result<Found, Fault> {
    let mut decoder = Decoder::new(file).map_err(fault)?;
    let (width, height) = decoder.dimensions().map_err(fault)?;
    check_pixels(u64::from(width), u64::from(height), limits)?;
    let icc = decoder.get_tag_u8_vec(Tag::IccProfile).ok();
    let more = decoder.more_images();
    let picture = match is_grey_alpha(&mut decoder).map_err(fault)? {
        true => Some(grey_alpha(decoder, width, height).map_err(fault)?),
        false => None,
    };
    Ok(Found { picture, icc, more })
}

/// Whether it is of grey with alpha, of 8 bits a sample and pixel by pixel.
fn is_grey_alpha<R: Read + Seek>(decoder: &mut Decoder<R>) -> TiffResult<bool> {
    let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)?.unwrap_or_default();
    let planes = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration)?;
    Ok(decoder.colortype()? == ColorType::Multiband { bit_depth: 8, num_samples: 2 }
        && extra == [ExtraSamples::UnassociatedAlpha.to_u16()]
        && planes.is_none_or(|planes| planes == PlanarConfiguration::Chunky.to_u16()))
}

fn grey_alpha<R: Read + Seek>(decoder: Decoder<R>, width: u32, height: u32) -> TiffResult<DynamicImage> {
    // The size was checked.
    let mut decoder = decoder.with_limits(tiff::decoder::Limits::unlimited());
    let DecodingResult::U8(samples) = decoder.read_image()? else { return Err(TiffError::IntSizeError) };
    let picture = GrayAlphaImage::from_raw(width, height, samples).ok_or(TiffError::IntSizeError)?;
    let mut picture = DynamicImage::from(picture);
    let orientation =
        decoder.find_tag_unsigned::<u8>(Tag::Orientation).unwrap_or(None).and_then(Orientation::from_exif);
    picture.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    Ok(picture)
}

fn fault(error: TiffError) -> Fault {
    match error {
        TiffError::IoError(error) if error.raw_os_error().is_some() => unreadable(error),
        TiffError::IoError(_) => Fault::Damaged("its end is missing".into()),
        other => Fault::Damaged(other.to_string().replace('\n', " ")),
    }
}
