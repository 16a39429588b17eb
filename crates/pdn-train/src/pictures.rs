//! Training the tower of pictures, against sentences that are settled ([`crate::sentences`]).
//!
//! Each view is to find its picture's captions among all pictures' (CLIP's cross-entropy, the whole data set being the batch),
//! to agree with what the teacher sees in just that view, and its map is to say what the teacher sees in each quarter
//! (Beyer et al. 2022: a patient and consistent teacher). The layers that only this needs are thrown away.

use crate::captions::Captions;
use crate::executor::{self, Batch};
use crate::retrieval::{first_scale, matrix, ranks, recalls, rows, scale, unit, words};
use crate::run::{Record, Step, Task};
use crate::sentences::{TEACHER, project};
use crate::teacher::{FEATURES, WHOLE};
use crate::weights::{flat, initial, tensors};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use pdn::{EncoderFile, Framing};
use pdn_image::Picture;
use pdn_network::checkpoint::Precision;
use pdn_network::zoo::Clip;
use pdn_network::{Card, Network, NetworkError, Tensor as Stored, Tensors, hashed};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::index::sample;
use rayon::prelude::*;

/// ImageNet's, which CLIP's heirs share; what matters is that training and use agree.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f64; 3] = [0.229, 0.224, 0.225];

/// The layer from the tower's map to what the teacher sees in a quarter.
const QUARTERS: &str = "quarters.weight";
const QUARTERS_BIAS: &str = "quarters.bias";

/// Weight of finding the captions, of the cosine to the whole that the teacher sees, and of the squared error to its quarters.
const FINDING: f64 = 0.5;
const AGREEMENT: f64 = 2.0;
const QUARTERING: f64 = 1.5;

/// Training of a tower of pictures.
#[derive(Debug)]
pub struct Pictures {
    clip: Clip,
    picture: Network,
    data: Captions,
    batch: usize,
    card: Card,
    /// The tower of sentences.
    text: Tensors,
    /// The mean of each picture's captions, `[pictures, dim]`.
    captions: Tensor<2>,
    /// What the teacher sees in each view of each picture, in the space of the embeddings.
    targets: Vec<Vec<Vec<f32>>>,
    /// The captions of pictures held back, each with its picture's place.
    held_back: (Vec<usize>, Vec<Vec<f32>>),
}

impl Pictures {
    /// The tower of `clip`, to be trained beside the trained tower of sentences with its teacher's layer.
    ///
    /// # Errors
    /// Where the configuration describes no network, or the sentences are not its.
    pub fn new(clip: Clip, mut text: Tensors, data: Captions, batch: usize, card: Card) -> Result<Self, NetworkError> {
        let (picture, network) = (clip.picture_network()?, clip.text_network()?);
        let missing = || NetworkError::Config(format!("the sentences lack {TEACHER} of [{}, {WHOLE}]", clip.dim));
        let teacher = text.remove(TEACHER).filter(|t| t.shape() == [clip.dim, WHOLE]).ok_or_else(missing)?;
        let device = Device::flex();
        let parameters = tensors(&flat(&network, &network.bind(text.clone())?), &device);
        let embed = |sentences: &[&[usize]]| -> Vec<Vec<f32>> {
            let embed = |sentences: &[&[usize]]| {
                let batch = Batch { words: Some(words(sentences, &device)), ..Batch::default() };
                rows(unit(executor::run(&network, &parameters, &batch).output.flatten::<2>(1, 3)))
            };
            sentences.chunks(250).flat_map(embed).collect()
        };
        let (own, sentences): (Vec<usize>, Vec<&[usize]>) = (data.held_back.iter().enumerate())
            .flat_map(|(at, pair)| pair.captions.iter().map(move |caption| (at, caption.as_slice())))
            .unzip();
        let held_back = (own, embed(&sentences));
        let sentences: Vec<&[usize]> =
            data.train.iter().flat_map(|pair| pair.captions.iter().map(Vec::as_slice)).collect();
        let mut embedded = embed(&sentences).into_iter();
        let mean = |pair: &crate::captions::Pair| {
            let mut sum = vec![0.0; clip.dim];
            for row in embedded.by_ref().take(pair.captions.len()) {
                sum.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
            }
            sum
        };
        let means: Vec<Vec<f32>> = data.train.iter().map(mean).collect();
        let autodiff = device.clone().autodiff();
        let captions = Tensor::from_data(unit(matrix(&means, &device)).into_data(), &autodiff);
        let weight = Tensor::<1>::from_data(TensorData::new(teacher.data().to_vec(), [clip.dim * WHOLE]), &device);
        let target = |pair: &crate::captions::Pair| {
            rows(project(&weight, clip.dim, matrix(pair.views.iter().map(|view| &view.seen.whole), &device)))
        };
        let targets = data.train.iter().map(target).collect();
        let batch = batch.min(data.train.len());
        Ok(Self { clip, picture, data, batch, card, text, captions, targets, held_back })
    }

