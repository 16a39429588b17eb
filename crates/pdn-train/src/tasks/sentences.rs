//! Trains the text tower: each caption must find its picture, as the teacher sees it, and another caption of it.
//!
//! The teacher's numbers are computed in advance, so a step costs no more than its sentences; a linear layer maps them
//! to the embedding space. Nouns that no caption has are drawn towards real CLIP's embeddings, through a linear layer
//! from our space to CLIP's. Both layers are discarded.

use crate::data::DataError;
use crate::data::captions::{Captions, Pair};
use crate::data::nouns::{CLIP, Noun, Nouns};
use crate::data::teacher::WHOLE;
use crate::executor::weights::{initial, tensors};
use crate::executor::{self, Batch};
use crate::run::{History, Step, Task};
use crate::tasks::retrieval::{cross_entropy, first_scale, matrix, ranks, recalls, rows, scale, unit, words};
use burn::tensor::{Device, Int, Tensor, TensorData};
use pdn_network::checkpoint::{self, Precision};
use pdn_network::zoo::Clip;
use pdn_network::{Network, NetworkError, Tensor as Stored, Tensors, hashed};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::index::sample;
use std::collections::HashMap;

/// The layer from the teacher's output to the embedding space.
pub const TEACHER: &str = "teacher.weight";
/// The layer from the embedding space to CLIP's.
const NOUNS: &str = "nouns.weight";

/// The metadata key of the configuration in a trained tower's file.
pub const KEY: &str = "pdn.sentences";

/// Sentences per batch.
const ALIKE: usize = 128;

/// Nouns per step, and the weight of their loss.
const NOUN_BATCH: usize = 128;
const NOUN_WEIGHT: f64 = 0.3;

/// The training of a text tower.
#[derive(Debug)]
pub struct Sentences {
    clip: Clip,
    text: Network,
    data: Captions,
    nouns: Option<Nouns>,
    batch: usize,
    /// The dropout of words and of the teacher's numbers.
    dropped: f64,
}

impl Sentences {
    /// Creates the training of `clip`'s text tower on captions and nouns.
    ///
    /// # Errors
    /// If the configuration does not describe a network.
    pub fn new(
        clip: Clip,
        data: Captions,
        nouns: Option<Nouns>,
        batch: usize,
        dropped: f64,
    ) -> Result<Self, NetworkError> {
        let text = clip.text_network()?;
        let batch = batch.min(data.train.len());
        Ok(Self { clip, text, data, nouns, batch, dropped })
    }

