//! Finds the input pictures: files, folders, patterns, a list of names, and standard input.

use crate::args::{Inputs, Names};
use crate::display::say::tell;
use crate::shared::failure::Failure;
use crate::shared::folder::{ENDINGS, is_picture_name};
use crate::shared::skipped::SkippedFiles;
use glob::{MatchOptions, Pattern, glob_with};
use pdn::{AnyPicture, FileError, FileFault, Limits, read_any_bytes};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The name for standard input, or for standard output as an output. A file with this name is `./-`.
pub(crate) const STANDARD: &str = "-";

/// A picture to upscale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// Its file, or [`STANDARD`].
    pub(crate) path: PathBuf,
    /// Its folder, relative to the one that was named; empty if the picture itself was named.
    pub(crate) below: PathBuf,
}

/// The pictures that were found, and what could not be read.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) pictures: Vec<Input>,
    pub(crate) failed: Vec<Failure>,
    /// The output folder, which is skipped when a folder around it is searched.
    results: Option<PathBuf>,
    /// Files in folders and patterns that are not readable pictures, to be reported if there is no error.
    pub(crate) skipped_files: SkippedFiles,
}

/// `*` matches names within a folder, `**` folders. [`hides`] handles hidden files: the crate panics at names that are
/// not UTF-8 if it has to.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

impl Found {
    /// Finds the pictures of `inputs`, in the order in which they are named, those of a folder by name.
    pub(crate) fn new(inputs: &Inputs, results: Option<&Path>) -> Result<Self, Failure> {
        Self::named(&inputs.names, &inputs.listed, results)
    }

    /// Finds the pictures of typed names and of a list of names.
    pub(crate) fn named(typed: &[PathBuf], names: &Names, results: Option<&Path>) -> Result<Self, Failure> {
        let results = results.and_then(|folder| folder.canonicalize().ok());
        let mut found = Self { results, ..Self::default() };
        typed.iter().for_each(|name| found.add_typed(name));
        if let Some(list) = &names.files_from {
            listed(list, names.null)?.iter().for_each(|name| found.add(name));
        }
        match (found.pictures.is_empty() && found.failed.is_empty(), &names.files_from) {
            (true, Some(list)) => Err(Failure::at(list, "lists no pictures: expected one name per line")),
            (true, None) => Err(Failure::failed("no pictures given")),
            (false, _) => Ok(found),
        }
    }

    /// Adds a name that may be a pattern, which not every shell expands. A file with that exact name takes precedence.
    fn add_typed(&mut self, name: &Path) {
        match name.to_str().filter(|text| text.contains(['*', '?', '['])) {
            Some(pattern) if name.symlink_metadata().is_err() && Pattern::new(pattern).is_ok() => self.matched(pattern),
            _ => self.add(name),
        }
    }

    fn add(&mut self, name: &Path) {
        match name.is_dir() {
            true => self.walk(name),
            false => self.pictures.push(Input { path: name.to_owned(), below: PathBuf::new() }),
        }
    }

    /// Adds the pictures in a folder and its subfolders.
    fn walk(&mut self, folder: &Path) {
        let before = (self.pictures.len(), self.failed.len());
        let results = self.results.clone();
        let wanted = |entry: &DirEntry| {
            let is_results = entry.file_type().is_dir() && entry.path().canonicalize().ok() == results;
            entry.depth() == 0 || !(is_hidden(entry.file_name()) || results.is_some() && is_results)
        };
        for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(wanted) {
            match entry {
                Ok(entry) if entry.file_type().is_file() && is_picture_name(entry.path()) => {
                    self.take(entry.path(), folder);
                }
                Ok(entry) if entry.file_type().is_file() => self.skipped_files.add(entry.path()),
                Ok(_) => {}
                Err(error) => self.failed.extend(unseen(folder, &error)),
            }
        }
        if before == (self.pictures.len(), self.failed.len()) {
            let why = format!("contains no pictures: expected files ending in {}", ENDINGS.join(", "));
            self.failed.push(Failure::at(folder, why));
        }
    }

    /// Adds the pictures that match a pattern.
    fn matched(&mut self, pattern: &str) {
        let before = (self.pictures.len(), self.failed.len());
        let root = root_of(pattern);
        // To the crate, a trailing `**` means folders: here it means everything in them.
        let all = matches!(pattern.rsplit('/').next(), Some("**")).then(|| format!("{pattern}/*"));
        let pattern = all.as_deref().unwrap_or(pattern);
        // The pattern is known to be valid by now.
        for entry in glob_with(pattern, MATCHING).into_iter().flatten() {
            match entry {
                // Everything there is matched without it.
                Ok(path) if hides(&path, &root, pattern) || leads_back(&path, &root) => {}
                Ok(path) if path.is_file() && is_picture_name(&path) && !self.is_result(&path, &root) => {
                    self.take(&path, &root);
                }
                Ok(path) if path.is_file() && !is_picture_name(&path) => self.skipped_files.add(&path),
                Ok(_) => {}
                Err(error) if hides(error.path(), &root, pattern) => {}
                Err(error) => self.failed.push(Failure::at(error.path(), error.error())),
            }
        }
        if before == (self.pictures.len(), self.failed.len()) {
            let why = format!("matches no pictures: expected files ending in {}", ENDINGS.join(", "));
            self.failed.push(Failure::at(Path::new(pattern), why));
        }
    }

