//! Locks a run's folder: two processes would overwrite each other's checkpoints and tables.

use crate::run::error::RunError;
use pdn_network::file;
use std::fs::{File, TryLockError};
use std::path::Path;

/// The file in a run's folder that its process keeps locked.
pub const LOCK: &str = "lock";

/// A lock on a run's folder. The system releases it when the process ends, however that happens; a leftover file locks
/// nothing.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "dropping it unlocks")] File);

impl Lock {
    pub(crate) fn of(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(LOCK);
        let lock = file::open_lock(&path, true).map_err(|error| RunError::file(&path, error))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => Err(RunError::Busy(folder.to_owned())),
            // The file system does not support locks.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self(lock)),
        }
    }
}

/// Checks that a folder is not in use, before lengthy work. The run itself checks again.
///
/// # Errors
/// [`RunError::Busy`].
pub fn check(folder: &Path) -> Result<(), RunError> {
    match folder.join(LOCK).exists() {
        true => Lock::of(folder).map(drop),
        false => Ok(()),
    }
}
