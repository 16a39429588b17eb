//! What a file holds beside its pixels: EXIF, ICC profiles, XMP, IPTC and the resolution of a print.

pub(crate) mod exif;
pub(crate) mod icc;
pub(crate) mod iptc;
pub(crate) mod resolution;
pub(crate) mod xmp;