    /// Returns whether a file is in the output folder, and that folder is in the one where a pattern begins.
    fn is_result(&self, path: &Path, root: &Path) -> bool {
        let Some(results) = &self.results else { return false };
        let whole = |path: &Path| path.canonicalize().ok();
        whole(root).as_ref() != Some(results) && whole(path).is_some_and(|path| path.starts_with(results))
    }

    fn take(&mut self, path: &Path, root: &Path) {
        let below = path.parent().and_then(|parent| parent.strip_prefix(root).ok()).unwrap_or(Path::new(""));
        self.pictures.push(Input { path: path.to_owned(), below: below.to_owned() });
    }
}

/// Reads the names in a list, one per line or each terminated by a zero byte.
fn listed(list: &Path, null: bool) -> Result<Vec<PathBuf>, Failure> {
    let bytes = read_list(list).map_err(|error| Failure::at(list, error))?;
    if !null && bytes.contains(&0) {
        let why = "contains NUL bytes: expected one name per line, or use --null for names that end with a NUL byte";
        return Err(Failure::usage(format_args!("{}: {why}", list.display())));
    }
    let names = bytes.split(|byte| *byte == if null { 0 } else { b'\n' });
    let whole = |name: &[u8]| match name.strip_suffix(b"\r").filter(|_| !null) {
        Some(name) => name.to_vec(),
        None => name.to_vec(),
    };
    names.map(whole).filter(|name| !name.is_empty()).map(path).collect()
}

/// Reads a picture from a file or from standard input.
pub(crate) fn read(path: &Path, limits: &Limits) -> Result<AnyPicture, Failure> {
    if path != Path::new(STANDARD) {
        return Ok(pdn::read_any(path, limits)?);
    }
    let named = |why| FileError { path: "standard input".into(), why };
    let most = longest(limits);
    let mut bytes = Vec::new();
    let found = std::io::stdin().take(most.saturating_add(1)).read_to_end(&mut bytes);
    match found.map_err(|error| named(FileFault::Io { doing: "read", error }))? as u64 > most {
        true => Err(Failure::failed(format_args!(
            "standard input: longer than {most} bytes, the most that --max-pixels allows"
        ))),
        false => Ok(read_any_bytes(&bytes, limits).map_err(named)?),
    }
}

/// Returns the most bytes of a picture's file: none with this many pixels is larger, whatever else it contains.
pub(crate) fn longest(limits: &Limits) -> u64 {
    limits.pixels.saturating_mul(16).saturating_add(64 << 20)
}

/// The most bytes of a list: a million long names.
const LONGEST_LIST: u64 = 256 << 20;

fn read_list(list: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let found = match list == Path::new(STANDARD) {
        true => std::io::stdin().take(LONGEST_LIST + 1).read_to_end(&mut bytes)?,
        false => std::fs::File::open(list)?.take(LONGEST_LIST + 1).read_to_end(&mut bytes)?,
    };
    match found as u64 > LONGEST_LIST {
        true => Err(std::io::Error::other(format!("longer than {LONGEST_LIST} bytes: split the list"))),
        false => Ok(bytes),
    }
}

#[cfg(unix)]
fn path(bytes: Vec<u8>) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn path(bytes: Vec<u8>) -> Result<PathBuf, Failure> {
    String::from_utf8(bytes).map(PathBuf::from).map_err(|error| {
        let name = String::from_utf8_lossy(error.as_bytes()).into_owned();
        Failure::failed(format_args!("list of names: {name} is not valid UTF-8"))
    })
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().first() == Some(&b'.')
}

/// Returns whether something on a path below `root` is hidden, and no part of the pattern names it explicitly.
fn hides(path: &Path, root: &Path, pattern: &str) -> bool {
    let asked: Vec<Pattern> = pattern.split('/').filter(|part| part.starts_with('.')).flat_map(Pattern::new).collect();
    let below = path.strip_prefix(root).unwrap_or(path);
    let asked_for = |name: &OsStr| asked.iter().any(|part| name.to_str().is_some_and(|name| part.matches(name)));
    below.iter().any(|name| is_hidden(name) && !asked_for(name))
}

/// Returns the folder before the first part of a pattern with a wildcard.
fn root_of(pattern: &str) -> PathBuf {
    let parts = Path::new(pattern).components();
    parts.take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '['])).collect()
}

