//! SqueezeNet 1.1 (Iandola et al. 2016) as a teacher: its features of a picture.
//!
//! It was trained on ImageNet's million pictures, which helps a tower that learns from thousands. It is used in
//! training only, from the OpenVINO form of the published Caffe weights: BGR in 0..255 minus a mean. Its output for a
//! whole picture is the features of its last fire module and its thousand class scores before the softmax, both
//! averaged; its intermediate maps are those of its fire modules.

use crate::data::{DataError, hex};
use crate::executor::convolution::{Pixels, Then, convolve};
use burn::tensor::{Device, Tensor, TensorData};
use pdn_image::{Picture, resize_to};
use pdn_network::file;
use rayon::prelude::*;
use regex::Regex;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::Path;

/// The most bytes of its files; the larger one has 2.5 million.
const MOST: u64 = 64 << 20;

/// Channels of its features.
pub const FEATURES: usize = 512;

/// Numbers per whole picture: its features and its class scores.
pub const WHOLE: usize = FEATURES + 1000;

/// Channels of its intermediate maps, coarse ones first: of its last fire module, and of those before its pools.
pub(crate) const CHANNELS: [usize; 3] = [FEATURES, 256, 128];

/// The side of its input in pixels: less than the published 227, at half the cost.
pub(crate) const SIDE: usize = 159;

/// The side of its first convolution's output in pixels: the 3x3 kernel has a stride of two.
const MOVES: usize = (SIDE - 3) / 2 + 1;

/// Pictures that a thread runs at once: few, so that each layer's output is still in cache for the next.
const BATCH: usize = 8;

/// SqueezeNet 1.1.
#[derive(Debug)]
pub struct Teacher {
    mean: [f32; 3],
    /// The first convolution, as a layer over its unfolded input.
    first: (Tensor<5>, Tensor<2>),
    /// For each fire module: squeeze, expand 1x1, expand 3x3.
    fires: Vec<[(Tensor<5>, Tensor<2>); 3]>,
    classes: (Tensor<5>, Tensor<2>),
    device: Device,
    id: String,
}

