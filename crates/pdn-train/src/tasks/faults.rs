//! Trains the towers that hear faults in sentences and see them in pictures, beside the finished towers of an encoder.
//!
//! Sentences are made from the training wordings of the language of faults, within and without captions; squares of
//! pictures are degraded anew at every step. Both towers give a distribution over the points of each slot, and that it
//! is not told at all, and learn by cross-entropy. As both are right as often as they are sure, a network can weigh
//! what they say.

use crate::data::DataError;
use crate::data::patch_cache::PatchCache;
use crate::data::training_images::TrainingImage;
use crate::executor::weights::{initial, tensors};
use crate::executor::{self, Batch};
use crate::run::{History, Step, Task};
use crate::tasks::retrieval::words;
use burn::tensor::{Device, Tensor, TensorData, activation};
use pdn::{EncoderFile, KnownFaults, Language, Sentence, Slot, Tokenizer, Wordings, fault_numbers, fault_squares};
use pdn_image::{Degradation, Picture};
use pdn_network::checkpoint::Precision;
use pdn_network::zoo::Clip;
use pdn_network::{Network, NetworkError, Param, Tensor as Stored};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rayon::prelude::*;

/// How often a token of a training sentence is dropped, in half of them: what is left must do.
const DROPPED: f64 = 0.08;
/// How often a sentence names a kind of picture, and how often it has a caption.
const KIND: f64 = 0.12;
const CAPTION: f64 = 0.6;
/// How often a sentence tells amounts where it can, and no levels.
const EXACT: f64 = 0.3;

/// Held-back sentences per evaluation, and degradations of each held-back picture.
const SENTENCES: usize = 400;
const DEGRADATIONS: u64 = 3;

/// The training of both towers.
#[derive(Debug)]
pub struct FaultTowers {
    clip: Clip,
    text: Network,
    picture: Network,
    /// The encoder that the towers are added to.
    encoder: EncoderFile,
    tokenizer: Tokenizer,
    captions: Vec<String>,
    views: Vec<Views>,
    sizes: [usize; 2],
    about: serde_json::Value,
}

/// The pictures of all sources at one scale.
#[derive(Debug)]
pub struct Views {
    /// Degrades and caches them.
    pub patches: PatchCache,
    /// The training images of each source, with its weight.
    pub sources: Vec<(f64, Vec<TrainingImage>)>,
    /// The images to evaluate on.
    pub held_back: Vec<TrainingImage>,
}

/// The data of a step: sentences as tokens and squares of pictures, each with what it tells.
#[derive(Debug)]
pub struct Examples {
    sentences: Vec<(Vec<usize>, KnownFaults)>,
    squares: Vec<(Vec<f32>, KnownFaults)>,
}

impl FaultTowers {
    /// Creates the training of `clip`'s towers, on so many sentences and squares a step. A tower without any is not
    /// trained, but taken from the encoder; one that the encoder has is trained further.
    ///
    /// # Errors
    /// If the configuration does not describe networks.
    pub fn new(
        clip: Clip,
        encoder: EncoderFile,
        tokenizer: Tokenizer,
        captions: Vec<String>,
        views: Vec<Views>,
        sizes: [usize; 2],
        about: serde_json::Value,
    ) -> Result<Self, NetworkError> {
        let (text, picture) = (clip.text_network()?, clip.picture_network()?);
        for (network, size) in [&text, &picture].into_iter().zip(sizes) {
            let missing = network.params.iter().find(|p| size == 0 && stored(&encoder, &p.name, &p.shape).is_none());
            if let Some(Param { name, shape, .. }) = missing {
                let why = format!("the encoder has no faults.{name} of {shape:?} for the tower that is not trained");
                return Err(NetworkError::Config(why));
            }
        }
        Ok(Self { clip, text, picture, encoder, tokenizer, captions, views, sizes, about })
    }

