//! A practical degradation that imitates what happens to photographs on their way to a screen: blur, downscaling, noise
//! and JPEG, each by a random amount and in random order, and mostly a second JPEG at the end (Zhang et al. 2021,
//! "Designing a practical degradation model for deep blind image super-resolution"; here blurs are isotropic, and the
//! amounts are smaller than theirs).

use super::faults::compressed;
use crate::{Picture, Sample, gaussian_blur, resize_to};
use image::imageops::{self, FilterType};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use std::ops::Range;

/// The blur's standard deviation, in pixels of the small picture.
const SIGMA: Range<f64> = 0.1..0.7;
/// Probability of a blur.
const BLURRED: f64 = 0.8;
/// The noise's standard deviation, in levels of 255: one range for the uniform part, and the same for what shot noise
/// adds at full brightness.
const NOISE: Range<f64> = 0.0..8.0;
/// Probability of noise.
const NOISY: f64 = 0.6;
/// JPEG's quality.
const QUALITY: Range<u8> = 40..96;
/// Probability of compression on the way, and at the end.
const COMPRESSED: [f64; 2] = [0.5, 0.7];
/// Probability of downscaling in two steps.
const IN_TWO: f64 = 0.4;

#[derive(Clone, Copy, Debug)]
enum Stage {
    Blur,
    Smaller,
    Noise,
    Jpeg,
}

/// Makes the picture `scale` times smaller. Its sides must be multiples of `scale`. The same seed produces the same
/// picture.
pub(crate) fn degrade(picture: &Picture, scale: usize, seed: u64) -> Picture {
    let random = &mut StdRng::seed_from_u64(seed);
    let (width, height) = (picture.width() / scale, picture.height() / scale);
    let mut stages = [Stage::Blur, Stage::Smaller, Stage::Noise, Stage::Jpeg];
    stages.shuffle(random);
    let mut now = picture.clone().with_alpha(None);
    for stage in stages {
        now = match stage {
            Stage::Blur => blur(&now, now.width() as f64 / width as f64, random),
            Stage::Smaller => smaller(&now, width, height, random),
            Stage::Noise if random.random_bool(NOISY) => noise(&now, random),
            Stage::Jpeg if random.random_bool(COMPRESSED[0]) => jpeg(&now, random),
            _ => now,
        };
    }
    if random.random_bool(COMPRESSED[1]) { jpeg(&now, random) } else { now }
}

/// Blurs randomly. `ratio` is the picture's width divided by that of the small one.
fn blur(picture: &Picture, ratio: f64, random: &mut StdRng) -> Picture {
    match random.random_bool(BLURRED) {
        true => gaussian_blur(picture, ratio * random.random_range(SIGMA)),
        false => picture.clone(),
    }
}

fn smaller(picture: &Picture, width: usize, height: usize, random: &mut StdRng) -> Picture {
    if !random.random_bool(IN_TWO) {
        return resized(picture, width, height, random);
    }
    let part: f64 = random.random_range(0.0..1.0);
    let between = |large: usize, small: usize| (small as f64 + part * (large - small) as f64).round() as usize;
    let first = resized(picture, between(picture.width(), width), between(picture.height(), height), random);
    resized(&first, width, height, random)
}

/// Resizes with a random kernel, as different programs do.
fn resized(picture: &Picture, width: usize, height: usize, random: &mut StdRng) -> Picture {
    let filters = [FilterType::Triangle, FilterType::CatmullRom, FilterType::Lanczos3];
    match random.random_bool(0.4) {
        true => resize_to(picture, width, height),
        false => {
            let filter = *filters.choose(random).expect("there are three");
            let sides = [picture.width() as u32, picture.height() as u32];
            let whole = image::RgbImage::from_raw(sides[0], sides[1], picture.rgb().to_vec()).expect("three a pixel");
            let small = imageops::resize(&whole, width as u32, height as u32, filter);
            Picture::from_rgb(width, height, small.into_raw())
        }
    }
}

/// Adds sensor noise, and shot noise, whose variance grows with brightness; half the time the same in all channels.
fn noise(picture: &Picture, random: &mut StdRng) -> Picture {
    let [dark, light] = [(); 2].map(|()| random.random_range(NOISE));
    let alike = random.random_bool(0.5);
    let deviation: [f64; 256] = std::array::from_fn(|v| (dark * dark + light * light * v as f64 / 255.0).sqrt());
    let mut rgb = picture.rgb().to_vec();
    for pixel in rgb.chunks_exact_mut(3) {
        let mut normal: f64 = random.sample(StandardNormal);
        for v in pixel {
            *v = u8::rounded(f64::from(*v) + deviation[usize::from(*v)] * normal);
            if !alike {
                normal = random.sample(StandardNormal);
            }
        }
    }
    picture.with_rgb(rgb)
}

fn jpeg(picture: &Picture, random: &mut StdRng) -> Picture {
    compressed(picture, random.random_range(QUALITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let level =
            |i: usize| (127.5 + 100.0 * ((i / 3 % 96) as f64 / 5.0).sin() * ((i / 288) as f64 / 7.0).cos()) as u8;
        Picture::from_rgb(96, 64, (0..96 * 64 * 3).map(level).collect())
    }

    #[test]
    fn a_seed_is_one_picture_and_others_are_others() {
        let degraded: Vec<Picture> = (0..40).map(|seed| degrade(&picture(), 4, seed)).collect();
        assert!(degraded.iter().all(|small| (small.width(), small.height()) == (24, 16)));
        assert_eq!(degrade(&picture(), 4, 3), degraded[3]);
        let different = degraded.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(different >= 38, "{different}");
    }

    #[test]
    fn what_comes_of_it_is_still_the_picture() {
        let plain = resize_to(&picture(), 24, 16);
        for seed in 0..40 {
            let small = degrade(&picture(), 4, seed);
            let sum: f64 =
                plain.rgb().iter().zip(small.rgb()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).sum();
            let mean = sum / plain.rgb().len() as f64;
            assert!(mean < 30.0, "seed {seed}: {mean} levels off");
        }
    }
}
