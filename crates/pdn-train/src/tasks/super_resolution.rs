//! Trains a super-resolution network: upscales degraded patches and compares them with the originals.

use crate::data::DataError;
use crate::data::patch_cache::PatchCache;
use crate::data::training_images::TrainingImage;
use crate::executor::convolution::Precision;
use crate::executor::weights::initial;
use crate::executor::{self, Batch};
use crate::run::{History, Step, Task};
use crate::tasks::activity;
use crate::tasks::fault_prompts::{FaultMix, Patch};
use burn::tensor::{Device, Tensor, TensorData};
use pdn::{Depth, Encoder, KnownFaults, Target, Upscaler, compose};
use pdn_engine::{Isa, Precision as EnginePrecision, RunOptions, fold};
use pdn_image::{AnyPicture, ColourSpace, Degradation, Faults, Picture, Protocol, psnr};
use pdn_network::checkpoint;
use pdn_network::{Card, Model, Network, PictureFormat, PromptActivity, Tensor as Stored, Weights};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How often a patch gets each kind of prompt. For a picture without captions, their share is divided between the
/// views; if these have no share either, its mirror image is used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptMix {
    /// One of the picture's captions.
    pub caption: f64,
    /// The degraded picture itself.
    pub view: f64,
    /// The degraded picture, mirrored.
    pub mirrored: f64,
    /// How often faults are told, to a network that is steered by them, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<FaultMix>,
}

/// Residual branches start at a tenth of their usual size, so that the network starts near the identity.
pub(crate) const BRANCH: f64 = 0.1;

/// The training of a super-resolution network.
#[derive(Debug)]
pub struct SuperResolution {
    /// The network, in the train form.
    pub network: Network,
    /// The pictures of all sources.
    pub patches: PatchCache,
    /// The training images of each source, with its weight.
    pub sources: Vec<(f64, Vec<TrainingImage>)>,
    /// The images to evaluate on.
    pub held_back: Vec<TrainingImage>,
    /// How often each kind of prompt is used.
    pub prompts: PromptMix,
    /// The side of a degraded patch, in pixels.
    pub patch: usize,
    /// Patches per step.
    pub batch: usize,
    /// The card of the resulting model.
    pub card: Card,
    /// The loss.
    pub loss: Loss,
    /// The precision of the network's convolutions.
    pub precision: Precision,
    /// Weights to start from, if not random.
    pub start: Option<Vec<Vec<f32>>>,
    /// The encoder that sees faults, if prompts are what it sees.
    pub eyes: Option<Encoder>,
}

/// How faults are known when held-out pictures are upscaled.
#[derive(Clone, Copy)]
enum Knowing {
    Nothing,
    Seen,
    Told,
}

/// The loss between pictures, number by number; white is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// The mean of `|d|`.
    #[default]
    L1,
    /// The mean of `d²`.
    Mse,
    /// The mean of `sqrt(d² + 1e-6)`, which is smooth at 0 (Lai et al. 2017).
    Charbonnier,
}

impl Loss {
    fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::Mse => "mse",
            Self::Charbonnier => "charbonnier",
        }
    }

    fn of(self, difference: Tensor<4>) -> Tensor<1> {
        match self {
            Self::L1 => difference.abs().mean(),
            Self::Mse => difference.powi_scalar(2).mean(),
            Self::Charbonnier => (difference.powi_scalar(2) + 1e-6).sqrt().mean(),
        }
    }
}

/// The side, in pixels, of what an encoder sees of a degraded picture, where the picture has as much.
const VIEW: usize = 96;

/// Held-out pictures that are upscaled and saved as samples.
const SAMPLES: usize = 3;

/// Prompts and pictures over which prompt activity is measured.
const PROMPTS: usize = 300;
const PICTURES: usize = 4;

/// One patch with its prompt.
#[derive(Debug)]
pub struct Sample {
    low: Vec<f32>,
    high: Vec<f32>,
    prompt: Vec<f32>,
}