    fn sentence(&self, wordings: Wordings, random: &mut StdRng) -> (Vec<usize>, KnownFaults) {
        let caption = random.random_bool(CAPTION);
        let content = caption.then(|| self.captions[random.random_range(0..self.captions.len())].as_str());
        let (tell, exact) = (tellable(random), random.random_bool(EXACT));
        let is_kind = random.random_bool(KIND);
        let pick = &mut |below: usize| random.random_range(0..below);
        let language = Language::get();
        let Sentence { text, told } = match is_kind {
            true => language.kind(content, wordings, pick),
            false => language.sentence(&tell, exact, content, wordings, pick),
        };
        let mut tokens = self.tokens(&text);
        if wordings == Wordings::Training && random.random_bool(0.5) {
            let (mut at, last) = (0, tokens.len() - 1);
            tokens.retain(|_| {
                at += 1;
                at == 1 || at > last || !random.random_bool(DROPPED)
            });
        }
        (tokens, told)
    }

    /// Returns the networks that are trained.
    fn trained(&self) -> impl Iterator<Item = &Network> {
        [&self.text, &self.picture]
            .into_iter()
            .zip(self.sizes)
            .filter(|(_, size)| *size > 0)
            .map(|(network, _)| network)
    }

    fn tokens(&self, text: &str) -> Vec<usize> {
        let (mut tokens, context) = (self.tokenizer.encode(text), self.clip.text.context);
        if tokens.len() > context {
            tokens.drain(context - 1..tokens.len() - 1);
        }
        tokens
    }

    fn square(&self, seed: u64) -> Result<(Vec<f32>, KnownFaults), DataError> {
        let random = &mut StdRng::seed_from_u64(seed);
        let views = &self.views[random.random_range(0..self.views.len())];
        let total: f64 = views.sources.iter().map(|(weight, _)| weight).sum();
        let mut left = random.random_range(0.0..total);
        let of = views.sources.iter().find(|(weight, _)| {
            left -= weight;
            left < 0.0
        });
        let (_, images) = of.unwrap_or(&views.sources[0]);
        let place = &images[random.random_range(0..images.len())].place;
        let pair = views.patches.patch(place, self.clip.side(), random)?;
        let square = turned(&pair.low.into_eight(), random);
        Ok((fault_numbers(&square).data, pair.faults.map_or_else(KnownFaults::default, |f| KnownFaults::exactly(&f))))
    }

    fn heard(&self, parameters: &[Tensor<1>], sentences: &[&[usize]], device: &Device) -> Tensor<2> {
        let batch = Batch { words: Some(words(sentences, device)), ..Batch::default() };
        executor::run(&self.text, &parameters[..self.text.params.len()], &batch).output.flatten::<2>(1, 3)
    }

    fn seen(&self, parameters: &[Tensor<1>], squares: Vec<f32>, device: &Device) -> Tensor<2> {
        let side = self.clip.side();
        let count = squares.len() / (3 * side * side);
        let picture = Tensor::from_data(TensorData::new(squares, [count, 3, side, side]), device);
        let batch = Batch { picture: Some(picture), ..Batch::default() };
        let start = parameters.len() - self.picture.params.len();
        executor::run(&self.picture, &parameters[start..], &batch).output.flatten::<2>(1, 3)
    }

    /// Returns, in per cent, how many told slots of held-back wordings are heard at their level, and how many that are
    /// not told are not heard.
    fn hearing(&self, parameters: &[Tensor<1>], wordings: Wordings, device: &Device) -> [f64; 2] {
        let random = &mut StdRng::seed_from_u64(1);
        let sentences: Vec<_> = (0..SENTENCES).map(|_| self.sentence(wordings, random)).collect();
        let tokens: Vec<&[usize]> = sentences.iter().map(|(tokens, _)| tokens.as_slice()).collect();
        let found = known(self.heard(parameters, &tokens, device));
        let mut counts = [[0.0; 2]; 2];
        for ((_, told), heard) in sentences.iter().zip(&found) {
            for slot in Slot::ALL {
                let right = told.level(slot) == heard.level(slot);
                counts[usize::from(told.level(slot).is_none())][usize::from(right)] += 1.0;
            }
        }
        counts.map(|[wrong, right]| 100.0 * right / (wrong + right))
    }

