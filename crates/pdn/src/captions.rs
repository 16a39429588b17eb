//! Captions of pictures: a folder's `captions.json` or `captions.csv`, such a file under any name, or a sidecar beside
//! a picture.
//!
//! JSON is either a list of `{"file": name, "captions": [sentence, ...]}`, whose files are in the folder `images`
//! beside it, or COCO's annotations,
//! `{"images": [{"id", "file_name"}, ...], "annotations": [{"image_id", "caption"}, ...]}`. CSV has the columns
//! `image,split,caption` or `image,caption`, one caption per line, with image paths relative to its folder. A sidecar
//! is `photo.txt` beside `photo.jpg`, one caption per line.

use pdn_network::file;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A picture's file and its captions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captioned {
    /// The picture's file.
    pub path: PathBuf,
    /// Its split, such as `train` or `val`, if the captions name one.
    pub split: Option<String>,
    /// Its captions, in file order.
    pub captions: Vec<String>,
}

/// Why captions could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}", path = path.display())]
pub struct CaptionError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// The most bytes of a caption file: COCO's have a fifth of that.
const MOST: u64 = 512 << 20;
/// The most bytes of one picture's captions.
const MOST_BESIDE: u64 = 1 << 20;

/// A caption file.
#[derive(Clone, Debug)]
pub struct Captions {
    path: PathBuf,
    entries: Vec<Captioned>,
}

impl Captions {
    /// Reads a caption file; its extension, `.csv` or `.json`, tells the format.
    ///
    /// # Errors
    /// [`CaptionError`] names the file and the offending line.
    pub fn read(path: &Path) -> Result<Self, CaptionError> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let entries = match ending.as_str() {
            "csv" => read_csv(path)?,
            "json" => read_json(path)?,
            _ => return Err(at(path)("is not a captions file: expected .csv or .json".into())),
        };
        Ok(Self { path: path.to_owned(), entries })
    }

    /// Returns all entries, sorted by path.
    pub fn entries(&self) -> &[Captioned] {
        &self.entries
    }

    /// Returns the first caption of a picture, looked up by file name. Among several entries of that name, the one with
    /// the picture's path is used.
    ///
    /// # Errors
    /// [`CaptionError`] if the picture has no caption, or several entries of its name differ.
    pub fn first(&self, picture: &Path) -> Result<&str, CaptionError> {
        let wrong = |why: String| Err(at(&self.path)(format!("{why} {}", picture.display())));
        let mut named: Vec<&Captioned> =
            self.entries.iter().filter(|entry| entry.path.file_name() == picture.file_name()).collect();
        if let Some(exact) = named.iter().find(|entry| same_file(&entry.path, picture)) {
            named = vec![exact];
        }
        match named.first().map(|entry| entry.captions.first()) {
            None => wrong("has no entry for".into()),
            Some(None) => wrong("has no captions for".into()),
            Some(Some(caption)) => match named.iter().find(|entry| entry.captions.first() != Some(caption)) {
                None => Ok(caption),
                Some(other) => {
                    let (one, other) = (named[0].path.display(), other.path.display());
                    wrong(format!("lists {one} and {other} with different captions, and neither is"))
                }
            },
        }
    }
}

/// Returns the first caption of a picture's sidecar: the first non-blank line of `photo.txt` beside `photo.jpg`.
///
/// # Errors
/// [`CaptionError`] if the sidecar is missing, empty, or not UTF-8.
pub fn sidecar(picture: &Path) -> Result<String, CaptionError> {
    let path = picture.with_extension("txt");
    if !path.exists() {
        return Err(at(&path)(format!("no such file; expected the caption of {}", picture.display())));
    }
    let mut lines = lines_of(&path, MOST_BESIDE)?;
    match lines.is_empty() {
        true => Err(at(&path)(format!("is empty; expected the caption of {}", picture.display()))),
        false => Ok(lines.swap_remove(0).1),
    }
}

