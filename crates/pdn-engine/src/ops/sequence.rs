//! Operations on sequences, for CLIP's towers.

use crate::map::{Map, Real, real};
use rayon::prelude::*;

/// Rearranges `[c, h r, w r]` to `[c r², h, w]`.
pub(crate) fn pixel_unshuffle<T: Real>(x: &Map<T>, r: usize) -> Map<T> {
    let (height, width) = (x.height / r, x.width / r);
    let mut data = Vec::with_capacity(x.data.len());
    for channel in 0..x.channels * r * r {
        let (source, phase) = (channel / (r * r), channel % (r * r));
        for y in 0..height {
            let row = (source * x.height + y * r + phase / r) * x.width;
            data.extend((0..width).map(|column| x.data[row + column * r + phase % r]));
        }
    }
    Map::new(x.channels * r * r, height, width, data)
}

/// Computes `weight (x - mean) / sqrt(variance + ε) + bias` at each pixel.
pub(crate) fn layer_norm<T: Real>(x: &Map<T>, weight: &[T], bias: &[T], eps: f64) -> Map<T> {
    let (pixels, count) = (x.pixels(), real::<T>(x.channels as f64));
    let sums = |add: &dyn Fn(T, usize) -> T| {
        let mut sums = vec![T::zero(); pixels];
        for plane in x.data.chunks_exact(pixels) {
            sums.iter_mut().zip(plane).enumerate().for_each(|(p, (sum, v))| *sum = *sum + add(*v, p));
        }
        sums
    };
    let means: Vec<T> = sums(&|v, _| v).into_iter().map(|sum| sum / count).collect();
    let squares = sums(&|v, p| (v - means[p]).powi(2));
    let scales: Vec<T> = squares.into_iter().map(|sum| (sum / count + real(eps)).sqrt().recip()).collect();
    let mut out = x.clone();
    for ((plane, weight), bias) in out.data.chunks_exact_mut(pixels).zip(weight).zip(bias) {
        for ((v, mean), scale) in plane.iter_mut().zip(&means).zip(&scales) {
            *v = (*v - *mean) * *scale * *weight + *bias;
        }
    }
    out
}

/// Looks up rows of a table `[rows, channels]`, each the channels of one pixel.
pub(crate) fn rows<T: Real>(table: &[T], channels: usize, rows: &[usize]) -> Map<T> {
    let data = (0..channels).flat_map(|c| rows.iter().map(move |row| table[row * channels + c]));
    Map::new(channels, 1, rows.len(), data.collect())
}

/// Concatenates the pixels of two maps.
pub(crate) fn join<T: Real>(a: &Map<T>, b: &Map<T>) -> Map<T> {
    let data = (0..a.channels).flat_map(|c| a.plane(c).iter().chain(b.plane(c))).copied().collect();
    Map::new(a.channels, 1, a.pixels() + b.pixels(), data)
}

/// Computes multi-head attention over pixels.
pub(crate) fn attend<T: Real>([q, k, v]: [&Map<T>; 3], heads: usize, causal: bool) -> Map<T> {
    let (pixels, size) = (q.pixels(), q.channels / heads);
    let scale = real::<T>(size as f64).sqrt().recip();
    let mut out = vec![T::zero(); q.data.len()];
    out.par_chunks_mut(size * pixels).enumerate().for_each(|(head, out)| {
        let channels = || head * size..(head + 1) * size;
        // Pixel by pixel, so that each pixel's contribution is added to all channels at once.
        let values: Vec<T> = (0..pixels).flat_map(|s| channels().map(move |c| v.plane(c)[s])).collect();
        for p in 0..pixels {
            let seen = if causal { p + 1 } else { pixels };
            let mut scores = vec![T::zero(); seen];
            for c in channels() {
                let query = q.plane(c)[p];
                scores.iter_mut().zip(k.plane(c)).for_each(|(score, key)| *score = *score + query * *key);
            }
            let top = scores.iter().map(|s| *s * scale).fold(T::neg_infinity(), T::max);
            let weights: Vec<T> = scores.iter().map(|s| (*s * scale - top).exp()).collect();
            let total: T = weights.iter().copied().sum();
            let mut sums = vec![T::zero(); size];
            for (weight, values) in weights.iter().zip(values.chunks_exact(size)) {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = *sum + *weight * *value);
            }
            sums.iter().enumerate().for_each(|(i, sum)| out[i * pixels + p] = *sum / total);
        }
    });
    Map::new(q.channels, q.height, q.width, out)
}

/// Computes `x Φ(x)`.
pub(crate) fn gelu<T: Real>(v: T) -> T {
    let x = v.to_f64().unwrap_or(f64::NAN);
    real(x * 0.5 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2)))
}
