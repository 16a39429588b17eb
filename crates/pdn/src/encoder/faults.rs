//! Towers that hear faults in a sentence and see them in a picture.
//!
//! The picture tower looks at squares of the picture at its own resolution, as a thumbnail has neither noise nor blur:
//! those with the most detail, where blur shows, and some flat ones, where noise and JPEG's blocks do.

use crate::encoder::error::EncoderError;
use crate::faults::KnownFaults;
use pdn_engine::{Map, dense};
use pdn_image::{Picture, bleed};
use pdn_network::zoo::Clip;
use pdn_network::{Network, NetworkError, Tensor, Tensors, Weights};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// What the names of these towers' tensors begin with in an encoder's file.
pub(crate) const PREFIX: &str = "faults.";

/// Squares that are looked at: the most detailed ones, and flatter ones at these ranks among all.
const DETAILED: usize = 5;
const FLATTER: [f64; 3] = [0.4, 0.7, 0.95];
/// The most squares a side among which these are chosen.
const ACROSS: usize = 12;

/// The difference, in levels, between small and large ones.
const SMALL: f32 = 8.0;

/// How many pictures are remembered, so that the next prompt for one of them does not look again.
const REMEMBERED: usize = 4;

/// The towers. Both give logits of [`KnownFaults`].
#[derive(Debug)]
pub(crate) struct FaultTowers {
    side: usize,
    context: usize,
    text: (Network, Weights),
    picture: (Network, Weights),
    /// The squares of the last pictures, and what they show.
    remembered: Mutex<VecDeque<(Vec<Picture>, KnownFaults)>>,
}

impl FaultTowers {
    /// Binds the towers' tensors, whose names have no prefix here.
    pub(crate) fn new(clip: &Clip, tensors: Tensors) -> Result<Self, NetworkError> {
        if clip.dim != KnownFaults::LEN {
            let why = format!("faults.dim {}: expected {}", clip.dim, KnownFaults::LEN);
            return Err(NetworkError::Config(why));
        }
        let (text, picture) = (clip.text_network()?, clip.picture_network()?);
        let (of_picture, of_text): (Vec<(String, Tensor)>, _) =
            tensors.into_iter().partition(|(name, _)| name.starts_with("visual."));
        let text_weights = text.bind(of_text.into_iter().collect())?;
        let picture_weights = picture.bind(of_picture.into_iter().collect())?;
        let (text, picture) = ((text, text_weights), (picture, picture_weights));
        let remembered = Mutex::default();
        Ok(Self { side: clip.side(), context: clip.text.context, text, picture, remembered })
    }

    /// Returns what a sentence, as tokens, tells. Of a longer one the beginning is heard.
    pub(crate) fn heard(&self, tokens: &[usize]) -> Result<KnownFaults, EncoderError> {
        let mut tokens = tokens.to_vec();
        if tokens.len() > self.context {
            tokens.drain(self.context - 1..tokens.len() - 1);
        }
        let (network, weights) = &self.text;
        Ok(KnownFaults::from_logits(&dense::encode(network, weights, &tokens)?))
    }

    /// Returns what a picture shows. What the last few pictures show is remembered.
    pub(crate) fn seen(&self, picture: &Picture) -> Result<KnownFaults, EncoderError> {
        let squares = squares(picture, self.side);
        // Nothing can panic while the lock is held, so a poisoned one is whole.
        let remembered = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = remembered().iter().find(|(other, _)| *other == squares) {
            return Ok(known.clone());
        }
        let known = self.looked_at(&squares)?;
        let mut remembered = remembered();
        remembered.truncate(REMEMBERED - 1);
        remembered.push_front((squares, known.clone()));
        Ok(known)
    }

    fn looked_at(&self, squares: &[Picture]) -> Result<KnownFaults, EncoderError> {
        let (network, weights) = &self.picture;
        let said: Vec<Vec<f32>> = squares
            .par_iter()
            .map(|square| Ok(dense::run(network, weights, &numbers(square), None)?.picture.data))
            .collect::<Result<_, EncoderError>>()?;
        let mean = |i: usize| said.iter().map(|one| one[i]).sum::<f32>() / said.len() as f32;
        Ok(KnownFaults::from_logits(&(0..KnownFaults::LEN).map(mean).collect::<Vec<_>>()))
    }
}

/// Returns a square as the picture tower's input: how much each pixel differs from the mean of its four neighbours,
/// small differences the clearest. Blur, noise and JPEG's blocks are all there, and what the picture shows hardly is.
pub fn numbers(square: &Picture) -> Map<f32> {
    let (width, height) = (square.width(), square.height());
    let mut data = Vec::with_capacity(3 * width * height);
    for c in 0..3 {
        let plane: Vec<f32> = square.plane(c).map(f32::from).collect();
        let level = |x: usize, y: usize| plane[y.min(height - 1) * width + x.min(width - 1)];
        for y in 0..height {
            for x in 0..width {
                let around =
                    level(x.saturating_sub(1), y) + level(x + 1, y) + level(x, y.saturating_sub(1)) + level(x, y + 1);
                let difference = level(x, y) - around / 4.0;
                data.push(difference / (difference.abs() + SMALL) * 4.0);
            }
        }
    }
    Map::new(3, height, width, data)
}

