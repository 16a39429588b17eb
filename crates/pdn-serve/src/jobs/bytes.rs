//! Bytes of pictures and files in memory, as charged to the account.

use imagesize::ImageType;
use pdn::AnyPicture;

/// Bytes per pixel while decoding most formats ([`pdn::Limits`]).
pub(crate) const PIXEL: u64 = 16;

/// Returns the bytes per pixel while decoding a file. Unknown formats are refused before that.
pub(crate) fn pixel_bytes(file: &[u8]) -> u64 {
    match imagesize::image_type(file) {
        Ok(ImageType::Tiff) => 2 * PIXEL,
        Ok(ImageType::Jxl | ImageType::Heif(_)) => 4 * PIXEL,
        _ => PIXEL,
    }
}

/// Returns the most bytes of a picture's file, given its bytes in memory: incompressible data grows only a little.
pub(crate) fn encoded_bytes(picture: usize) -> usize {
    picture.saturating_add(picture / 64).saturating_add(ENTRY)
}

/// Returns the bytes of a picture in memory, including its metadata.
pub(crate) fn picture_bytes(picture: &AnyPicture) -> usize {
    let header = picture.header();
    let said = header.icc.map_or(0, |icc| icc.len()) + header.exif.map_or(0, |exif| exif.len());
    // Grey pictures have three samples per pixel in memory, too.
    header.width * header.height * (3 + usize::from(header.alpha)) * header.depth.bytes() + said + ENTRY
}

/// Bytes of a picture or a job beside its pixels and files, including its entries in collections.
pub(crate) const ENTRY: usize = 4096;