impl Teacher {
    /// Returns the first digits of the sha256 of its weights.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Reads `squeezenet1.1.xml` and `squeezenet1.1.bin` from a folder.
    ///
    /// # Errors
    /// [`DataError`] names the file and what was expected.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let (xml, bin) = (folder.join("squeezenet1.1.xml"), folder.join("squeezenet1.1.bin"));
        let wrong = |path: &Path, why: String| DataError { path: path.to_owned(), why };
        let text = file::read_text(&xml, MOST).map_err(|e| wrong(&xml, format!("cannot be read: {e}")))?;
        let bytes = file::read(&bin, MOST).map_err(|e| wrong(&bin, format!("cannot be read: {e}")))?;
        let constants = constants(&text, &bytes).ok_or_else(|| wrong(&xml, "is not SqueezeNet 1.1 in f16".into()))?;
        // The mean, then a kernel and a bias per convolution: the first, eight fire modules of three, the classifier.
        if constants.len() < 1 + 2 * 26 {
            return Err(wrong(&xml, format!("holds {} constants; expected at least 53", constants.len())));
        }
        let device = Device::flex();
        let mut rest = constants.into_iter();
        let mut next = || rest.next().expect("counted above");
        let (_, mean) = next();
        let mean = <[f32; 3]>::try_from(mean)
            .map_err(|_| wrong(&xml, "its mean is not a colour; expected 3 numbers".into()))?;
        let flat = |data: Vec<f32>| {
            let len = data.len();
            Tensor::<1>::from_data(TensorData::new(data, [len]), &device)
        };
        let (kernel, bias) = (next(), next());
        let [o, 3, 3, 3] = kernel.0[..] else {
            return Err(wrong(&xml, "its first kernel has the wrong shape; expected 3x3 over 3 channels".into()));
        };
        let first = (flat(kernel.1).reshape([1, o, 27, 1, 1]), flat(bias.1).reshape([1, o]));
        let mut layer = || -> Result<_, DataError> {
            let ((shape, kernel), (_, bias)) = (next(), next());
            let [o, i, k, _] = <[usize; 4]>::try_from(shape)
                .map_err(|_| wrong(&xml, "one of its kernels has the wrong shape; expected 4 axes".into()))?;
            Ok((flat(kernel).reshape([1, o, i, k, k]), flat(bias).reshape([1, o])))
        };
        let mut fires = Vec::new();
        for _ in 0..8 {
            fires.push([layer()?, layer()?, layer()?]);
        }
        let classes = layer()?;
        Ok(Self { mean, first, fires, classes, device, id: hex(&Sha256::digest(&bytes)[..6]) })
    }

    /// Returns its output for pictures: [`WHOLE`] numbers each.
    pub fn see(&self, pictures: &[Picture]) -> Vec<Vec<f32>> {
        self.explain(pictures, &[]).0
    }

    /// Returns its output for pictures, and for each of the first entries of [`CHANNELS`] for which `sides` has a
    /// number, the map `[pictures, side, side, channels]`, averaged to that many pixels a side.
    pub(crate) fn explain(&self, pictures: &[Picture], sides: &[usize]) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let mut all = (Vec::new(), vec![Vec::new(); sides.len()]);
        let some: Vec<_> = pictures.par_chunks(BATCH).map(|pictures| self.look_at(pictures, sides)).collect();
        for (whole, maps) in some {
            all.0.extend(whole);
            all.1.iter_mut().zip(maps).for_each(|(all, map)| all.extend(map));
        }
        all
    }

    fn look_at(&self, pictures: &[Picture], sides: &[usize]) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let pixels: Vec<Vec<f32>> = pictures.par_iter().map(|picture| self.look(picture)).collect();
        let shape = [pictures.len(), MOVES, MOVES, 3 * 3 * 3];
        let maps = self.run(Pixels::new(Tensor::from_data(TensorData::new(pixels.concat(), shape), &self.device)));
        let (kernel, bias) = self.classes.clone();
        let classes = Square::of(convolve(maps[0].pixels(&self.device), kernel, bias, Then::RELU)).averaged(1).numbers;
        let features = maps[0].averaged(1).numbers;
        let whole = features.chunks(FEATURES).zip(classes.chunks(WHOLE - FEATURES));
        let whole = whole.map(|(features, classes)| [features, classes].concat()).collect();
        (whole, maps.iter().zip(sides).map(|(map, side)| map.averaged(*side).numbers).collect())
    }

    /// Unfolds a picture for the first convolution: blue, green and red, each 3x3, at each position of the kernel.
    fn look(&self, picture: &Picture) -> Vec<f32> {
        let square = resize_to(picture, SIDE, SIDE);
        let channel = |c: usize| square.plane(2 - c).map(|v| f32::from(v) + self.mean[c]).collect::<Vec<f32>>();
        let channels = [0, 1, 2].map(channel);
        let mut covered = Vec::with_capacity(MOVES * MOVES * 27);
        for (y, x) in (0..MOVES).flat_map(|y| (0..MOVES).map(move |x| (y, x))) {
            for channel in &channels {
                (0..3).for_each(|row| covered.extend_from_slice(&channel[(2 * y + row) * SIDE + 2 * x..][..3]));
            }
        }
        covered
    }

    /// Returns the maps of [`CHANNELS`], and that of the first convolution.
    fn run(&self, x: Pixels) -> Vec<Square> {
        let (kernel, bias) = self.first.clone();
        let mut maps = vec![Square::of(convolve(x, kernel, bias, Then::RELU))];
        let mut x = maps[0].pooled().pixels(&self.device);
        for (i, fire) in self.fires.iter().enumerate() {
            let layer = |x: Pixels, (kernel, bias): &(Tensor<5>, Tensor<2>)| {
                convolve(x, kernel.clone(), bias.clone(), Then::RELU)
            };
            let squeezed = layer(x, &fire[0]);
            let expanded =
                Tensor::cat(vec![layer(squeezed.clone(), &fire[1]).map(), layer(squeezed, &fire[2]).map()], 3);
            x = Pixels::new(expanded);
            if matches!(i, 1 | 3 | 7) {
                maps.insert(0, Square::of(x));
                x = maps[0].pooled().pixels(&self.device);
            }
        }
        maps
    }
}

