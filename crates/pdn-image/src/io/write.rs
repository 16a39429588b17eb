//! Writing a picture. The file name determines the format, whose limits are checked before anything is written.

use crate::io::atomic_file::check_writable;
use crate::{AnyPicture, Depth, Error, Fault, Format, Picture, RowWriter, Sample, WriteOptions};
use std::path::Path;

/// Checks, before any work, that a picture of this size can be written at this path.
///
/// # Errors
/// [`Error`] names the file: its format is unknown or cannot hold the size, the transparency or the provenance, or its
/// folder does not exist or is not writable.
pub fn check_target(
    path: &Path,
    width: usize,
    height: usize,
    transparent: bool,
    options: &WriteOptions,
) -> Result<(), Error> {
    let format = Format::from_path(path)?;
    let check = || {
        format.check_size(width, height)?;
        if transparent && !format.has_alpha() {
            return Err(Fault::NoAlpha);
        }
        options.provenance.as_ref().map_or(Ok(()), |provenance| provenance.check(format))
    };
    check().map_err(Error::at(path))?;
    check_writable(path)
}

/// Writes a picture in the format of its file name's extension, with its ICC profile and EXIF; a picture without colour
/// is written as grey.
///
/// # Errors
/// Same as [`check_target`]; also if the picture has 16 bits per sample and the format does not, or if writing fails.
/// Nothing is left behind.
pub fn write<S: Sample>(path: &Path, picture: &Picture<S>, options: &WriteOptions) -> Result<(), Error> {
    let header = picture.header();
    let mut writer = RowWriter::create(path, &header, options)?;
    for band in header.bands(0..header.height) {
        writer.write_rows(&S::bytes(&picture.samples(band)))?;
    }
    writer.finish()
}

/// Writes a picture of either depth, as [`write()`] does. 16 bits become 8 if the format has no more.
///
/// # Errors
/// Same as [`write()`].
pub fn write_any(path: &Path, picture: &AnyPicture, options: &WriteOptions) -> Result<(), Error> {
    match picture {
        AnyPicture::Sixteen(picture) if Format::from_path(path)?.depth() == Depth::Sixteen => {
            write(path, picture, options)
        }
        picture => write(path, &*picture.eight(), options),
    }
}
