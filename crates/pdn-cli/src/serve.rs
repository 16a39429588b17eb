//! `pdn serve`: a page and an HTTP API.

use crate::choices::{EncoderChoice, PrecisionChoice};
use crate::failure::Failure;
use crate::model::open_model;
use crate::progress::{Patience, interrupted};
use crate::prompt::encoder;
use crate::say::say;
use clap::builder::RangedU64ValueParser;
use pdn::Isa;
use pdn_serve::{Offered, ServeError, Server, Settings, Stopper};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;

/// Serve a web page and an HTTP API that enlarge pictures.
///
/// The page is at the printed address; /openapi.json there describes the API. By default only this machine can connect. With
/// --host, other machines can, if they send the token. On an interrupt, running jobs finish first; a second interrupt stops at
/// once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pdn serve --port 8750")]
pub(crate) struct Serve {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on; 0 chooses a free one
    #[arg(short, long, value_name = "N", default_value_t = 8750)]
    port: u16,
    /// Token that clients must send as `Authorization: Bearer`, at least 16 characters; required if other machines can connect
    #[arg(long, env = "PDN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Model to offer: a bundled network, `bicubic`, a file (.safetensors, .pth, .pt), or a model on the Hugging Face Hub (owner/name
    /// or owner/name:file); repeatable; the first is the default of requests [default: all bundled networks and bicubic]
    #[arg(short, long, value_name = "MODEL")]
    model: Vec<PathBuf>,
    #[command(flatten)]
    encoder: EncoderChoice,
    /// Jobs to run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Jobs that may wait; more are refused
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    queue: u16,
    /// Number of threads for all jobs together [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Instruction set: avx512, avx2, neon or portable [default: the fastest available]
    #[arg(long, env = "PDN_ISA")]
    isa: Option<Isa>,
    /// Precision of the products in convolutions: 24, 16 or 8 significant bits
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    precision: PrecisionChoice,
    /// Memory for a network's feature maps, in MiB, for each running job
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    memory: usize,
    /// Maximum number of pixels of an input picture
    #[arg(long, value_name = "PIXELS", default_value_t = 50_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    max_pixels: u64,
    /// Maximum size of a request, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    max_upload: u16,
    /// Maximum duration of a job, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    time_limit: u64,
    /// Time to keep pictures and results after their last use, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    keep: u64,
    /// Memory for kept pictures and results, in MiB; also the limit for one result, and for waiting pictures
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    keep_memory: usize,
    /// Memory for all requests together, in MiB, from upload to response, without the networks' feature maps
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    request_memory: usize,
    /// Time to wait for accepted jobs on shutdown, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    shutdown_limit: u64,
    /// Format of the log on standard error
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// Human-readable lines
    Text,
    /// One JSON object per line
    Json,
    /// No log
    None,
}

/// What bicubic enlarges by.
const BICUBIC_SCALE: usize = 4;

/// How often is looked for an interrupt.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &Serve) -> Result<(), Failure> {
    let models = match args.model.is_empty() {
        true => all().map(|name| offered(Path::new(name))).collect::<Result<_, _>>()?,
        false => args.model.iter().map(|name| offered(name)).collect::<Result<_, _>>()?,
    };
    log(args.log_format);
    let server = Server::bind(settings(args), models, encoder(&args.encoder)?).map_err(|error| match error {
        ServeError::NoToken(_) | ServeError::Token(_) | ServeError::Twice(_) | ServeError::Memory { .. } => {
            Failure::usage(error)
        }
        _ => Failure::failed(error),
    })?;
    // A stop waits for the jobs that were taken on.
    let _patience = Patience::new();
    say!("http://{}", server.address());
    let stopper = server.stopper();
    std::thread::spawn(move || stop_when_interrupted(&stopper));
    server.run().map_err(Failure::failed)
}

fn stop_when_interrupted(stopper: &Stopper) {
    while !interrupted() {
        std::thread::sleep(LOOK);
    }
    stopper.stop();
}

fn settings(args: &Serve) -> Settings {
    let isa = args.isa.unwrap_or_else(Isa::best);
    Settings {
        address: SocketAddr::new(args.host, args.port),
        token: args.token.clone(),
        jobs: args.jobs.into(),
        threads: args.threads.map_or(0, usize::from),
        queue: args.queue.into(),
        upload: usize::from(args.max_upload) << 20,
        pixels: args.max_pixels,
        memory: args.memory.saturating_mul(1 << 20),
        time: Duration::from_secs(args.time_limit),
        keep: Duration::from_secs(args.keep.saturating_mul(60)),
        keep_memory: args.keep_memory.saturating_mul(1 << 20),
        request_memory: args.request_memory.saturating_mul(1 << 20),
        shutdown: Duration::from_secs(args.shutdown_limit),
        target: (isa, args.precision.on(isa)),
        ..Settings::default()
    }
}

/// What is offered where nothing is said: the default, the others that come with pdn, and bicubic.
fn all() -> impl Iterator<Item = &'static str> {
    let others = pdn::bundled_models().filter(|name| *name != pdn::DEFAULT_MODEL);
    std::iter::once(pdn::DEFAULT_MODEL).chain(others).chain(["bicubic"])
}

/// A model, and what requests name it by: of a file its name, without its folder.
fn offered(name: &Path) -> Result<(String, Offered), Failure> {
    let called = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name == Path::new("bicubic") {
        true => Ok((called, Offered::Bicubic(BICUBIC_SCALE))),
        false => Ok((called, Offered::Network(Box::new(open_model(name)?)))),
    }
}

fn log(format: LogFormat) {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(LevelFilter::INFO).with_ansi(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::None => {}
    }
}
