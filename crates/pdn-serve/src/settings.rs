//! Settings of a server: where it listens, and its limits.

use pdn::{Isa, Precision};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address to listen on; port 0 chooses a free one.
    pub address: SocketAddr,
    /// The token that clients must send as `Authorization: Bearer`; required unless `address` is on loopback.
    pub token: Option<String>,
    /// How many jobs run at a time.
    pub jobs: usize,
    /// Threads shared by all jobs; 0 for all cores.
    pub threads: usize,
    /// The most jobs that wait.
    pub queue: usize,
    /// The most bytes of a request's body.
    pub upload: usize,
    /// The most pixels of an input picture.
    pub pixels: u64,
    /// The most bytes of a network's maps, per running job.
    pub memory: usize,
    /// How long a job may run.
    pub time: Duration,
    /// How long pictures and results are kept after their last use.
    pub keep: Duration,
    /// The most bytes of all kept pictures and results, of which the least recently used go first; also the most bytes
    /// of a single result, and of the pictures that wait.
    pub keep_memory: usize,
    /// The most bytes held for all requests together, from the first byte received to the last byte of a response sent:
    /// uploads, pictures, prompts, results, and kept entries. The maps of `jobs` networks, `memory` each, come on top.
    pub request_memory: usize,
    /// How long a shutdown waits for accepted jobs.
    pub shutdown: Duration,
    /// The client timeout: how long a client may send nothing, or read nothing.
    pub patience: Duration,
    /// The instruction set and precision that networks are compiled for.
    pub target: (Isa, Precision),
}

impl Default for Settings {
    /// Loopback only, one job at a time, 16 waiting, pictures of up to fifty million pixels and 64 MiB, as phones take
    /// them.
    fn default() -> Self {
        let isa = Isa::best();
        Self {
            address: (Ipv4Addr::LOCALHOST, 8750).into(),
            token: None,
            jobs: 1,
            threads: 0,
            queue: 16,
            upload: 64 << 20,
            pixels: 50_000_000,
            memory: 2048 << 20,
            time: Duration::from_secs(3600),
            keep: Duration::from_secs(1800),
            keep_memory: 1024 << 20,
            request_memory: 4096 << 20,
            shutdown: Duration::from_secs(30),
            patience: Duration::from_secs(15),
            target: (isa, Precision::fast(isa)),
        }
    }
}

/// The most connections at a time; further ones wait to be accepted.
pub(crate) const CONNECTIONS: usize = 512;

/// The most connections of one client that is not this machine.
pub(crate) const OF_ONE: usize = CONNECTIONS / 2;

/// The most bytes that a connection buffers of a request's head, and of a response.
pub(crate) const BUFFER: usize = 64 << 10;