    /// Embeds sentences as unit vectors. Sentences of similar length run together, as each is padded to the longest of
    /// its batch.
    fn embed(&self, parameters: &[Tensor<1>], sentences: &[&[usize]], device: &Device) -> Tensor<2> {
        let mut order: Vec<usize> = (0..sentences.len()).collect();
        order.sort_by_key(|i| sentences[*i].len());
        let parts = order.chunks(ALIKE).map(|part| {
            let part: Vec<&[usize]> = part.iter().map(|i| sentences[*i]).collect();
            let batch = Batch { words: Some(words(&part, device)), ..Batch::default() };
            executor::run(&self.text, &parameters[..self.text.params.len()], &batch).output.flatten::<2>(1, 3)
        });
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, i)| places[*i] = place as i32);
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [order.len()]), device);
        unit(Tensor::cat(parts.collect(), 0).select(0, places))
    }

    /// Returns one of a picture's captions, with some words dropped.
    fn caption(&self, pair: &Pair, random: &mut StdRng) -> Vec<usize> {
        let caption = &pair.captions[random.random_range(0..pair.captions.len())];
        let last = caption.len() - 1;
        let kept = |i: &usize| *i == 0 || *i == last || !random.random_bool(self.dropped);
        (0..caption.len()).filter(kept).map(|i| caption[i]).collect()
    }

    fn noun_loss(&self, parameters: &[Tensor<1>], nouns: &Nouns, chosen: &[usize]) -> Tensor<1> {
        let device = parameters[0].device();
        let chosen: Vec<&Noun> = chosen.iter().map(|i| &nouns.train[*i]).collect();
        let texts =
            self.embed(parameters, &chosen.iter().map(|noun| noun.tokens.as_slice()).collect::<Vec<_>>(), &device);
        let clip = matrix(chosen.iter().map(|noun| &noun.clip), &device);
        cross_entropy(self.in_clip(parameters, texts), clip, scale(&parameters[parameters.len() - 1]))
    }

    fn in_clip(&self, parameters: &[Tensor<1>], texts: Tensor<2>) -> Tensor<2> {
        let weight = parameters[self.text.params.len() + 1].clone().reshape([CLIP, self.clip.dim]);
        unit(texts.matmul(weight.transpose()))
    }

    fn project(&self, parameters: &[Tensor<1>], seen: Tensor<2>) -> Tensor<2> {
        project(&parameters[self.text.params.len()], self.clip.dim, seen)
    }

    /// Returns the median rank, from 1, of held-out nouns among all nouns.
    fn noun_rank(&self, parameters: &[Tensor<1>], nouns: &Nouns, device: &Device) -> f64 {
        let texts: Vec<&[usize]> = nouns.held_back.iter().map(|noun| noun.tokens.as_slice()).collect();
        let texts = rows(self.in_clip(parameters, self.embed(parameters, &texts, device)));
        let all: Vec<Vec<f32>> = nouns.held_back.iter().chain(&nouns.train).map(|noun| noun.clip.clone()).collect();
        let mut ranks = ranks(&texts, &(0..texts.len()).collect::<Vec<_>>(), &all);
        ranks.sort_unstable();
        ranks.get(ranks.len() / 2).map_or(f64::NAN, |rank| (rank + 1) as f64)
    }
}

/// Maps the teacher's output to the embedding space.
pub(crate) fn project(weight: &Tensor<1>, dim: usize, seen: Tensor<2>) -> Tensor<2> {
    unit(seen.matmul(weight.clone().reshape([dim, WHOLE]).transpose()))
}

/// The data of a step.
#[derive(Debug)]
pub struct Said {
    /// Two captions of each picture.
    captions: Vec<[Vec<usize>; 2]>,
    /// The teacher's output for each picture.
    seen: Vec<Vec<f32>>,
    /// Indices of nouns.
    nouns: Vec<usize>,
}

