//! `pdn serve`: a page and an HTTP API.

use crate::args::serve::{LogFormat, Serve};
use crate::display::progress::{Patience, interrupted};
use crate::display::say::say;
use crate::shared::failure::Failure;
use crate::shared::model::open_model;
use crate::shared::prompt::encoder;
use pdn::Isa;
use pdn_serve::{Offered, ServeError, Server, Settings, Stopper};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;

/// The scale of bicubic.
const BICUBIC_SCALE: usize = 4;

/// How often to check for an interrupt.
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
    // On a stop, wait for the accepted jobs.
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

/// Iterates over the models offered by default: the default one, the others that come with pdn, and bicubic.
fn all() -> impl Iterator<Item = &'static str> {
    let others = pdn::bundled_models().filter(|name| *name != pdn::DEFAULT_MODEL);
    std::iter::once(pdn::DEFAULT_MODEL).chain(others).chain(["bicubic"])
}

/// Opens a model and returns the name that requests use: for a file its name without the folder.
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
