//! The work on requests, and the memory that they hold.

pub(crate) mod account;
pub(crate) mod bytes;
pub(crate) mod faults;
pub(crate) mod job;
pub(crate) mod models;
pub(crate) mod notes;
pub(crate) mod preview;
pub(crate) mod queue;
pub(crate) mod room;
pub(crate) mod sizing;
pub(crate) mod stop;
pub(crate) mod store;
pub(crate) mod work;
