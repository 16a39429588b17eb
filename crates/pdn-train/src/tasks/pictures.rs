//! Trains the picture tower against fixed sentences ([`crate::tasks::sentences`]).
//!
//! Every step uses new crops of pictures with new tones. Each must find its picture's captions among those of all
//! pictures (CLIP's cross-entropy, with the whole data set as the batch), and agree with the teacher about the same
//! crop (Beyer et al. 2022: a patient and consistent teacher); and at every pixel of its stages' maps a linear layer
//! must predict the teacher's maps (Romero et al. 2015: hints), which teaches it how to see and not only what to
//! answer. The layers that only this needs are discarded.

use crate::data::DataError;
use crate::data::batch_encoder::together;
use crate::data::captions::{Captions, Moments, Pair, part};
use crate::data::teacher::{self, CHANNELS, Teacher, WHOLE};
use crate::executor::convolution::{Pixels, Then, convolve};
use crate::executor::weights::{flat, initial, tensors};
use crate::executor::{self, Batch};
use crate::run::{History, Step, Task};
use crate::tasks::retrieval::{first_scale, matrix, ranks, recalls, rows, scale, unit, words};
use crate::tasks::sentences::{TEACHER, project};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use pdn::{EncoderFile, Framing};
use pdn_image::{Picture, resize_to};
use pdn_network::checkpoint::Precision;
use pdn_network::zoo::Clip;
use pdn_network::{Card, Network, NetworkError, Tensor as Stored, Tensors, hashed};
use rand::rngs::StdRng;
use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

/// ImageNet's mean, as in CLIP's successors; what matters is that training and use agree.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f64; 3] = [0.229, 0.224, 0.225];

/// Weights of finding the captions, and of the cosine to the teacher's output for the whole.
const FINDING: f64 = 0.5;
const AGREEMENT: f64 = 2.0;
/// Weights of the squared errors to the teacher's maps, coarse ones first.
const HINTS: [f64; CHANNELS.len()] = [1.5, 0.5, 0.25];

/// The largest change of a view's contrast, saturation and brightness.
const TONE: f64 = 0.3;

/// The fraction of views that hold a piece of another.
const PASTED: f64 = 0.5;

/// Views over which the mean and deviation of the teacher's maps are computed.
const MEASURED: usize = 256;

/// How a finished tower frames a picture.
const FRAMING: Framing = Framing::Corners;

/// Returns the side of crops, in pixels, at a step: that of the beginning, doubled at equal intervals up to the tower's
/// own (Tan and Le 2021), for speed first and detail at the end. (Sizes in between would be inefficient: kernels work
/// on 4x4 pixels, and maps of 5 to 7 a side need as many as those of 8.)
fn side_of_parts(begun: usize, own: usize, step: &Step) -> usize {
    let doublings = u64::from((own / begun).ilog2());
    begun << (step.done * (doublings + 1) / step.of.max(1)).min(doublings)
}

/// The training of a picture tower.
#[derive(Debug)]
pub struct Pictures {
    clip: Clip,
    /// The side of crops, in pixels, at the start of training: the tower's own, halved some number of times.
    begun: usize,
    picture: Network,
    data: Captions,
    batch: usize,
    card: Card,
    /// The text tower.
    text: Tensors,
    /// The mean of each picture's captions, `[pictures, dim]`.
    captions: Tensor<2>,
    teacher: Teacher,
    /// The layer from the teacher's output to the embedding space, `[dim, WHOLE]`.
    projection: Tensor<1>,
    /// Mean and deviation of each channel of the teacher's maps.
    moments: Vec<Moments>,
    /// The captions of held-out pictures, each with its picture's index.
    held_back: (Vec<usize>, Vec<Vec<f32>>),
}

