//! Faults: what befell a picture while it became small, in numbers, and how to do it to a picture.
//!
//! The stages are those of a camera and a web page, in order: blur, resize, sharpening, noise, JPEG (Zhang et al. 2018,
//! "Learning a Single Convolutional Super-Resolution Network for Multiple Degradations", with two stages more). Widths
//! are in pixels of the small picture, so that they mean the same at every scale.

use super::manner::{Filter, Manner};
use crate::ops::blur::gaussian;
use crate::{Format, Picture, Sample, WriteOptions, encode, gaussian_blur, read_bytes, resize_to};
use image::imageops::{self, FilterType};
use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::StandardNormal;
use std::fmt;
use std::str::FromStr;

/// What befell a picture. [`Faults::default`] is a picture made smaller by antialiased bicubic interpolation alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Standard deviation of the Gaussian blur before the resize, in pixels of the small picture; 0 for none.
    pub blur: f64,
    /// How the picture was made smaller.
    pub resize: Resampling,
    /// How much of what a blur of one pixel takes away was added again; 0 for none. 1 leaves visible halos.
    pub sharpening: f64,
    /// Standard deviation of the noise, in levels of 255; 0 for none.
    pub noise: f64,
    /// Whether neighbouring pixels have similar noise, as film grain and the noise of phones.
    pub grain: bool,
    /// The quality of the last JPEG, 1 to 100, if there was one.
    pub jpeg: Option<u8>,
}

/// How a picture was made smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resampling {
    /// By a filter that covers every pixel of the large picture.
    #[default]
    Antialiased,
    /// By a cubic through the four nearest pixels, which leaves edges sharp and jagged.
    Sharp,
    /// By taking the nearest pixel.
    Nearest,
}

impl Resampling {
    /// All, with their names.
    const NAMES: [(Self, &str); 3] =
        [(Self::Antialiased, "antialiased"), (Self::Sharp, "sharp"), (Self::Nearest, "nearest")];
}

/// The blur that sharpening undoes, in pixels.
const SHARPENED: f64 = 1.0;
/// The blur of grain, in pixels.
const GRAIN: f64 = 0.8;
/// The largest blur, in pixels of the small picture.
const WIDEST: f64 = 8.0;

impl Faults {
    /// Makes the picture `scale` times smaller. Its sides must be multiples of `scale`. The random numbers are those of
    /// the noise.
    pub(crate) fn apply(&self, picture: &Picture, scale: usize, manner: &Manner, random: &mut StdRng) -> Picture {
        let (width, height) = (picture.width() / scale, picture.height() / scale);
        // Rounding to 16 bits is negligible beside rounding to 8.
        let mut now = picture.clone().with_alpha(None).converted::<u16>();
        if self.blur > 0.0 {
            now = gaussian_blur(&now, self.blur * scale as f64);
        }
        now = match (self.resize, manner.filter) {
            (Resampling::Antialiased, Filter::Matlab) => resize_to(&now, width, height),
            (Resampling::Antialiased, Filter::Triangle) => resized(&now, width, height, FilterType::Triangle),
            (Resampling::Antialiased, Filter::Lanczos) => resized(&now, width, height, FilterType::Lanczos3),
            (Resampling::Sharp, _) => picked(&now, scale, &[-0.0625, 0.5625, 0.5625, -0.0625]),
            (Resampling::Nearest, _) => picked(&now, scale, &[0.0, 0.0, 1.0, 0.0]),
        };
        if self.sharpening > 0.0 {
            now = sharpened(&now, self.sharpening);
        }
        let small = match self.noise > 0.0 {
            true => self.noisy(&now, manner, random),
            false => now.converted::<u8>(),
        };
        self.jpeg.map_or(small.clone(), |quality| compressed(&small, quality))
    }

    fn noisy(&self, picture: &Picture<u16>, manner: &Manner, random: &mut StdRng) -> Picture {
        let (width, height) = (picture.width(), picture.height());
        let alike = manner.grey_noise;
        let mut field: Vec<f64> = Vec::with_capacity(width * height * 3);
        for _ in 0..width * height {
            let first: f64 = random.sample(StandardNormal);
            field.extend((0..3).map(|c| if c == 0 || alike { first } else { random.sample(StandardNormal) }));
        }
        if self.grain {
            correlate(&mut field, width, height);
        }
        let rgb = picture.rgb().iter().zip(field).map(|(v, normal)| {
            let level = f64::from(*v) / 257.0;
            // Shot noise: the variance follows brightness, with the same mean over a grey picture.
            let part = if manner.shot { (level / 127.5).sqrt() } else { 1.0 };
            u8::rounded(level + self.noise * part * normal)
        });
        Picture::from_rgb(width, height, rgb.collect())
    }
}

