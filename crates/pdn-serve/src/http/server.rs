//! The server: listening, connections, and shutdown.

use crate::app::App;
use crate::http::clients::Clients;
use crate::http::layers::around;
use crate::http::routes::router;
use crate::jobs::account::Stage;
use crate::jobs::bytes::PIXEL;
use crate::jobs::models::{Models, Offered};
use crate::jobs::work::Worker;
use crate::settings::{BUFFER, CONNECTIONS, Settings};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use pdn::Encoder;
use rayon::ThreadPool;
use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{interval, sleep, timeout};
use tokio_io_timeout::TimeoutStream;

/// A server that listens but does not respond yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    stop: watch::Sender<bool>,
}

/// Stops a server from elsewhere.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Asks the server to finish its work, within its time limit, and to accept no more.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Other machines can reach the address, and there is no token.
    #[error("{0} can be reached from other machines; set a token (--token or PDN_TOKEN), or listen on 127.0.0.1")]
    NoToken(SocketAddr),
    /// The token is not valid in a header, or is too short to be safe.
    #[error("the token has {0} characters; expected at least 16 ASCII characters without spaces")]
    Token(usize),
    /// The memory for requests is too small for the largest one allowed.
    #[error(
        "{limit} bytes of memory for requests are too few for {what}, which needs {needed}; raise --request-memory, or \
         lower --max-upload or --max-pixels"
    )]
    Memory {
        /// The limit in bytes for all requests.
        limit: usize,
        /// The bytes needed.
        needed: u64,
        /// What needs them.
        what: &'static str,
    },
    /// There are no models.
    #[error("no model given; expected at least one")]
    NoModel,
    /// Two models have the same name.
    #[error("two models have the name {0}, which requests use to choose one; rename one of the files")]
    Twice(String),
    /// A model cannot be run.
    #[error("{name}: {error}")]
    Model {
        /// The model's name.
        name: String,
        /// The reason.
        error: Box<pdn::Error>,
    },
    /// The address is in use or does not belong to this machine.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        error: io::Error,
    },
    /// The operating system provides no threads.
    #[error("cannot start: {0}")]
    Start(String),
}

/// The shortest length of a token.
const TOKEN: usize = 16;

/// How often expired entries are removed.
const TIDY: Duration = Duration::from_secs(5);

/// How long the results of jobs that finish during shutdown can still be fetched.
const FETCH: Duration = Duration::from_secs(5);

/// How long connections have to read their last responses.
const FAREWELL: Duration = Duration::from_secs(3);

impl Server {
    /// Listens on the address. Each model has a name; requests that name none use the first. Models are compiled on
    /// first use, except the first one, which is compiled here to verify that this machine can run it.
    ///
    /// # Errors
    /// [`ServeError`]: an address that other machines reach without a token, a model that cannot be run, an address in
    /// use.
    pub fn bind(settings: Settings, models: Vec<(String, Offered)>, encoder: Encoder) -> Result<Self, ServeError> {
        let mut settings = settings;
        let address = settings.address;
        match &settings.token {
            Some(token) if token.len() < TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) => {
                return Err(ServeError::Token(token.len()));
            }
            None if !address.ip().is_loopback() => return Err(ServeError::NoToken(address)),
            _ => {}
        }
        check_memory(&settings)?;
        if models.is_empty() {
            return Err(ServeError::NoModel);
        }
        let mut names = HashSet::new();
        if let Some((name, _)) = models.iter().find(|(name, _)| !names.insert(name)) {
            return Err(ServeError::Twice(name.clone()));
        }
        let views = models.iter().enumerate().map(|(at, (name, model))| model.view(name, at == 0)).collect();
        let listen = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        };
        let (bound, listener) = listen().map_err(|error| ServeError::Listen { address, error })?;
        settings.address = bound;
        let (names, models): (Vec<String>, Vec<Offered>) = models.into_iter().unzip();
        let models = Models::new(models, settings.target);
        // The others are compiled on first use.
        let failed = |error| ServeError::Model { name: names[0].clone(), error: Box::new(error) };
        models.upscaler(0).map_err(failed)?;
        let app = Arc::new(App::new(settings, models, views, encoder));
        Ok(Self { listener, address: bound, app, stop: watch::Sender::new(false) })
    }

    /// Returns the address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a handle that stops the server.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Serves requests until the server is stopped.
    ///
    /// # Errors
    /// [`ServeError::Start`] if threads cannot be started.
    pub fn run(self) -> Result<(), ServeError> {
        let start = |error: &dyn std::fmt::Display| ServeError::Start(error.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| start(&error))?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.app.settings.threads).build();
        let pool = Arc::new(pool.map_err(|error| start(&error))?);
        let work = |_| {
            let worker = Worker::new(Arc::clone(&self.app), Arc::clone(&pool));
            thread::Builder::new().name("pdn-worker".into()).spawn(|| worker.run())
        };
        let workers = (0..self.app.settings.jobs.max(1)).map(work).collect::<io::Result<Vec<_>>>();
        let app = Arc::clone(&self.app);
        let served = match &workers {
            Ok(_) => runtime.block_on(self.serve(pool)).map_err(|error| start(&error)),
            Err(error) => Err(start(error)),
        };
        app.queue.close();
        workers.into_iter().flatten().for_each(|worker| drop(worker.join()));
        runtime.shutdown_timeout(FAREWELL);
        served
    }

    async fn serve(self, pool: Arc<ThreadPool>) -> io::Result<()> {
        let Self { listener, app, stop, .. } = self;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = around(router(Arc::clone(&app)).layer(Extension(pool)), &app);
        let (graceful, room) = (GracefulShutdown::new(), Arc::new(Semaphore::new(CONNECTIONS)));
        let clients = Clients::default();
        let patience = app.settings.patience;
        let tidying = tokio::spawn(tidy(Arc::clone(&app)));
        let mut drained = pin!(drain(&app, stop));
        loop {
            tokio::select! {
                (stream, permit, address) = accept(&listener, &room) => {
                    let Some(client) = clients.enter(address.ip()) else { continue };
                    let connection = graceful.watch(connection(stream, router.clone(), patience));
                    tokio::spawn(async move {
                        // A client that disconnects or stays silent is not an error.
                        let _ = connection.await;
                        drop((permit, client));
                    });
                }
                () = &mut drained => break,
            }
        }
        app.queue.close();
        tidying.abort();
        let _ = timeout(FAREWELL, graceful.shutdown()).await;
        Ok(())
    }
}

