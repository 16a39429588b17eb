//! Metrics of pictures beyond PSNR and SSIM (which are in [`pdn_image`]), each with its protocol.
//!
//! ```no_run
//! use pdn_metrics::{Luma, Metric, MsSsim, Niqe, Pristine};
//! use std::path::Path;
//!
//! let [original, result] = ["original.png", "result.png"]
//!     .map(|path| pdn_image::read(Path::new(path), &pdn_image::Limits::default()));
//! let (original, result) = (original?, result?);
//! println!("MS-SSIM {:.4}", MsSsim.score(&result, Some(&original), 4)?);
//! let niqe = Niqe::new(Pristine::open(Path::new("niqe_pris_params.npz"))?, Luma::Y);
//! println!("NIQE {:.3} ({})", niqe.score(&result, None, 4)?, niqe.protocol());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod metric;
mod ms_ssim;
mod niqe;
mod plane;

pub use error::{FileError, MetricError};
pub use metric::{Better, Metric};
pub use ms_ssim::MsSsim;
pub use niqe::{Niqe, Pristine};
pub use plane::Luma;