/// Returns the squares of a picture that its tower looks at, `side` pixels a side and never resized. A picture that is
/// smaller is continued by its mirror images.
pub fn squares(picture: &Picture, side: usize) -> Vec<Picture> {
    let picture = bleed(picture).into_owned().with_alpha(None);
    let picture = match picture.width().min(picture.height()) < side {
        true => continued(&picture, side),
        false => picture,
    };
    let mut places: Vec<(f64, (usize, usize))> = Vec::new();
    for y in starts(picture.height(), side) {
        for x in starts(picture.width(), side) {
            places.push((detail(&picture, (x, y), side), (x, y)));
        }
    }
    places.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut chosen: Vec<usize> = (0..DETAILED.min(places.len())).collect();
    chosen.extend(FLATTER.map(|rank| (rank * places.len() as f64) as usize));
    chosen.sort_unstable();
    chosen.dedup();
    chosen.into_iter().map(|i| picture.part(places[i].1, side, side)).collect()
}

/// Returns where squares begin along a length: evenly, so that all of it is covered, if not by more than [`ACROSS`].
fn starts(length: usize, side: usize) -> impl Iterator<Item = usize> {
    let count = length.div_ceil(side).min(ACROSS);
    (0..count).map(move |i| if count == 1 { (length - side) / 2 } else { i * (length - side) / (count - 1) })
}

/// Returns the mean difference between neighbours in a square, in green.
fn detail(picture: &Picture, (left, top): (usize, usize), side: usize) -> f64 {
    let level = |x: usize, y: usize| i32::from(picture.rgb()[((top + y) * picture.width() + left + x) * 3 + 1]);
    let mut sum = 0;
    for y in 0..side - 1 {
        for x in 0..side - 1 {
            let here = level(x, y);
            sum += (here - level(x + 1, y)).abs() + (here - level(x, y + 1)).abs();
        }
    }
    f64::from(sum)
}

/// Returns the picture and its mirror images side by side, at least `side` pixels a side.
fn continued(picture: &Picture, side: usize) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let [wide, high] = [width.max(side), height.max(side)];
    let folded = |at: usize, length: usize| match at % (2 * length) {
        at if at < length => at,
        at => 2 * length - 1 - at,
    };
    let pixel = |i: usize| (folded(i / wide, height) * width + folded(i % wide, width)) * 3;
    let rgb = (0..wide * high).flat_map(|i| picture.rgb()[pixel(i)..][..3].iter().copied()).collect();
    Picture::from_rgb(wide, high, rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Picture {
        Picture::from_rgb(width, height, (0..width * height * 3).map(|i| (i / 3 % width) as u8).collect())
    }

    #[test]
    fn every_size_has_squares_and_no_size_has_many() {
        for (width, height) in [(1, 1), (63, 200), (64, 64), (65, 64), (640, 480), (9000, 70)] {
            let squares = squares(&ramp(width, height), 64);
            assert!((1..=8).contains(&squares.len()), "{width}x{height}: {}", squares.len());
            assert!(squares.iter().all(|square| (square.width(), square.height()) == (64, 64)));
        }
    }

    #[test]
    fn the_most_detailed_square_is_among_them() {
        let mut rgb = vec![100; 640 * 480 * 3];
        for y in 200..230 {
            for x in 300..330 {
                rgb[(y * 640 + x) * 3 + 1] = if (x + y) % 2 == 0 { 0 } else { 255 };
            }
        }
        let squares = squares(&Picture::from_rgb(640, 480, rgb), 64);
        assert!(squares.iter().any(|square| square.rgb().contains(&255)));
    }

    #[test]
    fn the_last_pictures_are_remembered_and_no_more() {
        let encoder = crate::bundled_encoder().unwrap();
        let towers = encoder.faults.as_ref().unwrap();
        let first = towers.seen(&ramp(80, 70)).unwrap();
        for width in 81..90 {
            towers.seen(&ramp(width, 70)).unwrap();
            assert!(towers.remembered.lock().unwrap().len() <= REMEMBERED);
        }
        assert_eq!(towers.remembered.lock().unwrap().front().unwrap().0, squares(&ramp(89, 70), towers.side));
        assert_eq!(towers.seen(&ramp(80, 70)).unwrap(), first, "it was forgotten, and is seen again");
        let held = towers.remembered.lock().unwrap().clone();
        assert_eq!(towers.seen(&ramp(80, 70)).unwrap(), first);
        assert_eq!(*towers.remembered.lock().unwrap(), held, "it was not looked at again");
    }

    #[test]
    fn a_small_picture_is_mirrored() {
        let found = continued(&ramp(3, 2), 7);
        let row: Vec<u8> = found.rgb()[..21].chunks(3).map(|pixel| pixel[0]).collect();
        assert_eq!(row, [0, 1, 2, 2, 1, 0, 0]);
        assert_eq!((found.width(), found.height()), (7, 7));
    }
}
