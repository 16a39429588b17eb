//! Training a prompt encoder: pictures and their captions are brought together, all others apart (CLIP's symmetric
//! cross-entropy).

use crate::captions::{Captions, Pair};
use crate::executor::{self, Batch, Words};
use crate::run::{Record, Step, Task};
use crate::teacher::FEATURES;
use crate::weights::{initial, tensors};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use pdn::{EncoderFile, Framing};
use pdn_image::Picture;
use pdn_network::checkpoint::Precision;
use pdn_network::zoo::Clip;
use pdn_network::{Card, Network, NetworkError, Tensor as Stored, hashed};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::index::sample;
use rayon::prelude::*;

/// ImageNet's, which CLIP's heirs share; what matters is that training and use agree.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f64; 3] = [0.229, 0.224, 0.225];

/// Training of a CLIP.
#[derive(Debug)]
pub struct Contrastive {
    clip: Clip,
    text: Network,
    picture: Network,
    data: Captions,
    batch: usize,
    card: Card,
    /// Whether a teacher was asked about the pictures.
    taught: bool,
}

/// The parameter that brings what the teacher sees into the embeddings' space. It is no part of the encoder.
const TEACHER: &str = "teacher.weight";

impl Contrastive {
    /// A CLIP to be trained on captioned pictures somewhat larger than it looks at, of which a part is looked at.
    ///
    /// # Errors
    /// Where the configuration describes no network.
    pub fn new(clip: Clip, data: Captions, batch: usize, card: Card) -> Result<Self, NetworkError> {
        let (text, picture) = (clip.text_network()?, clip.picture_network()?);
        let batch = batch.min(data.train.len());
        let taught = data.train.iter().all(|pair| pair.taught.is_some());
        Ok(Self { clip, text, picture, data, batch, card, taught })
    }

    /// Unit vectors of a batch of sentences, `[sentences, dim]`.
    fn embed_text(&self, parameters: &[Tensor<1>], sentences: &[&[usize]], device: &Device) -> Tensor<2> {
        let batch = Batch { words: Some(words(sentences, device)), ..Batch::default() };
        unit(executor::run(&self.text, &parameters[..self.text.params.len()], &batch).output)
    }

    /// Unit vectors of a batch of pictures, `[pictures, dim]`.
    fn embed_pictures(&self, parameters: &[Tensor<1>], pixels: Vec<f32>, device: &Device) -> Tensor<2> {
        let side = self.clip.side();
        let count = pixels.len() / (3 * side * side);
        let picture = Tensor::from_data(TensorData::new(pixels, [count, 3, side, side]), device);
        let batch = Batch { picture: Some(picture), ..Batch::default() };
        let first = self.text.params.len();
        unit(executor::run(&self.picture, &parameters[first..first + self.picture.params.len()], &batch).output)
    }
}

/// Weight of the picture tower's cosine to its teacher.
const AGREEMENT: f64 = 4.0;

/// CLIP's loss: among all of the batch, each text is to find its picture and each picture its text.
fn cross_entropy(texts: Tensor<2>, pictures: Tensor<2>, scale: Tensor<2>) -> Tensor<1> {
    let [batch, _] = texts.dims();
    let logits = texts.matmul(pictures.transpose()) * scale;
    let pairs = Tensor::<2>::eye(batch, &logits.device());
    let right = |logits: Tensor<2>| (activation::log_softmax(logits, 1) * pairs.clone()).sum();
    -(right(logits.clone()) + right(logits.transpose())) / (2.0 * batch as f64)
}

/// Sentences as a padded batch.
pub(crate) fn words(sentences: &[&[usize]], device: &Device) -> Words {
    let length = sentences.iter().map(|s| s.len()).max().unwrap_or(1);
    let padded = sentences.iter().flat_map(|s| (0..length).map(|i| s.get(i).map_or(0, |token| *token as i32)));
    let last: Vec<i32> = sentences.iter().map(|s| s.len() as i32 - 1).collect();
    Words {
        tokens: Tensor::<2, Int>::from_data(
            TensorData::new(padded.collect::<Vec<i32>>(), [sentences.len(), length]),
            device,
        ),
        last: Tensor::<1, Int>::from_data(TensorData::new(last, [sentences.len()]), device),
    }
}

