//! What a folder or a pattern holds beside pictures that are read: named with the reason, in a line, and not one by one.

use crate::display::say::tell;
use std::collections::BTreeMap;
use std::path::Path;

/// Files that are left out, by the reason.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(BTreeMap<&'static str, Files>);

/// The first by name, and how many there are in all.
#[derive(Debug)]
struct Files {
    first: String,
    count: usize,
}

/// Endings, and what files with them are.
const KINDS: &[(&[&str], &str)] = &[
    (&["heic", "heif", "hif"], "HEIC, which is not read: save it as JPEG, or set the camera to \"Most Compatible\""),
    #[cfg(not(feature = "avif"))]
    (&["avif"], "AVIF, which this build does not read"),
    #[cfg(not(feature = "jxl-read"))]
    (&["jxl"], "JPEG XL, which this build does not read"),
    (
        &["arw", "cr2", "cr3", "crw", "dng", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "srw"],
        "a camera's raw file, which is not read: develop it to TIFF or JPEG",
    ),
    (&["avi", "m4v", "mkv", "mov", "mp4", "mpg", "webm", "wmv"], "a film, which is not read"),
    (&["eps", "pdf", "ps", "svg"], "a drawing or document, which is not read: save it as PNG"),
    (&["psd", "xcf"], "an editor's own file, which is not read: save it as PNG or TIFF"),
];

/// What every other file is.
const OTHER: &str = "no picture by its name";

impl LeftOut {
    pub(crate) fn add(&mut self, path: &Path) {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let kind = KINDS.iter().find(|(endings, _)| endings.contains(&ending.as_str()));
        let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files =
            self.0.entry(kind.map_or(OTHER, |(_, why)| why)).or_insert_with(|| Files { first: name(), count: 0 });
        files.count += 1;
    }

    /// Says what is left out.
    pub(crate) fn tell(&self) {
        self.lines().for_each(|line| tell!("pdn: {line}"));
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(why, Files { first, count })| match count {
            1 => format!("{first} is left out: {why}"),
            2 => format!("{first} and another file are left out: {why}"),
            count => format!("{first} and {} other files are left out: {why}", count - 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_once_for_each_reason() {
        let mut left_out = LeftOut::default();
        ["a/IMG_1.HEIC", "a/notes.txt", "b/IMG_2.heic", "c.mp4", "Makefile", "b/IMG_3.heic"]
            .iter()
            .for_each(|name| left_out.add(Path::new(name)));
        let lines: Vec<String> = left_out.lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("IMG_1.HEIC and 2 other files are left out: HEIC"), "{lines:?}");
        assert_eq!(lines[1], "c.mp4 is left out: a film, which is not read");
        assert_eq!(lines[2], "notes.txt and another file are left out: no picture by its name");
    }
}