impl Pictures {
    /// Creates the training of `clip`'s picture tower, given the trained text tower and its layer for the teacher.
    ///
    /// # Errors
    /// If the configuration does not describe a network, or the text tower does not match it.
    pub fn new(
        clip: Clip,
        begun: usize,
        mut text: Tensors,
        data: Captions,
        teacher: Teacher,
        batch: usize,
        card: Card,
    ) -> Result<Self, NetworkError> {
        let (picture, network) = (clip.picture_network()?, clip.text_network()?);
        let missing =
            || NetworkError::Config(format!("the text tower has no {TEACHER} of shape [{}, {WHOLE}]", clip.dim));
        let projection = text.remove(TEACHER).filter(|t| t.shape() == [clip.dim, WHOLE]).ok_or_else(missing)?;
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
        let mean = |pair: &Pair| {
            let mut sum = vec![0.0; clip.dim];
            for row in embedded.by_ref().take(pair.captions.len()) {
                sum.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
            }
            sum
        };
        let means: Vec<Vec<f32>> = data.train.iter().map(mean).collect();
        let autodiff = device.clone().autodiff();
        let captions = Tensor::from_data(unit(matrix(&means, &device)).into_data(), &autodiff);
        let projection = TensorData::new(projection.data().to_vec(), [clip.dim * WHOLE]);
        let projection = Tensor::<1>::from_data(projection, &device);
        let batch = batch.min(data.train.len());
        let moments = Vec::new();
        let mut task =
            Self { clip, begun, picture, data, batch, card, text, captions, teacher, projection, moments, held_back };
        let mut random = StdRng::seed_from_u64(0);
        let measured = (0..MEASURED)
            .map(|_| view(&task.data.train[random.random_range(0..task.data.train.len())].picture, &mut random));
        let (_, maps) = task.teacher.explain(&measured.collect::<Vec<_>>(), &task.maps(task.clip.side()));
        task.moments =
            maps.iter().zip(CHANNELS).map(|(map, channels)| Moments::over(map.chunks(channels), channels)).collect();
        Ok(task)
    }

    /// Embeds pictures in squares of `side` pixels as unit vectors, and returns the maps of the tower's stages, coarse
    /// ones first.
    fn embed(
        &self,
        parameters: &[Tensor<1>],
        pictures: &[Picture],
        side: usize,
        device: &Device,
    ) -> (Tensor<2>, Vec<Tensor<4>>) {
        let pixels: Vec<Vec<f32>> = pictures.par_iter().map(|picture| look(picture, side)).collect();
        let picture = Tensor::from_data(TensorData::new(pixels.concat(), [pictures.len(), 3, side, side]), device);
        let batch = Batch { picture: Some(picture), ..Batch::default() };
        let mut out = executor::run(&self.picture, &parameters[..self.picture.params.len()], &batch);
        out.taps.reverse();
        (unit(out.output.flatten::<2>(1, 3)), out.taps)
    }

    /// Computes the mean of one column per row, each with its weight.
    fn found(&self, rows: &Tensor<2>, columns: impl Iterator<Item = (usize, f32)>) -> Tensor<1> {
        let (columns, weights): (Vec<i32>, Vec<f32>) = columns.map(|(at, weight)| (at as i32, weight)).unzip();
        let (device, shape) = (rows.device(), [self.batch, 1]);
        let columns = Tensor::<2, Int>::from_data(TensorData::new(columns, shape), &device);
        let weights = Tensor::<2>::from_data(TensorData::new(weights, shape), &device);
        (rows.clone().gather(1, columns) * weights).mean()
    }

    /// Returns the channels of each map that is taught and of the teacher's map that it predicts, coarse ones first.
    fn hints(&self) -> impl Iterator<Item = [usize; 2]> {
        let taps = self.picture.taps.iter().rev().map(|tap| self.picture.node(tap.node).shape.channels);
        taps.zip(CHANNELS).map(|(ours, its)| [ours, its])
    }

    /// Returns the sides, in pixels, of the maps that are taught, for crops of this side.
    fn maps(&self, side: usize) -> Vec<usize> {
        let coarsest = side / (2 << self.picture.taps.len());
        (0..self.hints().count()).map(|stage| coarsest << stage).collect()
    }

    /// Computes the squared error of a map's prediction to the teacher's numbers at its pixels, with the layer at an
    /// index of the parameters.
    fn hint(&self, layer: &[Tensor<1>], map: Tensor<4>, [ours, its]: [usize; 2], said: Vec<f32>) -> Tensor<1> {
        let [images, _, height, width] = map.dims();
        let said = TensorData::new(said, [images, height, width, its]);
        let said = Tensor::<4>::from_data(said, &map.device());
        let kernel = layer[0].clone().reshape([1, its, ours, 1, 1]);
        let bias = layer[1].clone().reshape([1, its]);
        let found = convolve(Pixels::of_planes(map), kernel, bias, Then::NOTHING).map();
        (found - said).powi_scalar(2).mean()
    }
}