fn unit(x: Tensor<4>) -> Tensor<2> {
    let x = x.flatten::<2>(1, 3);
    let norm = (x.clone().powi_scalar(2).sum_dim(1) + 1e-12).sqrt();
    x / norm
}

/// A square of a picture, as the tower takes it.
fn look(picture: &Picture, side: usize, left: usize, top: usize, mirrored: bool) -> Vec<f32> {
    let tables: [[f32; 256]; 3] =
        std::array::from_fn(|c| std::array::from_fn(|v| ((v as f64 / 255.0 - MEAN[c]) / DEVIATION[c]) as f32));
    let mut out = Vec::with_capacity(3 * side * side);
    for (c, table) in tables.iter().enumerate() {
        for y in top..top + side {
            let row = &picture.rgb()[(y * picture.width() + left) * 3..][..side * 3];
            let values = row.iter().skip(c).step_by(3).map(|v| table[usize::from(*v)]);
            let start = out.len();
            out.extend(values);
            if mirrored {
                out[start..].reverse();
            }
        }
    }
    out
}

impl Task for Contrastive {
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let towers = self.text.params.iter().chain(&self.picture.params);
        let mut all: Vec<(String, Vec<usize>)> = towers.map(|p| (p.name.clone(), p.shape.clone())).collect();
        if self.taught {
            all.push((TEACHER.to_owned(), vec![self.clip.dim, FEATURES]));
        }
        all.push(("logit_scale".to_owned(), vec![1]));
        all
    }

    fn initial(&self, seed: u64) -> Vec<Vec<f32>> {
        let mut all = initial(&self.text, 1.0, seed);
        all.extend(initial(&self.picture, 1.0, seed.wrapping_add(1)));
        if self.taught {
            let bound = (3.0 / FEATURES as f64).sqrt();
            all.push(hashed::numbers(TEACHER, self.clip.dim * FEATURES, bound));
        }
        // CLIP's: a temperature of 0.07.
        all.push(vec![(1.0_f32 / 0.07).ln()]);
        all
    }

    fn loss(&self, parameters: &[Tensor<1>], _step: &Step, random: &mut StdRng) -> Tensor<1> {
        let device = parameters[0].device();
        let side = self.clip.side();
        let chosen: Vec<&Pair> =
            sample(random, self.data.train.len(), self.batch).into_iter().map(|i| &self.data.train[i]).collect();
        let draws: Vec<[u32; 4]> = chosen.iter().map(|_| std::array::from_fn(|_| random.next_u32())).collect();
        let room = self.data.side - side + 1;
        let views: Vec<Vec<f32>> = chosen
            .par_iter()
            .zip(&draws)
            .map(|(pair, [left, top, mirrored, _])| {
                look(&pair.picture, side, *left as usize % room, *top as usize % room, mirrored & 1 == 1)
            })
            .collect();
        let sentences: Vec<&[usize]> = chosen
            .iter()
            .zip(&draws)
            .map(|(pair, draw)| pair.captions[draw[3] as usize % pair.captions.len()].as_slice())
            .collect();
        let pictures = self.embed_pictures(parameters, views.concat(), &device);
        let texts = self.embed_text(parameters, &sentences, &device);
        // Beyond 100 CLIP does not let the scale grow.
        let scale = parameters[parameters.len() - 1].clone().clamp_max(100.0_f32.ln()).exp().reshape([1, 1]);
        let loss = cross_entropy(texts.clone(), pictures.clone(), scale.clone());
        if !self.taught {
            return loss;
        }
        // The teacher as a second picture tower, of one layer: sentences learn from it fast, and the first is to agree.
        let seen: Vec<f32> = (chosen.iter().zip(&draws))
            .filter_map(|(pair, draw)| pair.taught.as_ref().map(|taught| &taught[(draw[2] & 1) as usize]))
            .flatten()
            .copied()
            .collect();
        let seen = Tensor::<2>::from_data(TensorData::new(seen, [self.batch, FEATURES]), &device);
        let project = parameters[parameters.len() - 2].clone().reshape([self.clip.dim, FEATURES]).transpose();
        let seen = seen.matmul(project);
        let norm = (seen.clone().powi_scalar(2).sum_dim(1) + 1e-12).sqrt();
        let seen = seen / norm;
        let apart = (pictures * seen.clone().detach()).sum() / self.batch as f64;
        loss + cross_entropy(texts, seen, scale) - apart * AGREEMENT
    }

    fn evaluate(&self, parameters: &[Vec<f32>], _step: &Step) -> Vec<(String, f64)> {
        let device = Device::flex();
        let parameters = tensors(parameters, &device);
        let (side, inset) = (self.clip.side(), (self.data.side - self.clip.side()) / 2);
        let mut pictures = Vec::new();
        for pairs in self.data.held_back.chunks(100) {
            let views: Vec<Vec<f32>> =
                pairs.par_iter().map(|pair| look(&pair.picture, side, inset, inset, false)).collect();
            pictures.extend(rows(self.embed_pictures(&parameters, views.concat(), &device)));
        }
        let captions: Vec<(usize, &[usize])> = (self.data.held_back.iter().enumerate())
            .flat_map(|(at, pair)| pair.captions.iter().map(move |caption| (at, caption.as_slice())))
            .collect();
        let mut texts = Vec::new();
        for captions in captions.chunks(250) {
            let sentences: Vec<&[usize]> = captions.iter().map(|(_, caption)| *caption).collect();
            texts.extend(rows(self.embed_text(&parameters, &sentences, &device)));
        }
        let ranks: Vec<usize> =
            texts.par_iter().zip(&captions).map(|(text, (at, _))| rank(text, &pictures, *at)).collect();
        let recall = |k: usize| 100.0 * ranks.iter().filter(|rank| **rank < k).count() as f64 / ranks.len() as f64;
        [1, 5, 10].map(|k| (format!("R@{k}"), recall(k))).into()
    }

    fn export(&self, parameters: &[Vec<f32>], progress: &[Record]) -> Vec<u8> {
        let mut card = self.card.clone();
        if let Some(last) = progress.last() {
            card.more.insert("steps".into(), last.step.into());
            card.more.insert("retrieval".into(), serde_json::json!({
                "protocol": format!("text to picture, {} pictures held back, every caption", self.data.held_back.len()),
                "figures": last.figures,
            }));
        }
        let tensors = (self.parameters().into_iter().zip(parameters))
            .filter(|((name, _), _)| name != "logit_scale" && name != TEACHER)
            .map(|((name, shape), data)| (name, Stored::new(shape, data.clone())));
        let (framing, tensors) = (Framing::Squeeze, tensors.collect());
        let file = EncoderFile { clip: self.clip.clone(), mean: MEAN, deviation: DEVIATION, framing, card, tensors };
        file.to_bytes(Precision::F16)
    }
}

fn rows(vectors: Tensor<2>) -> Vec<Vec<f32>> {
    let [_, dim] = vectors.dims();
    let data: Vec<f32> = vectors.into_data().try_into_vec().expect("embeddings are f32");
    data.chunks(dim).map(<[f32]>::to_vec).collect()
}

/// How many pictures are nearer to the text than picture `own`.
fn rank(text: &[f32], pictures: &[Vec<f32>], own: usize) -> usize {
    let cosine = |picture: &[f32]| -> f32 { text.iter().zip(picture).map(|(a, b)| a * b).sum() };
    let mine = cosine(&pictures[own]);
    pictures.iter().filter(|picture| cosine(picture) > mine).count()
}
