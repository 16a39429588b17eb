//! Measures prompt activity ([`Activity`]): runs a network with many prompts on the same pictures.

use crate::executor::dcm::Trace;
use crate::executor::weights::{flat, tensors};
use crate::executor::{self, Batch};
use burn::tensor::{Device, Tensor, TensorData};
use pdn_engine::fold;
use pdn_network::{Activity, Dcm, Network, Weights};

/// Prompts per batch.
const BATCH: usize = 20;

/// Measures a network's modules in the train form over prompts of unit length, on square pictures in the network's
/// range, `[3, side, side]`.
///
/// # Panics
/// If a prompt or a picture has the wrong length.
pub fn measure(
    network: &Network,
    weights: &Weights,
    prompts: &[&[f32]],
    pictures: &[Vec<f32>],
    side: usize,
) -> Vec<Activity> {
    let (Some(dim), device) = (network.prompt_dim(), Device::flex()) else { return Vec::new() };
    let parameters = tensors(&flat(network, weights), &device);
    // Variances over the prompts, at each position of every module's mixture and mask.
    let mut variances: Vec<[Vec<f64>; 2]> = network.dcms().map(|_| Default::default()).collect();
    for picture in pictures {
        let mut sums: Vec<[Sums; 2]> = network.dcms().map(|_| Default::default()).collect();
        for prompts in prompts.chunks(BATCH) {
            let many = |data: Vec<f32>, shape: [usize; 4]| Tensor::from_data(TensorData::new(data, shape), &device);
            let batch = Batch {
                picture: Some(many(picture.repeat(prompts.len()), [prompts.len(), 3, side, side])),
                prompt: Some(many(prompts.concat(), [prompts.len(), dim, 1, 1])),
                ..Batch::default()
            };
            let traces = executor::run(network, &parameters, &batch).dcms;
            for (sums, trace) in sums.iter_mut().zip(&traces) {
                sums.iter_mut().zip(numbers(trace, prompts.len())).for_each(|(sums, rows)| sums.add(&rows));
            }
        }
        for (all, sums) in variances.iter_mut().flatten().zip(sums.iter().flatten()) {
            all.extend(sums.variances());
        }
    }
    let deviation = |variances: Vec<f64>| {
        let mean = variances.iter().sum::<f64>() / variances.len() as f64;
        (!variances.is_empty()).then(|| mean.sqrt())
    };
    let (deployed, weights) =
        fold::fold(network, weights).expect("a loss that stays finite keeps weights far from overflow");
    let modules = deployed.dcms().zip(variances);
    modules
        .map(|(dcm, [mixture, mask])| Activity {
            module: dcm.name.clone(),
            mixture: deviation(mixture),
            mask: deviation(mask),
            bank: bank_distance(dcm, &weights),
        })
        .collect()
}

/// Returns a row of numbers per prompt: of the mixture, and of the mask.
fn numbers(trace: &Trace, prompts: usize) -> [Vec<Vec<f32>>; 2] {
    [&trace.mixture, &trace.mask].map(|tensor| {
        let Some(tensor) = tensor else { return Vec::new() };
        let data: Vec<f32> = tensor.clone().into_data().try_into_vec().expect("the executor computes in f32");
        data.chunks(data.len() / prompts).map(<[f32]>::to_vec).collect()
    })
}

/// Sums and sums of squares over prompts, at each position.
#[derive(Clone, Debug, Default)]
struct Sums {
    count: f64,
    places: Vec<[f64; 2]>,
}

impl Sums {
    fn add(&mut self, rows: &[Vec<f32>]) {
        for row in rows {
            self.places.resize(row.len(), [0.0; 2]);
            self.count += 1.0;
            for ([sum, squares], v) in self.places.iter_mut().zip(row) {
                *sum += f64::from(*v);
                *squares += f64::from(*v).powi(2);
            }
        }
    }

