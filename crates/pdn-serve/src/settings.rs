//! How a server is set up: where it listens, and what it lets a client take.

use pdn::{Isa, Precision};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// What clients must send as `Authorization: Bearer`; must be there when `address` is not this machine's own.
    pub token: Option<String>,
    /// How many jobs run at a time.
    pub jobs: usize,
    /// Threads that the work runs on, those of all jobs together; 0 is all cores.
    pub threads: usize,
    /// How many jobs wait at most.
    pub queue: usize,
    /// Bytes of a request's body at most.
    pub upload: usize,
    /// Pixels of a picture at most, before it is enlarged.
    pub pixels: u64,
    /// Bytes that a network's maps may take, for each job that runs.
    pub memory: usize,
    /// How long a job may run.
    pub time: Duration,
    /// How long pictures and results are kept after they were last asked for.
    pub keep: Duration,
    /// Bytes of all pictures and results that are kept, those asked for the longest ago go first; of a result; and of the pictures
    /// that wait.
    pub keep_memory: usize,
    /// Bytes that may be held for all requests together, from the first byte of one that is received to the last of an answer that is
    /// sent: uploads, pictures, prompts, results, and what is kept. The maps of `jobs` networks, `memory` each, come beside them.
    pub request_memory: usize,
    /// How long a stop waits for jobs that were taken on.
    pub shutdown: Duration,
    /// How long a client may be silent while it sends, and deaf while it is sent to.
    pub patience: Duration,
    /// What networks are compiled for.
    pub target: (Isa, Precision),
}

impl Default for Settings {
    /// This machine alone, one job at a time, 16 that wait, pictures of fifty million pixels and 64 MiB, as phones take them.
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

/// Connections at a time; more wait to be accepted.
pub(crate) const CONNECTIONS: usize = 512;

/// Of these, those of one client that is not this machine.
pub(crate) const OF_ONE: usize = CONNECTIONS / 2;

/// Bytes that a connection gathers at most of a request's head, and of an answer.
pub(crate) const BUFFER: usize = 64 << 10;