/// Reads the non-blank lines of a text file, trimmed, each with its number, from 1.
///
/// # Errors
/// [`CaptionError`] names the file, and the line that is not UTF-8.
pub fn read_lines(path: &Path) -> Result<Vec<(usize, String)>, CaptionError> {
    lines_of(path, MOST)
}

fn lines_of(path: &Path, most: u64) -> Result<Vec<(usize, String)>, CaptionError> {
    let text = read_text(path, most)?;
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim().to_owned()));
    Ok(lines.filter(|(_, line)| !line.is_empty()).collect())
}

/// Reads a file's text, without the byte order mark that some editors write.
fn read_text(path: &Path, most: u64) -> Result<String, CaptionError> {
    let bytes = file::read(path, most).map_err(|e| {
        at(path)(match e.kind() {
            std::io::ErrorKind::NotFound => "no such file".into(),
            std::io::ErrorKind::IsADirectory => "is a folder; expected a captions file".into(),
            _ => format!("cannot be read: {e}"),
        })
    })?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        at(path)(format!("line {line} is not valid UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn at(path: &Path) -> impl Fn(String) -> CaptionError + '_ {
    |why| CaptionError { path: path.to_owned(), why }
}

/// Returns whether both paths are the same existing file.
fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The parts of COCO's caption file that are used.
#[derive(Deserialize)]
struct Coco {
    images: Vec<CocoImage>,
    annotations: Vec<CocoCaption>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct CocoCaption {
    image_id: u64,
    caption: String,
}

#[derive(Deserialize)]
struct JsonEntry {
    file: String,
    captions: Vec<String>,
}

/// Reads the captioned pictures of a folder, sorted by path; `None` if it has no caption file.
///
/// # Errors
/// [`CaptionError`] names the file and the offending line.
pub fn read_captions(folder: &Path) -> Result<Option<Vec<Captioned>>, CaptionError> {
    let (json, csv) = (folder.join("captions.json"), folder.join("captions.csv"));
    match (json.exists(), csv.exists()) {
        (true, _) => read_json(&json).map(Some),
        (_, true) => read_csv(&csv).map(Some),
        _ => Ok(None),
    }
}

fn read_json(path: &Path) -> Result<Vec<Captioned>, CaptionError> {
    let wrong = at(path);
    let text = read_text(path, MOST)?;
    // The first character tells which format to expect in errors, which name the line.
    let entries = match text.trim_start().starts_with('{') {
        false => serde_json::from_str(&text)
            .map_err(|e| wrong(format!("{e}: expected [{{\"file\": name, \"captions\": [sentence, ...]}}, ...]")))?,
        true => {
            let expected =
                "{\"images\": [{\"id\", \"file_name\"}, ...], \"annotations\": [{\"image_id\", \"caption\"}, ...]}";
            let coco = serde_json::from_str(&text).map_err(|e| wrong(format!("{e}: expected COCO's {expected}")))?;
            of_coco(coco).map_err(&wrong)?
        }
    };
    let images = path.with_file_name("images");
    if let Some(entry) = entries.iter().find(|e| e.captions.iter().any(|caption| caption.trim().is_empty())) {
        return Err(wrong(format!("has an empty caption for {}", entry.file)));
    }
    let captioned = |e: JsonEntry| Captioned { path: images.join(e.file), split: None, captions: e.captions };
    let mut all: Vec<Captioned> = entries.into_iter().map(captioned).collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    match all.windows(2).find(|pair| pair[0].path == pair[1].path) {
        Some(pair) => Err(wrong(format!("lists {} twice", pair[0].path.display()))),
        None => Ok(all),
    }
}

/// Pairs pictures with their captions, trimmed, as some of COCO's have blanks around them.
fn of_coco(coco: Coco) -> Result<Vec<JsonEntry>, String> {
    let mut captions: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for annotation in coco.annotations {
        captions.entry(annotation.image_id).or_default().push(annotation.caption.trim().to_owned());
    }
    let entry = |image: CocoImage| JsonEntry {
        file: image.file_name,
        captions: captions.remove(&image.id).unwrap_or_default(),
    };
    let entries = coco.images.into_iter().map(entry).collect();
    match captions.keys().next() {
        Some(id) => Err(format!("has a caption for image {id}, which it does not list")),
        None => Ok(entries),
    }
}

fn read_csv(path: &Path) -> Result<Vec<Captioned>, CaptionError> {
    let wrong = at(path);
    let text = read_text(path, MOST)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers().map_err(|e| wrong(e.to_string()))?;
    let has_split = columns == ["image", "split", "caption"].as_slice();
    if !has_split && columns != ["image", "caption"].as_slice() {
        let found: Vec<&str> = columns.iter().collect();
        return Err(wrong(format!(
            "has the columns {}; expected image,split,caption or image,caption",
            found.join(",")
        )));
    }
    let mut found: BTreeMap<PathBuf, Captioned> = BTreeMap::new();
    let mut last = None;
    for record in reader.records() {
        // Errors name the line.
        let record = record.map_err(|e| wrong(e.to_string()))?;
        last = record.position().cloned();
        let (image, caption) = (&record[0], &record[record.len() - 1]);
        let split = has_split.then(|| record[1].to_owned());
        if caption.trim().is_empty() {
            let line = record.position().map_or(0, |position| position.line());
            return Err(wrong(format!("line {line} has an empty caption for {image}")));
        }
        let path = path.with_file_name(image);
        let new = Captioned { path: path.clone(), split: split.clone(), captions: Vec::new() };
        let entry = found.entry(path).or_insert(new);
        if entry.split != split {
            let [one, other] = [&entry.split, &split].map(|split| split.as_deref().unwrap_or_default());
            return Err(wrong(format!("has {image} in two splits, {one} and {other}")));
        }
        entry.captions.push(caption.to_owned());
    }
    match last.filter(|last| is_open(text.get(last.byte() as usize..).unwrap_or_default())) {
        Some(last) => Err(wrong(format!("line {} opens a quote that is never closed", last.line()))),
        None => Ok(found.into_values().collect()),
    }
}

/// Returns whether a file's last record has an unclosed quote, which makes all following lines part of one field.
fn is_open(record: &str) -> bool {
    (record.starts_with('"') || record.contains(",\"")) && record.matches('"').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Option<Vec<Captioned>>, CaptionError> {
        let folder = std::env::temp_dir().join(format!("pdn-captions-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), text).unwrap();
        let read = read_captions(&folder);
        std::fs::remove_dir_all(folder).unwrap();
        read
    }

    fn names(read: &[Captioned]) -> Vec<(String, Option<&str>, usize)> {
        let name = |c: &Captioned| c.path.file_name().unwrap().to_string_lossy().into_owned();
        read.iter().map(|c| (name(c), c.split.as_deref(), c.captions.len())).collect()
    }

    #[test]
    fn both_kinds_of_file_are_read() {
        let json = r#"[{"file": "b.jpg", "captions": ["one", "two"], "width": 9}, {"file": "a.jpg", "captions": []}]"#;
        let read_json = read("captions.json", json).unwrap().unwrap();
        assert_eq!(names(&read_json), [("a.jpg".into(), None, 0), ("b.jpg".into(), None, 2)]);
        let csv = "image,split,caption\nx/b.png,val,\"one, two\"\nx/a.png,train,three\nx/b.png,val,four\n";
        let read_csv = read("captions.csv", csv).unwrap().unwrap();
        assert_eq!(names(&read_csv), [("a.png".into(), Some("train"), 1), ("b.png".into(), Some("val"), 2)]);
        assert_eq!(read_csv[1].captions, ["one, two", "four"]);
        assert_eq!(read("notes.txt", "a.png: a dog").unwrap(), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (name, text, word) in [
            ("captions.json", r#"[{"file": "a.jpg"}]"#, "captions"),
            ("captions.json", r#"[{"file": "a", "captions": []}, {"file": "a", "captions": []}]"#, "twice"),
            ("captions.json", r#"{"images": [{"id": 1}], "annotations": []}"#, "expected COCO's {"),
            (
                "captions.json",
                r#"{"images": [], "annotations": [{"image_id": 7, "caption": "a"}]}"#,
                "image 7, which it does not list",
            ),
            ("captions.csv", "image,split,caption\na.png,train\n", "line: 2"),
            ("captions.csv", "image,split,caption\na.png,train,one\na.png,val,two\n", "two splits"),
            ("captions.csv", "image,caption,split\na.png,one,train\n", "image,caption,split; expected"),
            ("captions.csv", "a.png,train,one\n", "expected image,split,caption"),
            ("captions.csv", "image,caption\na.png,one\nb.png, \n", "line 3 has an empty caption for b.png"),
            ("captions.csv", "image,caption\na.png,one\nb.png,\"two\nc.png,three\n", "line 3 opens a quote"),
            ("captions.json", r#"[{"file": "a.jpg", "captions": ["one", ""]}]"#, "empty caption for a.jpg"),
        ] {
            let error = read(name, text).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_picture_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("x")).unwrap();
        std::fs::write(at("x/b.png"), b"").unwrap();
        let csv = "image,caption\na.png,\"one, \"\"two\"\"\"\na.png,second\nx/b.png,three\ny/b.png,four\nx/c.png,same\ny/c.png,same\n";
        std::fs::write(at("any name.CSV"), format!("\u{feff}{csv}")).unwrap();
        let captions = Captions::read(&at("any name.CSV")).unwrap();
        let first = |picture: &str| captions.first(&at(picture)).map_err(|e| e.to_string());
        assert_eq!(first("elsewhere/a.png").unwrap(), "one, \"two\"");
        assert_eq!(first("x/b.png").unwrap(), "three");
        assert_eq!(first("c.png").unwrap(), "same");
        for (picture, word) in [("z/b.png", "different captions"), ("d.png", "no entry for")] {
            let said = first(picture).unwrap_err();
            assert!(said.contains(word) && said.contains(picture) && said.contains("any name.CSV"), "{said}");
        }
        std::fs::write(at("c.json"), r#"[{"file": "a.png", "captions": []}]"#).unwrap();
        let said = Captions::read(&at("c.json")).unwrap().first(&at("a.png")).unwrap_err().to_string();
        assert!(said.contains("no captions for"), "{said}");
        for (name, word) in
            [("captions.txt", "expected .csv or .json"), ("none.csv", "no such file"), ("x", "is not a captions file")]
        {
            let said = Captions::read(&at(name)).unwrap_err().to_string();
            assert!(said.contains(word) && said.contains(name), "{said}");
        }
    }

    #[test]
    fn a_sidecar_is_beside_its_picture() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (bytes, expected) in [
            (&b"a brown dog"[..], "a brown dog"),
            ("\u{feff}\r\n  \r\n ein Hündchen \r\nsecond\r\n".as_bytes(), "ein Hündchen"),
        ] {
            std::fs::write(at("photo.x.txt"), bytes).unwrap();
            assert_eq!(sidecar(&at("photo.x.jpg")).unwrap(), expected);
        }
        std::fs::write(at("empty.txt"), b" \n\n").unwrap();
        std::fs::write(at("latin.txt"), b"one\ntwo\nH\xfcndchen\n").unwrap();
        for (picture, word) in
            [("none.jpg", "no such file"), ("empty.jpg", "is empty"), ("latin.jpg", "line 3 is not valid UTF-8")]
        {
            let said = sidecar(&at(picture)).unwrap_err().to_string();
            assert!(said.contains(word) && said.contains(&picture.replace("jpg", "txt")), "{said}");
        }
    }
}
