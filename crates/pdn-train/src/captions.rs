//! Flickr8k: pictures with five captions each, for the prompt encoder.

use crate::data::{DataError, read_picture};
use pdn::Tokenizer;
use pdn_image::{Picture, resize_to};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// A picture as small as it is looked at, and its captions as tokens.
#[derive(Clone, Debug)]
pub struct Pair {
    /// A square of [`Captions::side`] pixels.
    pub picture: Picture,
    /// Each with its start and end.
    pub captions: Vec<Vec<usize>>,
}

/// Captioned pictures.
#[derive(Clone, Debug)]
pub struct Captions {
    /// Pixels a side of every picture.
    pub side: usize,
    /// Those learned from.
    pub train: Vec<Pair>,
    /// Those held back.
    pub held_back: Vec<Pair>,
}

impl Captions {
    /// Reads `captions.csv` (`image,split,caption`, a caption a line) and the pictures it names, squeezed to squares.
    /// Captions longer than `context` tokens are cut before their end.
    ///
    /// # Errors
    /// [`DataError`] names the file and what was expected.
    pub fn flickr8k(folder: &Path, side: usize, tokenizer: &Tokenizer, context: usize) -> Result<Self, DataError> {
        let mut found: BTreeMap<String, (bool, Vec<Vec<usize>>)> = BTreeMap::new();
        for (image, train, caption) in read_csv(&folder.join("captions.csv"))? {
            let mut tokens = tokenizer.encode(&caption);
            if tokens.len() > context {
                tokens.drain(context - 1..tokens.len() - 1);
            }
            found.entry(image).or_insert((train, Vec::new())).1.push(tokens);
        }
        let pairs: Vec<(bool, Pair)> = found
            .into_par_iter()
            .map(|(image, (train, captions))| {
                let picture = resize_to(&read_picture(&folder.join(image))?, side, side);
                Ok((train, Pair { picture, captions }))
            })
            .collect::<Result<_, DataError>>()?;
        let (train, held_back): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(train, _)| *train);
        let only = |pairs: Vec<(bool, Pair)>| pairs.into_iter().map(|(_, pair)| pair).collect();
        Ok(Self { side, train: only(train), held_back: only(held_back) })
    }
}

/// The lines of a caption file: picture, whether it is for training, caption.
///
/// # Errors
/// [`DataError`] names the file, and the line that is not as expected.
pub fn read_csv(path: &Path) -> Result<Vec<(String, bool, String)>, DataError> {
    let wrong = |why: String| DataError { path: path.to_owned(), why };
    let mut reader = csv::Reader::from_path(path).map_err(|e| wrong(e.to_string()))?;
    let records = reader.records().enumerate().map(|(line, record)| {
        let record = record.map_err(|e| wrong(e.to_string()))?;
        match (record.get(0), record.get(1), record.get(2)) {
            (Some(image), Some(split), Some(caption)) => Ok((image.to_owned(), split == "train", caption.to_owned())),
            _ => Err(wrong(format!("line {}: expected image,split,caption", line + 2))),
        }
    });
    records.collect()
}
