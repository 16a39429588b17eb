//! Flickr8k for the prompt encoder: pictures with five captions each, and a teacher's view of them.

use crate::data::teacher::{Teacher, WHOLE};
use crate::data::{DataError, hex, read_picture};
use pdn::{Captioned, Tokenizer};
use pdn_image::{Picture, resize_to};
use pdn_network::checkpoint::{self, Precision};
use pdn_network::{Tensor, Tensors};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The side, in pixels, to which pictures are reduced; enough for any crop to be sharp. Half of Flickr8k's pictures
/// come at half that size and stay so.
const SIDE: usize = 224;

/// The smallest crop, as a fraction of a picture's area.
const SMALLEST: f64 = 0.35;

/// The metadata key of an answer file: what the answers are about.
const KEY: &str = "pdn.seen";

/// Pictures per query of the teacher.
const TOGETHER: usize = 32;

/// A picture, and its captions as tokens.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The whole picture, squeezed to a square.
    pub picture: Picture,
    /// Captions, each with its start and end tokens.
    pub captions: Vec<Vec<usize>>,
    /// What the teacher sees in the picture and in crops of it, standardised: over the training pictures, every number
    /// has a mean of 0 and a deviation of 1.
    pub seen: Vec<Vec<f32>>,
}

/// Where the teacher's answers come from: asked once, then cached in a file.
#[derive(Debug)]
pub struct Answers<'a> {
    /// The teacher.
    pub teacher: &'a Teacher,
    /// The cache file, if answers are to be kept.
    pub cache: Option<PathBuf>,
    /// The number of views per picture.
    pub views: usize,
}

/// Captioned pictures.
#[derive(Clone, Debug)]
pub struct Captions {
    /// Training pictures.
    pub train: Vec<Pair>,
    /// Held-out pictures.
    pub held_back: Vec<Pair>,
    /// Mean and deviation of the teacher's answers.
    pub(crate) moments: Moments,
}

impl Captions {
    /// Reads `captions.csv` (`image,split,caption`, one caption per line) and the pictures that it names, squeezes them
    /// to squares, and asks the teacher about views of each. Captions longer than `context` tokens are truncated before
    /// their end token.
    ///
    /// # Errors
    /// [`DataError`] names the file and what was expected.
    pub fn flickr8k(
        folder: &Path,
        (tokenizer, context): (&Tokenizer, usize),
        answers: &Answers,
    ) -> Result<Self, DataError> {
        let captioned = pdn::read_captions(folder)?.ok_or_else(|| DataError {
            path: folder.join("captions.csv"),
            why: "no such file; expected the captions of the folder's pictures".into(),
        })?;
        let encode = |caption: &String| {
            let mut tokens = tokenizer.encode(caption);
            if tokens.len() > context {
                tokens.drain(context - 1..tokens.len() - 1);
            }
            tokens
        };
        let pictures: Vec<(bool, Picture, Vec<Vec<usize>>)> = captioned
            .into_par_iter()
            .map(|Captioned { path, split, captions }| {
                if captions.is_empty() {
                    return Err(DataError { path, why: "has no caption; expected at least one".into() });
                }
                let picture = squeezed(&read_picture(&path)?);
                Ok((split.as_deref() == Some("train"), picture, captions.iter().map(encode).collect()))
            })
            .collect::<Result<_, DataError>>()?;
        let views = |learned: bool| if learned { answers.views } else { 1 };
        let asked = pictures.iter().map(|(learned, picture, _)| (picture, views(*learned))).collect::<Vec<_>>();
        let mut seen = answers.about(&asked)?.into_iter();
        let (mut train, mut held_back) = (Vec::new(), Vec::new());
        for (learned, picture, captions) in pictures {
            let seen = seen.by_ref().take(views(learned)).collect();
            if learned { &mut train } else { &mut held_back }.push(Pair { picture, captions, seen });
        }
        let moments = Moments::over(train.iter().flat_map(|pair| &pair.seen), WHOLE);
        let pairs = train.iter_mut().chain(&mut held_back);
        pairs.flat_map(|pair| &mut pair.seen).for_each(|seen| moments.standardise(seen));
        Ok(Self { train, held_back, moments })
    }
}

