//! Draws the README's picture: a drawn scene, degraded and made four times smaller, upscaled in two ways, and the
//! original, side by side.
//!
//!     cargo run --release -p pdn --example panels -- docs/panels.png

use pdn::{DEFAULT_MODEL, Degradation, Options, Picture, Prompt, Session, Upscaler, WriteOptions};
use pdn::{bundled_encoder, bundled_model};
use std::error::Error;
use std::path::Path;

/// Side of the scene in pixels.
const SIDE: usize = 256;
/// Samples a side for each pixel, so that edges are smooth.
const SAMPLES: usize = 4;
/// Between panels.
const GAP: usize = 8;

/// What the scene shows.
const PROMPT: &str = "the sun goes down behind green hills and a white fence";

/// A degradation whose noise can be seen.
const SEED: u64 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("expected: OUT.png")?;
    let scene = draw();
    let small = Degradation::Practical { seed: SEED }.apply(&scene, 4)?.into_eight();
    let model = bundled_model(DEFAULT_MODEL).ok_or("no model comes with pdn")??;
    let mut steered = Upscaler::new(&model)?.session();
    steered.set_prompt(&Prompt::Text(PROMPT.into()), &bundled_encoder()?, &small)?;
    let enlarge = |mut session: Session| session.upscale(&small, &Options::default(), &mut |_| true);
    let panels = [enlarged_blocks(&small), enlarge(Upscaler::bicubic(4)?.session())?, enlarge(steered)?, scene];
    pdn::write(Path::new(&out), &side_by_side(&panels), &WriteOptions::default())?;
    Ok(())
}

/// The scene, each pixel the mean of its samples.
fn draw() -> Picture {
    let mut rgb = Vec::with_capacity(SIDE * SIDE * 3);
    for pixel in 0..SIDE * SIDE {
        let mut sum = [0.0; 3];
        for sample in 0..SAMPLES * SAMPLES {
            let at = |whole: usize, part: usize| (whole as f64 + (part as f64 + 0.5) / SAMPLES as f64) / SIDE as f64;
            let colour = scene(at(pixel % SIDE, sample % SAMPLES), at(pixel / SIDE, sample / SAMPLES));
            sum.iter_mut().zip(colour).for_each(|(s, c)| *s += c / (SAMPLES * SAMPLES) as f64);
        }
        rgb.extend(sum.map(|v| (v * 255.0).round() as u8));
    }
    Picture::from_rgb(SIDE, SIDE, rgb)
}

/// Colour at a place, both from 0 to 1: an evening, a sun with rays, hills, a fence and its reflection in rings.
fn scene(x: f64, y: f64) -> [f64; 3] {
    let mix = |a: [f64; 3], b: [f64; 3], t: f64| std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t.clamp(0.0, 1.0));
    let (dx, dy) = (x - 0.62, y - 0.34);
    let (distance, angle) = (dx.hypot(dy), dy.atan2(dx));
    let hills = 0.56 + 0.05 * (9.0 * x).sin() + 0.02 * (23.0 * x + 1.0).sin();
    if y < hills {
        if distance < 0.12 {
            return mix([1.0, 0.93, 0.62], [1.0, 0.72, 0.32], distance / 0.12);
        }
        let sky = mix([0.13, 0.17, 0.38], [0.98, 0.62, 0.42], y / 0.6);
        let ray = distance < 0.26 && (18.0 * angle).sin() > 0.35;
        return if ray { mix([1.0, 0.84, 0.5], sky, (distance - 0.12) / 0.14) } else { sky };
    }
    let fence = (y > 0.66 && y < 0.82) && ((x * 26.0 + y * 2.0).fract() < 0.42 || (y - 0.74).abs() < 0.012);
    if fence {
        return [0.93, 0.9, 0.84];
    }
    let rings = ((x - 0.25).powi(2) * 700.0 + (y - 1.02).powi(2) * 2600.0).cos();
    let ground = mix([0.2, 0.33, 0.22], [0.08, 0.17, 0.2], (y - 0.55) / 0.45);
    if y > 0.84 { mix(ground, [0.45, 0.62, 0.72], 0.5 + 0.5 * rings) } else { ground }
}

/// Each pixel as a block of 4x4.
fn enlarged_blocks(small: &Picture) -> Picture {
    let (width, height) = (small.width() * 4, small.height() * 4);
    let pixels = (0..width * height).map(|i| (i / width / 4 * small.width() + i % width / 4) * 3);
    Picture::from_rgb(width, height, pixels.flat_map(|at| small.rgb()[at..at + 3].to_vec()).collect())
}

fn side_by_side(panels: &[Picture]) -> Picture {
    let width = panels.len() * (SIDE + GAP) - GAP;
    let mut rgb = vec![255; width * SIDE * 3];
    for (i, panel) in panels.iter().enumerate() {
        for (row, line) in rgb.chunks_exact_mut(width * 3).zip(panel.rgb().chunks_exact(SIDE * 3)) {
            row[i * (SIDE + GAP) * 3..][..SIDE * 3].copy_from_slice(line);
        }
    }
    Picture::from_rgb(width, SIDE, rgb)
}
