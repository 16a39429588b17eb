//! Errors from reading and writing a picture. Each message names the file.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// The reason why a picture could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}", path = path.display())]
pub struct Error {
    /// The file, or the folder that should hold it.
    pub path: PathBuf,
    /// What is wrong.
    pub why: Fault,
}

impl Error {
    pub(crate) fn at(path: &Path) -> impl Fn(Fault) -> Self + '_ {
        |why| Self { path: path.to_owned(), why }
    }
}

impl Fault {
    /// Wraps an operating system error from reading.
    pub(crate) fn on_read(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Io { doing: "read", error },
        }
    }

    /// Wraps an operating system error from writing.
    pub(crate) fn on_write(error: io::Error) -> Self {
        Self::Io { doing: "written", error }
    }

    /// Wraps a decoder's error: the operating system's if that is the cause, otherwise the decoder's own about the
    /// file.
    pub(crate) fn on_decode(error: io::Error) -> Self {
        match error.kind() {
            _ if error.raw_os_error().is_some() => Self::on_read(error),
            io::ErrorKind::UnexpectedEof => Self::truncated(),
            _ => Self::Damaged(error.to_string().replace('\n', " ")),
        }
    }

    /// Wraps an encoder's own error.
    pub(crate) fn on_encode(error: impl Display) -> Self {
        Self::on_write(io::Error::other(error.to_string()))
    }

    /// Returns the error for a file that ends before its picture does.
    pub(crate) fn truncated() -> Self {
        Self::Damaged("its end is missing".into())
    }
}

/// Returns the system's message without the `(os error 5)` that Rust appends.
fn plain(error: &io::Error) -> String {
    let message = error.to_string();
    let Some((words, rest)) = message.split_once(" (os error ") else { return message };
    format!("{words}{}", rest.split_once(')').map_or("", |(_, rest)| rest))
}

/// Returns the file name extensions of the formats that can be written.
fn endings() -> &'static str {
    match (cfg!(feature = "avif"), cfg!(feature = "jxl")) {
        (false, false) => ".png, .tif, .tiff, .jpg, .jpeg or .webp",
        (true, false) => ".png, .tif, .tiff, .jpg, .jpeg, .webp or .avif",
        (false, true) => ".png, .tif, .tiff, .jpg, .jpeg, .webp or .jxl",
        (true, true) => ".png, .tif, .tiff, .jpg, .jpeg, .webp, .avif or .jxl",
    }
}

/// What is wrong with a picture's file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nothing has that name.
    #[error("no such file")]
    Missing,
    /// A folder, where a file is expected.
    #[error("is a folder; expected a picture")]
    Folder,
    /// An empty file.
    #[error("is empty; expected a picture")]
    Empty,
    /// Not in any format that can be read.
    #[error("is not a supported picture: expected PNG, JPEG, WebP, TIFF, BMP or GIF")]
    NotAPicture,
    /// A kind of picture that cannot be read.
    #[error("is not supported: {0}")]
    Unsupported(String),
    /// Truncated or corrupted.
    #[error("is damaged or cut short: {0}")]
    Damaged(String),
    /// More pixels than the limit allows.
    #[error("is {width}x{height}, {pixels} pixels, more than the limit of {limit}")]
    TooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// Width times height.
        pixels: u64,
        /// The limit on `pixels`.
        limit: u64,
    },
    /// The deadline passed before the picture was read.
    #[error("was not read within the time limit; allow more time, or use a smaller picture")]
    TooSlow,
    /// An operating system error.
    #[error("cannot be {doing}: {}", plain(error))]
    Io {
        /// What failed: reading or writing.
        doing: &'static str,
        /// The operating system's error.
        error: io::Error,
    },
    /// An output name whose extension belongs to no format.
    #[error("cannot be written: unknown format; expected a file name ending in {}", endings())]
    UnknownFormat,
    /// A format that this build does not write.
    #[error(
        "cannot be written: this build does not include {format}; rebuild with the feature `{feature}`, or write .png or .tif"
    )]
    LeftOut {
        /// The format.
        format: &'static str,
        /// The feature to build with.
        feature: &'static str,
    },
    /// Sides longer than the output format can hold.
    #[error("cannot hold {width}x{height}: {format} allows at most {limit} pixels per side")]
    BeyondFormat {
        /// Width to write.
        width: usize,
        /// Height to write.
        height: usize,
        /// The format.
        format: &'static str,
        /// The format's longest side.
        limit: usize,
    },
    /// A picture with no pixels.
    #[error("cannot hold {width}x{height}: a picture needs at least one pixel")]
    NoPixels {
        /// Width to write.
        width: usize,
        /// Height to write.
        height: usize,
    },
    /// A picture with one column or one row, which the JPEG XL encoder does not accept.
    #[error("cannot hold {width}x{height}: JPEG XL needs at least 2 pixels per side; write .png or .tif")]
    Narrow {
        /// Width to write.
        width: usize,
        /// Height to write.
        height: usize,
    },
    /// 16-bit grey with alpha and a profile, which the JPEG XL encoder accepts as colour only.
    #[error("cannot hold 16-bit grey with alpha and a colour profile: use 8 bits in JPEG XL, or write .png or .tif")]
    GreyProfile,
    /// A colour profile that no JPEG XL decoder would read.
    #[error(
        "cannot hold the colour profile, which is damaged ({0}): JPEG XL decoders would refuse it; write .png or .tif"
    )]
    Profile(String),
    /// Rows that end in the middle of one.
    #[error("got {found} bytes, expected whole rows of {row} bytes")]
    PartOfRow {
        /// Bytes given.
        found: usize,
        /// Bytes in a row.
        row: usize,
    },
    /// More rows than the picture has, or fewer when it is finished.
    #[error("got {found} rows, expected {expected}")]
    Rows {
        /// Rows given.
        found: usize,
        /// Rows in the picture.
        expected: usize,
    },
    /// Transparency, in a format without alpha.
    #[error("cannot hold transparency: JPEG does not support it; write .png, .tif or .webp")]
    NoAlpha,
    /// 16-bit samples, in a format of 8 bits.
    #[error("cannot hold 16 bits per sample: {format} has 8; write .png or .tif")]
    TooDeep {
        /// The format.
        format: &'static str,
    },
    /// More provenance metadata than the format can hold.
    #[error(
        "cannot hold the model and prompt in its metadata: {found} bytes, but JPEG allows {limit}; leave them out, or write .png, .tif or .webp"
    )]
    LongProvenance {
        /// Bytes to write.
        found: usize,
        /// The most that fits.
        limit: usize,
    },
    /// More EXIF than the format can hold.
    #[error("cannot hold the EXIF: {found} bytes, but JPEG allows {limit}; leave it out, or write .png, .tif or .webp")]
    LongExif {
        /// Bytes to write.
        found: usize,
        /// The most that fits.
        limit: usize,
    },
    /// The output's folder does not exist.
    #[error("cannot be written: the folder {0} does not exist")]
    NoFolder(PathBuf),
    /// A folder, where the output should go.
    #[error("is a folder; expected a file name to write to")]
    TargetIsFolder,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_quoted_without_its_number() {
        for number in 1..140 {
            let said = Fault::on_write(io::Error::from_raw_os_error(number)).to_string();
            assert!(said.starts_with("cannot be written: ") && !said.contains("os error"), "{number}: {said}");
        }
        assert_eq!(plain(&io::Error::other("a thing (os error 5) at a place")), "a thing at a place");
        assert_eq!(plain(&io::Error::other("a thing")), "a thing");
    }
}
