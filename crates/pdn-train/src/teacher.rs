//! SqueezeNet 1.1 (Iandola et al. 2016) as a teacher: what it sees in a picture.
//!
//! It saw ImageNet's million pictures; a tower that learns from thousands is helped by what it says of each. It is used in
//! training only, from the OpenVINO form of the published Caffe weights: BGR in 0..255 less a mean. What it sees are the
//! features of its last fire module, averaged over the picture and over each quarter of it, and its thousand classes before
//! the softmax.

use crate::convolution::{Pixels, Then, convolve};
use crate::data::{DataError, hex};
use burn::tensor::module::{adaptive_avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};
use pdn_image::{Picture, resize_to};
use rayon::prelude::*;
use regex::Regex;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Channels of its features.
pub const FEATURES: usize = 512;

/// Numbers that it says of a whole picture: its features and its classes.
pub const WHOLE: usize = FEATURES + 1000;

/// What the teacher sees in a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// [`WHOLE`] numbers.
    pub whole: Vec<f32>,
    /// [`FEATURES`] numbers for each quarter: left and right above, left and right below.
    pub quarters: [Vec<f32>; 4],
}

/// Pixels a side at which pictures are looked at: less than the published 227, at half the cost.
const SIDE: usize = 159;

/// Pictures at once.
const BATCH: usize = 64;

/// Its pools: 3x3, every second pixel, the last window cut at the edge.
const POOL: MaxPoolOptions<2> = MaxPoolOptions {
    kernel_size: [3, 3],
    stride: [2, 2],
    padding: [(0, 0), (0, 0)],
    dilation: [1, 1],
    ceil_mode: true,
};

/// SqueezeNet 1.1.
#[derive(Debug)]
pub struct Teacher {
    mean: [f32; 3],
    first: (Tensor<4>, Tensor<1>),
    /// For each fire module: squeeze, expand 1x1, expand 3x3.
    fires: Vec<[(Tensor<5>, Tensor<2>); 3]>,
    classes: (Tensor<5>, Tensor<2>),
    device: Device,
    id: String,
}

