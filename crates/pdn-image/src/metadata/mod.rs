//! Metadata of a file: EXIF, ICC profiles, XMP, IPTC and the print resolution.

pub(crate) mod exif;
pub(crate) mod icc;
pub(crate) mod iptc;
pub(crate) mod resolution;
pub(crate) mod xmp;
