//! Which metrics to measure, beside PSNR and SSIM.

use std::path::PathBuf;

/// Metrics beside PSNR and SSIM.
#[derive(Debug, clap::Args)]
pub(crate) struct MetricChoice {
    /// Further metrics, beside PSNR and SSIM
    #[arg(long, value_enum, value_name = "METRIC", value_delimiter = ',')]
    pub(crate) metrics: Vec<MetricName>,
    /// Folder with the files that metrics need; niqe needs BasicSR's niqe_pris_params.npz
    #[arg(long, value_name = "DIR")]
    pub(crate) metric_files: Option<PathBuf>,
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MetricName {
    /// Structural similarity at five scales, in MATLAB's Y
    MsSsim,
    /// NIQE as BasicSR computes it, in MATLAB's Y: needs no reference
    Niqe,
    /// NIQE as its authors' program computes it, in MATLAB's rgb2gray
    NiqeAuthors,
}