/// Returns a crop of a picture, with changed tones.
fn view(picture: &Picture, random: &mut StdRng) -> Picture {
    let part = part(picture, random);
    let [contrast, saturation, brightness] = [(); 3].map(|()| random.random_range(1.0 - TONE..1.0 + TONE));
    let toned = part.rgb().chunks_exact(3).flat_map(|pixel| {
        let pixel = [pixel[0], pixel[1], pixel[2]].map(f64::from);
        let grey = pixel.iter().sum::<f64>() / 3.0;
        let tone = |v: f64| (128.0 + contrast * (grey + saturation * (v - grey) - 128.0)) * brightness;
        pixel.map(|v| tone(v).round().clamp(0.0, 255.0) as u8)
    });
    part.with_rgb(toned.collect())
}

/// Returns a view at the teacher's size with a piece of another, of random area, and the share of that area.
fn pasted(view: &Picture, other: &Picture, random: &mut StdRng) -> (Picture, f32) {
    let side = view.width();
    let length = (side as f64 * random.random_range(0.0..1.0_f64).sqrt()) as usize;
    let [left, top] = [(); 2].map(|()| random.random_range(0..=side - length));
    let mut rgb = view.rgb().to_vec();
    for row in top..top + length {
        let piece = 3 * (row * side + left)..3 * (row * side + left + length);
        rgb[piece.clone()].copy_from_slice(&other.rgb()[piece]);
    }
    (view.with_rgb(rgb), (length * length) as f32 / (side * side) as f32)
}

/// Squeezes a picture to a square and returns its numbers, channel by channel.
fn look(picture: &Picture, side: usize) -> Vec<f32> {
    let picture = resize_to(picture, side, side);
    let number = |v: u8, c: usize| ((f64::from(v) / 255.0 - MEAN[c]) / DEVIATION[c]) as f32;
    (0..3).flat_map(|c| picture.plane(c).map(move |v| number(v, c))).collect()
}

/// The data of a step.
#[derive(Debug)]
pub struct Views {
    /// The indices of pictures.
    own: Vec<usize>,
    /// A view of each, some with a piece of another.
    views: Vec<Picture>,
    /// The index of the picture whose piece each view holds, and the piece's share of the view, 0 if there is none.
    others: Vec<(usize, f32)>,
}