/// Returns whether a link among a path's folders, from `root` on, leads back to one of those before it.
fn leads_back(path: &Path, root: &Path) -> bool {
    let below = path.parent().and_then(|folder| folder.strip_prefix(root).ok()).unwrap_or(Path::new(""));
    let mut folder = if root == Path::new("") { PathBuf::from(".") } else { root.to_owned() };
    let mut before = vec![folder.canonicalize().ok()];
    for part in below {
        folder.push(part);
        let whole = folder.canonicalize().ok();
        if before.contains(&whole) {
            return true;
        }
        before.push(whole);
    }
    false
}

/// Returns a failure for a part of a folder that could not be read, if it may have been a picture.
fn unseen(folder: &Path, error: &walkdir::Error) -> Option<Failure> {
    let path = error.path().unwrap_or(folder);
    if let Some(ancestor) = error.loop_ancestor() {
        // Nothing is lost: everything there is reached without it.
        tell!("pdn: {}: skipped, as it links back to {}", path.display(), ancestor.display());
        return None;
    }
    if path.is_symlink() && !is_picture_name(path) {
        return None;
    }
    Some(match error.io_error() {
        Some(error) => Failure::at(path, error),
        None => Failure::at(path, error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn named(names: &[PathBuf], results: Option<&Path>) -> Found {
        Found::named(names, &Names::default(), results).unwrap()
    }

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        folder
    }

    fn seen(found: &Found, root: &Path) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().replace('\\', "/");
        let each = |input: &Input| (text(input.path.strip_prefix(root).unwrap()), text(&input.below));
        found.pictures.iter().map(each).collect()
    }

    #[test]
    fn folders_and_patterns_are_looked_through() {
        let files =
            ["b.JPG", "a.png", "notes.txt", ".hidden.png", ".git/x.png", "sub/deep/c.webp", "out/a_x4.png", "[1].png"];
        let tree = tree(&files);
        let at = |name: &str| tree.path().join(name);
        let all = [("[1].png", ""), ("a.png", ""), ("b.JPG", ""), ("sub/deep/c.webp", "sub/deep")];
        let expect = |found: &Found, expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(seen(found, tree.path()), expected);
            assert!(found.failed.is_empty(), "{:?}", found.failed);
        };
        expect(&named(&[at("")], Some(&at("out"))), &all);
        expect(&named(&[at("**/*")], Some(&at("out"))), &all);
        expect(&named(&[at("*.png")], None), &all[..2]);
        expect(&named(&[at("s*/**/*.webp")], None), &all[3..]);
        expect(&named(&[at("[1].png")], None), &all[..1]);
        expect(&named(&[at("out"), at("b.JPG")], Some(&at("out"))), &[("out/a_x4.png", ""), ("b.JPG", "")]);
        // A file that was named explicitly is not checked here: reading it tells whether it is a picture.
        expect(&named(&[at("notes.txt"), at("none[.png")], None), &[("notes.txt", ""), ("none[.png", "")]);
    }

    #[test]
    fn what_holds_nothing_is_named_and_stops_nothing() {
        let tree = tree(&["full/a.png", "empty/notes.txt"]);
        let at = |name: &str| tree.path().join(name);
        let found = named(&[at("empty"), at("*.tif"), at("full")], None);
        assert_eq!(found.pictures.len(), 1);
        let said: Vec<&str> = found.failed.iter().map(|failure| failure.message.as_str()).collect();
        assert!(said[0].contains("contains no pictures") && said[1].contains("matches no pictures"), "{said:?}");
    }

    #[cfg(unix)]
    #[test]
    fn patterns_pass_by_names_that_are_no_text() {
        use std::os::unix::ffi::OsStrExt;
        let tree = tree(&["sub/a.png", "sub/.b.png"]);
        fs::write(tree.path().join("sub").join(OsStr::from_bytes(b"caf\xe9.txt")), b"").unwrap();
        let at = |name: &str| tree.path().join(name);
        let seen = |pattern: &str| seen(&named(&[at(pattern)], None), tree.path());
        assert_eq!(seen("**/*.png"), [("sub/a.png".to_owned(), "sub".to_owned())]);
        assert_eq!(seen("**/.*.png"), [("sub/.b.png".to_owned(), "sub".to_owned())]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once_around() {
        use std::os::unix::fs::symlink;
        let tree = tree(&["in/a.png", "elsewhere/b.png"]);
        let at = |name: &str| tree.path().join(name);
        symlink(at("in"), at("in/loop")).unwrap();
        symlink(at("elsewhere"), at("in/there")).unwrap();
        symlink(at("nowhere.png"), at("in/gone.png")).unwrap();
        symlink(at("nowhere"), at("in/lock")).unwrap();
        let found = named(&[at("in")], None);
        let expected = [("in/a.png", ""), ("in/there/b.png", "there")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(seen(&found, tree.path()), expected);
        assert!(found.failed.len() == 1 && found.failed[0].message.contains("gone.png"), "{:?}", found.failed);
        assert_eq!(seen(&named(&[at("in/**/*.png")], None), tree.path()), expected);
    }
}