impl Teacher {
    /// The beginning of its weights' sha256.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Reads `squeezenet1.1.xml` and `squeezenet1.1.bin` in a folder.
    ///
    /// # Errors
    /// [`DataError`] names the file and what was expected.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let (xml, bin) = (folder.join("squeezenet1.1.xml"), folder.join("squeezenet1.1.bin"));
        let wrong = |path: &Path, why: String| DataError { path: path.to_owned(), why };
        let text = std::fs::read_to_string(&xml).map_err(|e| wrong(&xml, format!("cannot be read: {e}")))?;
        let bytes = std::fs::read(&bin).map_err(|e| wrong(&bin, format!("cannot be read: {e}")))?;
        let constants = constants(&text, &bytes).ok_or_else(|| wrong(&xml, "is no SqueezeNet 1.1 in f16".into()))?;
        // The mean, then a kernel and a bias for each convolution: the first, eight fire modules of three, the classifier.
        if constants.len() < 1 + 2 * 26 {
            return Err(wrong(&xml, format!("holds {} constants, expected 53 or more", constants.len())));
        }
        let device = Device::flex();
        let mut rest = constants.into_iter();
        let mut next = || rest.next().expect("counted above");
        let (_, mean) = next();
        let mean = <[f32; 3]>::try_from(mean).map_err(|_| wrong(&xml, "its mean is no colour".into()))?;
        let flat = |data: Vec<f32>| {
            let len = data.len();
            Tensor::<1>::from_data(TensorData::new(data, [len]), &device)
        };
        let (kernel, bias) = (next(), next());
        let shape: [usize; 4] = kernel.0.try_into().map_err(|_| wrong(&xml, "its first kernel".into()))?;
        let first = (flat(kernel.1).reshape(shape), flat(bias.1));
        let mut layer = || -> Result<_, DataError> {
            let ((shape, kernel), (_, bias)) = (next(), next());
            let [o, i, k, _] = <[usize; 4]>::try_from(shape).map_err(|_| wrong(&xml, "a kernel".into()))?;
            Ok((flat(kernel).reshape([1, o, i, k, k]), flat(bias).reshape([1, o])))
        };
        let mut fires = Vec::new();
        for _ in 0..8 {
            fires.push([layer()?, layer()?, layer()?]);
        }
        let classes = layer()?;
        Ok(Self { mean, first, fires, classes, device, id: hex(&Sha256::digest(&bytes)[..6]) })
    }

    /// What it sees in pictures.
    pub fn see(&self, pictures: &[Picture]) -> Vec<Seen> {
        let mut all = Vec::with_capacity(pictures.len());
        for pictures in pictures.chunks(BATCH) {
            let pixels: Vec<Vec<f32>> = pictures.par_iter().map(|picture| self.look(picture)).collect();
            let shape = [pictures.len(), 3, SIDE, SIDE];
            let map = self.run(Tensor::from_data(TensorData::new(pixels.concat(), shape), &self.device));
            let (kernel, bias) = self.classes.clone();
            let classes = convolve(Pixels::of_planes(map.clone()), kernel, bias, Then::RELU).planes();
            let mean = |map: Tensor<4>| numbers(map.mean_dim(3).mean_dim(2));
            let (features, classes) = (mean(map.clone()), mean(classes));
            let quarters = numbers(adaptive_avg_pool2d(map, [2, 2]));
            for ((features, classes), quarters) in
                features.chunks(FEATURES).zip(classes.chunks(WHOLE - FEATURES)).zip(quarters.chunks(4 * FEATURES))
            {
                let quarter = |q: usize| quarters.iter().skip(q).step_by(4).copied().collect();
                all.push(Seen { whole: [features, classes].concat(), quarters: [0, 1, 2, 3].map(quarter) });
            }
        }
        all
    }

    fn look(&self, picture: &Picture) -> Vec<f32> {
        let square = resize_to(picture, SIDE, SIDE);
        let channel = |c: usize| square.plane(2 - c).map(move |v| f32::from(v) + self.mean[c]);
        (0..3).flat_map(|c| channel(c).collect::<Vec<f32>>()).collect()
    }

    fn run(&self, x: Tensor<4>) -> Tensor<4> {
        let (kernel, bias) = &self.first;
        let options = ConvOptions::new([2, 2], [0, 0], [1, 1], 1);
        let mut x = activation::relu(conv2d(x, kernel.clone(), Some(bias.clone()), options));
        for (i, fire) in self.fires.iter().enumerate() {
            if matches!(i, 0 | 2 | 4) {
                x = max_pool2d(x, POOL);
            }
            let layer = |x: Pixels, (kernel, bias): &(Tensor<5>, Tensor<2>)| {
                convolve(x, kernel.clone(), bias.clone(), Then::RELU)
            };
            let squeezed = layer(Pixels::of_planes(x), &fire[0]);
            x = Tensor::cat(vec![layer(squeezed.clone(), &fire[1]).planes(), layer(squeezed, &fire[2]).planes()], 1);
        }
        x
    }
}

fn numbers(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("features are f32")
}

/// A constant's shape and numbers.
type Constant = (Vec<usize>, Vec<f32>);

/// The constants of an OpenVINO network, in their order; `None` where one is not f16 or lies outside the file.
fn constants(xml: &str, bytes: &[u8]) -> Option<Vec<Constant>> {
    let constant =
        Regex::new(r#"type="Const"[^>]*>\s*<data offset="(\d+)" size="(\d+)" shape="([\d,]*)" element_type="(\w+)""#)
            .expect("a fixed expression");
    let numbers = constant.captures_iter(xml).filter(|found| &found[4] == "f16");
    let read = numbers.map(|found| {
        let (offset, size): (usize, usize) = (found[1].parse().ok()?, found[2].parse().ok()?);
        let shape = found[3].split(',').map(|n| n.parse().ok()).collect::<Option<Vec<usize>>>()?;
        let data = bytes.get(offset..offset.checked_add(size)?)?;
        let data: Vec<f32> = data.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
        (shape.iter().product::<usize>() == data.len()).then_some((shape, data))
    });
    read.collect()
}
