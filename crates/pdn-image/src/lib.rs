//! Reading and writing pictures, resizing and blur exactly as in MATLAB, and PSNR and SSIM with their protocol.
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

mod codecs;
mod compare;
mod degrade;
mod error;
mod estimate;
mod format;
mod header;
mod io;
mod limits;
mod metadata;
mod ops;
mod picture;
mod sample;

pub use compare::{ColourSpace, CompareError, Protocol, psnr, ssim};
pub use degrade::{Degradation, Faults, Resampling, TooSmall};
pub use error::{Error, Fault};
pub use estimate::blur_likelihood;
pub use format::Format;
pub use header::Header;
pub use io::atomic_file::{check_writable, write_atomically};
pub use io::options::WriteOptions;
pub use io::read::{read, read_any, read_any_bytes, read_bytes};
pub use io::row_encoder::{RowEncoder, encode, encode_any};
pub use io::row_writer::RowWriter;
pub use io::write::{check_target, write, write_any};
pub use limits::Limits;
pub use metadata::resolution::{Resolution, ResolutionUnit};
pub use metadata::xmp::{Provenance, is_result};
pub use ops::alpha::{Alpha, bleed};
pub use ops::blur::gaussian_blur;
pub use ops::light::Light;
pub use ops::pillow::centre_square;
pub use ops::resize::{Resized, Scale, resize, resize_to};
pub use ops::row_filter::RowFilter;
pub use picture::{AnyPicture, Picture};
pub use sample::{Depth, Sample};
