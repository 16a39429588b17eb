//! Pictures: raw bytes, or files made by a grammar; what is read is written to every format and read again.

use crate::dice::Dice;
use crate::{containers, png, tiff};
use pdn_image::{AnyPicture, Depth, Fault, Format, Light, Limits, WriteOptions, encode_any, read_any_bytes};

/// The first byte of an input for the grammar; no picture begins with it.
pub const MADE: u8 = 0xf5;

/// A million pixels, so that any request of a file stays far below an out-of-memory error.
const LIMITS: Limits = Limits { pixels: 1 << 20, deadline: None };

/// The most pixels of a picture that is written again: more would only take time.
const WRITTEN: usize = 1 << 12;

const FORMATS: [Format; 5] = [Format::Png, Format::Tiff, Format::Jpeg, Format::WebP, Format::JpegXl];

/// Reads a picture, either the input itself or one that the grammar makes of it, and writes it in every format.
///
/// # Panics
/// If what was read cannot be written, or is not read back unchanged.
pub fn pictures(data: &[u8]) {
    match data {
        [MADE, choices @ ..] => read(&made(choices)),
        _ => read(data),
    }
}

/// Makes a file from these choices with the grammar.
pub fn made(choices: &[u8]) -> Vec<u8> {
    let mut dice = Dice::new(choices);
    match dice.byte() % 12 {
        0..=2 => png::file(&mut dice),
        3..=5 => tiff::file(&mut dice),
        6 | 7 => containers::webp(&mut dice),
        8 | 9 => containers::jpeg(&mut dice),
        10 => containers::bmp(&mut dice),
        _ => containers::gif(&mut dice),
    }
}

/// Reads a picture and writes it in every format.
///
/// # Panics
/// Same as [`pictures`].
pub(crate) fn read(file: &[u8]) {
    let Ok(picture) = read_any_bytes(file, &LIMITS) else { return };
    assert!((picture.width() * picture.height()) as u64 <= LIMITS.pixels, "beyond the limit");
    if let Some(icc) = &picture.header().icc {
        let _ = Light::of_profile(icc);
    }
    if picture.width() * picture.height() <= WRITTEN {
        FORMATS
            .into_iter()
            .filter(|format| format.check_built().is_ok())
            .for_each(|format| rewritten(&picture, format));
    }
}

/// Writes a picture and reads it again, twice: the first pass removes what the format cannot hold.
fn rewritten(picture: &AnyPicture, format: Format) {
    let Some(first) = again(picture, format) else { return };
    assert_eq!((first.width(), first.height()), (picture.width(), picture.height()), "{format}");
    if format == Format::Jpeg {
        return;
    }
    let deep = format.depth() == Depth::Sixteen;
    let before = if deep { picture.clone() } else { picture.eight().into_owned().into() };
    same(&before, &first, format);
    let second = again(&first, format).unwrap_or_else(|| panic!("{format}: refused at the second time"));
    same(&first, &second, format);
    assert_eq!(first.header(), second.header(), "{format}: at the second time");
}

/// Returns the picture as read back from a format; `None` if the format cannot hold it.
fn again(picture: &AnyPicture, format: Format) -> Option<AnyPicture> {
    let written = match encode_any(picture, format, &WriteOptions::default()) {
        Ok(written) => written,
        Err(
            Fault::NoAlpha | Fault::LongExif { .. } | Fault::Narrow { .. } | Fault::GreyProfile | Fault::Profile(_),
        ) => return None,
        Err(Fault::BeyondFormat { .. }) => return None,
        Err(fault) => panic!("{format} is not written: {fault}"),
    };
    let read = read_any_bytes(&written, &LIMITS);
    Some(read.unwrap_or_else(|fault| panic!("{format} is not read again: {fault}")))
}

/// Checks that all pixels and the profile are the same.
fn same(before: &AnyPicture, after: &AnyPicture, format: Format) {
    match (before, after) {
        (AnyPicture::Eight(a), AnyPicture::Eight(b)) => {
            assert!((a.rgb(), a.alpha()) == (b.rgb(), b.alpha()), "{format}: other pixels");
        }
        (AnyPicture::Sixteen(a), AnyPicture::Sixteen(b)) => {
            assert!((a.rgb(), a.alpha()) == (b.rgb(), b.alpha()), "{format}: other pixels of 16 bits");
        }
        _ => panic!("{format}: another depth"),
    }
    let (before, after) = (before.header(), after.header());
    // JPEG XL's decoder makes a profile for known colour spaces, whether or not the file has one.
    let is_said = format == Format::JpegXl && (before.icc.is_none() || after.icc.is_some());
    assert!(is_said || before.icc == after.icc, "{format}: the profile");
    // WebP has no grey, and JPEG XL's encoder no 16-bit grey with alpha.
    let is_deep = before.grey && before.alpha && before.depth == Depth::Sixteen;
    let is_coloured = format == Format::WebP || (format == Format::JpegXl && is_deep);
    assert!(before.grey == after.grey || is_coloured, "{format}: grey");
}
