//! Prompt activity: how much of a network's modules moves when only the prompt changes.
//!
//! A module reads the prompt twice: for the mixture of its kernels (the paper's equation 4) and for its mask (equation 2).
//! A mixture that is the same for every sentence, or a bank whose kernels have grown alike, is no dynamic convolution,
//! whatever the network's PSNR: so each branch is measured, over many prompts, and a shipped card carries the figures.

use crate::dcm::Trace;
use crate::executor::{self, Batch};
use crate::weights::{flat, tensors};
use burn::tensor::{Device, Tensor, TensorData};
use pdn_engine::fold;
use pdn_network::{Dcm, Network, Weights};
use serde::{Deserialize, Serialize};

/// What one module does with prompts. A branch that the module does not have is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// The module.
    pub module: String,
    /// Standard deviation of π over prompts, root mean square over the kernels. π's parts sum to 1.
    pub mixture: Option<f64>,
    /// Standard deviation of the mask over prompts at a pixel, root mean square over the pixels. Masks are 0 to 1.
    pub mask: Option<f64>,
    /// Smallest distance of two bank kernels, over the root mean square of the kernels' lengths.
    pub bank: Option<f64>,
}

/// Prompts that run at once.
const BATCH: usize = 20;

/// Measures a network's modules in the train form over prompts of unit length, on square pictures in the network's range,
/// `[3, side, side]`.
///
/// # Panics
/// When a prompt or a picture is not of its length.
pub fn measure(
    network: &Network,
    weights: &Weights,
    prompts: &[&[f32]],
    pictures: &[Vec<f32>],
    side: usize,
) -> Vec<Activity> {
    let (Some(dim), device) = (network.prompt_dim(), Device::flex()) else { return Vec::new() };
    let parameters = tensors(&flat(network, weights), &device);
    let mut spreads: Vec<[Spread; 2]> = network.dcms().map(|_| Default::default()).collect();
    for picture in pictures {
        let mut seen: Vec<[Spread; 2]> = network.dcms().map(|_| Default::default()).collect();
        for prompts in prompts.chunks(BATCH) {
            let many = |data: Vec<f32>, shape: [usize; 4]| Tensor::from_data(TensorData::new(data, shape), &device);
            let batch = Batch {
                picture: Some(many(picture.repeat(prompts.len()), [prompts.len(), 3, side, side])),
                prompt: Some(many(prompts.concat(), [prompts.len(), dim, 1, 1])),
                words: None,
            };
            let traces = executor::run(network, &parameters, &batch).dcms;
            for (seen, trace) in seen.iter_mut().zip(&traces) {
                seen.iter_mut().zip(numbers(trace, prompts.len())).for_each(|(seen, rows)| seen.add(&rows));
            }
        }
        for (all, seen) in spreads.iter_mut().flatten().zip(seen.into_iter().flatten()) {
            all.join(seen);
        }
    }
    let (deployed, weights) = fold::fold(network, weights);
    let modules = deployed.dcms().zip(spreads);
    modules
        .map(|(dcm, [mixture, mask])| Activity {
            module: dcm.name.clone(),
            mixture: mixture.deviation(),
            mask: mask.deviation(),
            bank: bank_distance(dcm, &weights),
        })
        .collect()
}

/// A row of numbers for each prompt: the mixture's, and the mask's.
fn numbers(trace: &Trace, prompts: usize) -> [Vec<Vec<f32>>; 2] {
    [&trace.mixture, &trace.mask].map(|tensor| {
        let Some(tensor) = tensor else { return Vec::new() };
        let data: Vec<f32> = tensor.clone().into_data().try_into_vec().expect("the executor computes in f32");
        data.chunks(data.len() / prompts).map(<[f32]>::to_vec).collect()
    })
}

/// Sums from which standard deviations over prompts come, a pair for each place.
#[derive(Clone, Debug, Default)]
struct Spread {
    count: f64,
    sums: Vec<[f64; 2]>,
    /// Variances of the pictures before, one for each place.
    variances: Vec<f64>,
}

impl Spread {
    fn add(&mut self, rows: &[Vec<f32>]) {
        for row in rows {
            self.sums.resize(row.len(), [0.0; 2]);
            self.count += 1.0;
            for ([sum, squares], v) in self.sums.iter_mut().zip(row) {
                *sum += f64::from(*v);
                *squares += f64::from(*v).powi(2);
            }
        }
    }

    /// Takes over the variances of one picture.
    fn join(&mut self, one: Self) {
        let variance = |[sum, squares]: [f64; 2]| (squares / one.count - (sum / one.count).powi(2)).max(0.0);
        self.variances.extend(one.sums.into_iter().map(variance));
    }

    fn deviation(&self) -> Option<f64> {
        let mean = self.variances.iter().sum::<f64>() / self.variances.len() as f64;
        (!self.variances.is_empty()).then(|| mean.sqrt())
    }
}

/// The smallest distance of two kernels of a module's bank as they work: composed with the projection.
fn bank_distance(dcm: &Dcm, weights: &Weights) -> Option<f64> {
    let count = dcm.mlp.map(|_| dcm.options.kernels)?;
    let bank = weights[dcm.kernel.0].data();
    let kernels: Vec<&[f32]> = bank.chunks(bank.len() / count).collect();
    let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let length = (squares(&mut bank.iter().copied()) / count as f64).sqrt();
    let pairs = (0..count).flat_map(|a| (0..a).map(move |b| (a, b)));
    let distance = |(a, b): (usize, usize)| squares(&mut kernels[a].iter().zip(kernels[b]).map(|(a, b)| a - b)).sqrt();
    pairs.map(distance).min_by(f64::total_cmp).map(|least| least / length)
}
