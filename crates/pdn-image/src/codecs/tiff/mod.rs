//! TIFF (revision 6.0) and BigTIFF.

mod chunks;
mod decode;
mod encode;
mod ifd;

pub(crate) use decode::read;
pub(crate) use encode::{StripEncoder, is_big};

use crate::Fault;
use std::fmt::Display;
use tiff::TiffError;
use tiff::tags::Tag;

/// The tag of an XMP packet (XMP specification, part 3).
const XMP: Tag = Tag::Unknown(700);

/// The most bytes in a decoded pixel, eight samples of 64 bits: with more, a small file could ask for any amount of
/// memory.
const MOST_BYTES: usize = 64;

fn unsupported(what: impl Display) -> Fault {
    Fault::Unsupported(format!("a TIFF of {what}"))
}

/// Converts an error of the decoder.
fn fault(error: TiffError) -> Fault {
    match error {
        TiffError::IoError(error) => Fault::on_decode(error),
        TiffError::UnsupportedError(what) => unsupported(what.to_string().replace('\n', " ")),
        other => Fault::Damaged(other.to_string().replace('\n', " ")),
    }
}