impl Answers<'_> {
    /// Returns the teacher's answers on the given number of views of each picture, in order.
    fn about(&self, pictures: &[(&Picture, usize)]) -> Result<Vec<Vec<f32>>, DataError> {
        // The same pictures, cropped in the same way, have the same answers.
        let mut hash = Sha256::new();
        for (picture, views) in pictures {
            hash.update(picture.rgb());
            hash.update(format!("{views} {SMALLEST}"));
        }
        let key = format!("{} {}", hex(&hash.finalize()), self.teacher.id());
        let count = pictures.iter().map(|(_, views)| views).sum();
        if let Some(seen) = self.cache.as_deref().and_then(|path| kept(path, &key, count)) {
            return Ok(seen);
        }
        let mut seen = Vec::with_capacity(count);
        for (chunk, some) in pictures.chunks(TOGETHER).enumerate() {
            let first = chunk * TOGETHER;
            let parts = some.iter().enumerate().map(|(i, (picture, views))| parts(picture, *views, (first + i) as u64));
            seen.extend(self.teacher.see(&parts.collect::<Vec<_>>().concat()));
        }
        if let Some(path) = &self.cache {
            keep(path, key, &seen)?;
        }
        Ok(seen)
    }
}

/// Reads answers from the cache file; `None` if there is none or it holds other answers.
fn kept(path: &Path, key: &str, count: usize) -> Option<Vec<Vec<f32>>> {
    let read = checkpoint::read(path).ok().filter(|read| read.metadata.get(KEY).is_some_and(|found| found == key))?;
    let seen = read.tensors.get("whole")?.data().chunks_exact(WHOLE).map(<[f32]>::to_vec);
    Some(seen.collect()).filter(|seen: &Vec<_>| seen.len() == count)
}

fn keep(path: &Path, key: String, seen: &[Vec<f32>]) -> Result<(), DataError> {
    let whole = Tensor::new(vec![seen.len(), WHOLE], seen.concat());
    let tensors = Tensors::from([("whole".to_owned(), whole)]);
    let bytes = checkpoint::write(&tensors, HashMap::from([(KEY.to_owned(), key)]), Precision::F16);
    pdn_image::write_atomically(path, &bytes).map_err(|e| DataError { path: path.to_owned(), why: e.to_string() })
}

/// Returns the picture, then random crops of it.
fn parts(picture: &Picture, count: usize, seed: u64) -> Vec<Picture> {
    let mut random = StdRng::seed_from_u64(seed);
    let parts = (1..count).map(|_| part(picture, &mut random));
    std::iter::once(picture.clone()).chain(parts).collect()
}

/// Squeezes a picture to a square with its shorter side, at most [`SIDE`].
fn squeezed(picture: &Picture) -> Picture {
    let side = picture.width().min(picture.height()).min(SIDE);
    resize_to(picture, side, side)
}

/// Returns a random crop of a square picture, mirrored half of the time.
pub(crate) fn part(picture: &Picture, random: &mut StdRng) -> Picture {
    let side = picture.width();
    let (area, shape) = (random.random_range(SMALLEST..1.0), random.random_range(-0.22_f64..0.22).exp());
    let length = |share: f64| ((side as f64 * share.sqrt()) as usize).clamp(1, side);
    let (width, height) = (length(area * shape), length(area / shape));
    let (left, top) = (random.random_range(0..=side - width), random.random_range(0..=side - height));
    let part = picture.part((left, top), width, height);
    if random.random() { part.mirrored() } else { part }
}

/// Mean and deviation of each number of a row.
#[derive(Clone, Debug)]
pub(crate) struct Moments(Vec<(f32, f32)>);

impl Moments {
    /// Computes the moments over rows of `len` numbers.
    pub(crate) fn over<R: AsRef<[f32]>>(rows: impl Iterator<Item = R>, len: usize) -> Self {
        let (mut sums, mut squares, mut count) = (vec![0.0_f64; len], vec![0.0_f64; len], 0.0_f64);
        for row in rows {
            count += 1.0;
            for ((sum, square), v) in sums.iter_mut().zip(&mut squares).zip(row.as_ref()) {
                *sum += f64::from(*v);
                *square += f64::from(*v).powi(2);
            }
        }
        let moments = sums.into_iter().zip(squares).map(|(sum, square)| {
            let mean = sum / count;
            (mean as f32, ((square / count - mean * mean).max(0.0).sqrt() + 1e-3) as f32)
        });
        Self(moments.collect())
    }

    /// Standardises a row's numbers to a mean of 0 and a deviation of 1.
    pub(crate) fn standardise(&self, row: &mut [f32]) {
        row.iter_mut().zip(&self.0).for_each(|(v, (mean, deviation))| *v = (*v - mean) / deviation);
    }
}
