//! Resolves a name that is not a file as a name on the Hugging Face hub: fetches the file, with progress.

#[cfg(feature = "hub")]
use crate::display::progress::{Download, last_words};
use crate::shared::failure::Failure;
#[cfg(feature = "hub")]
use pdn::{Hub, HubError, ShowDownload};
use std::path::{Path, PathBuf};

/// Returns the file of an encoder.
#[cfg(feature = "hub")]
pub(crate) fn encoder(name: &Path) -> Result<PathBuf, Failure> {
    located(name, Hub::is_name, Hub::encoder)
}

/// Returns the file of a network, `owner/name` or `owner/name:file`.
#[cfg(feature = "hub")]
pub(crate) fn network(name: &Path) -> Result<PathBuf, Failure> {
    located(name, Hub::is_network_name, Hub::network)
}

#[cfg(feature = "hub")]
fn located(
    name: &Path,
    is_name: impl Fn(&str) -> bool,
    fetch: impl Fn(&Hub, &str, ShowDownload) -> Result<PathBuf, HubError>,
) -> Result<PathBuf, Failure> {
    match name.to_str().filter(|name| is_name(name)) {
        Some(model) if !name.exists() => {
            let progress = Download::new();
            last_words(HubError::Interrupted.to_string());
            let found = fetch(&Hub::from_env(), model, &mut |file, done, size| progress.show(file, done, size));
            last_words(String::new());
            found.map_err(|error| match error {
                HubError::Interrupted => Failure { message: error.to_string(), ..Failure::interrupted() },
                _ => Failure::failed(error),
            })
        }
        _ => Ok(name.to_owned()),
    }
}

/// Returns the weight files in the hub's cache, with their names.
#[cfg(feature = "hub")]
pub(crate) fn cached() -> Vec<(String, PathBuf)> {
    Hub::from_env().cached()
}

/// Returns the file of an encoder.
#[cfg(not(feature = "hub"))]
pub(crate) fn encoder(name: &Path) -> Result<PathBuf, Failure> {
    Ok(name.to_owned())
}

/// Returns the file of a network.
#[cfg(not(feature = "hub"))]
pub(crate) fn network(name: &Path) -> Result<PathBuf, Failure> {
    Ok(name.to_owned())
}

/// Returns nothing: without the hub there is no cache of it.
#[cfg(not(feature = "hub"))]
pub(crate) fn cached() -> Vec<(String, PathBuf)> {
    Vec::new()
}
