//! The server: listening, connections, and the stop.

use crate::app::App;
use crate::http::clients::Clients;
use crate::http::layers::around;
use crate::http::routes::router;
use crate::jobs::account::Stage;
use crate::jobs::bytes::PIXEL;
use crate::jobs::models::{Models, Offered};
use crate::jobs::work::Worker;
use crate::settings::{BUFFER, CONNECTIONS, Settings};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use pdn::Encoder;
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

/// A server that listens, and has not begun to answer.
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
    /// Asks the server to finish what it has, within its limit, and to take nothing on.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Others can reach the address, and nothing keeps them out.
    #[error("{0} can be reached from other machines; set a token (--token or PDN_TOKEN), or listen on 127.0.0.1")]
    NoToken(SocketAddr),
    /// A token that no header can hold, or that can be guessed.
    #[error("the token has {0} characters; expected at least 16 ASCII characters without spaces")]
    Token(usize),
    /// The memory for requests does not hold the largest that is let in.
    #[error(
        "{limit} bytes of memory for requests are too few for {what}, which needs {needed}; raise --request-memory, or \
         lower --max-upload or --max-pixels"
    )]
    Memory {
        /// Bytes for all requests.
        limit: usize,
        /// Bytes that are needed.
        needed: u64,
        /// For what.
        what: &'static str,
    },
    /// There is no model.
    #[error("no model given; expected at least one")]
    NoModel,
    /// Two models have the same name.
    #[error("two models have the name {0}, which requests use to choose one; rename one of the files")]
    Twice(String),
    /// A model cannot be run.
    #[error("{name}: {error}")]
    Model {
        /// Its name.
        name: String,
        /// Why.
        error: Box<pdn::Error>,
    },
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The operating system gives no threads.
    #[error("cannot start: {0}")]
    Start(String),
}

/// The least characters of a token.
const TOKEN: usize = 16;

/// How often is looked for what has expired.
const TIDY: Duration = Duration::from_secs(5);

/// How long the results of jobs that were finished during a stop can still be fetched.
const FETCH: Duration = Duration::from_secs(5);

/// How long connections have to take their last answers.
const FAREWELL: Duration = Duration::from_secs(3);

impl Server {
    /// Listens, with models that each have a name; the first is used where a request names none. A model is compiled when it is
    /// first asked for, and the first one here, to see that this machine can.
    ///
    /// # Errors
    /// [`ServeError`]: an address that others reach without a token, a model that cannot be run, an address that is taken.
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
        // The others are compiled when they are first asked for.
        let failed = |error| ServeError::Model { name: names[0].clone(), error: Box::new(error) };
        models.upscaler(0).map_err(failed)?;
        let app = Arc::new(App::new(settings, models, views, encoder));
        Ok(Self { listener, address: bound, app, stop: watch::Sender::new(false) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Answers requests until it is stopped.
    ///
    /// # Errors
    /// [`ServeError::Start`] where threads are not to be had.
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
            Ok(_) => runtime.block_on(self.serve()).map_err(|error| start(&error)),
            Err(error) => Err(start(error)),
        };
        app.queue.close();
        workers.into_iter().flatten().for_each(|worker| drop(worker.join()));
        runtime.shutdown_timeout(FAREWELL);
        served
    }

    async fn serve(self) -> io::Result<()> {
        let Self { listener, app, stop, .. } = self;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = around(router(Arc::clone(&app)), &app);
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
                        // A client that goes away, or keeps still, is nobody's error.
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

/// The next connection, when there is room for one.
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
        // There are too many files open, say.
        sleep(Duration::from_millis(100)).await;
    }
}

/// Whether the largest request that is let in can be held at all.
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

/// A client's bytes, written with patience that ends.
type Patient = Pin<Box<TimeoutStream<TcpStream>>>;

/// A connection that is closed when its client neither sends a request nor takes its answer.
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

/// Comes back when a stop was asked for, and what was taken on is done or has had its time.
async fn drain(app: &App, stop: watch::Sender<bool>) {
    // The sender is here: the channel does not close.
    let _ = stop.subscribe().wait_for(|stop| *stop).await;
    app.stop();
    let taken = app.store.unfinished();
    let (waiting, running) = app.queue.counts();
    tracing::info!(waiting, running, "stopping");
    if timeout(app.settings.shutdown, app.queue.idle()).await.is_err() {
        tracing::warn!(seconds = app.settings.shutdown.as_secs_f64(), "stopping jobs that are not done");
        return;
    }
    // Who was waiting for a job has to hear that it is done before its result can be asked for.
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
