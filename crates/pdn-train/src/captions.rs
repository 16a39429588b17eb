//! Flickr8k: pictures with five captions each, for the prompt encoder, and what a teacher sees in them.

use crate::data::{DataError, hex, read_picture};
use crate::teacher::{FEATURES, Seen, Teacher, WHOLE};
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

/// Pixels a side at which pictures are kept: as many as half of Flickr8k's are given in here.
const SIDE: usize = 112;

/// The smallest part of a picture's area that is looked at by itself.
const SMALLEST: f64 = 0.35;

/// The metadata key of a file of answers: what they answer.
const KEY: &str = "pdn.seen";

/// Pictures that the teacher is asked about at once.
const TOGETHER: usize = 32;

/// A picture, and its captions as tokens.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The whole picture, then parts of it, some in a mirror.
    pub views: Vec<View>,
    /// Each with its start and end.
    pub captions: Vec<Vec<usize>>,
}

/// A picture or a part of it, as the tower looks at it, and what the teacher sees in just that.
#[derive(Clone, Debug)]
pub struct View {
    /// A square of the tower's side.
    pub picture: Picture,
    /// Over all views that are learned from, every number has a mean of 0 and a deviation of 1.
    pub seen: Seen,
}

/// Where the teacher's answers come from: asked once, they are kept in a file.
#[derive(Debug)]
pub struct Answers<'a> {
    /// Whom to ask.
    pub teacher: &'a Teacher,
    /// The file, where they are to be kept.
    pub cache: Option<PathBuf>,
    /// How many views of each picture to ask about.
    pub views: usize,
}

/// Captioned pictures.
#[derive(Clone, Debug)]
pub struct Captions {
    /// Those learned from.
    pub train: Vec<Pair>,
    /// Those held back, whole.
    pub held_back: Vec<Pair>,
}

impl Captions {
    /// Reads `captions.csv` (`image,split,caption`, a caption a line) and the pictures it names, squeezed to squares, and asks
    /// the teacher about views of each. Captions longer than `context` tokens are cut before their end.
    ///
    /// # Errors
    /// [`DataError`] names the file and what was expected.
    pub fn flickr8k(
        folder: &Path,
        side: usize,
        (tokenizer, context): (&Tokenizer, usize),
        answers: &Answers,
    ) -> Result<Self, DataError> {
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
        let pictures: Vec<(bool, Picture, Vec<Vec<usize>>)> = captioned
            .into_par_iter()
            .map(|Captioned { path, split, captions }| {
                if captions.is_empty() {
                    return Err(DataError { path, why: "has no caption: expected one or more".into() });
                }
                let picture = resize_to(&read_picture(&path)?, SIDE, SIDE);
                Ok((split.as_deref() == Some("train"), picture, captions.iter().map(encode).collect()))
            })
            .collect::<Result<_, DataError>>()?;
        let parts: Vec<Vec<Picture>> = (pictures.iter().enumerate())
            .map(|(i, (learned, picture, _))| parts(picture, if *learned { answers.views } else { 1 }, i as u64))
            .collect();
        let mut seen = answers.about(&parts)?.into_iter();
        let (mut train, mut held_back) = (Vec::new(), Vec::new());
        for (parts, (learned, _, captions)) in parts.iter().zip(pictures) {
            let squares: Vec<Picture> = parts.par_iter().map(|part| resize_to(part, side, side)).collect();
            let views = squares.into_iter().zip(&mut seen).map(|(picture, seen)| View { picture, seen }).collect();
            if learned { &mut train } else { &mut held_back }.push(Pair { views, captions });
        }
        let mut captions = Self { train, held_back };
        captions.standardise();
        Ok(captions)
    }

    /// Brings every number that the teacher says to a mean of 0 and a deviation of 1.
    fn standardise(&mut self) {
        let whole = Moments::over(self.train.iter().flat_map(|pair| &pair.views).map(|view| &view.seen.whole), WHOLE);
        let quarters = self.train.iter().flat_map(|pair| &pair.views).flat_map(|view| &view.seen.quarters);
        let quarters = Moments::over(quarters, FEATURES);
        for view in self.train.iter_mut().chain(&mut self.held_back).flat_map(|pair| &mut pair.views) {
            whole.standardise(&mut view.seen.whole);
            view.seen.quarters.iter_mut().for_each(|quarter| quarters.standardise(quarter));
        }
    }
}

