//! Pictures: bytes as they come, or files by grammar; what is read is written to every format and read again.

use crate::dice::Dice;
use crate::{containers, png, tiff};
use pdn_image::{AnyPicture, Depth, Fault, Format, Light, Limits, WriteOptions, encode_any, read_any_bytes};

/// What an input begins with that is made by a grammar; no picture does.
pub const MADE: u8 = 0xf5;

/// A million pixels, so that what a file may ask for is far below what is an error.
const LIMITS: Limits = Limits { pixels: 1 << 20, deadline: None };

/// Pixels of a picture that is written again: more would only take time.
const WRITTEN: usize = 1 << 12;

const FORMATS: [Format; 5] = [Format::Png, Format::Tiff, Format::Jpeg, Format::WebP, Format::JpegXl];

/// Reads a picture, as the input is or as a grammar makes one of it, and writes it in every format.
///
/// # Panics
/// Where what was read cannot be written, or is not read again as it was.
pub fn pictures(data: &[u8]) {
    match data {
        [MADE, choices @ ..] => read(&made(choices)),
        _ => read(data),
    }
}

/// The file that a grammar makes of these choices.
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
/// As [`pictures`].
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

/// Writes a picture and reads it again, twice: what a format cannot hold is gone after the first.
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

/// The picture as a file of a format has it; nothing where the format cannot hold it.
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

/// Whether all pixels are the same, and their profile.
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
    // JPEG XL's decoder gives a profile of its own for colours that it knows, said or not.
    let is_said = format == Format::JpegXl && (before.icc.is_none() || after.icc.is_some());
    assert!(is_said || before.icc == after.icc, "{format}: the profile");
    // WebP has no grey, and JPEG XL's encoder none of 16 bits with alpha.
    let is_deep = before.grey && before.alpha && before.depth == Depth::Sixteen;
    let is_coloured = format == Format::WebP || (format == Format::JpegXl && is_deep);
    assert!(before.grey == after.grey || is_coloured, "{format}: grey");
}
