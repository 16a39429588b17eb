//! Pictures in and out, resizing and blur exactly as MATLAB does them, and PSNR and SSIM with their protocol.
//!
//! ```
//! use pdn_image::{ColourSpace, Degradation, Picture, Protocol, Scale, psnr, resize};
//!
//! let picture = Picture::from_rgb(48, 48, (0..48 * 48 * 3).map(|i| (i / 9 % 256) as u8).collect());
//! let small = Degradation::BlurBicubic.apply(&picture, 4)?.into_eight();
//! let large = resize(&small, Scale::Up(4));
//! let protocol = Protocol { space: ColourSpace::YMatlab, shave: 4 };
//! println!("{:.2} dB ({protocol})", psnr(&picture, &large, protocol)?);
//! # Ok::<(), pdn_image::CompareError>(())
//! ```
#![forbid(unsafe_code)]

mod alpha;
mod aside;
#[cfg(feature = "avif")]
mod avif_file;
#[cfg(feature = "avif")]
mod avif_found;
#[cfg(feature = "avif")]
mod avif_read;
#[cfg(feature = "avif")]
mod avif_write;
mod blur;
mod budget;
mod compare;
mod decoded;
mod degrade;
mod encode;
mod encoding;
mod error;
mod estimate;
mod exif;
mod filter;
mod gif_read;
mod iptc;
mod jpeg_head;
#[cfg(feature = "jxl-read")]
mod jxl_file;
#[cfg(feature = "jxl")]
mod jxl_write;
mod kinds;
mod light;
mod picture;
mod pillow;
mod png_read;
mod png_rows;
mod practical;
mod profile;
mod provenance;
mod read;
mod resize;
mod resolution;
mod rows;
mod sample;
mod tiff_chunks;
mod tiff_head;
mod tiff_read;
mod tiff_rows;
#[cfg(feature = "webp-lossy")]
mod webp_lossy;
mod webp_read;
mod whole;
mod write;

pub use alpha::{Alpha, bleed};
pub use aside::{check_writable, write_atomically};
pub use blur::gaussian_blur;
pub use budget::Limits;
pub use compare::{ColourSpace, CompareError, Protocol, psnr, ssim};
pub use degrade::{Degradation, TooSmall};
pub use encode::{RowEncoder, encode, encode_any};
pub use error::{Error, Fault};
pub use estimate::blur_likelihood;
pub use filter::RowFilter;
pub use light::Light;
pub use picture::{AnyPicture, Picture};
pub use pillow::centre_square;
pub use provenance::{Provenance, is_result};
pub use read::{read, read_any, read_any_bytes, read_bytes};
pub use resize::{Resized, Scale, resize, resize_to};
pub use resolution::{Resolution, ResolutionUnit};
pub use rows::{Header, RowWriter};
pub use sample::{Depth, Sample};
pub use write::{Format, WriteOptions, check_target, write, write_any};