/// The temperature of the last tenth of a run, which the network keeps.
pub const LAST_TEMPERATURE: f64 = 7.0;

/// Returns the temperature of the paper's section 4.1: 34, and 3 less with every tenth of the run.
fn temperature(step: &Step) -> f64 {
    34.0 - 3.0 * (10 * step.done.min(step.of.saturating_sub(1)) / step.of.max(1)) as f64
}

impl SuperResolution {
    fn sample(&self, seed: u64) -> Result<Sample, DataError> {
        let random = &mut StdRng::seed_from_u64(seed);
        let total: f64 = self.sources.iter().map(|(weight, _)| weight).sum();
        let mut left = random.random_range(0.0..total);
        let (_, scenes) = (self.sources.iter())
            .find(|(weight, _)| {
                left -= weight;
                left < 0.0
            })
            .unwrap_or(&self.sources[0]);
        let scene = &scenes[random.random_range(0..scenes.len())];
        let view = self.view(scene)?;
        let pair = self.patches.patch(&scene.place, view, random)?;
        let at = [(); 2].map(|()| random.random_range(0..=view - self.patch));
        let turn = random.random_range(0..8_u8);
        let (format, scale) = (&self.network.picture, self.network.scale);
        Ok(Sample {
            low: square(&pair.low, (at[0], at[1]), self.patch, turn, format),
            high: square(&pair.high.into(), (at[0] * scale, at[1] * scale), self.patch * scale, turn, format),
            prompt: self.prompt(scene, &pair.low.into_eight(), pair.faults.as_ref(), random)?,
        })
    }

    /// Returns the side of the square of a degraded picture in which a patch lies: as much as the encoder looks at.
    fn view(&self, scene: &TrainingImage) -> Result<usize, DataError> {
        if self.eyes.is_none() {
            return Ok(self.patch);
        }
        let low = &self.patches.pair(&scene.place)?.low;
        Ok(VIEW.min(low.width()).min(low.height()).max(self.patch))
    }

    fn prompt(
        &self,
        scene: &TrainingImage,
        view: &Picture,
        faults: Option<&Faults>,
        random: &mut StdRng,
    ) -> Result<Vec<f32>, DataError> {
        let content = self.content(scene, random);
        match self.prompts.faults {
            Some(mix) => mix
                .prompt(content, &Patch { faults, view, eyes: self.eyes.as_ref() }, random)
                .map_err(|e| DataError { path: scene.place.0.clone(), why: e.to_string() }),
            None => Ok(content.to_vec()),
        }
    }