/// Resizes by a filter of the `image` crate, which is antialiased.
fn resized(picture: &Picture<u16>, width: usize, height: usize, filter: FilterType) -> Picture<u16> {
    let sides = [picture.width() as u32, picture.height() as u32];
    let whole = image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(sides[0], sides[1], picture.rgb().to_vec())
        .expect("three a pixel");
    Picture::new(width, height, imageops::resize(&whole, width as u32, height as u32, filter).into_raw())
}

/// Makes the picture smaller by the same four taps around the middle of each square of `scale` pixels a side, whatever
/// the scale.
fn picked(picture: &Picture<u16>, scale: usize, taps: &[f64; 4]) -> Picture<u16> {
    let (width, height) = (picture.width() / scale, picture.height() / scale);
    let first = |at: usize| (at * scale + scale / 2) as isize - 2;
    let pixel = |from: isize, tap: usize, length: usize| (from + tap as isize).clamp(0, length as isize - 1) as usize;
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let mut sum = 0.0;
                for (j, down) in taps.iter().enumerate() {
                    let row = pixel(first(y), j, picture.height()) * picture.width();
                    for (i, across) in taps.iter().enumerate() {
                        let at = (row + pixel(first(x), i, picture.width())) * 3 + c;
                        sum += down * across * f64::from(picture.rgb()[at]);
                    }
                }
                rgb.push(sum.round().clamp(0.0, 65535.0) as u16);
            }
        }
    }
    Picture::new(width, height, rgb)
}

fn sharpened(picture: &Picture<u16>, amount: f64) -> Picture<u16> {
    let soft = gaussian_blur(picture, SHARPENED);
    let sharp = picture.rgb().iter().zip(soft.rgb()).map(|(v, soft)| {
        let (v, soft) = (f64::from(*v), f64::from(*soft));
        (v + amount * (v - soft)).round().clamp(0.0, 65535.0) as u16
    });
    picture.with_rgb(sharp.collect())
}

/// Blurs noise of three numbers a pixel and restores its deviation.
fn correlate(field: &mut [f64], width: usize, height: usize) {
    let taps = gaussian(GRAIN, 2);
    let around = |at: usize, tap: usize, length: usize| (at + tap).saturating_sub(2).min(length - 1);
    let blurred = |from: &[f64], across: bool| -> Vec<f64> {
        let each = (0..from.len()).map(|i| {
            let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
            let tap = |(t, weight): (usize, &f64)| {
                let (x, y) = if across { (around(x, t, width), y) } else { (x, around(y, t, height)) };
                weight * from[(y * width + x) * 3 + c]
            };
            taps.iter().enumerate().map(tap).sum()
        });
        each.collect()
    };
    let soft = blurred(&blurred(field, true), false);
    let kept: f64 = taps.iter().map(|weight| weight * weight).sum();
    field.iter_mut().zip(soft).for_each(|(out, v)| *out = v / kept);
}

pub(crate) fn compressed(picture: &Picture, quality: u8) -> Picture {
    let options = WriteOptions { quality: Some(quality), ..WriteOptions::default() };
    let read = encode(picture, Format::Jpeg, &options).map(|bytes| read_bytes(&bytes, &crate::Limits::default()));
    match read {
        Ok(Ok(read)) => Picture::from_rgb(read.width(), read.height(), read.rgb().to_vec()),
        // Beyond JPEG's largest side, so the picture cannot have been a JPEG.
        _ => picture.clone(),
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![format!("blur={}", self.blur)];
        if self.resize != Resampling::Antialiased {
            let name = Resampling::NAMES.iter().find(|(one, _)| *one == self.resize).map_or("", |(_, name)| name);
            parts.push(format!("resize={name}"));
        }
        if self.sharpening > 0.0 {
            parts.push(format!("sharpening={}", self.sharpening));
        }
        if self.noise > 0.0 {
            parts.push(format!("{}={}", if self.grain { "grain" } else { "noise" }, self.noise));
        }
        parts.extend(self.jpeg.map(|quality| format!("jpeg={quality}")));
        f.write_str(&parts.join(","))
    }
}

impl FromStr for Faults {
    type Err = String;

