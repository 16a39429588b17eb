//! Atomic writes: a temporary file beside the target, renamed over it when it is complete.

use crate::{Error, Fault};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A temporary file in its target's folder. It is removed if dropped before [`Self::persist`].
pub(crate) struct AtomicFile {
    file: NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    pub(crate) fn new(target: &Path) -> Result<Self, Fault> {
        if target.is_dir() {
            return Err(Fault::TargetIsFolder);
        }
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
        if !folder.is_dir() {
            return Err(Fault::NoFolder(folder));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".pdn-").suffix(".part");
        #[cfg(unix)]
        {
            // Use the mode of any new file, which the umask restricts; temporary files default to owner-only.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder).map_err(|error| Fault::on_write(unnamed(&error)))?;
        Ok(Self { file, target: target.to_owned() })
    }

    /// Returns the path of the target.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the path of the temporary file.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Returns a second handle to the file, for an encoder that takes ownership.
    pub(crate) fn handle(&self) -> Result<File, Fault> {
        self.file.as_file().try_clone().map_err(Fault::on_write)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // Use the inner file: the wrapper's error names the temporary file.
        self.file.as_file_mut().write_all(bytes).map_err(Fault::on_write)
    }

    /// Renames the file over its target.
    pub(crate) fn persist(self) -> Result<(), Fault> {
        self.file.as_file().sync_all().map_err(Fault::on_write)?;
        self.file.persist(&self.target).map_err(|e| Fault::on_write(e.error))?;
        Ok(())
    }
}

/// Unwraps the system's error from one that names the temporary file, which the user never asked for.
fn unnamed(error: &io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|outer| outer.source()?.downcast_ref::<io::Error>());
    inner.and_then(io::Error::raw_os_error).map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// Checks, before any work, that a file of any kind can be written at this path.
///
/// # Errors
/// [`Error`] names the file: it is a folder, or its folder does not exist or is not writable.
pub fn check_writable(path: &Path) -> Result<(), Error> {
    AtomicFile::new(path).map(drop).map_err(Error::at(path))
}

/// Writes a temporary file, then renames it over the target.
///
/// # Errors
/// [`Error`] names the file. Nothing is left behind.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        let mut file = AtomicFile::new(path)?;
        file.write(bytes)?;
        file.persist()
    };
    write().map_err(Error::at(path))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_no_file_but_the_one_that_was_asked_for() {
        let said = write_atomically(Path::new("/proc/picture.png"), b"").unwrap_err().to_string();
        assert!(said.starts_with("/proc/picture.png: ") && !said.contains(".part"), "{said}");
    }
}
