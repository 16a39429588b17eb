//! The reference executor's operations on sequences: those of CLIP's towers.

use crate::Map;
use crate::reference::{Real, real};
use rayon::prelude::*;

/// `[c, h r, w r]` to `[c r², h, w]`.
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

/// `weight (x - mean) / sqrt(variance + ε) + bias` at each pixel.
pub(crate) fn layer_norm<T: Real>(x: &Map<T>, weight: &[T], bias: &[T], eps: f64) -> Map<T> {
    let (pixels, count) = (x.pixels(), real::<T>(x.channels as f64));
    let mut out = x.clone();
    for p in 0..pixels {
        let column = || (0..x.channels).map(|c| x.data[c * pixels + p]);
        let mean = column().sum::<T>() / count;
        let variance = column().map(|v| (v - mean).powi(2)).sum::<T>() / count;
        let scale = (variance + real(eps)).sqrt().recip();
        for c in 0..x.channels {
            out.data[c * pixels + p] = (x.data[c * pixels + p] - mean) * scale * weight[c] + bias[c];
        }
    }
    out
}

/// Rows of a table `[rows, channels]`, each the channels of one pixel.
pub(crate) fn rows<T: Real>(table: &[T], channels: usize, rows: &[usize]) -> Map<T> {
    let data = (0..channels).flat_map(|c| rows.iter().map(move |row| table[row * channels + c]));
    Map::new(channels, 1, rows.len(), data.collect())
}

/// The pixels of two maps, one after the other.
pub(crate) fn join<T: Real>(a: &Map<T>, b: &Map<T>) -> Map<T> {
    let data = (0..a.channels).flat_map(|c| a.plane(c).iter().chain(b.plane(c))).copied().collect();
    Map::new(a.channels, 1, a.pixels() + b.pixels(), data)
}

/// Multi-head attention over pixels.
pub(crate) fn attend<T: Real>([q, k, v]: [&Map<T>; 3], heads: usize, causal: bool) -> Map<T> {
    let (pixels, size) = (q.pixels(), q.channels / heads);
    let scale = real::<T>(size as f64).sqrt().recip();
    let mut out = vec![T::zero(); q.data.len()];
    out.par_chunks_mut(size * pixels).enumerate().for_each(|(head, out)| {
        let channels = || head * size..(head + 1) * size;
        for p in 0..pixels {
            let seen = if causal { p + 1 } else { pixels };
            let score = |s: usize| channels().map(|c| q.plane(c)[p] * k.plane(c)[s]).sum::<T>() * scale;
            let scores: Vec<T> = (0..seen).map(score).collect();
            let top = scores.iter().copied().fold(T::neg_infinity(), T::max);
            let weights: Vec<T> = scores.iter().map(|s| (*s - top).exp()).collect();
            let total: T = weights.iter().copied().sum();
            for (i, c) in channels().enumerate() {
                let sum: T = weights.iter().zip(v.plane(c)).map(|(w, v)| *w * *v).sum();
                out[i * pixels + p] = sum / total;
            }
        }
    });
    Map::new(q.channels, q.height, q.width, out)
}

/// `x Φ(x)`.
pub(crate) fn gelu<T: Real>(v: T) -> T {
    let x = v.to_f64().unwrap_or(f64::NAN);
    real(x * 0.5 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2)))
}
