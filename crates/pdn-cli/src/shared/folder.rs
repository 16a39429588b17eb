//! The pictures in a folder.

use crate::display::say::tell;
use crate::shared::failure::Failure;
use std::path::{Path, PathBuf};

/// File name extensions of pictures.
pub(crate) const ENDINGS: &[&str] = &[
    "png",
    "jpg",
    "jpeg",
    "jfif",
    "webp",
    "tif",
    "tiff",
    "bmp",
    "gif",
    #[cfg(feature = "avif")]
    "avif",
    #[cfg(feature = "jxl-read")]
    "jxl",
];

/// Returns the pictures of a benchmark set, by name: those in its folder `HR` if it has one.
pub(crate) fn set(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let hr = folder.join("HR");
    pictures(if hr.is_dir() { &hr } else { folder })
}

/// Returns the pictures in a folder by name, without its subfolders.
pub(crate) fn pictures(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::at(folder, "no such folder"),
        std::io::ErrorKind::NotADirectory => Failure::at(folder, "is a file; expected a folder of pictures"),
        _ => Failure::at(folder, error),
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::at(folder, error))?.path();
        if path.is_file() && is_picture_name(&path) {
            found.push(path);
        }
    }
    found.sort();
    match found.is_empty() {
        true => Err(Failure::at(
            folder,
            format_args!("contains no pictures: expected files ending in {}", ENDINGS.join(", ")),
        )),
        false => Ok(found),
    }
}

/// Creates the output folder if it does not exist.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Failure> {
    if folder.is_file() {
        return Err(Failure::at(folder, "is a file; expected a folder"));
    }
    std::fs::create_dir_all(folder).map_err(|error| Failure::at(folder, format_args!("cannot create folder: {error}")))
}

/// Returns whether a file name is that of a picture.
pub(crate) fn is_picture_name(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str())
}

/// Reports at the end which of several pictures failed.
pub(crate) fn report(failed: &[Failure], of: usize) -> Result<(), Failure> {
    report_of(failed, of, "pictures")
}

/// Reports at the end which of several things of a kind failed.
pub(crate) fn report_of(failed: &[Failure], of: usize, kind: &str) -> Result<(), Failure> {
    for Failure { message, .. } in failed {
        tell!("pdn: {message}");
    }
    match failed.len() {
        0 => Ok(()),
        n => Err(Failure::failed(format_args!("{n} of {of} {kind} failed"))),
    }
}