/// Square maps of several pictures, channels last.
struct Square {
    numbers: Vec<f32>,
    side: usize,
    channels: usize,
}

impl Square {
    fn of(map: Pixels) -> Self {
        let [_, side, _, channels] = map.dims();
        let numbers = map.map().into_data().try_into_vec().expect("maps are f32");
        Self { numbers, side, channels }
    }

    fn pixels(&self, device: &Device) -> Pixels {
        let images = self.numbers.len() / (self.side * self.side * self.channels);
        let shape = [images, self.side, self.side, self.channels];
        Pixels::new(Tensor::from_data(TensorData::new(self.numbers.clone(), shape), device))
    }

    /// Computes the maximum of 3x3 at every second pixel, clipping the last window at the edge: SqueezeNet's pool.
    fn pooled(&self) -> Self {
        let side = (self.side - 3).div_ceil(2) + 1;
        self.windows(side, |at| 2 * at..(2 * at + 3).min(self.side), f32::max, |_| 1.0)
    }

    /// Averages to `side` pixels a side, over windows that overlap if the ratio of the sides is not whole.
    fn averaged(&self, side: usize) -> Self {
        let window = |at: usize| at * self.side / side..((at + 1) * self.side).div_ceil(side);
        self.windows(side, window, |sum, v| sum + v, |pixels| 1.0 / pixels as f32)
    }

    /// Combines, for each pixel of the output, the numbers of a window of columns and rows, scaled by a factor of their
    /// count.
    fn windows(
        &self,
        side: usize,
        window: impl Fn(usize) -> Range<usize> + Sync,
        join: impl Fn(f32, f32) -> f32 + Sync,
        worth: impl Fn(usize) -> f32 + Sync,
    ) -> Self {
        let (from, channels) = (self.side, self.channels);
        let images = self.numbers.len() / (from * from * channels);
        let mut numbers = vec![0.0; images * side * side * channels];
        numbers.par_chunks_mut(side * channels).enumerate().for_each(|(row, out)| {
            let (image, y) = (row / side, row % side);
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                let (rows, columns) = (window(y), window(x));
                let count = rows.len() * columns.len();
                let mut pixels = rows.flat_map(|y| columns.clone().map(move |x| (image * from + y) * from + x));
                let pixel = |at: usize| &self.numbers[at * channels..][..channels];
                pixels.by_ref().take(1).for_each(|at| out.copy_from_slice(pixel(at)));
                for at in pixels {
                    out.iter_mut().zip(pixel(at)).for_each(|(out, v)| *out = join(*out, *v));
                }
                let worth = worth(count);
                out.iter_mut().for_each(|v| *v *= worth);
            }
        });
        Self { numbers, side, channels }
    }
}

/// A constant's shape and numbers.
type Constant = (Vec<usize>, Vec<f32>);

/// Returns the constants of an OpenVINO network, in order; `None` if one is not f16 or lies outside the file.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates one picture of two channels, the second the negative of the first.
    fn square(side: usize) -> Square {
        let numbers = (0..side * side).flat_map(|i| [i as f32, -(i as f32)]).collect();
        Square { numbers, side, channels: 2 }
    }

    #[test]
    fn the_last_pool_is_cut_at_the_edge() {
        let pooled = square(6).pooled();
        assert_eq!(pooled.side, 3, "windows begin at 0, 2 and 4, the last has two pixels");
        let first: Vec<f32> = pooled.numbers.iter().copied().step_by(2).collect();
        assert_eq!(first, [14.0, 16.0, 17.0, 26.0, 28.0, 29.0, 32.0, 34.0, 35.0]);
        assert_eq!(pooled.numbers[1], 0.0);
    }

    #[test]
    fn averages_are_burn_s() {
        let square = square(9);
        let device = Device::flex();
        let planes = square.pixels(&device).planes();
        for side in [1, 2, 6, 9] {
            let expected = burn::tensor::module::adaptive_avg_pool2d(planes.clone(), [side, side]);
            let expected = Square::of(Pixels::of_planes(expected)).numbers;
            let found = square.averaged(side).numbers;
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
        }
    }
}