    fn variances(&self) -> impl Iterator<Item = f64> {
        let variance = |[sum, squares]: &[f64; 2]| (squares / self.count - (sum / self.count).powi(2)).max(0.0);
        self.places.iter().map(variance)
    }
}

/// Returns the smallest distance between two kernels of a module's bank, composed with the projection as they are
/// applied.
fn bank_distance(dcm: &Dcm, weights: &Weights) -> Option<f64> {
    let count = dcm.mlp.map(|_| dcm.options.kernels)?;
    let bank = weights[dcm.kernel.0].data();
    let kernels: Vec<&[f32]> = bank.chunks(bank.len() / count).collect();
    let squares = |numbers: &mut dyn Iterator<Item = f32>| numbers.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let length = (squares(&mut bank.iter().copied()) / count as f64).sqrt();
    let pairs = (0..count).flat_map(|a| (0..a).map(move |b| (a, b)));
    let distance = |(a, b): (usize, usize)| squares(&mut kernels[a].iter().zip(kernels[b]).map(|(a, b)| a - b)).sqrt();
    let least = pairs.map(distance).min_by(f64::total_cmp)?;
    Some(if length > 0.0 { least / length } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdn_engine::{Map, reference};
    use pdn_network::zoo::Edsr;
    use pdn_network::{DcmOptions, hashed};

    const SIDE: usize = 5;

    /// Returns a network of one module, its weights, a picture, and prompts.
    fn case() -> (Network, Weights, Vec<f32>, [Vec<f32>; 2]) {
        let dcm = DcmOptions { dim: 24, ..DcmOptions::default() };
        let network = Edsr { features: 16, blocks: 1, ..Edsr::baseline(2) }.plus(dcm).build().unwrap();
        let picture = hashed::numbers("picture", 3 * SIDE * SIDE, 127.5);
        let weights = hashed::weights(&network);
        (network, weights, picture, ["a", "b"].map(|name| hashed::prompt(name, 24)))
    }

    #[test]
    fn equal_prompts_move_nothing() {
        let (network, weights, picture, [a, _]) = case();
        let found = &measure(&network, &weights, &[&a, &a, &a], &[picture], SIDE)[0];
        assert!(found.mixture.unwrap() < 1e-6 && found.mask.unwrap() < 1e-4, "{found:?}");
        assert!(found.bank.unwrap() > 0.5, "{found:?}");
    }

    #[test]
    fn masks_move_as_the_reference_s_do() {
        let (network, weights, picture, [a, b]) = case();
        let found = measure(&network, &weights, &[&a, &b], std::slice::from_ref(&picture), SIDE);
        let map = Map::new(3, SIDE, SIDE, picture);
        let [a, b] =
            [&a, &b].map(|p| reference::run(&network, &weights, &map, Some(p)).unwrap().taps[0].1.data.clone());
        // The deviation of two numbers is half their difference.
        let squares = a.iter().zip(&b).map(|(a, b)| f64::from((a - b) / 2.0).powi(2)).sum::<f64>();
        let expected = (squares / (SIDE * SIDE) as f64).sqrt();
        assert!((found[0].mask.unwrap() - expected).abs() < 1e-3 * expected, "{found:?} {expected}");
    }

    #[test]
    fn a_bank_of_equal_kernels_has_no_distance() {
        let (network, weights, picture, [a, b]) = case();
        let mut named = network.name_weights(weights);
        let bank = named.get_mut("body.0.dcm.bank.weight").unwrap();
        let (shape, mut data) = (bank.shape().to_vec(), bank.data().to_vec());
        let (first, second) = data.split_at_mut(shape.iter().product::<usize>() / 4);
        second[..first.len()].copy_from_slice(first);
        *bank = pdn_network::Tensor::new(shape, data);
        let weights = network.bind(named).unwrap();
        let found = &measure(&network, &weights, &[&a, &b], &[picture], SIDE)[0];
        assert!(found.bank.unwrap() < 1e-6 && found.inactive().contains(&"bank"), "{found:?}");
    }
}
