//! What `pdn serve` is told.

use crate::args::choices::{EncoderChoice, PrecisionChoice};
use clap::builder::RangedU64ValueParser;
use pdn::Isa;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// A page and an HTTP API that enlarge pictures.
///
/// The page is at the address that is printed, the API is described at /openapi.json there. Only this machine's own programs
/// are answered, unless --host says otherwise, and then only those who send the token. An interrupt finishes the jobs that run;
/// a second one does not wait.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn serve --port 8750")]
pub(crate) struct Serve {
    /// The address to listen at
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// The port to listen at; 0 takes a free one
    #[arg(short, long, value_name = "N", default_value_t = 8750)]
    pub(crate) port: u16,
    /// What clients must send as `Authorization: Bearer`, 16 characters at least; needed where others can reach the address
    #[arg(long, env = "PDN_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A network that comes with pdn, `bicubic`, a file (.safetensors, .pth, .pt), or one of the Hugging Face hub: owner/name, or
    /// owner/name:file; may be given several times, each by another name, and the first is used where a request names none
    /// [default: every network that comes with pdn, and bicubic]
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) encoder: EncoderChoice,
    /// Jobs that run at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Jobs that wait at most; more are refused
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) queue: u16,
    /// Threads that all jobs run on together [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Instruction set: avx512, avx2, neon or portable [default: the fastest there is]
    #[arg(long, env = "PDN_ISA")]
    pub(crate) isa: Option<Isa>,
    /// With how many bits of the significand convolutions multiply: 24, 16 or 8
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub(crate) precision: PrecisionChoice,
    /// Memory that a network's maps may take, in MiB, for each job that runs
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) memory: usize,
    /// Pixels of a picture at most, before it is enlarged
    #[arg(long, value_name = "PIXELS", default_value_t = 50_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_pixels: u64,
    /// Size of a request at most, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) max_upload: u16,
    /// How long a job may run, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) time_limit: u64,
    /// How long pictures and results are kept after they were last asked for, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep: u64,
    /// Memory that pictures and results may take while they are kept, in MiB; also of one result, and of pictures that wait
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) keep_memory: usize,
    /// Memory that all requests may take together, in MiB, beside the networks' maps: what is received, read, kept, made and sent
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) request_memory: usize,
    /// How long a stop waits for the jobs that were taken on, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) shutdown_limit: u64,
    /// What the log on the error output looks like
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// What a log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// An object a line
    Json,
    /// Nothing
    None,
}