    /// Unit vectors of pictures and the maps they are made of.
    fn embed(&self, parameters: &[Tensor<1>], pictures: &[&Picture], device: &Device) -> (Tensor<2>, Tensor<4>) {
        let side = self.clip.side();
        let pixels: Vec<Vec<f32>> = pictures.par_iter().map(|picture| look(picture)).collect();
        let picture = Tensor::from_data(TensorData::new(pixels.concat(), [pictures.len(), 3, side, side]), device);
        let batch = Batch { picture: Some(picture), ..Batch::default() };
        let mut out = executor::run(&self.picture, &parameters[..self.picture.params.len()], &batch);
        (unit(out.output.flatten::<2>(1, 3)), out.taps.remove(0))
    }

    /// Channels of the tower's last map.
    fn channels(&self) -> usize {
        self.picture.taps.first().map_or(0, |tap| self.picture.node(tap.node).shape.channels)
    }

    /// What the teacher would see in each quarter, `[pictures, FEATURES, 2, 2]`, from the tower's map.
    fn quarters(&self, parameters: &[Tensor<1>], map: Tensor<4>) -> Tensor<4> {
        let first = self.picture.params.len();
        let weight = parameters[first].clone().reshape([FEATURES, self.channels()]);
        let map = adaptive_avg_pool2d(map, [2, 2]).permute([0, 2, 3, 1]);
        let [pictures, ..] = map.dims();
        let quarters = map.reshape([4 * pictures, self.channels()]).matmul(weight.transpose())
            + parameters[first + 1].clone().reshape([1, FEATURES]);
        quarters.reshape([pictures, 2, 2, FEATURES]).permute([0, 3, 1, 2])
    }
}

/// A square of the tower's side as numbers, channel by channel.
fn look(picture: &Picture) -> Vec<f32> {
    let number = |v: u8, c: usize| ((f64::from(v) / 255.0 - MEAN[c]) / DEVIATION[c]) as f32;
    (0..3).flat_map(|c| picture.plane(c).map(move |v| number(v, c))).collect()
}

impl Task for Pictures {
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let tower = self.picture.params.iter().map(|p| (p.name.clone(), p.shape.clone()));
        let layers = [
            (QUARTERS.to_owned(), vec![FEATURES, self.channels()]),
            (QUARTERS_BIAS.to_owned(), vec![FEATURES]),
            ("logit_scale".to_owned(), vec![1]),
        ];
        tower.chain(layers).collect()
    }

    fn initial(&self, seed: u64) -> Vec<Vec<f32>> {
        let mut all = initial(&self.picture, 0.2, seed);
        let inputs = self.channels();
        all.push(hashed::numbers(QUARTERS, FEATURES * inputs, (3.0 / inputs as f64).sqrt()));
        all.push(vec![0.0; FEATURES]);
        all.push(vec![first_scale()]);
        all
    }

    fn loss(&self, parameters: &[Tensor<1>], _step: &Step, random: &mut StdRng) -> Tensor<1> {
        let device = parameters[0].device();
        let chosen: Vec<(usize, usize)> = sample(random, self.data.train.len(), self.batch)
            .into_iter()
            .map(|at| (at, random.random_range(0..self.data.train[at].views.len())))
            .collect();
        let views = || chosen.iter().map(|(at, view)| &self.data.train[*at].views[*view]);
        let (pictures, map) = self.embed(parameters, &views().map(|view| &view.picture).collect::<Vec<_>>(), &device);
        let logits =
            pictures.clone().matmul(self.captions.clone().transpose()) * scale(&parameters[parameters.len() - 1]);
        let own: Vec<i32> = chosen.iter().map(|(at, _)| *at as i32).collect();
        let own = Tensor::<1, Int>::from_data(TensorData::new(own, [self.batch]), &device).reshape([self.batch, 1]);
        let finding = -activation::log_softmax(logits, 1).gather(1, own).mean();
        let targets = matrix(chosen.iter().map(|(at, view)| &self.targets[*at][*view]), &device);
        let agreement = (pictures * targets).sum() / self.batch as f64;
        let seen: Vec<f32> = views()
            .flat_map(|view| (0..FEATURES).flat_map(|c| view.seen.quarters.iter().map(move |quarter| quarter[c])))
            .collect();
        let seen = Tensor::<4>::from_data(TensorData::new(seen, [self.batch, FEATURES, 2, 2]), &device);
        let quartering = (self.quarters(parameters, map) - seen).powi_scalar(2).mean();
        finding * FINDING - agreement * AGREEMENT + quartering * QUARTERING
    }

    fn evaluate(&self, parameters: &[Vec<f32>], _step: &Step) -> Vec<(String, f64)> {
        let device = Device::flex();
        let parameters = tensors(parameters, &device);
        let whole: Vec<&Picture> = self.data.held_back.iter().map(|pair| &pair.views[0].picture).collect();
        let pictures: Vec<Vec<f32>> =
            whole.chunks(100).flat_map(|pictures| rows(self.embed(&parameters, pictures, &device).0)).collect();
        let (own, texts) = &self.held_back;
        recalls(&ranks(texts, own, &pictures))
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
        let tower = self.picture.params.iter().zip(parameters);
        let mut tensors = self.text.clone();
        tensors.extend(tower.map(|(p, data)| (p.name.clone(), Stored::new(p.shape.clone(), data.clone()))));
        let clip = self.clip.clone();
        let framing = Framing::Squeeze;
        let file = EncoderFile { clip, framing, mean: MEAN, deviation: DEVIATION, card, tensors };
        file.to_bytes(Precision::F16)
    }
}