impl Task for Pictures {
    type Batch = Views;

    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let tower = self.picture.params.iter().map(|p| (p.name.clone(), p.shape.clone()));
        let layers = self.hints().enumerate().flat_map(|(i, [ours, its])| {
            [(format!("hints.{i}.weight"), vec![its, ours]), (format!("hints.{i}.bias"), vec![its])]
        });
        tower.chain(layers).chain([("logit_scale".to_owned(), vec![1])]).collect()
    }

    fn initial(&self, seed: u64) -> Vec<Vec<f32>> {
        let mut all = initial(&self.picture, 0.2, seed);
        for (i, [ours, its]) in self.hints().enumerate() {
            all.push(hashed::numbers(&format!("hints.{i}.weight"), its * ours, (3.0 / ours as f64).sqrt()));
            all.push(vec![0.0; its]);
        }
        all.push(vec![first_scale()]);
        all
    }

    fn draw(&self, random: &mut StdRng) -> Result<Views, DataError> {
        let own = sample(random, self.data.train.len(), self.batch).into_vec();
        let view = |at: &usize| resize_to(&view(&self.data.train[*at].picture, random), teacher::SIDE, teacher::SIDE);
        let whole: Vec<Picture> = own.iter().map(view).collect();
        let (mut views, mut others) = (Vec::new(), Vec::new());
        for (i, view) in whole.iter().enumerate() {
            let next = (i + 1) % whole.len();
            let (view, share) = match random.random_bool(PASTED) {
                true => pasted(view, &whole[next], random),
                false => (view.clone(), 0.0),
            };
            views.push(view);
            others.push((own[next], share));
        }
        Ok(Views { own, views, others })
    }

    fn loss(&self, parameters: &[Tensor<1>], step: &Step, batch: &Views) -> Vec<(&'static str, Tensor<1>)> {
        let device = parameters[0].device();
        let Views { own, views, others } = batch;
        let side = side_of_parts(self.begun, self.clip.side(), step);
        let (mut seen, mut said) = self.teacher.explain(views, &self.maps(side));
        seen.iter_mut().for_each(|seen| self.data.moments.standardise(seen));
        for ((map, moments), channels) in said.iter_mut().zip(&self.moments).zip(CHANNELS) {
            map.par_chunks_mut(channels).for_each(|pixel| moments.standardise(pixel));
        }
        let (pictures, maps) = self.embed(parameters, views, side, &device);
        let (layers, last) = parameters[self.picture.params.len()..].split_at(2 * said.len());
        let logits = pictures.clone().matmul(self.captions.clone().transpose()) * scale(&last[0]);
        let sure = activation::log_softmax(logits, 1);
        let finding = -self.found(&sure, own.iter().zip(others).map(|(at, (_, share))| (*at, 1.0 - share)))
            - self.found(&sure, others.iter().copied());
        let plain = Device::flex();
        let targets = project(&self.projection, self.clip.dim, matrix(&seen, &plain)).into_data();
        let agreement = (pictures * Tensor::from_data(targets, &device)).sum() / self.batch as f64;
        let hints = maps.into_iter().zip(self.hints()).zip(layers.chunks(2)).zip(said).zip(HINTS);
        let hints = hints
            .map(|((((map, channels), layer), said), weight)| self.hint(layer, map, channels, said) * weight)
            .reduce(|a, b| a + b);
        let terms = [("finding", finding * FINDING), ("agreement", (agreement.neg() + 1.0) * AGREEMENT)];
        terms.into_iter().chain(hints.map(|hints| ("hints", hints))).collect()
    }

    fn evaluate(&self, parameters: &[Vec<f32>], _step: &Step) -> Vec<(String, f64)> {
        let device = Device::flex();
        let parameters = tensors(parameters, &device);
        let side = self.clip.side();
        let seen = |pairs: &[Pair]| {
            let squares: Vec<Vec<Picture>> =
                pairs.par_iter().map(|pair| FRAMING.squares(&pair.picture, side)).collect();
            let said = rows(self.embed(&parameters, &squares.concat(), side, &device).0);
            said.chunks(squares[0].len()).map(together).collect::<Vec<_>>()
        };
        let pictures: Vec<Vec<f32>> = self.data.held_back.chunks(50).flat_map(seen).collect();
        let (own, texts) = &self.held_back;
        recalls(&ranks(texts, own, &pictures))
    }

    fn export(&self, parameters: &[Vec<f32>], history: &History) -> Vec<u8> {
        let mut card = self.card.clone();
        if let Some(last) = history.records.last() {
            card.more.insert("steps".into(), last.step.into());
            card.more.insert("retrieval".into(), serde_json::json!({
                "protocol": format!("text to picture, every caption of {} held-back pictures", self.data.held_back.len()),
                "figures": last.figures,
            }));
        }
        let tower = self.picture.params.iter().zip(parameters);
        let mut tensors = self.text.clone();
        tensors.extend(tower.map(|(p, data)| (p.name.clone(), Stored::new(p.shape.clone(), data.clone()))));
        let clip = self.clip.clone();
        let file =
            EncoderFile { clip, framing: FRAMING, mean: MEAN, deviation: DEVIATION, faults: None, card, tensors };
        file.to_bytes(Precision::F16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_has_the_share_that_is_said() {
        let plain = |v: u8| Picture::from_rgb(20, 20, vec![v; 3 * 20 * 20]);
        let mut random = StdRng::seed_from_u64(1);
        let shares: Vec<f32> = (0..50)
            .map(|_| {
                let (both, share) = pasted(&plain(0), &plain(255), &mut random);
                let found = both.rgb().iter().filter(|v| **v == 255).count();
                assert_eq!(found as f32 / (3.0 * 20.0 * 20.0), share);
                share
            })
            .collect();
        assert!(shares.iter().any(|share| *share < 0.25) && shares.iter().any(|share| *share > 0.75), "{shares:?}");
    }

    #[test]
    fn parts_grow_to_the_tower_s_own() {
        let side = |begun, done| side_of_parts(begun, 128, &Step { done, of: 9 });
        assert_eq!([0, 2, 3, 5, 6, 8].map(|done| side(32, done)), [32, 32, 64, 64, 128, 128]);
        assert_eq!([0, 8].map(|done| side(128, done)), [128, 128]);
    }
}
