//! Reports the files in a folder or a pattern that are not readable pictures: one line per reason, not one per file.

use crate::display::say::tell;
use std::collections::BTreeMap;
use std::path::Path;

/// Skipped files, by reason.
#[derive(Debug, Default)]
pub(crate) struct SkippedFiles(BTreeMap<&'static str, Files>);

/// The first file by name, and the number of files.
#[derive(Debug)]
struct Files {
    first: String,
    count: usize,
}

/// File name extensions, and what such files are.
const KINDS: &[(&[&str], &str)] = &[
    (&["heic", "heif", "hif"], "HEIC is not supported; convert to JPEG, or set the camera to \"Most Compatible\""),
    #[cfg(not(feature = "avif"))]
    (&["avif"], "this build does not support AVIF"),
    #[cfg(not(feature = "jxl-read"))]
    (&["jxl"], "this build does not support JPEG XL"),
    (
        &["arw", "cr2", "cr3", "crw", "dng", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "srw"],
        "camera raw files are not supported; develop to TIFF or JPEG",
    ),
    (&["avi", "m4v", "mkv", "mov", "mp4", "mpg", "webm", "wmv"], "videos are not supported"),
    (&["eps", "pdf", "ps", "svg"], "drawings and documents are not supported; export as PNG"),
    (&["psd", "xcf"], "image editor projects are not supported; export as PNG or TIFF"),
];

/// The reason for every other file.
const OTHER: &str = "no picture file extension";

impl SkippedFiles {
    pub(crate) fn add(&mut self, path: &Path) {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let kind = KINDS.iter().find(|(endings, _)| endings.contains(&ending.as_str()));
        let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files =
            self.0.entry(kind.map_or(OTHER, |(_, why)| why)).or_insert_with(|| Files { first: name(), count: 0 });
        files.count += 1;
    }

    /// Prints what was skipped.
    pub(crate) fn tell(&self) {
        self.lines().for_each(|line| tell!("pdn: {line}"));
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(why, Files { first, count })| match count {
            1 => format!("skipped {first}: {why}"),
            2 => format!("skipped {first} and 1 other file: {why}"),
            count => format!("skipped {first} and {} other files: {why}", count - 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_once_for_each_reason() {
        let mut skipped_files = SkippedFiles::default();
        ["a/IMG_1.HEIC", "a/notes.txt", "b/IMG_2.heic", "c.mp4", "Makefile", "b/IMG_3.heic"]
            .iter()
            .for_each(|name| skipped_files.add(Path::new(name)));
        let lines: Vec<String> = skipped_files.lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("skipped IMG_1.HEIC and 2 other files: HEIC"), "{lines:?}");
        assert_eq!(lines[2], "skipped c.mp4: videos are not supported");
        assert_eq!(lines[1], "skipped notes.txt and 1 other file: no picture file extension");
    }
}
