//! Compares the burn executor with the reference: the output of every kind of network, and gradients through the folded
//! module.

use burn::tensor::{Device, Int, Tensor, TensorData};
use pdn_engine::{Map, reference};
use pdn_network::zoo::{Clip, Compact, Edsr, Imdn, Pdn, PictureTower, Reading, TextTower, Transformer};
use pdn_network::{DcmOptions, Network, hashed};
use pdn_train::executor::weights::{flat, gradients, tensors};
use pdn_train::executor::{Batch, Words, run};

/// Returns the largest difference, relative to the largest value.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |top, v| top.max(v.abs()));
    let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    f64::from(difference / largest)
}

fn tensor<const D: usize>(data: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(data, shape), device)
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Checks a network on two pictures, each with its own prompt if the network takes one.
fn check(network: &Network, height: usize, width: usize) {
    let device = Device::flex();
    let weights = hashed::weights(network);
    let dim = network.prompt_dim();
    let size = 3 * height * width;
    let pictures = ["a", "b"].map(|name| hashed::numbers(name, size, network.picture.range));
    let prompts = ["p", "q"].map(|name| dim.map(|dim| hashed::prompt(name, dim)));
    let batch = Batch {
        picture: Some(tensor(pictures.concat(), [2, 3, height, width], &device)),
        prompt: dim.map(|dim| tensor(prompts.iter().flatten().flatten().copied().collect(), [2, dim, 1, 1], &device)),
        ..Batch::default()
    };
    let found = numbers(run(network, &tensors(&flat(network, &weights), &device), &batch).output);
    for (at, found) in found.chunks(found.len() / 2).enumerate() {
        let picture = Map::new(3, height, width, pictures[at].clone());
        let expected = reference::run(network, &weights, &picture, prompts[at].as_deref()).unwrap().picture.data;
        let difference = difference(found, &expected);
        println!("{}: {difference:.1e}", network.architecture);
        assert!(difference < 2e-5, "{} {}: {difference:e}", network.architecture, network.config);
    }
}

/// Returns every combination of a module's options.
fn modules() -> impl Iterator<Item = DcmOptions> {
    (0..16).map(|bits: u32| {
        let bit = |i: u32| bits >> i & 1 == 1;
        DcmOptions {
            dim: 32,
            kernel: if bit(0) { 3 } else { 1 },
            attention: bit(1),
            dynamic: bit(2),
            residual: bit(3),
            ..DcmOptions::default()
        }
    })
}

fn plus(dcm: DcmOptions) -> Network {
    Edsr { features: 12, blocks: 2, ..Edsr::baseline(2) }.plus(dcm).build().unwrap()
}

#[test]
fn values_are_the_reference_s() {
    check(&Edsr { features: 16, blocks: 2, ..Edsr::baseline(3) }.build().unwrap(), 11, 19);
    check(&Imdn { features: 16, blocks: 2, ..Imdn::published(4) }.build().unwrap(), 10, 13);
    let pdn = Pdn { features: 16, groups: 2, blocks: 2, modules: 1, ..Pdn::medium(4) };
    check(&Pdn { channel_attention: Some(4), ..pdn }.build().unwrap(), 9, 14);
    check(&Compact { convs: 3, modules: 2, ..Compact::small(4) }.build().unwrap(), 9, 11);
    for dcm in modules() {
        check(&plus(dcm), 8, 9);
    }
}

fn small_clip(picture: PictureTower) -> Clip {
    let blocks = Transformer { width: 32, heads: 4, layers: 2, quick_gelu: false };
    Clip { dim: 24, text: TextTower { vocabulary: 100, context: 16, blocks, reading: Reading::End }, picture }
}

#[test]
fn towers_are_the_reference_s() {
    let blocks = Transformer { width: 32, heads: 2, layers: 2, quick_gelu: true };
    for picture in [
        PictureTower::Vit { side: 32, patch: 8, blocks },
        PictureTower::Convolutions { side: 32, stages: vec![(16, 1), (24, 1)] },
        PictureTower::Plain { side: 32, stages: vec![(8, 2), (12, 1), (16, 2)] },
    ] {
        check(&small_clip(picture).picture_network().unwrap(), 32, 32);
    }
}

#[test]
fn sentences_are_padded_without_a_trace() {
    let device = Device::flex();
    for reading in [Reading::End, Reading::Mean] {
        let mut clip = small_clip(PictureTower::Convolutions { side: 8, stages: vec![(8, 0)] });
        clip.text.reading = reading;
        check_sentences(&clip.text_network().unwrap(), &device);
    }
}

