//! Reading pictures: the format is told by the content, limits are checked on the header before anything is decoded.

use crate::budget::{Budget, Limits, Timed};
use crate::decoded::{CMYK, Decoded, XMP, cut};
use crate::jpeg_head::JpegHead;
use crate::kinds::{self, is_avif};
use crate::{AnyPicture, Error, Fault, Picture, Resolution, gif_read, iptc, png_read, tiff_read, webp_read};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Reads a PNG, JPEG, WebP, TIFF, BMP or GIF, turned as its EXIF orientation says, with 16 bits a sample where the file has
/// more than 8; of a file of several pictures the first.
///
/// # Errors
/// [`Error`] names the file: it is missing, a folder, empty, no picture, of a kind that is not read, damaged, beyond the
/// limits, or not read in time.
pub fn read_any(path: &Path, limits: &Limits) -> Result<AnyPicture, Error> {
    open(path).and_then(|file| decode(BufReader::new(file), limits)).map(Decoded::any).map_err(Error::at(path))
}

/// Reads a picture as [`read_any`] does, but always as 8 bits a sample.
///
/// # Errors
/// As [`read_any`].
pub fn read(path: &Path, limits: &Limits) -> Result<Picture, Error> {
    open(path).and_then(|file| decode(BufReader::new(file), limits)).map(Decoded::eight).map_err(Error::at(path))
}

fn open(path: &Path) -> Result<File, Fault> {
    let what = std::fs::metadata(path).map_err(unreadable)?;
    if what.is_dir() {
        return Err(Fault::Folder);
    }
    if !what.is_file() {
        // A pipe is read once, and opening it may wait for ever.
        return Err(unreadable(io::Error::other("it is no regular file, as a pipe is none")));
    }
    File::open(path).map_err(unreadable)
}

pub(crate) fn unreadable(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Io { doing: "read", error },
    }
}

/// Reads a picture from memory, as [`read_any`] does.
///
/// # Errors
/// [`Fault`] says what is wrong.
pub fn read_any_bytes(bytes: &[u8], limits: &Limits) -> Result<AnyPicture, Fault> {
    decode(Cursor::new(bytes), limits).map(Decoded::any)
}

/// Reads a picture from memory, as [`read`] does.
///
/// # Errors
/// [`Fault`] says what is wrong.
pub fn read_bytes(bytes: &[u8], limits: &Limits) -> Result<Picture, Fault> {
    decode(Cursor::new(bytes), limits).map(Decoded::eight)
}

/// Decodes a picture. Decoders are others' work, and one that panics over a damaged file ends no program.
fn decode(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let length = file.seek(SeekFrom::End(0)).and_then(|length| file.rewind().map(|()| length));
    let mut budget = Budget::new(limits, length.map_err(unreadable)?);
    let timed = Timed::new(file, &budget);
    // What a panic leaves half done is dropped with it: the file is read by nobody else.
    let decoded = catch_unwind(AssertUnwindSafe(|| by_format(timed, &mut budget)));
    // A decoder says of a file that ended early what it will: that the time had run out goes before that.
    budget.in_time()?;
    decoded.unwrap_or_else(|_| Err(Fault::Damaged("its decoder crashed".into())))
}

fn by_format(mut file: impl BufRead + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    let begin = file.fill_buf().map_err(unreadable)?;
    if begin.is_empty() {
        return Err(Fault::Empty);
    }
    if let Some(fault) = kinds::named(begin).filter(|_| !is_avif(begin)) {
        return Err(fault);
    }
    if is_jxl(begin) {
        return jxl(file, budget);
    }
    if is_avif(begin) {
        return avif(file, budget);
    }
    let format = match image::guess_format(begin) {
        Ok(format) => format,
        Err(_) if tiff_read::is_big(begin) => ImageFormat::Tiff,
        Err(_) => return Err(Fault::NotAPicture),
    };
    match format {
        ImageFormat::Png => png_read::read(file, budget),
        ImageFormat::WebP => webp_read::read(file, budget),
        ImageFormat::Gif => gif_read::read(file, budget),
        ImageFormat::Bmp => bmp(file, budget),
        ImageFormat::Tiff => tiff_read::read(file, budget),
        ImageFormat::Jpeg => jpeg(file, budget),
        _ => Err(Fault::NotAPicture),
    }
}

/// A picture by `image`'s decoder; what it is printed at is told beside.
pub(crate) fn decoded(
    file: impl BufRead + Seek,
    format: ImageFormat,
    resolution: Option<Resolution>,
    budget: &mut Budget,
) -> Result<Decoded, Fault> {
    let mut reader = ImageReader::with_format(file, format);
    reader.limits(limits_of(budget));
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut found = from_decoder(decoder, orientation, budget)?;
    found.resolution = resolution.map(|resolution| resolution.turned(orientation));
    Ok(found)
}

