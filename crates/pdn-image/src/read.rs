//! Reading pictures: the format is told by the content, limits are checked on the header before anything is decoded.

use crate::{Error, Fault, Picture};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};
use std::io::Cursor;
use std::path::Path;

/// How large a picture may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Width times height.
    pub pixels: u64,
}

impl Default for Limits {
    /// A hundred million pixels.
    fn default() -> Self {
        Self { pixels: 100_000_000 }
    }
}

/// What decoders may take beside a picture's own samples.
const DECODER_OVERHEAD: u64 = 64 << 20;

/// Reads a PNG, JPEG, WebP or BMP, turned as its EXIF orientation says, as 8 bits a sample.
///
/// # Errors
/// [`Error`] names the file: it is missing, a folder, empty, no picture, damaged, or beyond the limits.
pub fn read(path: &Path, limits: &Limits) -> Result<Picture, Error> {
    load(path).and_then(|bytes| read_bytes(&bytes, limits)).map_err(Error::at(path))
}

fn load(path: &Path) -> Result<Vec<u8>, Fault> {
    let fault = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Io { doing: "read", error },
    };
    if std::fs::metadata(path).map_err(fault)?.is_dir() {
        return Err(Fault::Folder);
    }
    std::fs::read(path).map_err(fault)
}

/// Reads a picture from memory, as [`read`] does.
///
/// # Errors
/// [`Fault`] says what is wrong.
pub fn read_bytes(bytes: &[u8], limits: &Limits) -> Result<Picture, Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| fault(error.into()))?;
    match reader.format() {
        Some(ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp) => {}
        Some(ImageFormat::Jpeg) if jpeg_ends(bytes) => {}
        Some(ImageFormat::Jpeg) => return Err(Fault::Damaged("its end is missing".into())),
        _ => return Err(Fault::NotAPicture),
    }
    let mut budget = image::Limits::no_limits();
    // At most 16 bits for each of four channels.
    budget.max_alloc = Some(limits.pixels.saturating_mul(8).saturating_add(DECODER_OVERHEAD));
    reader.limits(budget);
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (u64::from(width), u64::from(height));
    if width * height > limits.pixels {
        return Err(Fault::TooLarge { width, height, pixels: width * height, limit: limits.pixels });
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let icc = decoder.icc_profile().unwrap_or(None);
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(fault)?;
    decoded.apply_orientation(orientation);
    Ok(picture(&decoded, icc))
}

fn picture(decoded: &DynamicImage, icc: Option<Vec<u8>>) -> Picture {
    let color = decoded.color();
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let alpha = color.has_alpha().then(|| decoded.to_rgba8().pixels().map(|p| p.0[3]).collect());
    let mut picture = Picture::from_rgb(width, height, decoded.to_rgb8().into_raw()).with_alpha(alpha);
    picture.grey = !color.has_color();
    if !matches!(color, ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8) {
        picture.lost.push("read as 8 bits a sample, the file has 16");
    }
    // A profile says in bytes 16 to 20 what its numbers are; one for CMYK does not fit what was decoded.
    let space: &[u8] = if picture.grey { b"GRAY" } else { b"RGB " };
    picture.icc = icc.filter(|icc| icc.get(16..20) == Some(space));
    picture
}

/// Whether a JPEG's data is followed by its end marker. The decoder fills what is missing with grey, which would be
/// taken for a picture.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        let length = usize::from(u16::from_be_bytes([high, low]));
        at += 2 + length;
        if marker == 0xda {
            return bytes.get(at..).is_some_and(|data| data.windows(2).any(|pair| pair == [0xff, 0xd9]));
        }
    }
    false
}

fn fault(error: ImageError) -> Fault {
    match error {
        ImageError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Fault::Damaged(error.to_string())
        }
        ImageError::IoError(_) => Fault::Damaged("its end is missing".into()),
        ImageError::Unsupported(error) => Fault::Damaged(format!("not supported: {error}")),
        other => Fault::Damaged(other.to_string().replace('\n', " ")),
    }
}