    /// Returns, in per cent, how many slots of held-back pictures are seen at their level, and within one.
    fn sight(&self, parameters: &[Tensor<1>], device: &Device) -> [f64; 2] {
        let (mut exact, mut near, mut all) = (0.0, 0.0, 0.0);
        for views in &self.views {
            for (i, image) in views.held_back.iter().enumerate() {
                let Ok(high) = views.patches.pair(&image.place).map(|pair| pair.high.clone()) else { continue };
                for seed in 0..DEGRADATIONS {
                    let degradation = Degradation::Mixed { seed: i as u64 * DEGRADATIONS + seed };
                    let scale = views.patches.scale;
                    let (Ok(low), Some(faults)) = (degradation.apply(&high, scale), degradation.faults(scale)) else {
                        continue;
                    };
                    let squares = fault_squares(&low.into_eight(), self.clip.side());
                    let numbers = squares.iter().flat_map(|square| fault_numbers(square).data).collect();
                    let seen = known(self.seen(parameters, numbers, device).mean_dim(0));
                    let (seen, told) = (&seen[0], KnownFaults::exactly(&faults));
                    for slot in Slot::ALL {
                        let (Some(told), Some(seen)) = (told.level(slot), seen.level(slot)) else { continue };
                        all += 1.0;
                        exact += f64::from(u8::from(told == seen));
                        near += f64::from(u8::from(told.abs_diff(seen) <= 1));
                    }
                }
            }
        }
        [exact, near].map(|count| 100.0 * count / all)
    }
}

/// Returns a tensor of an encoder's towers of faults.
fn stored<'a>(encoder: &'a EncoderFile, name: &str, shape: &[usize]) -> Option<&'a Stored> {
    encoder.tensors.get(&format!("faults.{name}")).filter(|tensor| tensor.shape() == shape)
}

/// Draws what a sentence tells: some slots, each level as likely.
fn tellable(random: &mut StdRng) -> KnownFaults {
    let mut tell = KnownFaults::default();
    let share = [0.0, 0.17, 0.17, 0.35, 0.6][random.random_range(0..5)];
    for slot in Slot::ALL {
        if !random.random_bool(share) {
            continue;
        }
        let level = random.random_range(0..slot.levels().len());
        tell.set_level(slot, level);
        // Not only the middles of levels.
        if let Some(amount) = tell.amount(slot).filter(|_| level > 0) {
            let [least, most] = slot.unit().map_or([0.0, 1.0], |(_, range)| range);
            tell.set_amount(slot, (amount * random.random_range(0.75..1.3)).clamp(least, most));
        }
    }
    tell
}

/// Returns a square flipped and turned at random.
fn turned(square: &Picture, random: &mut StdRng) -> Picture {
    let (side, turn) = (square.width(), random.random_range(0..8_u8));
    let pixel = |i: usize| {
        let (x, y) = (i % side, i / side);
        let (mut x, mut y) = if turn & 4 == 0 { (x, y) } else { (y, x) };
        x = if turn & 1 == 0 { x } else { side - 1 - x };
        y = if turn & 2 == 0 { y } else { side - 1 - y };
        (y * side + x) * 3
    };
    let rgb = (0..side * side).flat_map(|i| square.rgb()[pixel(i)..][..3].iter().copied()).collect();
    square.with_rgb(rgb)
}

/// Computes the cross-entropy, over all slots, of logits to what is known, in the mean of the rows.
fn cross_entropy<'a>(logits: Tensor<2>, known: impl Iterator<Item = &'a KnownFaults>) -> Tensor<1> {
    let [rows, width] = logits.dims();
    let targets: Vec<f32> = known.flat_map(KnownFaults::probabilities).collect();
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [rows, width]), &logits.device());
    let mut start = 0;
    let slot = |slot: Slot| {
        let (from, len) = (start, slot.options());
        start += len;
        let sure = activation::log_softmax(logits.clone().narrow(1, from, len), 1);
        (sure * targets.clone().narrow(1, from, len)).sum()
    };
    let sums: Vec<Tensor<1>> = Slot::ALL.into_iter().map(slot).collect();
    -Tensor::cat(sums, 0).sum() / rows as f64
}

