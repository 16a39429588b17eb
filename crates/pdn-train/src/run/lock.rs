//! A run's folder is one process's at a time: two would write over each other's checkpoints and tables.

use crate::run::error::RunError;
use pdn_network::file;
use std::fs::{File, TryLockError};
use std::path::Path;

/// The file in a run's folder that whoever runs it keeps locked.
pub const LOCK: &str = "lock";

/// A run's folder, held. The system lets go of it with the process, however that ends: what is left of one is no lock.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "dropped, it lets go")] File);

impl Lock {
    pub(crate) fn of(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(LOCK);
        let lock = file::open_lock(&path, true).map_err(|error| RunError::file(&path, error))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => Err(RunError::Busy(folder.to_owned())),
            // A file system without locks has none to be had.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self(lock)),
        }
    }
}

/// Looks whether a folder is nobody's now, before what takes long. Who runs in it looks once more.
///
/// # Errors
/// [`RunError::Busy`].
pub fn check(folder: &Path) -> Result<(), RunError> {
    match folder.join(LOCK).exists() {
        true => Lock::of(folder).map(drop),
        false => Ok(()),
    }
}
