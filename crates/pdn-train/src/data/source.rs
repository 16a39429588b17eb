//! Sources of super-resolution training pictures: one table of a recipe each.

use crate::data::DataError;
use pdn::Captioned;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// A source of pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A folder inside the data folder: pictures, possibly in subfolders, with or without a `captions.json` or
    /// `captions.csv`.
    pub folder: PathBuf,
    /// A caption file elsewhere in the data folder: `.json`, including COCO's annotations, or `.csv`. Captions are
    /// matched to pictures by file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captions: Option<PathBuf>,
    /// The relative frequency of drawing a picture from this source.
    pub weight: f64,
    /// The number of pictures, the last by name, that are held out for evaluation.
    #[serde(default)]
    pub held_back: usize,
    /// The shortest longest edge of a picture, in pixels; smaller pictures are left out.
    #[serde(default)]
    pub longest: usize,
    /// The side, in pixels, of the adjacent squares that pictures are cut into; 0 for whole pictures.
    #[serde(default)]
    pub part: usize,
    /// The factors by which pictures are resized, 1 for none: shrunk pictures are sharper and free of compression
    /// artefacts.
    #[serde(default = "as_they_are")]
    pub sizes: Vec<f64>,
    /// Whether to use one caption per picture, drawn once, rather than all of them.
    #[serde(default)]
    pub one_caption: bool,
}

fn as_they_are() -> Vec<f64> {
    vec![1.0]
}

/// A picture's file and its captions.
pub type Entry = (PathBuf, Vec<String>);

/// Extensions of picture files.
const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp"];

impl Source {
    /// Creates a source of whole pictures with a weight of 1.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            captions: None,
            weight: 1.0,
            held_back: 0,
            longest: 0,
            part: 0,
            sizes: as_they_are(),
            one_caption: false,
        }
    }

    /// Checks everything that does not depend on the data.
    pub(crate) fn check(&self, scale: usize, patch: usize) -> Result<(), String> {
        let folder = self.folder.display();
        if !self.weight.is_finite() || self.weight < 0.0 {
            return Err(format!("{folder}: weight {}: expected a number of at least 0", self.weight));
        }
        if self.sizes.is_empty() || self.sizes.iter().any(|size| !(*size > 0.0 && *size <= 1.0)) {
            return Err(format!("{folder}: sizes {:?}: expected numbers above 0 and at most 1", self.sizes));
        }
        if self.part > 0 && self.part < scale * patch {
            let (part, needs) = (self.part, scale * patch);
            return Err(format!(
                "{folder}: part {part}: expected at least {needs}, a patch of {patch} at scale {scale}"
            ));
        }
        Ok(())
    }

    /// Returns the files of training pictures with their captions, sorted by name.
    ///
    /// # Errors
    /// [`DataError`] names the file or folder and what was expected.
    pub fn entries(&self, root: &Path) -> Result<Vec<Entry>, DataError> {
        let folder = root.join(&self.folder);
        let mut found = match (&self.captions, pdn::read_captions(&folder)?) {
            (None, Some(captioned)) => for_training(captioned, &folder),
            (None, None) => files(&folder)?.into_iter().map(|file| (file, Vec::new())).collect(),
            (Some(captions), _) => captioned(files(&folder)?, &root.join(captions))?,
        };
        found.sort();
        match found.is_empty() {
            true => Err(DataError { path: folder, why: format!("holds no pictures; expected {}", ENDINGS.join(", ")) }),
            false => Ok(found),
        }
    }
}

/// Returns the pictures that a folder's captions name: of the split `train`, if there are splits.
fn for_training(captioned: Vec<Captioned>, folder: &Path) -> Vec<Entry> {
    // Flickr8k's `small` holds pictures of 112 pixels, too small for patches.
    let wanted = |c: &Captioned| {
        c.split.as_deref().is_none_or(|split| split == "train") && !c.path.starts_with(folder.join("small"))
    };
    captioned.into_iter().filter(wanted).map(|c| (c.path, c.captions)).collect()
}

