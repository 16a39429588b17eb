//! Errors of reading and writing a picture. Each message names the file.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// Why a picture could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}", path = path.display())]
pub struct Error {
    /// The file, or the folder it should be in.
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
    /// The operating system's error on reading.
    pub(crate) fn on_read(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Io { doing: "read", error },
        }
    }

    /// The operating system's error on writing.
    pub(crate) fn on_write(error: io::Error) -> Self {
        Self::Io { doing: "written", error }
    }

    /// A decoder's error: the operating system's where that caused it, or else its own about the file.
    pub(crate) fn on_decode(error: io::Error) -> Self {
        match error.kind() {
            _ if error.raw_os_error().is_some() => Self::on_read(error),
            io::ErrorKind::UnexpectedEof => Self::truncated(),
            _ => Self::Damaged(error.to_string().replace('\n', " ")),
        }
    }

    /// An encoder's own error.
    pub(crate) fn on_encode(error: impl Display) -> Self {
        Self::on_write(io::Error::other(error.to_string()))
    }

    /// A file that ends before its picture does.
    pub(crate) fn truncated() -> Self {
        Self::Damaged("its end is missing".into())
    }
}

/// What the system said, without what Rust appends to it: `(os error 5)`.
fn plain(error: &io::Error) -> String {
    let message = error.to_string();
    let Some((words, rest)) = message.split_once(" (os error ") else { return message };
    format!("{words}{}", rest.split_once(')').map_or("", |(_, rest)| rest))
}

/// The endings of what is written.
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
    /// There is nothing of that name.
    #[error("no such file")]
    Missing,
    /// A folder where a file was expected.
    #[error("is a folder; expected a picture")]
    Folder,
    /// A file of no bytes.
    #[error("is empty; expected a picture")]
    Empty,
    /// None of the formats that are read.
    #[error("is not a supported picture: expected PNG, JPEG, WebP, TIFF, BMP or GIF")]
    NotAPicture,
    /// A picture of a kind that is not read.
    #[error("is not supported: {0}")]
    Unsupported(String),
    /// Cut short or overwritten.
    #[error("is damaged or cut short: {0}")]
    Damaged(String),
    /// Larger than allowed.
    #[error("is {width}x{height}, {pixels} pixels, more than the limit of {limit}")]
    TooLarge {
        /// Its width.
        width: u64,
        /// Its height.
        height: u64,
        /// Both multiplied.
        pixels: u64,
        /// The limit on that.
        limit: u64,
    },
    /// Its deadline came before its end.
    #[error("was not read within the time limit; allow more time, or use a smaller picture")]
    TooSlow,
    /// The operating system said no.
    #[error("cannot be {doing}: {}", plain(error))]
    Io {
        /// Read or written.
        doing: &'static str,
        /// Why.
        error: io::Error,
    },
    /// An output's name with an ending that no format has.
    #[error("cannot be written: unknown format; expected a file name ending in {}", endings())]
    UnknownFormat,
    /// A format that this build does not write.
    #[error(
        "cannot be written: this build does not include {format}; rebuild with the feature `{feature}`, or write .png or .tif"
    )]
    LeftOut {
        /// The format.
        format: &'static str,
        /// What to build with.
        feature: &'static str,
    },
    /// More than the output's format can hold.
    #[error("cannot hold {width}x{height}: {format} allows at most {limit} pixels per side")]
    BeyondFormat {
        /// Width to write.
        width: usize,
        /// Height to write.
        height: usize,
        /// The format.
        format: &'static str,
        /// Its longest side.
        limit: usize,
    },
    /// A picture of nothing.
    #[error("cannot hold {width}x{height}: a picture needs at least one pixel")]
    NoPixels {
        /// Width to write.
        width: usize,
        /// Height to write.
        height: usize,
    },
    /// A picture of one column or one row, which the encoder of JPEG XL does not take.
    #[error("cannot hold {width}x{height}: JPEG XL needs at least 2 pixels per side; write .png or .tif")]
    Narrow {
        /// Width to write.
        width: usize,
        /// Height to write.
        height: usize,
    },
    /// Grey of 16 bits with alpha and a profile, which JPEG XL's encoder takes as colour only.
    #[error("cannot hold 16-bit grey with alpha and a colour profile: use 8 bits in JPEG XL, or write .png or .tif")]
    GreyProfile,
    /// A colour profile that no decoder of JPEG XL would read.
    #[error(
        "cannot hold the colour profile, which is damaged ({0}): JPEG XL decoders would refuse it; write .png or .tif"
    )]
    Profile(String),
    /// Rows that end within one.
    #[error("got {found} bytes, expected whole rows of {row} bytes")]
    PartOfRow {
        /// Bytes that were given.
        found: usize,
        /// Bytes of a row.
        row: usize,
    },
    /// More rows than the picture has, or less at its end.
    #[error("got {found} rows, expected {expected}")]
    Rows {
        /// Rows that were given.
        found: usize,
        /// Rows of the picture.
        expected: usize,
    },
    /// Transparency in a format that has none.
    #[error("cannot hold transparency: JPEG does not support it; write .png, .tif or .webp")]
    NoAlpha,
    /// 16 bits a sample in a format that has 8.
    #[error("cannot hold 16 bits per sample: {format} has 8; write .png or .tif")]
    TooDeep {
        /// The format.
        format: &'static str,
    },
    /// More said of a picture than its format has a place for.
    #[error(
        "cannot hold the model and prompt in its metadata: {found} bytes, but JPEG allows {limit}; leave them out, or write .png, .tif or .webp"
    )]
    LongProvenance {
        /// Bytes to write.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// More EXIF than its format has a place for.
    #[error("cannot hold the EXIF: {found} bytes, but JPEG allows {limit}; leave it out, or write .png, .tif or .webp")]
    LongExif {
        /// Bytes to write.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// The folder to write in is not there.
    #[error("cannot be written: the folder {0} does not exist")]
    NoFolder(PathBuf),
    /// A folder where the output should go.
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