    fn content<'a>(&self, scene: &'a TrainingImage, random: &mut StdRng) -> &'a [f32] {
        let PromptMix { caption, view, mirrored, .. } = self.prompts;
        let caption = if scene.captions.is_empty() { 0.0 } else { caption };
        let draw = random.random_range(0.0..(caption + view + mirrored).max(f64::MIN_POSITIVE));
        match draw {
            _ if draw < caption => &scene.captions[random.random_range(0..scene.captions.len())],
            _ if draw < caption + view => &scene.view,
            _ => &scene.mirrored,
        }
    }

    /// Returns a step's network, its inputs, and the target.
    fn batch(&self, device: &Device, step: &Step, samples: &[Sample]) -> (Network, Batch, Tensor<4>) {
        let gather = |part: fn(&Sample) -> &[f32], shape: [usize; 4]| {
            let data: Vec<f32> = samples.iter().flat_map(part).copied().collect();
            Tensor::<4>::from_data(TensorData::new(data, shape), device)
        };
        let (low, high) = (self.patch, self.patch * self.network.scale);
        let picture = gather(|s| &s.low, [self.batch, 3, low, low]);
        let target = gather(|s| &s.high, [self.batch, 3, high, high]);
        let prompt = self.network.prompt_dim().map(|dim| gather(|s| &s.prompt, [self.batch, dim, 1, 1]));
        // Pretrained weights have settled on their mixtures.
        let temperature = if self.start.is_some() { LAST_TEMPERATURE } else { temperature(step) };
        let batch = Batch { picture: Some(picture), prompt, words: None, precision: self.precision };
        (self.network.at_temperature(temperature), batch, target)
    }

    /// Upscales the held-out pictures with these weights, each with its mirror image as the prompt; a network that is
    /// steered by faults is told them, or nothing, or sees them.
    fn enlarged(&self, parameters: &[Vec<f32>], scenes: &[TrainingImage], knowing: Knowing) -> Vec<Option<Picture>> {
        // As exported: at the temperature at which training ends.
        let (network, weights) = self.deployed(parameters);
        let model = Model { network, weights, card: Card::default(), source: None };
        let compiled = Upscaler::with_precision(&model, Isa::best(), EnginePrecision::F32);
        let Ok(mut session) = compiled.map(|upscaler| upscaler.session()) else { return vec![None; scenes.len()] };
        let enlarge = |scene: &TrainingImage| {
            let pair = self.patches.pair(&scene.place).ok()?;
            if self.prompts.faults.is_some() {
                let known = match (knowing, pair.faults, &self.eyes) {
                    (Knowing::Told, Some(faults), _) => KnownFaults::exactly(&faults),
                    (Knowing::Seen, _, Some(eyes)) => eyes.faults_of_picture(&pair.low.clone().into_eight()).ok()?,
                    _ => KnownFaults::default(),
                };
                session.set_embedding(&compose(None, scene.mirrored.len(), &known)).ok()?;
            } else if self.network.prompt_dim().is_some() {
                session.set_embedding(&scene.mirrored).ok()?;
            }
            let target = Target { depth: Some(Depth::Eight), ..Target::default() };
            let enlarged = session.upscale_to(&pair.low, &target, &RunOptions::default(), &mut |_| true);
            enlarged.ok().map(AnyPicture::into_eight)
        };
        scenes.iter().map(enlarge).collect()
    }

    /// Returns the network with these weights, as it is shipped.
    fn deployed(&self, parameters: &[Vec<f32>]) -> (Network, Weights) {
        fold::fold(&self.network, &self.bound(parameters))
            .expect("a loss that stays finite keeps weights far from overflow")
    }

    /// Measures prompt activity over [`PROMPTS`] captions of the training pictures, or their views if there are none,
    /// at the centre of held-out pictures.
    fn activity(&self, weights: &Weights) -> PromptActivity {
        let scenes = || self.sources.iter().flat_map(|(_, scenes)| scenes);
        let mut contents: Vec<&[f32]> = scenes().flat_map(|scene| &scene.captions).map(Vec::as_slice).collect();
        if contents.is_empty() {
            contents = scenes().map(|scene| scene.view.as_slice()).collect();
        }
        let count = PROMPTS.min(contents.len());
        let prompt = |i: usize| {
            let content = contents[i * contents.len() / count];
            let faults = Degradation::Mixed { seed: i as u64 }.faults(self.network.scale);
            match (self.prompts.faults, faults) {
                (Some(_), Some(faults)) => compose(Some(content), content.len(), &KnownFaults::exactly(&faults)),
                _ => content.to_vec(),
            }
        };
        let prompts: Vec<Vec<f32>> = (0..count).map(prompt).collect();
        let prompts: Vec<&[f32]> = prompts.iter().map(Vec::as_slice).collect();
        let side = self.patch.div_ceil(2);
        let middle = |scene: &TrainingImage| {
            let low = &self.patches.pair(&scene.place).ok()?.low;
            let at = ((low.width() - side) / 2, (low.height() - side) / 2);
            Some(square(low, at, side, 0, &self.network.picture))
        };
        let pictures: Vec<Vec<f32>> = self.held_back.iter().take(PICTURES).filter_map(middle).collect();
        let modules = activity::measure(&self.network, weights, &prompts, &pictures, side);
        PromptActivity { prompts: prompts.len(), pictures: pictures.len(), modules }
    }

    /// Says how held-out pictures are measured.
    fn protocol(&self) -> &'static str {
        match self.prompts.faults {
            Some(_) => {
                "MATLAB Y, shave equal to the scale, nothing told, faults as seen or in numbers, on held-back training pictures"
            }
            None => {
                "MATLAB Y, shave equal to the scale, the mirrored picture as the prompt, on held-back training pictures"
            }
        }
    }

    fn bound(&self, parameters: &[Vec<f32>]) -> Weights {
        let tensors = self.network.params.iter().zip(parameters);
        let tensors = tensors.map(|(p, data)| (p.name.clone(), Stored::new(p.shape.clone(), data.clone())));
        self.network.bind(tensors.collect()).expect("the trainer's own parameters, which it keeps finite")
    }
}