fn known(logits: Tensor<2>) -> Vec<KnownFaults> {
    let data: Vec<f32> = logits.into_data().try_into_vec().expect("logits are f32");
    data.chunks(KnownFaults::LEN).map(KnownFaults::from_logits).collect()
}

impl Task for FaultTowers {
    type Batch = Examples;

    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        let all = self.trained().flat_map(|network| &network.params);
        all.map(|p| (format!("faults.{}", p.name), p.shape.clone())).collect()
    }

    fn initial(&self, seed: u64) -> Vec<Vec<f32>> {
        let new =
            |network: &Network| initial(network, if network.architecture == "clip-text" { 1.0 } else { 0.2 }, seed);
        let all = self.trained().flat_map(|network| network.params.iter().zip(new(network)));
        all.map(|(p, new)| stored(&self.encoder, &p.name, &p.shape).map_or(new, |tensor| tensor.data().to_vec()))
            .collect()
    }

    fn draw(&self, random: &mut StdRng) -> Result<Examples, DataError> {
        let [sentences, squares] = self.sizes;
        let sentences = (0..sentences).map(|_| self.sentence(Wordings::Training, random)).collect();
        let seeds: Vec<u64> = (0..squares).map(|_| random.next_u64()).collect();
        let squares = seeds.par_iter().map(|seed| self.square(*seed)).collect::<Result<_, _>>()?;
        Ok(Examples { sentences, squares })
    }

    fn loss(&self, parameters: &[Tensor<1>], _step: &Step, batch: &Examples) -> Vec<(&'static str, Tensor<1>)> {
        let device = parameters[0].device();
        let mut terms = Vec::new();
        if !batch.sentences.is_empty() {
            let tokens: Vec<&[usize]> = batch.sentences.iter().map(|(tokens, _)| tokens.as_slice()).collect();
            let heard = self.heard(parameters, &tokens, &device);
            terms.push(("heard", cross_entropy(heard, batch.sentences.iter().map(|(_, told)| told))));
        }
        if !batch.squares.is_empty() {
            let squares: Vec<f32> = batch.squares.iter().flat_map(|(numbers, _)| numbers.iter().copied()).collect();
            let seen = self.seen(parameters, squares, &device);
            terms.push(("seen", cross_entropy(seen, batch.squares.iter().map(|(_, told)| told))));
        }
        terms
    }

    fn evaluate(&self, parameters: &[Vec<f32>], _step: &Step) -> Vec<(String, f64)> {
        let device = Device::flex();
        let parameters = tensors(parameters, &device);
        let mut figures = Vec::new();
        if self.sizes[0] > 0 {
            let [held_back, untold] = self.hearing(&parameters, Wordings::HeldBack, &device);
            let [training, _] = self.hearing(&parameters, Wordings::Training, &device);
            figures.extend([
                ("heard, training wordings %", training),
                ("heard %", held_back),
                ("untold unheard %", untold),
            ]);
        }
        if self.sizes[1] > 0 {
            let [exact, near] = self.sight(&parameters, &device);
            figures.extend([("seen %", exact), ("seen within one %", near)]);
        }
        figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect()
    }

    fn export(&self, parameters: &[Vec<f32>], history: &History) -> Vec<u8> {
        let mut file = self.encoder.clone();
        file.faults = Some(self.clip.clone());
        // A tower of another size may have been there.
        let names: Vec<String> = [&self.text, &self.picture]
            .into_iter()
            .flat_map(|network| network.params.iter().map(|p| format!("faults.{}", p.name)))
            .collect();
        file.tensors.retain(|name, _| !name.starts_with("faults.") || names.contains(name));
        let shapes = self.parameters().into_iter().zip(parameters);
        file.tensors.extend(shapes.map(|((name, shape), data)| (name, Stored::new(shape, data.clone()))));
        let mut about = serde_json::json!({ "recipe": self.about });
        if let Some(last) = history.records.last() {
            about["steps"] = last.step.into();
            about["protocol"] = "levels of slots, on held-back wordings and on degraded held-back pictures".into();
            about["figures"] = serde_json::json!(last.figures);
        }
        file.card.more.insert("faults_training".into(), about);
        file.to_bytes(Precision::F16)
    }
}
