//! The options of `pdn serve`.

use crate::args::choices::{EncoderChoice, PrecisionChoice};
use clap::builder::RangedU64ValueParser;
use pdn::Isa;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Serve a web page and an HTTP API that upscale pictures.
///
/// The page is at the printed address; /openapi.json there describes the API. By default only this machine can connect. With
/// --host, other machines can, if they send the token. On an interrupt, running jobs finish first; a second interrupt stops at
/// once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn serve --port 8750")]
pub(crate) struct Serve {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// Port to listen on; 0 chooses a free one
    #[arg(short, long, value_name = "N", default_value_t = 8750)]
    pub(crate) port: u16,
    /// Token that clients must send as `Authorization: Bearer`, at least 16 characters; required if other machines can connect
    #[arg(long, env = "PDN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Model to offer: a bundled network, `bicubic`, a file (.safetensors, .pth, .pt), or a model on the Hugging Face Hub (owner/name
    /// or owner/name:file); repeatable; the first is the default of requests [default: all bundled networks and bicubic]
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
    /// Jobs to run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Jobs that may wait; more are refused
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) queue: u16,
    /// Number of threads for all jobs together [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Instruction set: avx512, avx2, neon or portable [default: the fastest available]
    #[arg(long, env = "PDN_ISA")]
    pub(crate) isa: Option<Isa>,
    /// Precision of the products in convolutions: 24, 16 or 8 significant bits
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub(crate) precision: PrecisionChoice,
    /// Memory for a network's feature maps, in MiB, for each running job
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) memory: usize,
    /// Maximum number of pixels of an input picture
    #[arg(long, value_name = "PIXELS", default_value_t = 50_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_pixels: u64,
    /// Maximum size of a request, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) max_upload: u16,
    /// Maximum duration of a job, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) time_limit: u64,
    /// Time to keep pictures and results after their last use, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep: u64,
    /// Memory for kept pictures and results, in MiB; also the limit for one result, and for waiting pictures
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) keep_memory: usize,
    /// Memory for all requests together, in MiB, from upload to response, without the networks' feature maps
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) request_memory: usize,
    /// Time to wait for accepted jobs on shutdown, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) shutdown_limit: u64,
    /// Format of the log on standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Human-readable lines
    Text,
    /// One JSON object per line
    Json,
    /// No log
    None,
}