/// Returns a square of a picture in a network's range, flipped and transposed by the three bits of `turn`, one of which
/// swaps the axes.
fn square(picture: &AnyPicture, at: (usize, usize), side: usize, turn: u8, format: &PictureFormat) -> Vec<f32> {
    let number = |mean: f64, part: f64| (format.range * (part - mean)) as f32;
    match picture {
        AnyPicture::Eight(picture) => {
            let tables =
                format.mean.map(|mean| -> [f32; 256] { std::array::from_fn(|v| number(mean, v as f64 / 255.0)) });
            turned(picture, at, side, turn, |c, v| tables[c][usize::from(v)])
        }
        AnyPicture::Sixteen(picture) => {
            turned(picture, at, side, turn, |c, v| number(format.mean[c], f64::from(v) / 65535.0))
        }
    }
}

fn turned<S: pdn_image::Sample>(
    picture: &Picture<S>,
    (left, top): (usize, usize),
    side: usize,
    turn: u8,
    number: impl Fn(usize, S) -> f32,
) -> Vec<f32> {
    let mut out = Vec::with_capacity(3 * side * side);
    for c in 0..3 {
        for y in 0..side {
            for x in 0..side {
                let (mut sx, mut sy) = if turn & 4 == 0 { (x, y) } else { (y, x) };
                sx = if turn & 1 == 0 { sx } else { side - 1 - sx };
                sy = if turn & 2 == 0 { sy } else { side - 1 - sy };
                let at = ((top + sy) * picture.width() + left + sx) * 3 + c;
                out.push(number(c, picture.rgb()[at]));
            }
        }
    }
    out
}

impl Task for SuperResolution {
    type Batch = Vec<Sample>;

    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        self.network.params.iter().map(|p| (p.name.clone(), p.shape.clone())).collect()
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn initial(&self, seed: u64) -> Vec<Vec<f32>> {
        self.start.clone().unwrap_or_else(|| initial(&self.network, BRANCH, seed))
    }

    fn draw(&self, random: &mut StdRng) -> Result<Vec<Sample>, DataError> {
        let seeds: Vec<u64> = (0..self.batch).map(|_| random.next_u64()).collect();
        seeds.par_iter().map(|seed| self.sample(*seed)).collect()
    }

    fn loss(&self, parameters: &[Tensor<1>], step: &Step, samples: &Self::Batch) -> Vec<(&'static str, Tensor<1>)> {
        let (network, batch, target) = self.batch(&parameters[0].device(), step, samples);
        let output = executor::run(&network, parameters, &batch).output;
        // Relative to white, whatever the network's range.
        vec![(self.loss.name(), self.loss.of((output - target) / self.network.picture.range))]
    }

    fn blame(&self, parameters: &[Tensor<1>], step: &Step, samples: &Self::Batch) -> Option<String> {
        let (network, batch, _) = self.batch(&parameters[0].device(), step, samples);
        executor::first_not_finite(&network, parameters, &batch)
    }