/// Returns the pictures in a folder and its subfolders.
fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true) {
        let wrong = |e: walkdir::Error| DataError {
            path: e.path().unwrap_or(folder).to_owned(),
            why: e.io_error().map_or_else(|| e.to_string(), |e| format!("cannot be read: {e}")),
        };
        let entry = entry.map_err(wrong)?;
        let ending = entry.path().extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if entry.file_type().is_file() && ENDINGS.contains(&ending.as_str()) {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

/// Pairs pictures with the captions that a file has for their names; pictures without an entry have no captions.
fn captioned(files: Vec<PathBuf>, path: &Path) -> Result<Vec<Entry>, DataError> {
    let captions = pdn::Captions::read(path)?;
    let mut said: HashMap<OsString, Vec<String>> = HashMap::new();
    for entry in captions.entries() {
        let name = entry.path.file_name().unwrap_or_default().to_owned();
        if said.insert(name, entry.captions.clone()).is_some() {
            let why =
                format!("names two pictures {}; expected one", entry.path.file_name().unwrap_or_default().display());
            return Err(DataError { path: path.to_owned(), why });
        }
    }
    let mut matched = 0;
    let mut with = |file: PathBuf| {
        let captions = file.file_name().and_then(|name| said.get(name)).cloned();
        matched += usize::from(captions.is_some());
        (file, captions.unwrap_or_default())
    };
    let entries: Vec<Entry> = files.into_iter().map(&mut with).collect();
    match matched {
        0 if !entries.is_empty() => {
            let example = entries[0].0.file_name().unwrap_or_default().display();
            let why =
                format!("names none of the source's {} pictures; expected names such as {example}", entries.len());
            Err(DataError { path: path.to_owned(), why })
        }
        _ => Ok(entries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn preparation() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("pictures/00001")).unwrap();
        for name in ["b.jpg", "00001/a.PNG", "notes.txt"] {
            fs::write(folder.path().join("pictures").join(name), "").unwrap();
        }
        folder
    }

    #[test]
    fn folders_of_folders_are_looked_through() {
        let folder = preparation();
        let entries = Source::of("pictures").entries(folder.path()).unwrap();
        let names: Vec<_> =
            entries.iter().map(|(file, _)| file.strip_prefix(folder.path()).unwrap().to_owned()).collect();
        assert_eq!(names, [Path::new("pictures/00001/a.PNG"), Path::new("pictures/b.jpg")]);
        let error = Source::of("none").entries(folder.path()).unwrap_err().to_string();
        assert!(error.contains("none: cannot be read"), "{error}");
        fs::create_dir(folder.path().join("empty")).unwrap();
        let error = Source::of("empty").entries(folder.path()).unwrap_err().to_string();
        assert!(error.contains("empty: holds no pictures"), "{error}");
    }

    #[test]
    fn coco_s_annotations_go_with_the_pictures_of_their_names() {
        let folder = preparation();
        let coco = r#"{"info": {}, "images": [{"id": 7, "file_name": "b.jpg", "width": 9}, {"id": 9, "file_name": "c.jpg"}],
            "annotations": [{"id": 1, "image_id": 7, "caption": "A bus. "}, {"id": 2, "image_id": 9, "caption": "none"},
            {"id": 3, "image_id": 7, "caption": "It is red."}]}"#;
        fs::write(folder.path().join("captions_train2017.json"), coco).unwrap();
        let source = Source { captions: Some("captions_train2017.json".into()), ..Source::of("pictures") };
        let entries = source.entries(folder.path()).unwrap();
        assert_eq!(entries[0].1, Vec::<String>::new());
        assert_eq!(entries[1].1, ["A bus.", "It is red."]);
        fs::write(folder.path().join("captions_train2017.json"), coco.replace("b.jpg", "d.jpg")).unwrap();
        let error = source.entries(folder.path()).unwrap_err().to_string();
        assert!(error.contains("names none of the source's 2 pictures"), "{error}");
    }

    #[test]
    fn what_cannot_be_is_refused_before_any_picture_is_read() {
        let wrong = |source: Source| source.check(4, 48).unwrap_err();
        assert!(wrong(Source { part: 160, ..Source::of("a") }).contains("a: part 160"));
        assert!(wrong(Source { sizes: vec![], ..Source::of("a") }).contains("sizes []"));
        assert!(wrong(Source { sizes: vec![2.0], ..Source::of("a") }).contains("at most 1"));
        assert!(wrong(Source { weight: -1.0, ..Source::of("a") }).contains("weight -1"));
        assert_eq!(Source { part: 320, ..Source::of("a") }.check(4, 48), Ok(()));
    }
}
