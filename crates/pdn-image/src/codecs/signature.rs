//! File signatures: detecting a file's format from its first bytes.
//!
//! `image` detects the formats that it decodes. This module covers the others that can be read, and common formats that
//! cannot, each with a hint on what to do.

use crate::Fault;

const FILM: &str = "a video; save a frame as PNG or JPEG";
const HEIC: &str = "HEIC, the iPhone format, whose decoder is patented and not included; convert it to JPEG or PNG, \
                    or set the phone's camera to \"Most Compatible\"";
/// The message for a camera raw file.
pub(crate) const RAW: &str = "a camera raw file; develop it with a raw converter and save it as TIFF, PNG or JPEG";
const JPEG_2000: &str = "JPEG 2000; convert it to PNG or TIFF";
const PAGE: &str = "a web page, not a picture; the download saved the page around it";
const PDF: &str = "PDF; save the page, or the picture in it, as PNG";
const PHOTOSHOP: &str = "a Photoshop file; save it as TIFF or PNG";
const SVG: &str = "SVG, a vector drawing; export it as PNG at the size you need";

/// Offset, bytes and kind of the signatures.
const KINDS: [(usize, &[u8], &str); 16] = [
    (0, b"%PDF-", PDF),
    (0, b"8BPS", PHOTOSHOP),
    (0, b"gimp xcf", "a GIMP file; export it as TIFF or PNG"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", JPEG_2000),
    (0, b"\xff\x4f\xff\x51", JPEG_2000),
    (0, b"\x76\x2f\x31\x01", "OpenEXR, a high dynamic range format; save it as 16-bit PNG or TIFF"),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIRO", RAW),
    (0, b"IIRS", RAW),
    (0, b"IIU\0", RAW),
    // Canon's CR2 begins like a TIFF.
    (8, b"CR\x02\0", RAW),
    (0, b"\x1a\x45\xdf\xa3", FILM),
    (8, b"AVI LIST", FILM),
    (4, b"moov", FILM),
    (4, b"mdat", FILM),
    (4, b"wide", FILM),
];

/// The brands of HEVC-coded files, and of those that do not say (ISO 23008-12).
const HEIC_BRANDS: [&[u8; 4]; 11] =
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"];

/// The elements that a text file may begin with.
const ELEMENTS: [(&[u8], &str); 3] = [(b"<svg", SVG), (b"<!doctype html", PAGE), (b"<html", PAGE)];

/// How many bytes of a text to search for its first element.
const TEXT: usize = 1024;

/// Identifies a file that cannot be read by its first bytes; returns `None` if they are unknown.
pub(crate) fn unsupported(begin: &[u8]) -> Option<Fault> {
    let kind = KINDS.iter().find(|(at, bytes, _)| begin.get(*at..).is_some_and(|rest| rest.starts_with(bytes)));
    let what = kind.map(|(_, _, what)| *what);
    what.or_else(|| of_media(begin)).or_else(|| of_text(begin)).map(|what| Fault::Unsupported(what.into()))
}

/// Iterates over the brands of an ISO 14496-12 file, the major one first.
pub(crate) fn brands(begin: &[u8]) -> impl Iterator<Item = &[u8; 4]> {
    let is_media = begin.get(4..8) == Some(b"ftyp");
    let size = begin.first_chunk().map_or(0, |size| u32::from_be_bytes(*size) as usize);
    let content = begin.get(8..size.min(begin.len())).filter(|_| is_media).unwrap_or_default();
    // The second entry is a version.
    content.as_chunks().0.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, brand)| brand)
}

/// Returns whether a file begins like a JPEG XL, bare or in its container (ISO 18181).
pub(crate) fn is_jxl(begin: &[u8]) -> bool {
    begin.starts_with(&[0xff, 0x0a]) || begin.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n")
}

/// Returns whether a file begins like a BigTIFF, the 64-bit TIFF.
pub(crate) fn is_big_tiff(begin: &[u8]) -> bool {
    begin.starts_with(b"II\x2b\0") || begin.starts_with(b"MM\0\x2b")
}

/// Returns whether a file begins like an AVIF.
pub(crate) fn is_avif(begin: &[u8]) -> bool {
    brands(begin).any(|brand| brand == b"avif" || brand == b"avis")
}

fn of_media(begin: &[u8]) -> Option<&'static str> {
    let major = brands(begin).next()?;
    match major {
        b"crx " => Some(RAW),
        _ if brands(begin).any(|brand| HEIC_BRANDS.contains(&brand)) => Some(HEIC),
        _ => Some(FILM),
    }
}

/// Finds the first known element; comments may precede it.
fn of_text(begin: &[u8]) -> Option<&'static str> {
    let text = begin[..begin.len().min(TEXT)].to_ascii_lowercase();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text).trim_ascii_start();
    if !text.starts_with(b"<") {
        return None;
    }
    let places = ELEMENTS.iter().filter_map(|(name, what)| {
        let at = text.windows(name.len()).position(|bytes| bytes == *name)?;
        Some((at, *what))
    });
    places.min().map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds an ISO 14496-12 file up to its brands.
    fn media(brands: &[&[u8; 4]]) -> Vec<u8> {
        let (major, others) = brands.split_first().unwrap();
        let size = (16 + 4 * others.len()) as u32;
        [
            &size.to_be_bytes(),
            b"ftyp",
            *major,
            &[0; 4],
            &others.iter().copied().flatten().copied().collect::<Vec<_>>()[..],
        ]
        .concat()
    }

    #[test]
    fn files_are_named_by_how_they_begin() {
        for (begin, expected) in [
            (media(&[b"heic", b"mif1", b"heic"]), Some(HEIC)),
            (media(&[b"mif1", b"heic"]), Some(HEIC)),
            (media(&[b"msf1", b"hevc"]), Some(HEIC)),
            (media(&[b"crx ", b"isom"]), Some(RAW)),
            (media(&[b"qt  "]), Some(FILM)),
            (media(&[b"isom", b"mp42"]), Some(FILM)),
            (b"II*\0\x10\0\0\0CR\x02\0".to_vec(), Some(RAW)),
            (b"II*\0\x08\0\0\0\x10\0\0\x01".to_vec(), None),
            (b"%PDF-1.7".to_vec(), Some(PDF)),
            (b"\xef\xbb\xbf \n<?xml version=\"1.0\"?>\n<!-- html --><SVG xmlns=".to_vec(), Some(SVG)),
            (b"<!DOCTYPE html><html><body><svg>".to_vec(), Some(PAGE)),
            (b"<note>".to_vec(), None),
            (b"words, <svg> among them".to_vec(), None),
        ] {
            let found = unsupported(&begin).map(|fault| fault.to_string());
            assert_eq!(found, expected.map(|what| format!("is not supported: {what}")), "{}", begin.escape_ascii());
        }
        assert!(is_avif(&media(&[b"mif1", b"avif"])) && !is_avif(&media(&[b"heic", b"mif1"])));
    }

    #[test]
    fn a_file_that_is_cut_has_the_brands_that_are_there() {
        let whole = media(&[b"heic", b"mif1", b"miaf"]);
        for length in 0..whole.len() {
            let found: Vec<_> = brands(&whole[..length]).collect();
            assert_eq!(found.len(), [0, 1, 2][usize::from(length >= 12) + usize::from(length >= 20)], "{length} bytes");
            unsupported(&whole[..length]);
        }
        assert_eq!(brands(&[&[0xff; 4][..], b"ftypheic"].concat()).count(), 1, "a size beyond the end");
    }
}
