//! Flickr8k: pictures with five captions each, for the prompt encoder.

use crate::data::{DataError, read_picture};
use crate::teacher::{FEATURES, Teacher};
use pdn::{Captioned, Tokenizer};
use pdn_image::{Picture, resize_to};
use rayon::prelude::*;
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
        let captioned = pdn::read_captions(folder)?.ok_or_else(|| DataError {
            path: folder.join("captions.csv"),
            why: "no such file: expected the captions of the folder's pictures".into(),
        })?;
        let encode = |caption: &String| {
            let mut tokens = tokenizer.encode(caption);
            if tokens.len() > context {
                tokens.drain(context - 1..tokens.len() - 1);
            }
            tokens
        };
        let pairs: Vec<(bool, Pair)> = captioned
            .into_par_iter()
            .map(|Captioned { path, split, captions }| {
                let picture = resize_to(&read_picture(&path)?, side, side);
                let captions = captions.iter().map(encode).collect();
                Ok((split.as_deref() == Some("train"), Pair { picture, captions, taught: None }))
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