impl Answers<'_> {
    /// What the teacher sees in every view, in order.
    fn about(&self, parts: &[Vec<Picture>]) -> Result<Vec<Seen>, DataError> {
        // The same pictures, cut in the same way, have the same answers.
        let mut hash = Sha256::new();
        parts.iter().flatten().for_each(|part| hash.update(part.rgb()));
        let key = format!("{} {}", hex(&hash.finalize()), self.teacher.id());
        let count = parts.iter().map(Vec::len).sum();
        if let Some(seen) = self.cache.as_deref().and_then(|path| kept(path, &key, count)) {
            return Ok(seen);
        }
        let mut seen = Vec::with_capacity(count);
        for some in parts.chunks(TOGETHER) {
            seen.extend(self.teacher.see(&some.concat()));
        }
        if let Some(path) = &self.cache {
            keep(path, key, &seen)?;
        }
        Ok(seen)
    }
}

/// Answers kept in a file; `None` where it is not there or holds others.
fn kept(path: &Path, key: &str, count: usize) -> Option<Vec<Seen>> {
    let read = checkpoint::read(path).ok().filter(|read| read.metadata.get(KEY).is_some_and(|found| found == key))?;
    let [whole, quarters] = ["whole", "quarters"].map(|name| read.tensors.get(name));
    let (whole, quarters) = (whole?.data(), quarters?.data());
    let rows = whole.chunks_exact(WHOLE).zip(quarters.chunks_exact(4 * FEATURES));
    let seen = rows.map(|(whole, quarters)| {
        let quarter = |q: usize| quarters[q * FEATURES..][..FEATURES].to_vec();
        Seen { whole: whole.to_vec(), quarters: [0, 1, 2, 3].map(quarter) }
    });
    Some(seen.collect()).filter(|seen: &Vec<Seen>| seen.len() == count)
}

fn keep(path: &Path, key: String, seen: &[Seen]) -> Result<(), DataError> {
    let whole = seen.iter().flat_map(|seen| seen.whole.iter().copied()).collect();
    let quarters = seen.iter().flat_map(|seen| seen.quarters.iter().flatten().copied()).collect();
    let tensors = Tensors::from([
        ("whole".to_owned(), Tensor::new(vec![seen.len(), WHOLE], whole)),
        ("quarters".to_owned(), Tensor::new(vec![seen.len(), 4, FEATURES], quarters)),
    ]);
    let bytes = checkpoint::write(&tensors, HashMap::from([(KEY.to_owned(), key)]), Precision::F16);
    pdn_image::write_atomically(path, &bytes).map_err(|e| DataError { path: path.to_owned(), why: e.to_string() })
}

/// The picture, then random parts of it, some in a mirror.
fn parts(picture: &Picture, count: usize, seed: u64) -> Vec<Picture> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut parts = vec![picture.clone()];
    while parts.len() < count {
        let (area, shape) = (random.random_range(SMALLEST..1.0), random.random_range(-0.22_f64..0.22).exp());
        let length = |share: f64| ((SIDE as f64 * share.sqrt()) as usize).min(SIDE);
        let (width, height) = (length(area * shape), length(area / shape));
        let (left, top) = (random.random_range(0..=SIDE - width), random.random_range(0..=SIDE - height));
        let part = picture.part((left, top), width, height);
        parts.push(if random.random() { part.mirrored() } else { part });
    }
    parts
}

/// Mean and deviation of each of some numbers.
struct Moments(Vec<(f32, f32)>);

impl Moments {
    fn over<'a>(rows: impl Iterator<Item = &'a Vec<f32>>, len: usize) -> Self {
        let (mut sums, mut squares, mut count) = (vec![0.0_f64; len], vec![0.0_f64; len], 0.0_f64);
        for row in rows {
            count += 1.0;
            for ((sum, square), v) in sums.iter_mut().zip(&mut squares).zip(row) {
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

    fn standardise(&self, row: &mut [f32]) {
        row.iter_mut().zip(&self.0).for_each(|(v, (mean, deviation))| *v = (*v - mean) / deviation);
    }
}