fn check_sentences(network: &Network, device: &Device) {
    let weights = hashed::weights(network);
    let sentences: [&[usize]; 2] = [&[98, 5, 7, 11, 2, 99], &[98, 40, 99]];
    let padded: Vec<i32> = sentences.iter().flat_map(|s| (0..6).map(|i| *s.get(i).unwrap_or(&0) as i32)).collect();
    let last: Vec<i32> = sentences.iter().map(|s| s.len() as i32 - 1).collect();
    let words = Words {
        tokens: Tensor::<2, Int>::from_data(TensorData::new(padded, [2, 6]), device),
        last: Tensor::<1, Int>::from_data(TensorData::new(last, [2]), device),
    };
    let batch = Batch { words: Some(words), ..Batch::default() };
    let found = numbers(run(network, &tensors(&flat(network, &weights), device), &batch).output);
    for (found, sentence) in found.chunks(24).zip(sentences) {
        let expected: Vec<f32> = reference::encode(network, &weights, sentence).unwrap();
        assert!(difference(found, &expected) < 1e-5);
    }
}

#[test]
fn gradients_are_the_reference_s() {
    let stages = vec![(8, 1), (12, 1)];
    check_gradients(&small_clip(PictureTower::Convolutions { side: 16, stages }).picture_network().unwrap());
    // The last convolution is shuffled as it is stored.
    check_gradients(&Edsr { features: 16, blocks: 2, ..Edsr::baseline(2) }.build().unwrap());
}

/// Compares gradients with finite differences of the reference in float64.
fn check_gradients(network: &Network) {
    let device = Device::flex().autodiff();
    let weights = hashed::weights(network);
    let parameters = flat(network, &weights);
    let picture = hashed::numbers("x", 3 * 256, 1.0);
    let batch = Batch { picture: Some(tensor(picture.clone(), [1, 3, 16, 16], &device)), ..Batch::default() };
    let at = tensors(&parameters, &device);
    let output = run(network, &at, &batch).output;
    let shape = output.dims();
    let probe = hashed::numbers("probe", shape.iter().product(), 1.0);
    let loss = (output * tensor(probe.clone(), shape, &device)).sum();
    let found = gradients(&loss, &at);
    let picture = Map::new(3, 16, 16, picture.iter().map(|v| f64::from(*v)).collect());
    let value = |parameters: &[Vec<f32>]| -> f64 {
        let named = network.params.iter().zip(parameters);
        let named = named.map(|(p, data)| (p.name.clone(), pdn_network::Tensor::new(p.shape.clone(), data.clone())));
        let weights = network.bind(named.collect()).unwrap();
        let out = reference::run(network, &weights, &picture, None).unwrap().picture.data;
        out.iter().zip(&probe).map(|(v, p)| v * f64::from(*p)).sum()
    };
    for (i, param) in network.params.iter().enumerate() {
        let place = param.len() / 2;
        let shifted = |by: f32| {
            let mut parameters = parameters.clone();
            parameters[i][place] += by;
            (value(&parameters), f64::from(parameters[i][place]))
        };
        let ((up, a), (down, b)) = (shifted(1e-4), shifted(-1e-4));
        let (slope, found) = ((up - down) / (a - b), f64::from(found[i][place]));
        assert!((slope - found).abs() < 1e-3 * (1.0 + slope.abs()), "{}: {found} {slope}", param.name);
    }
}

#[test]
fn the_folded_module_has_the_direct_one_s_gradients() {
    let device = Device::flex().autodiff();
    for dcm in modules() {
        let network = plus(dcm);
        let parameters = flat(&network, &hashed::weights(&network));
        let batch = Batch {
            picture: Some(tensor(hashed::numbers("x", 2 * 3 * 8 * 9, 255.0), [2, 3, 8, 9], &device)),
            prompt: Some(tensor([hashed::prompt("p", 32), hashed::prompt("q", 32)].concat(), [2, 32, 1, 1], &device)),
            ..Batch::default()
        };
        let probe = tensor(hashed::numbers("probe", 2 * 3 * 16 * 18, 1.0), [2, 3, 16, 18], &device);
        let backward = |network: &Network| {
            let parameters = tensors(&parameters, &device);
            let loss = (run(network, &parameters, &batch).output * probe.clone()).mean();
            gradients(&loss, &parameters)
        };
        for ((folded, direct), param) in backward(&network).iter().zip(backward(&network.lower())).zip(&network.params)
        {
            let difference = difference(folded, &direct);
            assert!(difference < 2e-3, "{} with {dcm:?}: {difference:e}", param.name);
        }
    }
}
