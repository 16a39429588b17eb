//! Bytes that pictures and files take in memory: what the account is asked for.

use imagesize::ImageType;
use pdn::AnyPicture;

/// Bytes that a pixel of most formats takes while it is decoded ([`pdn::Limits`]).
pub(crate) const PIXEL: u64 = 16;

/// Bytes that a pixel of a file takes while it is decoded. What is of no known kind is refused before that.
pub(crate) fn pixel_bytes(file: &[u8]) -> u64 {
    match imagesize::image_type(file) {
        Ok(ImageType::Tiff) => 2 * PIXEL,
        Ok(ImageType::Jxl | ImageType::Heif(_)) => 4 * PIXEL,
        _ => PIXEL,
    }
}

/// Bytes of a picture's file at most, of its bytes in memory: what does not become smaller becomes little larger.
pub(crate) fn encoded_bytes(picture: usize) -> usize {
    picture.saturating_add(picture / 64).saturating_add(ENTRY)
}

/// Bytes of a picture in memory, with all that is said of it.
pub(crate) fn picture_bytes(picture: &AnyPicture) -> usize {
    let header = picture.header();
    let said = header.icc.map_or(0, |icc| icc.len()) + header.exif.map_or(0, |exif| exif.len());
    // Grey has three samples in memory, too.
    header.width * header.height * (3 + usize::from(header.alpha)) * header.depth.bytes() + said + ENTRY
}

/// Bytes of a picture or a job beside its pixels and files, with its place in every list.
pub(crate) const ENTRY: usize = 4096;
