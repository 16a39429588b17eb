//! Writing pictures: the format is told by the name, and limits are checked before anything is written.

use crate::aside::check_writable;
use crate::{AnyPicture, Depth, Error, Fault, Picture, Provenance, RowWriter, Sample};
use std::fmt;
use std::path::Path;

/// A format that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// TIFF, compressed by Deflate.
    Tiff,
    /// JPEG.
    Jpeg,
    /// WebP, lossless.
    WebP,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a picture is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// JPEG's quality, 1 to 100.
    pub jpeg_quality: u8,
    /// How the picture was made, to be stored with it.
    pub provenance: Option<Provenance>,
}

impl Default for WriteOptions {
    /// JPEG at 95, and no word of how it was made.
    fn default() -> Self {
        Self { jpeg_quality: 95, provenance: None }
    }
}

impl Format {
    /// The format that a file name ends in.
    ///
    /// # Errors
    /// [`Fault::UnknownFormat`] lists the endings.
    pub fn from_path(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match ending.as_str() {
            "png" => Ok(Self::Png),
            "tif" | "tiff" => Ok(Self::Tiff),
            "jpg" | "jpeg" => Ok(Self::Jpeg),
            "webp" => Ok(Self::WebP),
            _ => Err(Error::at(path)(Fault::UnknownFormat)),
        }
    }

    /// The deepest samples that the format has.
    pub fn depth(self) -> Depth {
        match self {
            Self::Png | Self::Tiff => Depth::Sixteen,
            Self::Jpeg | Self::WebP => Depth::Eight,
        }
    }

    /// Whether the format has a transparency.
    pub fn has_alpha(self) -> bool {
        self != Self::Jpeg
    }

    /// Whether a quality can be chosen, for it costs some.
    pub fn has_quality(self) -> bool {
        self == Self::Jpeg
    }

    /// How messages name it.
    fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
        }
    }

    pub(crate) fn check_depth(self, depth: Depth) -> Result<(), Fault> {
        match depth > self.depth() {
            true => Err(Fault::TooDeep { format: self.name() }),
            false => Ok(()),
        }
    }

    /// Whether a picture of this size fits in the format.
    ///
    /// # Errors
    /// [`Fault::BeyondFormat`], and [`Fault::NoPixels`] where a side is 0.
    pub fn check_size(self, width: usize, height: usize) -> Result<(), Fault> {
        let limit = match self {
            Self::Png => i32::MAX as usize,
            Self::Tiff => u32::MAX as usize,
            Self::Jpeg => 65_535,
            Self::WebP => 16_383,
        };
        match (width.min(height), width.max(height)) {
            (0, _) => Err(Fault::NoPixels { width, height }),
            (_, longest) if longest > limit => Err(Fault::BeyondFormat { width, height, format: self.name(), limit }),
            _ => Ok(()),
        }
    }
}

/// Checks, before any work, that a picture of this size can be written to this name.
///
/// # Errors
/// [`Error`] names the file: its format is not known, cannot hold the size, the transparency or the provenance, or its
/// folder does not exist or cannot be written in.
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

/// Writes a picture in the format that its name ends in, with its ICC profile and EXIF; a picture without colour as grey.
///
/// # Errors
/// As [`check_target`], where the format has no samples of 16 bits and the picture has, and when writing fails; nothing is
/// left behind then.
pub fn write<S: Sample>(path: &Path, picture: &Picture<S>, options: &WriteOptions) -> Result<(), Error> {
    let header = picture.header();
    let mut writer = RowWriter::create(path, &header, options)?;
    for band in header.bands(0..header.height) {
        writer.write_rows(&S::bytes(&picture.samples(band)))?;
    }
    writer.finish()
}

/// Writes a picture of either depth, as [`write()`] does; one of 16 bits as 8 where the format has no more.
///
/// # Errors
/// As [`write()`].
pub fn write_any(path: &Path, picture: &AnyPicture, options: &WriteOptions) -> Result<(), Error> {
    match picture {
        AnyPicture::Sixteen(picture) if Format::from_path(path)?.depth() == Depth::Sixteen => {
            write(path, picture, options)
        }
        picture => write(path, &*picture.eight(), options),
    }
}