/// Accepts the next connection once there is room for one.
async fn accept(
    listener: &tokio::net::TcpListener,
    room: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit, SocketAddr) {
    loop {
        if let Ok(permit) = Arc::clone(room).acquire_owned().await
            && let Ok((stream, address)) = listener.accept().await
        {
            return (stream, permit, address);
        }
        // Too many open files, for example.
        sleep(Duration::from_millis(100)).await;
    }
}

/// Checks that the largest request allowed fits into memory.
fn check_memory(settings: &Settings) -> Result<(), ServeError> {
    let limit = settings.request_memory;
    let upload = settings.upload as u64;
    let needs = [
        (Stage::Receiving, upload.saturating_mul(3), "one upload, in three forms while it is parsed"),
        (Stage::Reading, PIXEL.saturating_mul(settings.pixels), "one picture, while it is decoded"),
    ];
    for (stage, bytes, what) in needs {
        if bytes > stage.part(limit) as u64 {
            let needed = (bytes as f64 * limit as f64 / stage.part(limit).max(1) as f64).ceil() as u64;
            return Err(ServeError::Memory { limit, needed, what });
        }
    }
    Ok(())
}

/// A client's connection, with a write timeout.
type Patient = Pin<Box<TimeoutStream<TcpStream>>>;

/// Creates a connection that is closed if its client neither sends a request nor reads its response in time.
fn connection(
    stream: TcpStream,
    router: Router,
    patience: Duration,
) -> http1::Connection<TokioIo<Patient>, TowerToHyperService<Router>> {
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(BUFFER);
    builder.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router))
}

/// Waits until a stop is requested and accepted work is done or out of time.
async fn drain(app: &App, stop: watch::Sender<bool>) {
    // The sender is alive, so the channel does not close.
    let _ = stop.subscribe().wait_for(|stop| *stop).await;
    app.stop();
    let taken = app.store.unfinished();
    let (waiting, running) = app.queue.counts();
    tracing::info!(waiting, running, "stopping");
    if timeout(app.settings.shutdown, app.queue.idle()).await.is_err() {
        tracing::warn!(seconds = app.settings.shutdown.as_secs_f64(), "stopping jobs that are not done");
        return;
    }
    // A client that waits for a job must learn that it is done before it can ask for the result.
    let fetched = async {
        while taken.iter().any(|job| job.is_wanted()) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = timeout(FETCH, fetched).await;
}

async fn tidy(app: Arc<App>) {
    let mut clock = interval(TIDY.min(app.settings.keep.max(Duration::from_millis(100))));
    loop {
        clock.tick().await;
        app.store.tidy();
    }
}
