//! A wide mix of known faults to train on: much of it clean, the rest blurred, resized, sharpened, noisy and compressed
//! by random amounts, at times twice in a row. Unlike with [`super::practical`], what befell a picture can be told.

use super::faults::{Faults, Resampling, compressed};
use super::manner::{Filter, Manner};
use crate::{Picture, resize_to};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Probability of neither noise, sharpening nor JPEG.
const CLEAN: f64 = 0.4;
/// The noise's largest standard deviation, in levels of 255.
const NOISE: f64 = 25.0;

/// Draws what befalls a picture.
pub(crate) fn draw(random: &mut StdRng) -> (Faults, Manner) {
    // Widths are in pixels of a picture four times smaller: 0.05 to 0.75 is 0.2 to 3 of the large one.
    let blur = match random.random_range(0.0..1.0) {
        part if part < 0.25 => 0.0,
        part if part < 0.85 => random.random_range(0.05..0.75),
        _ => random.random_range(0.75..1.5),
    };
    let resize = match random.random_range(0.0..1.0) {
        part if part < 0.72 => Resampling::Antialiased,
        part if part < 0.9 => Resampling::Sharp,
        _ => Resampling::Nearest,
    };
    let filter = match random.random_range(0.0..1.0) {
        part if part < 0.6 => Filter::Matlab,
        part if part < 0.8 => Filter::Triangle,
        _ => Filter::Lanczos,
    };
    let clean = random.random_bool(CLEAN);
    let is = |random: &mut StdRng, chance: f64| !clean && random.random_bool(chance);
    let sharpening = if is(random, 0.25) { random.random_range(0.2..1.6) } else { 0.0 };
    // Little noise is the commoner.
    let noise = if is(random, 0.65) { 0.7 + (NOISE - 0.7) * random.random_range(0.0_f64..1.0).powf(1.7) } else { 0.0 };
    let grain = noise > 0.0 && random.random_bool(0.35);
    let jpeg = is(random, 0.7).then(|| random.random_range(30..=100));
    let before = is(random, 0.25).then(|| (random.random_range(50..=95), random.random_range(0.5..1.0)));
    let faults = Faults { blur, resize, sharpening, noise, grain, jpeg };
    (faults, Manner { filter, grey_noise: random.random_bool(0.3), shot: random.random_bool(0.3), before })
}

/// Makes the picture `scale` times smaller. The same seed produces the same picture.
pub(crate) fn degrade(picture: &Picture, scale: usize, seed: u64) -> Picture {
    let random = &mut StdRng::seed_from_u64(seed);
    let (faults, manner) = draw(random);
    let picture = manner.before.map_or(picture.clone(), |(quality, part)| {
        let side = |length: usize| ((length as f64 * part).round() as usize).max(1);
        let smaller = resize_to(picture, side(picture.width()), side(picture.height()));
        resize_to(&compressed(&smaller, quality), picture.width(), picture.height())
    });
    faults.apply(&picture, scale, &manner, random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Degradation;

    #[test]
    fn a_seed_is_one_picture_and_its_faults_can_be_told() {
        let level = |i: usize| (127.5 + 100.0 * ((i / 3 % 96) as f64 / 5.0).sin()) as u8;
        let picture = Picture::from_rgb(96, 64, (0..96 * 64 * 3).map(level).collect());
        for seed in 0..20 {
            let mixed = Degradation::Mixed { seed };
            let small = mixed.apply(&picture, 4).unwrap().into_eight();
            assert_eq!((small.width(), small.height()), (24, 16));
            assert_eq!(small, mixed.apply(&picture, 4).unwrap().into_eight());
            assert_eq!(mixed.faults(4), Some(draw(&mut StdRng::seed_from_u64(seed)).0));
        }
    }

    #[test]
    fn much_is_clean_and_every_fault_occurs() {
        let all: Vec<Faults> = (0..4000).map(|seed| draw(&mut StdRng::seed_from_u64(seed)).0).collect();
        let share = |is: fn(&Faults) -> bool| all.iter().filter(|faults| is(faults)).count() as f64 / 4000.0;
        assert!((0.4..0.55).contains(&share(|f| f.noise == 0.0 && f.jpeg.is_none() && f.sharpening == 0.0)));
        for is in [
            |f: &Faults| f.blur == 0.0,
            |f: &Faults| f.blur > 0.75,
            |f: &Faults| f.resize == Resampling::Nearest,
            |f: &Faults| f.sharpening > 1.0,
            |f: &Faults| f.noise > 15.0,
            |f: &Faults| f.grain,
            |f: &Faults| f.jpeg.is_some_and(|quality| quality < 45),
        ] {
            assert!((0.03..0.5).contains(&share(is)), "{}", share(is));
        }
    }
}
