//! The output formats, and what each can hold.

use crate::{Depth, Error, Fault};
use std::fmt;
use std::path::Path;

/// An output format. [`Format::check_built`] tells whether this build can write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// PNG.
    Png,
    /// TIFF, compressed with Deflate.
    Tiff,
    /// JPEG.
    Jpeg,
    /// WebP, lossless unless a quality is set.
    WebP,
    /// AVIF, at 8 or 10 bits.
    Avif,
    /// JPEG XL, lossless.
    JpegXl,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Format {
    /// Returns the format for a file name's extension.
    ///
    /// # Errors
    /// [`Fault::UnknownFormat`] lists the known extensions; [`Fault::LeftOut`] means that this build does not write the
    /// format.
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

    /// Checks that this build writes the format.
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

    /// Returns the deepest samples that the encoder accepts; [`Self::bits`] tells how many of their bits are stored.
    pub fn depth(self) -> Depth {
        match self {
            Self::Png | Self::Tiff | Self::Avif | Self::JpegXl => Depth::Sixteen,
            Self::Jpeg | Self::WebP => Depth::Eight,
        }
    }

    /// Returns the most bits per sample that are stored.
    pub fn bits(self) -> usize {
        match self {
            Self::Avif => 10,
            _ => self.depth().bits(),
        }
    }

    /// Returns whether the format has an alpha channel.
    pub fn has_alpha(self) -> bool {
        self != Self::Jpeg
    }

    /// Returns whether the format has its own field for the print resolution.
    pub(crate) fn has_resolution(self) -> bool {
        matches!(self, Self::Png | Self::Tiff | Self::Jpeg)
    }

    /// Returns whether the format has a quality setting, that is, is lossy. WebP has one only with the feature
    /// `webp-lossy`.
    pub fn has_quality(self) -> bool {
        match self {
            Self::Jpeg | Self::Avif => true,
            Self::WebP => cfg!(feature = "webp-lossy"),
            Self::Png | Self::Tiff | Self::JpegXl => false,
        }
    }

    /// Returns the name that messages use.
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

    /// Checks that a picture of this size fits in the format.
    ///
    /// # Errors
    /// Returns [`Fault::BeyondFormat`], [`Fault::NoPixels`] if a side is 0, or [`Fault::Narrow`] if JPEG XL's is 1.
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
