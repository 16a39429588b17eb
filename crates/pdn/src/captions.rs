//! Captions of a folder's pictures: its `captions.json` or `captions.csv`.
//!
//! `captions.json` is a list of `{"file": name, "captions": [sentence, ...]}`, the files being in the folder `images` beside
//! it. `captions.csv` has the columns `image,split,caption`, a caption a line, the images' paths beginning at the folder.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A picture's file and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captioned {
    /// The file.
    pub path: PathBuf,
    /// Its split, such as `train` or `val`; `captions.json` names none.
    pub split: Option<String>,
    /// Its captions, in the file's order.
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

#[derive(Deserialize)]
struct JsonEntry {
    file: String,
    captions: Vec<String>,
}

/// The captioned pictures of a folder, by path; `None` where it has no file of captions.
///
/// # Errors
/// [`CaptionError`] names the file, and the line that is not as expected.
pub fn read_captions(folder: &Path) -> Result<Option<Vec<Captioned>>, CaptionError> {
    let (json, csv) = (folder.join("captions.json"), folder.join("captions.csv"));
    match (json.exists(), csv.exists()) {
        (true, _) => read_json(folder, &json).map(Some),
        (_, true) => read_csv(folder, &csv).map(Some),
        _ => Ok(None),
    }
}

fn read_json(folder: &Path, path: &Path) -> Result<Vec<Captioned>, CaptionError> {
    let wrong = |why: String| CaptionError { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let entries: Vec<JsonEntry> = serde_json::from_str(&text)
        .map_err(|e| wrong(format!("{e}: expected [{{\"file\": name, \"captions\": [sentence, ...]}}, ...]")))?;
    let images = folder.join("images");
    let captioned = |e: JsonEntry| Captioned { path: images.join(e.file), split: None, captions: e.captions };
    let mut all: Vec<Captioned> = entries.into_iter().map(captioned).collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    match all.windows(2).find(|pair| pair[0].path == pair[1].path) {
        Some(pair) => Err(wrong(format!("names {} twice", pair[0].path.display()))),
        None => Ok(all),
    }
}

fn read_csv(folder: &Path, path: &Path) -> Result<Vec<Captioned>, CaptionError> {
    let wrong = |why: String| CaptionError { path: path.to_owned(), why };
    let mut reader = csv::Reader::from_path(path).map_err(|e| wrong(e.to_string()))?;
    let columns = reader.headers().map_err(|e| wrong(e.to_string()))?;
    if columns != ["image", "split", "caption"].as_slice() {
        let found: Vec<&str> = columns.iter().collect();
        return Err(wrong(format!("begins with {}, expected image,split,caption", found.join(","))));
    }
    let mut found: BTreeMap<PathBuf, Captioned> = BTreeMap::new();
    for record in reader.deserialize() {
        // Errors name the line.
        let (image, split, caption): (PathBuf, String, String) = record.map_err(|e| wrong(e.to_string()))?;
        let path = folder.join(&image);
        let new = Captioned { path: path.clone(), split: Some(split.clone()), captions: Vec::new() };
        let entry = found.entry(path).or_insert(new);
        if entry.split.as_ref() != Some(&split) {
            let other = entry.split.as_deref().unwrap_or_default();
            return Err(wrong(format!("has {} in two splits, {other} and {split}", image.display())));
        }
        entry.captions.push(caption);
    }
    Ok(found.into_values().collect())
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
            ("captions.json", r#"{"images": [], "annotations": []}"#, "expected [{"),
            ("captions.csv", "image,split,caption\na.png,train\n", "line: 2"),
            ("captions.csv", "image,split,caption\na.png,train,one\na.png,val,two\n", "two splits"),
            ("captions.csv", "image,caption,split\na.png,one,train\n", "image,caption,split, expected"),
            ("captions.csv", "a.png,train,one\n", "expected image,split,caption"),
        ] {
            let error = read(name, text).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains(name), "{error}");
        }
    }
}
