//! Reading pictures: the format is told by the content, limits are checked on the header before anything is decoded.

use crate::{Error, Fault, Picture, tiff_read};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek, SeekFrom};
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

/// Reads a PNG, JPEG, WebP, TIFF or BMP, turned as its EXIF orientation says, as 8 bits a sample; of a TIFF of several
/// pictures the first.
///
/// # Errors
/// [`Error`] names the file: it is missing, a folder, empty, no picture, damaged, or beyond the limits.
pub fn read(path: &Path, limits: &Limits) -> Result<Picture, Error> {
    open(path).and_then(|file| decode(BufReader::new(file), limits)).map_err(Error::at(path))
}

fn open(path: &Path) -> Result<File, Fault> {
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err(Fault::Folder);
    }
    File::open(path).map_err(unreadable)
}

pub(crate) fn unreadable(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Io { doing: "read", error },
    }
}

/// Reads a picture from memory, as [`read`] does.
///
/// # Errors
/// [`Fault`] says what is wrong.
pub fn read_bytes(bytes: &[u8], limits: &Limits) -> Result<Picture, Fault> {
    decode(Cursor::new(bytes), limits)
}

fn decode(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Picture, Fault> {
    let begin = file.fill_buf().map_err(unreadable)?;
    if begin.is_empty() {
        return Err(Fault::Empty);
    }
    let format = match image::guess_format(begin) {
        Ok(format) => format,
        Err(_) if tiff_read::is_big(begin) => ImageFormat::Tiff,
        Err(_) => return Err(Fault::NotAPicture),
    };
    match format {
        ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp => {}
        ImageFormat::Tiff => return tiff(file, limits),
        ImageFormat::Jpeg if jpeg_ends(&mut file).map_err(unreadable)? => file.rewind().map_err(unreadable)?,
        ImageFormat::Jpeg => return Err(Fault::Damaged("its end is missing".into())),
        _ => return Err(Fault::NotAPicture),
    }
    let (decoded, icc) = decoded(file, format, limits)?;
    Ok(picture(decoded, icc))
}

fn tiff(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Picture, Fault> {
    let found = tiff_read::read(&mut file, limits)?;
    file.rewind().map_err(unreadable)?;
    let mut picture = match found.picture {
        Some(decoded) => picture(decoded, found.icc),
        None => picture(decoded(file, ImageFormat::Tiff, limits)?.0, found.icc),
    };
    picture.lost.extend(found.more.then_some("the first picture is read, the file has more"));
    Ok(picture)
}

/// A picture as it is shown, and its profile.
fn decoded(
    file: impl BufRead + Seek,
    format: ImageFormat,
    limits: &Limits,
) -> Result<(DynamicImage, Option<Vec<u8>>), Fault> {
    let mut reader = ImageReader::with_format(file, format);
    let mut budget = image::Limits::no_limits();
    // At most 32 bits for each of four channels.
    budget.max_alloc = Some(limits.pixels.saturating_mul(16).saturating_add(DECODER_OVERHEAD));
    reader.limits(budget);
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    check_pixels(u64::from(width), u64::from(height), limits)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let icc = decoder.icc_profile().unwrap_or(None);
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(fault)?;
    decoded.apply_orientation(orientation);
    Ok((decoded, icc))
}

pub(crate) fn check_pixels(width: u64, height: u64, limits: &Limits) -> Result<(), Fault> {
    match width * height {
        pixels if pixels > limits.pixels => Err(Fault::TooLarge { width, height, pixels, limit: limits.pixels }),
        _ => Ok(()),
    }
}

/// What was decoded, in 8 bits. Large pictures are not held twice for longer than they are converted.
fn picture(decoded: DynamicImage, icc: Option<Vec<u8>>) -> Picture {
    let color = decoded.color();
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let mut picture = match color.has_alpha() {
        false => Picture::from_rgb(width, height, decoded.into_rgb8().into_raw()),
        true => {
            let rgba = decoded.into_rgba8();
            let alpha = rgba.pixels().map(|p| p.0[3]).collect();
            let rgb = rgba.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect();
            Picture::from_rgb(width, height, rgb).with_alpha(Some(alpha))
        }
    };
    picture.grey = !color.has_color();
    picture.lost.extend(match color.bytes_per_pixel() / color.channel_count() {
        1 => None,
        2 => Some("read as 8 bits a sample, the file has 16"),
        _ => Some("read as 8 bits a sample, the file has 32"),
    });
    // A profile says in bytes 16 to 20 what its numbers are; one for CMYK does not fit what was decoded.
    let space: &[u8] = if picture.grey { b"GRAY" } else { b"RGB " };
    picture.icc = icc.filter(|icc| icc.get(16..20) == Some(space));
    picture
}

/// Whether a JPEG's data is followed by its end marker. The decoder fills what is missing with grey, which would be
/// taken for a picture.
fn jpeg_ends(file: &mut (impl BufRead + Seek)) -> io::Result<bool> {
    file.seek(SeekFrom::Start(2))?;
    let mut segment = [0; 4];
    loop {
        match file.read_exact(&mut segment) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let [0xff, marker, high, low] = segment else { return Ok(false) };
        file.seek_relative(i64::from(u16::from_be_bytes([high, low])) - 2)?;
        if marker == 0xda {
            return ends(file);
        }
    }
}

/// Whether the end marker follows.
fn ends(file: &mut impl BufRead) -> io::Result<bool> {
    let mut last = 0;
    loop {
        let data = file.fill_buf()?;
        let Some(&end) = data.last() else { return Ok(false) };
        if (last, data[0]) == (0xff, 0xd9) || data.windows(2).any(|pair| pair == [0xff, 0xd9]) {
            return Ok(true);
        }
        last = end;
        let length = data.len();
        file.consume(length);
    }
}

fn fault(error: ImageError) -> Fault {
    match error {
        // The system's, and not a decoder's.
        ImageError::IoError(error) if error.raw_os_error().is_some() => unreadable(error),
        ImageError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => Fault::Damaged(error.to_string()),
        ImageError::IoError(_) => Fault::Damaged("its end is missing".into()),
        ImageError::Unsupported(error) => Fault::Damaged(format!("not supported: {error}")),
        other => Fault::Damaged(other.to_string().replace('\n', " ")),
    }
}