impl Task for Sentences {
    type Batch = Said;

    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let tower = self.text.params.iter().map(|p| (p.name.clone(), p.shape.clone()));
        let layers = [
            (TEACHER.to_owned(), vec![self.clip.dim, WHOLE]),
            (NOUNS.to_owned(), vec![CLIP, self.clip.dim]),
            ("logit_scale".to_owned(), vec![1]),
        ];
        tower.chain(layers).collect()
    }

    fn initial(&self, seed: u64) -> Vec<Vec<f32>> {
        let mut all = initial(&self.text, 1.0, seed);
        let layer = |name: &str, outputs: usize, inputs: usize| {
            hashed::numbers(name, outputs * inputs, (3.0 / inputs as f64).sqrt())
        };
        all.push(layer(TEACHER, self.clip.dim, WHOLE));
        all.push(layer(NOUNS, CLIP, self.clip.dim));
        all.push(vec![first_scale()]);
        all
    }

    fn draw(&self, random: &mut StdRng) -> Result<Said, DataError> {
        let chosen: Vec<&Pair> =
            sample(random, self.data.train.len(), self.batch).into_iter().map(|i| &self.data.train[i]).collect();
        let captions: Vec<[Vec<usize>; 2]> =
            chosen.iter().map(|pair| [(); 2].map(|()| self.caption(pair, random))).collect();
        let mut seen = |pair: &&Pair| -> Vec<f32> {
            let seen = &pair.seen[random.random_range(0..pair.seen.len())];
            seen.iter().map(|v| if random.random_bool(self.dropped) { 0.0 } else { *v }).collect()
        };
        let seen = chosen.iter().map(&mut seen).collect();
        let nouns = self.nouns.as_ref().map_or(Vec::new(), |nouns| {
            sample(random, nouns.train.len(), NOUN_BATCH.min(nouns.train.len())).into_vec()
        });
        Ok(Said { captions, seen, nouns })
    }

    fn loss(&self, parameters: &[Tensor<1>], _step: &Step, batch: &Said) -> Vec<(&'static str, Tensor<1>)> {
        let device = parameters[0].device();
        let seen = self.project(parameters, matrix(&batch.seen, &device));
        let both: Vec<&[usize]> =
            [0, 1].into_iter().flat_map(|i| batch.captions.iter().map(move |c| c[i].as_slice())).collect();
        let texts = self.embed(parameters, &both, &device);
        let [first, second] = [0, self.batch].map(|at| texts.clone().narrow(0, at, self.batch));
        let scale = scale(&parameters[parameters.len() - 1]);
        let mut terms = vec![
            ("pictures", cross_entropy(first.clone(), seen, scale.clone())),
            ("captions", cross_entropy(first, second, scale)),
        ];
        let nouns = self.nouns.as_ref().map(|nouns| self.noun_loss(parameters, nouns, &batch.nouns) * NOUN_WEIGHT);
        terms.extend(nouns.map(|nouns| ("nouns", nouns)));
        terms
    }

    fn evaluate(&self, parameters: &[Vec<f32>], _step: &Step) -> Vec<(String, f64)> {
        let device = Device::flex();
        let parameters = tensors(parameters, &device);
        let seen = matrix(self.data.held_back.iter().map(|pair| &pair.seen[0]), &device);
        let pictures = rows(self.project(&parameters, seen));
        let (own, captions): (Vec<usize>, Vec<&[usize]>) = (self.data.held_back.iter().enumerate())
            .flat_map(|(at, pair)| pair.captions.iter().map(move |caption| (at, caption.as_slice())))
            .unzip();
        let texts: Vec<Vec<f32>> =
            captions.chunks(250).flat_map(|captions| rows(self.embed(&parameters, captions, &device))).collect();
        let mut figures = recalls(&ranks(&texts, &own, &pictures));
        if let Some(nouns) = &self.nouns {
            figures.push(("noun".to_owned(), self.noun_rank(&parameters, nouns, &device)));
        }
        figures
    }

    fn export(&self, parameters: &[Vec<f32>], history: &History) -> Vec<u8> {
        let tensors: Tensors = (self.parameters().into_iter().zip(parameters))
            .filter(|((name, _), _)| name != "logit_scale" && name != NOUNS)
            .map(|((name, shape), data)| (name, Stored::new(shape, data.clone())))
            .collect();
        let about = serde_json::json!({ "clip": self.clip, "last": history.records.last() });
        checkpoint::write(&tensors, HashMap::from([(KEY.to_owned(), about.to_string())]), Precision::F32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::captions::Moments;

    #[test]
    fn many_sentences_together_are_what_each_is_alone() {
        let mut clip = Clip::vit_b_32();
        (clip.dim, clip.text.vocabulary, clip.text.context) = (6, 40, 20);
        (clip.text.blocks.width, clip.text.blocks.heads, clip.text.blocks.layers) = (8, 2, 1);
        let moments = Moments::over(std::iter::empty::<Vec<f32>>(), WHOLE);
        let nothing = Captions { train: vec![], held_back: vec![], moments };
        let task = Sentences::new(clip, nothing, None, 2, 0.0).unwrap();
        let device = Device::flex();
        let parameters = tensors(&task.initial(1), &device);
        let sentences: Vec<Vec<usize>> =
            (0..ALIKE + 30).map(|i| (0..2 + i * 7 % 19).map(|j| (i * j + 3 * i + j) % 40).collect()).collect();
        let sentences: Vec<&[usize]> = sentences.iter().map(Vec::as_slice).collect();
        let together = rows(task.embed(&parameters, &sentences, &device));
        for (sentence, found) in sentences.iter().zip(&together) {
            let alone = &rows(task.embed(&parameters, &[sentence], &device))[0];
            assert!(alone.iter().zip(found).all(|(a, b)| (a - b).abs() < 1e-5), "{alone:?} {found:?}");
        }
    }
}
