//! Reading a picture. The content determines the format, and the header is checked against the limits before anything
//! is decoded.

use crate::codecs::decoded::Decoded;
use crate::codecs::{bmp, gif, jpeg, png, signature, tiff, webp};
use crate::limits::{Budget, Limits, Timed};
use crate::{AnyPicture, Error, Fault, Picture};
use image::ImageFormat;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Reads a PNG, JPEG, WebP, TIFF, BMP or GIF, rotated as its EXIF orientation says, at 16 bits per sample if the file
/// has more than 8. From a file with several pictures it reads the first.
///
/// # Errors
/// [`Error`] names the file: it is missing, a folder, empty, no picture, of an unsupported kind, damaged, beyond the
/// limits, or not read in time.
pub fn read_any(path: &Path, limits: &Limits) -> Result<AnyPicture, Error> {
    open(path).and_then(|file| decode(BufReader::new(file), limits)).map(Decoded::any).map_err(Error::at(path))
}

/// Reads a picture as [`read_any`] does, but always at 8 bits per sample.
///
/// # Errors
/// Same as [`read_any`].
pub fn read(path: &Path, limits: &Limits) -> Result<Picture, Error> {
    open(path).and_then(|file| decode(BufReader::new(file), limits)).map(Decoded::eight).map_err(Error::at(path))
}

fn open(path: &Path) -> Result<File, Fault> {
    let what = std::fs::metadata(path).map_err(Fault::on_read)?;
    if what.is_dir() {
        return Err(Fault::Folder);
    }
    if !what.is_file() {
        // A pipe can be read only once, and opening it may block forever.
        return Err(Fault::on_read(io::Error::other("it is not a regular file")));
    }
    File::open(path).map_err(Fault::on_read)
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

/// Decodes a picture. Decoders are third-party code: one that panics on a damaged file must not end the program.
fn decode(mut file: impl BufRead + Seek, limits: &Limits) -> Result<Decoded, Fault> {
    let length = file.seek(SeekFrom::End(0)).and_then(|length| file.rewind().map(|()| length));
    let mut budget = Budget::new(limits, length.map_err(Fault::on_read)?);
    let timed = Timed::new(file, &budget);
    // Nothing else reads this file, so whatever a panic leaves half done is dropped with it.
    let decoded = catch_unwind(AssertUnwindSafe(|| by_format(timed, &mut budget)));
    // A decoder may report any error for a file that ended early. If time ran out, say that instead.
    budget.in_time()?;
    decoded.unwrap_or_else(|_| Err(Fault::Damaged("its decoder crashed".into())))
}

fn by_format(mut file: impl BufRead + Seek, budget: &mut Budget) -> Result<Decoded, Fault> {
    let begin = file.fill_buf().map_err(Fault::on_read)?;
    if begin.is_empty() {
        return Err(Fault::Empty);
    }
    if let Some(fault) = signature::unsupported(begin).filter(|_| !signature::is_avif(begin)) {
        return Err(fault);
    }
    if signature::is_jxl(begin) {
        return jxl(file, budget);
    }
    if signature::is_avif(begin) {
        return avif(file, budget);
    }
    let format = match image::guess_format(begin) {
        Ok(format) => format,
        Err(_) if signature::is_big_tiff(begin) => ImageFormat::Tiff,
        Err(_) => return Err(Fault::NotAPicture),
    };
    match format {
        ImageFormat::Png => png::read(file, budget),
        ImageFormat::WebP => webp::read(file, budget),
        ImageFormat::Gif => gif::read(file, budget),
        ImageFormat::Bmp => bmp::read(file, budget),
        ImageFormat::Tiff => tiff::read(file, budget),
        ImageFormat::Jpeg => jpeg::read(file, budget),
        _ => Err(Fault::NotAPicture),
    }
}

#[cfg(feature = "jxl-read")]
fn jxl(file: impl BufRead, budget: &mut Budget) -> Result<Decoded, Fault> {
    crate::codecs::jxl::read(file, budget)
}

#[cfg(not(feature = "jxl-read"))]
fn jxl(_: impl BufRead + Seek, _: &mut Budget) -> Result<Decoded, Fault> {
    Err(Fault::Unsupported("JPEG XL, which this build does not include; rebuild with the feature `jxl-read`".into()))
}

#[cfg(feature = "avif")]
fn avif(file: impl BufRead, budget: &mut Budget) -> Result<Decoded, Fault> {
    crate::codecs::avif::read(file, budget)
}

#[cfg(not(feature = "avif"))]
fn avif(_: impl BufRead, _: &mut Budget) -> Result<Decoded, Fault> {
    Err(Fault::Unsupported("AVIF, which this build does not include; rebuild with the feature `avif`".into()))
}
