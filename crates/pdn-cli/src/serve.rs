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
    host: IpAddr,
    /// The port to listen at; 0 takes a free one
    #[arg(short, long, value_name = "N", default_value_t = 8750)]
    port: u16,
    /// What clients must send as `Authorization: Bearer`, 16 characters at least; needed where others can reach the address
    #[arg(long, env = "PDN_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A network that comes with pdn, `bicubic`, a file (.safetensors, .pth, .pt), or one of the Hugging Face hub: owner/name, or
    /// owner/name:file; may be given several times, each by another name, and the first is used where a request names none
    /// [default: every network that comes with pdn, and bicubic]
    #[arg(short, long, value_name = "MODEL")]
    model: Vec<PathBuf>,
    #[command(flatten)]
    encoder: EncoderChoice,
    /// Jobs that run at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Jobs that wait at most; more are refused
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    queue: u16,
    /// Threads that all jobs run on together [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Instruction set: avx512, avx2, neon or portable [default: the fastest there is]
    #[arg(long, env = "PDN_ISA")]
    isa: Option<Isa>,
    /// With how many bits of the significand convolutions multiply: 24, 16 or 8
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    precision: PrecisionChoice,
    /// Memory that a network's maps may take, in MiB, for each job that runs
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    memory: usize,
    /// Pixels of a picture at most, before it is enlarged
    #[arg(long, value_name = "PIXELS", default_value_t = 50_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    max_pixels: u64,
    /// Size of a request at most, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    max_upload: u16,
    /// How long a job may run, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    time_limit: u64,
    /// How long pictures and results are kept after they were last asked for, in minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    keep: u64,
    /// Memory that pictures and results may take while they are kept, in MiB; also of one result, and of pictures that wait
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    keep_memory: usize,
    /// Memory that all requests may take together, in MiB, beside the networks' maps: what is received, read, kept, made and sent
    #[arg(long, value_name = "MIB", default_value_t = 4096, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    request_memory: usize,
    /// How long a stop waits for the jobs that were taken on, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    shutdown_limit: u64,
    /// What the log on the error output looks like
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// What a log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// An object a line
    Json,
    /// Nothing
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