    /// Parses parts such as `blur=0.3,noise=10,jpeg=40,resize=nearest`, in any order; what is left out is not there.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',') {
            let (key, value) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
            let number = |range: std::ops::RangeInclusive<f64>| {
                let found = value.parse::<f64>().ok().filter(|number| range.contains(number));
                found.ok_or_else(|| {
                    format!("{key}={value}: expected a number from {} to {}", range.start(), range.end())
                })
            };
            match key {
                "blur" => faults.blur = number(0.0..=WIDEST)?,
                "sharpening" => faults.sharpening = number(0.0..=4.0)?,
                "noise" => faults.noise = number(0.0..=100.0)?,
                "grain" => (faults.noise, faults.grain) = (number(0.0..=100.0)?, true),
                "jpeg" => faults.jpeg = Some(number(1.0..=100.0)?.round() as u8),
                "resize" => {
                    let named = Resampling::NAMES.iter().find(|(_, name)| *name == value);
                    let wrong = || format!("resize={value}: expected antialiased, sharp or nearest");
                    faults.resize = named.ok_or_else(wrong)?.0;
                }
                _ => {
                    let keys = "blur, resize, sharpening, noise, grain or jpeg";
                    return Err(format!("unknown fault `{key}`: expected {keys}, as in blur=0.3,noise=10"));
                }
            }
        }
        Ok(faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scale, resize};
    use rand::SeedableRng;

    fn picture() -> Picture {
        let level =
            |i: usize| (127.5 + 100.0 * ((i / 3 % 96) as f64 / 5.0).sin() * ((i / 288) as f64 / 7.0).cos()) as u8;
        Picture::from_rgb(96, 64, (0..96 * 64 * 3).map(level).collect())
    }

    fn made(faults: &str) -> Picture {
        let faults: Faults = faults.parse().unwrap();
        faults.apply(&picture(), 4, &Manner::default(), &mut StdRng::seed_from_u64(1))
    }

    /// The mean and the deviation of the difference between two pictures, in levels.
    fn difference(a: &Picture, b: &Picture) -> (f64, f64) {
        let each: Vec<f64> = a.rgb().iter().zip(b.rgb()).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        (mean, (each.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / each.len() as f64).sqrt())
    }

    #[test]
    fn they_are_read_as_they_are_written() {
        for text in ["blur=0", "blur=0.325,noise=10,jpeg=40", "blur=1,resize=nearest,sharpening=0.5,grain=4"] {
            assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
        }
        for (text, said) in [
            ("blur=9", "blur=9: expected a number from 0 to 8"),
            ("blur", "blur=: expected"),
            ("jpeg=0", "expected a number from 1 to 100"),
            ("noise=NaN", "expected a number"),
            ("resize=best", "antialiased, sharp or nearest"),
            ("blurr=1", "unknown fault `blurr`"),
            ("", "unknown fault ``"),
        ] {
            let error = text.parse::<Faults>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn none_is_bicubic_and_a_blur_is_the_paper_s() {
        let bicubic = resize(&picture(), Scale::Down(4));
        assert!(difference(&made("blur=0"), &bicubic).1 < 0.5);
        let blurred = crate::Degradation::BlurBicubicFloat.apply(&picture(), 4).unwrap().into_eight();
        assert!(difference(&made("blur=0.325"), &blurred).1 < 0.1);
    }

    #[test]
    fn nearest_takes_a_pixel_and_sharp_interpolates() {
        let (picture, nearest) = (picture(), made("resize=nearest"));
        for (x, y) in [(0, 0), (5, 3), (23, 15)] {
            let large = ((4 * y + 2) * 96 + 4 * x + 2) * 3;
            assert_eq!(nearest.rgb()[(y * 24 + x) * 3], picture.rgb()[large]);
        }
        assert!(difference(&made("resize=sharp"), &made("blur=0")).1 < 10.0);
    }

    #[test]
    fn noise_has_its_deviation_and_grain_is_correlated() {
        let flat = Picture::from_rgb(128, 128, vec![128; 128 * 128 * 3]);
        let neighbours = |small: &Picture| {
            let plane: Vec<f64> = small.plane(0).map(|v| f64::from(v) - 128.0).collect();
            let products = plane.chunks(64).flat_map(|row| row.windows(2)).map(|pair| pair[0] * pair[1]);
            products.sum::<f64>() / plane.iter().map(|v| v * v).sum::<f64>()
        };
        for (text, correlated) in [("noise=10", false), ("grain=10", true)] {
            let faults: Faults = text.parse().unwrap();
            let random = &mut StdRng::seed_from_u64(3);
            let small = faults.apply(&flat, 2, &Manner::default(), random);
            let (mean, deviation) = difference(&small, &Picture::from_rgb(64, 64, vec![128; 64 * 64 * 3]));
            assert!(mean.abs() < 1.0 && (9.0..11.0).contains(&deviation), "{text}: {mean} {deviation}");
            assert_eq!(neighbours(&small) > 0.3, correlated, "{text}: {}", neighbours(&small));
        }
    }

    #[test]
    fn sharpening_and_jpeg_show() {
        let plain = made("blur=0");
        assert!(difference(&made("sharpening=1"), &plain).1 > 2.0);
        assert!(difference(&made("jpeg=30"), &plain).1 > difference(&made("jpeg=95"), &plain).1);
    }
}
