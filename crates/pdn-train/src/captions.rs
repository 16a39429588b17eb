//! Flickr8k: pictures with five captions each, for the prompt encoder.

use crate::data::{DataError, read_picture};
use crate::teacher::{FEATURES, Teacher};
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
    /// What a teacher sees in the picture, and in its mirror image; of unit length, less the mean over all pictures.
    pub taught: Option<[Vec<f32>; 2]>,
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
                Ok((train, Pair { picture, captions, taught: None }))
            })
            .collect::<Result<_, DataError>>()?;
        let (train, held_back): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(train, _)| *train);
        let only = |pairs: Vec<(bool, Pair)>| pairs.into_iter().map(|(_, pair)| pair).collect();
        Ok(Self { side, train: only(train), held_back: only(held_back) })
    }
}

impl Captions {
    /// Asks a teacher about every picture that is learned from.
    pub fn ask(&mut self, teacher: &Teacher) {
        let mirrors: Vec<Picture> = self.train.par_iter().map(|pair| pair.picture.mirrored()).collect();
        let plain = teacher.features(&self.train.iter().map(|pair| &pair.picture).collect::<Vec<_>>());
        let mirrored = teacher.features(&mirrors.iter().collect::<Vec<_>>());
        let mut mean = vec![0.0_f32; FEATURES];
        for features in plain.iter().chain(&mirrored) {
            mean.iter_mut().zip(features).for_each(|(m, v)| *m += v / (2 * plain.len()) as f32);
        }
        let centred = |features: Vec<f32>| {
            let raw: Vec<f32> = features.iter().zip(&mean).map(|(v, m)| v - m).collect();
            let norm = raw.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
            raw.into_iter().map(|v| v / norm).collect()
        };
        for (pair, both) in self.train.iter_mut().zip(plain.into_iter().zip(mirrored)) {
            pair.taught = Some([both.0, both.1].map(centred));
        }
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
