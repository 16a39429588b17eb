//! Writing pictures: the format is told by the name, and limits are checked before anything is written.

use crate::aside::check_writable;
use crate::{AnyPicture, Depth, Error, Fault, Picture, Provenance, RowWriter, Sample};
use std::fmt;
use std::path::Path;

/// A format that is written; [`Format::check_built`] says whether by this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// TIFF, compressed by Deflate.
    Tiff,
    /// JPEG.
    Jpeg,
    /// WebP, lossless unless a quality is chosen.
    WebP,
    /// AVIF, of 8 or 10 bits.
    Avif,
    /// JPEG XL, lossless.
    JpegXl,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a picture is written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The quality, 1 to 100, of a format that [has one](Format::has_quality); of others it is not regarded. Without it JPEG is
    /// written at 95, AVIF at 90, WebP without loss.
    pub quality: Option<u8>,
    /// How the picture was made, to be stored with it.
    pub provenance: Option<Provenance>,
}

impl Format {
    /// The format that a file name ends in.
    ///
    /// # Errors
    /// [`Fault::UnknownFormat`] lists the endings, and [`Fault::LeftOut`] is for a format that this build does not write.
    pub fn from_path(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        let format = match ending.as_str() {
            "png" => Self::Png,
            "tif" | "tiff" => Self::Tiff,
            "jpg" | "jpeg" | "jfif" => Self::Jpeg,
            "webp" => Self::WebP,
            "avif" => Self::Avif,
            "jxl" => Self::JpegXl,
            _ => return Err(Error::at(path)(Fault::UnknownFormat)),
        };
        format.check_built().map(|()| format).map_err(Error::at(path))
    }

    /// Whether this build writes it.
    ///
    /// # Errors
    /// [`Fault::LeftOut`] names the feature to build with.
    pub fn check_built(self) -> Result<(), Fault> {
        let (built, feature) = match self {
            Self::Png | Self::Tiff | Self::Jpeg | Self::WebP => return Ok(()),
            Self::Avif => (cfg!(feature = "avif"), "avif"),
            Self::JpegXl => (cfg!(feature = "jxl"), "jxl"),
        };
        if built { Ok(()) } else { Err(Fault::LeftOut { format: self.name(), feature }) }
    }

    /// The deepest samples that are taken; [`Self::bits`] says how much of them is kept.
    pub fn depth(self) -> Depth {
        match self {
            Self::Png | Self::Tiff | Self::Avif | Self::JpegXl => Depth::Sixteen,
            Self::Jpeg | Self::WebP => Depth::Eight,
        }
    }

    /// The most bits of a sample that are written.
    pub fn bits(self) -> usize {
        match self {
            Self::Avif => 10,
            _ => self.depth().bits(),
        }
    }

    /// Whether the format has a transparency.
    pub fn has_alpha(self) -> bool {
        self != Self::Jpeg
    }

    /// Whether it has a place of its own for how large a picture is printed.
    pub(crate) fn has_resolution(self) -> bool {
        matches!(self, Self::Png | Self::Tiff | Self::Jpeg)
    }

    /// Whether a quality can be chosen, for it costs some; WebP's wants the feature `webp-lossy`.
    pub fn has_quality(self) -> bool {
        match self {
            Self::Jpeg | Self::Avif => true,
            Self::WebP => cfg!(feature = "webp-lossy"),
            Self::Png | Self::Tiff | Self::JpegXl => false,
        }
    }

    /// How messages name it.
    fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Tiff => "TIFF",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Avif => "AVIF",
            Self::JpegXl => "JPEG XL",
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
    /// [`Fault::BeyondFormat`], [`Fault::NoPixels`] where a side is 0, and [`Fault::Narrow`] where JPEG XL's is 1.
    pub fn check_size(self, width: usize, height: usize) -> Result<(), Fault> {
        let limit = match self {
            Self::Png => i32::MAX as usize,
            Self::Tiff => u32::MAX as usize,
            Self::Jpeg | Self::Avif => 65_535,
            Self::WebP => 16_383,
            Self::JpegXl => (1 << 30) - 1,
        };
        match (width.min(height), width.max(height)) {
            (0, _) => Err(Fault::NoPixels { width, height }),
            (1, _) if self == Self::JpegXl => Err(Fault::Narrow { width, height }),
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
