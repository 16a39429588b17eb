//! Nouns and real CLIP's (ViT-B/32) embeddings of "a {noun}": anchors for words that no caption has.
//!
//! Reads the lists of facebookresearch/Detic that come with names: LVIS (1,203) and Objects365 (365). One noun in ten
//! is held out, the same in both lists, to measure where an unseen noun lands.

use crate::data::DataError;
use npyz::NpyFile;
use pdn::Tokenizer;
use pdn_network::file;
use serde::Deserialize;
use std::path::Path;

/// Length of CLIP's embeddings.
pub const CLIP: usize = 512;

/// The most bytes of a list, and of its embeddings.
const MOST: u64 = 256 << 20;

/// One noun in this many is held out.
const HELD_BACK: usize = 10;

/// A noun.
#[derive(Clone, Debug)]
pub struct Noun {
    /// "a {noun}", as tokens with their start and end.
    pub tokens: Vec<usize>,
    /// CLIP's embedding minus the mean over all nouns, scaled to unit length.
    pub clip: Vec<f32>,
}

/// All nouns.
#[derive(Clone, Debug)]
pub struct Nouns {
    /// Training nouns.
    pub train: Vec<Noun>,
    /// Held-out nouns.
    pub held_back: Vec<Noun>,
}

impl Nouns {
    /// Reads `lvis_v1_train_cat_info.json` with `lvis_v1_clip_a+cname.npy`, and `Objects365_names_fix.csv` with
    /// `o365_clip_a+cnamefix.npy`.
    ///
    /// # Errors
    /// [`DataError`] names the file and what was expected.
    pub fn open(folder: &Path, tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let mut all = Vec::new();
        let lists = [
            (lvis(&folder.join("lvis_v1_train_cat_info.json"))?, folder.join("lvis_v1_clip_a+cname.npy")),
            (objects365(&folder.join("Objects365_names_fix.csv"))?, folder.join("o365_clip_a+cnamefix.npy")),
        ];
        for (names, path) in lists {
            let rows = embeddings(&path)?;
            if rows.len() != names.len() {
                let why = format!("holds {} embeddings; expected {}, one per name", rows.len(), names.len());
                return Err(DataError { path, why });
            }
            all.extend(names.into_iter().zip(rows));
        }
        let mut mean = vec![0.0_f32; CLIP];
        for (_, row) in &all {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / all.len() as f32);
        }
        let noun = |(name, row): &(String, Vec<f32>)| {
            let centred: Vec<f32> = row.iter().zip(&mean).map(|(v, m)| v - m).collect();
            let norm = centred.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
            let clip = centred.into_iter().map(|v| v / norm).collect();
            Noun { tokens: tokenizer.encode(&format!("a {name}")), clip }
        };
        // Split by name, so that a noun in both lists is on one side.
        let held_back = |name: &str| name.bytes().map(usize::from).sum::<usize>().is_multiple_of(HELD_BACK);
        let (held_back, train): (Vec<_>, Vec<_>) = all.iter().partition(|(name, _)| held_back(name));
        let nouns = |of: Vec<&(String, Vec<f32>)>| of.into_iter().map(noun).collect();
        Ok(Self { train: nouns(train), held_back: nouns(held_back) })
    }
}

fn lvis(path: &Path) -> Result<Vec<String>, DataError> {
    #[derive(Deserialize)]
    struct Category {
        id: usize,
        synonyms: Vec<String>,
    }
    let wrong = |why: String| DataError { path: path.to_owned(), why };
    let text = file::read_text(path, MOST).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let mut categories: Vec<Category> = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    categories.sort_by_key(|category| category.id);
    let name = |category: &Category| category.synonyms.first().map(|name| plain(name));
    let names: Option<Vec<String>> = categories.iter().map(name).collect();
    names.ok_or_else(|| wrong("has a category without a name; expected at least one synonym in each".into()))
}

fn objects365(path: &Path) -> Result<Vec<String>, DataError> {
    let wrong = |why: String| DataError { path: path.to_owned(), why };
    let text = file::read(path, MOST).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
    let name = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|e| wrong(e.to_string()))?;
        record.get(2).map(plain).ok_or_else(|| wrong("expected a number and two names per line".into()))
    };
    reader.records().map(name).collect()
}

/// Returns a name as it appears in a sentence.
fn plain(name: &str) -> String {
    name.replace('_', " ").to_lowercase()
}

fn embeddings(path: &Path) -> Result<Vec<Vec<f32>>, DataError> {
    let wrong = |why: String| DataError { path: path.to_owned(), why };
    let bytes = file::read(path, MOST).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let file = NpyFile::new(&bytes[..]).map_err(|e| wrong(e.to_string()))?;
    if file.shape().get(1) != Some(&(CLIP as u64)) {
        return Err(wrong(format!("holds an array of shape {:?}; expected rows of {CLIP}", file.shape())));
    }
    let numbers: Vec<half::f16> = file.into_vec().map_err(|e| wrong(e.to_string()))?;
    Ok(numbers.chunks(CLIP).map(|row| row.iter().map(|v| v.to_f32()).collect()).collect())
}