fn limits_of(budget: &Budget) -> image::Limits {
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(budget.decoder());
    limits
}

fn from_decoder(
    mut decoder: impl ImageDecoder,
    orientation: Orientation,
    budget: &mut Budget,
) -> Result<Decoded, Fault> {
    let (width, height) = decoder.dimensions();
    budget.check_pixels(width.into(), height.into())?;
    let icc = decoder.icc_profile().unwrap_or(None);
    let block = decoder.exif_metadata().unwrap_or(None);
    let has_xmp = decoder.xmp_metadata().unwrap_or(None).is_some();
    budget.in_time()?;
    let picture = DynamicImage::from_decoder(decoder).map_err(fault)?;
    budget.in_time()?;
    let mut found = Decoded::new(picture, orientation, icc.as_deref(), block.as_deref(), budget);
    found.notes.extend(has_xmp.then_some(XMP));
    Ok(found)
}

/// Whether a file begins as a JPEG XL does, bare or in its container (ISO 18181).
fn is_jxl(begin: &[u8]) -> bool {
    begin.starts_with(&[0xff, 0x0a]) || begin.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
}

#[cfg(feature = "jxl-read")]
fn jxl(file: impl BufRead, budget: &mut Budget) -> Result<Decoded, Fault> {
    let (file, large) = crate::jxl_file::read(file, budget)?;
    let mut decoder = jxl_oxide::integration::JxlDecoder::new(Cursor::new(file)).map_err(fault)?;
    decoder.set_limits(limits_of(budget)).map_err(fault)?;
    // It gives pictures turned as they are shown.
    let mut found = from_decoder(decoder, Orientation::NoTransforms, budget)?;
    found.notes.extend(large);
    Ok(found)
}

#[cfg(not(feature = "jxl-read"))]
fn jxl(_: impl BufRead + Seek, _: &mut Budget) -> Result<Decoded, Fault> {
    Err(Fault::Unsupported("JPEG XL, which this build does not include; rebuild with the feature `jxl-read`".into()))
}

#[cfg(feature = "avif")]
fn avif(file: impl BufRead, budget: &mut Budget) -> Result<Decoded, Fault> {
    crate::avif_read::read(file, budget)
}

#[cfg(not(feature = "avif"))]
fn avif(_: impl BufRead, _: &mut Budget) -> Result<Decoded, Fault> {
    Err(Fault::Unsupported("AVIF, which this build does not include; rebuild with the feature `avif`".into()))
}

fn bmp(mut file: impl BufRead + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    let mut head = [0; BMP_HEAD];
    let resolution = file.read_exact(&mut head).ok().and_then(|()| of_bmp(&head));
    file.rewind().map_err(unreadable)?;
    decoded(file, ImageFormat::Bmp, resolution, budget)
}

/// Bytes of a BMP up to the end of its resolution.
const BMP_HEAD: usize = 46;

/// The resolution in a head of Windows' kind; that of OS/2, of 12 bytes, has none.
fn of_bmp(head: &[u8; BMP_HEAD]) -> Option<Resolution> {
    let number = |at: usize| head[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    number(14).filter(|size| *size >= 40).and_then(|_| Resolution::on_metre(number(38)?, number(42)?))
}

fn jpeg(mut file: impl BufRead + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    let head = JpegHead::read(&mut file)?;
    budget.check_pixels(head.width.into(), head.height.into())?;
    if head.components == 4 && !head.adobe {
        return Err(Fault::Unsupported("a four-channel JPEG without an Adobe marker that says how the inks are stored".into()));
    }
    file.rewind().map_err(unreadable)?;
    let mut found = decoded(file, ImageFormat::Jpeg, head.resolution, budget)?;
    found.notes.extend(head.iptc.then_some(iptc::NOTE));
    found.notes.extend((head.components == 4).then_some(CMYK));
    Ok(found)
}

fn fault(error: ImageError) -> Fault {
    match error {
        ImageError::IoError(error) => of_io(error),
        ImageError::Unsupported(error) => Fault::Unsupported(error.to_string().replace('\n', " ")),
        other => Fault::Damaged(other.to_string().replace('\n', " ")),
    }
}

/// What a decoder says of its file: the system's own word, or its own.
pub(crate) fn of_io(error: io::Error) -> Fault {
    match error.kind() {
        _ if error.raw_os_error().is_some() => unreadable(error),
        io::ErrorKind::UnexpectedEof => cut(),
        _ => Fault::Damaged(error.to_string().replace('\n', " ")),
    }
}