    fn evaluate(&self, parameters: &[Vec<f32>], _step: &Step) -> Vec<(String, f64)> {
        let protocol = Protocol { space: ColourSpace::YMatlab, shave: self.network.scale };
        let score = |(scene, enlarged): (&TrainingImage, Option<Picture>)| {
            let pair = self.patches.pair(&scene.place).ok();
            let score = enlarged.zip(pair).and_then(|(enlarged, pair)| psnr(&enlarged, &pair.high, protocol).ok());
            score.unwrap_or(f64::NAN)
        };
        let mean = |knowing| {
            let enlarged = self.enlarged(parameters, &self.held_back, knowing);
            self.held_back.iter().zip(enlarged).map(score).sum::<f64>() / self.held_back.len() as f64
        };
        let mut figures = vec![("PSNR".to_owned(), mean(Knowing::Nothing))];
        figures.extend(self.eyes.as_ref().map(|_| ("PSNR seen".to_owned(), mean(Knowing::Seen))));
        figures.extend(self.prompts.faults.map(|_| ("PSNR told".to_owned(), mean(Knowing::Told))));
        figures
    }

    fn samples(&self, parameters: &[Vec<f32>]) -> Vec<(String, Picture)> {
        let scenes = &self.held_back[..SAMPLES.min(self.held_back.len())];
        // Pictures of several sources may share a name.
        let mut times = HashMap::new();
        let named = |(scene, enlarged): (&TrainingImage, Option<Picture>)| {
            let name = scene.place.0.file_stem()?.to_string_lossy().into_owned();
            let times = times.entry(name.clone()).and_modify(|times| *times += 1).or_insert(1);
            Some((if *times == 1 { name } else { format!("{name}_{times}") }, enlarged?))
        };
        scenes.iter().zip(self.enlarged(parameters, scenes, Knowing::Told)).filter_map(named).collect()
    }

    fn export(&self, parameters: &[Vec<f32>], history: &History) -> Vec<u8> {
        let (network, weights) = self.deployed(parameters);
        let mut card = self.card.clone();
        if !history.restarts.is_empty() {
            card.more.insert("restarted_from_weights_at_steps".into(), history.restarts.clone().into());
        }
        if let Some(last) = history.records.last() {
            card.more.insert("steps".into(), last.step.into());
            card.more.insert("training_seconds".into(), last.seconds.round().into());
            card.more.insert(
                "held_back".into(),
                serde_json::json!({
                    "protocol": self.protocol(),
                    "pictures": self.held_back.len(),
                    "figures": last.figures,
                }),
            );
        }
        if self.network.prompt_dim().is_some() {
            card.set_activity(&self.activity(&self.bound(parameters)));
        }
        Model { network, weights, card, source: None }.to_bytes(checkpoint::Precision::F16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperature_falls_by_three_with_every_tenth() {
        let at = |done| temperature(&Step { done, of: 1000 });
        assert_eq!([0, 99, 100, 500, 999, 1000].map(at), [34.0, 34.0, 31.0, 19.0, 7.0, 7.0]);
    }

    #[test]
    fn a_patch_turns_as_its_picture_does() {
        let picture = Picture::from_rgb(3, 3, (0..27).map(|i| i * 9).collect());
        let format = PictureFormat { range: 255.0, mean: [0.0; 3] };
        let red = |turn| square(&picture.clone().into(), (0, 0), 3, turn, &format)[..9].to_vec();
        assert_eq!(
            square(&picture.converted::<u16>().into(), (0, 0), 3, 6, &format)[..9],
            red(6),
            "16 bits give the same"
        );
        let seen: std::collections::BTreeSet<Vec<i32>> =
            (0..8).map(|turn| red(turn).iter().map(|v| v.round() as i32).collect()).collect();
        assert_eq!(seen.len(), 8, "a square has eight orientations");
        assert_eq!(red(0)[..3], [0.0, 27.0, 54.0]);
        assert_eq!(red(1)[..3], [54.0, 27.0, 0.0]);
    }
}
