//! One folder per file format: decoding into a [`Decoded`](decoded::Decoded) picture, encoding from rows or from a
//! [`Raster`](raster::Raster).

#[cfg(feature = "avif")]
pub(crate) mod avif;
pub(crate) mod bmp;
pub(crate) mod decoded;
pub(crate) mod gif;
pub(crate) mod jpeg;
#[cfg(feature = "jxl-read")]
pub(crate) mod jxl;
pub(crate) mod png;
pub(crate) mod raster;
pub(crate) mod signature;
pub(crate) mod tiff;
pub(crate) mod webp;
