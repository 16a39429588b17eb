//! Training pictures, read on demand and cached: if they do not all fit, the least recently used ones are read again.

use crate::data::degradations::Degradations;
use crate::data::{DataError, read_picture};
use pdn_image::{AnyPicture, Degradation, Faults, Picture, resize_to};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The part of a picture to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// The factor by which the picture is resized first; 1 for none.
    pub size: f64,
    /// A square of the resized picture, as left, top and side; `None` for all of it.
    pub part: Option<[usize; 3]>,
}

impl Cut {
    /// The whole picture, unchanged.
    pub const WHOLE: Self = Self { size: 1.0, part: None };

    /// Resizes the picture, before it is cropped.
    pub(crate) fn sized(size: f64, picture: &Picture) -> Picture {
        let side = |length: usize| ((length as f64 * size).round() as usize).max(1);
        match size {
            1.0 => picture.clone(),
            _ => resize_to(picture, side(picture.width()), side(picture.height())),
        }
    }

    fn of(self, picture: &Picture) -> Picture {
        let sized = Self::sized(self.size, picture);
        match self.part {
            Some([left, top, side]) => sized.part((left, top), side, side),
            None => sized,
        }
    }
}

/// A picture and its degraded version.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The picture; its sides are multiples of the scale.
    pub high: Picture,
    /// The degraded picture.
    pub low: AnyPicture,
    /// What befell it, if it can be told.
    pub faults: Option<Faults>,
}

/// A picture's file, and the part of it to use.
pub type Place = (PathBuf, Cut);

/// Margin, in pixels of the degraded patch, that is degraded with it if the degradation is random, so that edges look
/// as they would inside a picture.
const AROUND: usize = 8;

/// The side of JPEG's blocks, in pixels.
const JPEG_BLOCK: usize = 8;

/// Weighs pairs by their bytes.
#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<String, Arc<Pair>> for Bytes {
    fn weight(&self, _: &String, pair: &Arc<Pair>) -> u64 {
        let low = match &pair.low {
            AnyPicture::Eight(low) => low.rgb().len(),
            AnyPicture::Sixteen(low) => 2 * low.rgb().len(),
        };
        (pair.high.rgb().len() + low) as u64
    }
}

/// A cache of pictures that are read on demand.
#[derive(Debug)]
pub struct PatchCache {
    /// The degradations of the training pictures.
    pub degradations: Degradations,
    /// The factor by which degraded sides are smaller.
    pub scale: usize,
    kept: Cache<String, Arc<Pair>, Bytes>,
}

impl PatchCache {
    /// Creates an empty cache with room for this many bytes of pixels.
    pub fn new(degradations: impl Into<Degradations>, scale: usize, room: u64) -> Self {
        // Pictures of half a megabyte each; this only sets how finely the room is divided.
        let items = (room >> 19).clamp(16, 1 << 20) as usize;
        Self { degradations: degradations.into(), scale, kept: Cache::with_weighter(items, room, Bytes) }
    }

    /// Crops the picture and degrades the crop.
    ///
    /// # Errors
    /// If nothing is left at this scale.
    pub(crate) fn degraded(
        &self,
        degradation: Degradation,
        (file, cut): (&Path, Cut),
        picture: &Picture,
    ) -> Result<Pair, DataError> {
        let high = cut.of(picture).modcrop(self.scale);
        let degradation = degradation.seeded(file);
        let low = degradation.apply(&high, self.scale);
        let low = low.map_err(|e| DataError { path: file.to_owned(), why: e.to_string() })?;
        Ok(Pair { high, low, faults: degradation.faults(self.scale) })
    }

    /// Returns a picture, degraded with the first of the degradations.
    ///
    /// # Errors
    /// [`DataError`] if its file cannot be read.
    pub fn pair(&self, place: &Place) -> Result<Arc<Pair>, DataError> {
        self.pair_by(self.degradations.first(), place)
    }

    fn pair_by(&self, degradation: Degradation, (file, cut): &Place) -> Result<Arc<Pair>, DataError> {
        let key = format!("{} {cut:?} {degradation}", file.display());
        let read = || self.degraded(degradation, (file, *cut), &read_picture(file)?).map(Arc::new);
        self.kept.get_or_insert_with(&key, read)
    }

    /// Returns a random patch of a picture, `side` pixels a side when degraded, with its original. A random degradation
    /// is drawn anew each time.
    ///
    /// # Errors
    /// Same as [`PatchCache::pair`], and if the degraded picture is smaller than the patch.
    pub fn patch(&self, place: &Place, side: usize, random: &mut StdRng) -> Result<Pair, DataError> {
        let degradation = self.degradations.draw(random);
        let pair = self.pair_by(degradation, place)?;
        let (width, height) = (pair.low.width(), pair.low.height());
        if width.min(height) < side {
            let why = format!("is {width}x{height} when degraded; expected at least {side} pixels per side");
            return Err(DataError { path: place.0.clone(), why });
        }
        let (x, y) = (random.random_range(0..=width - side), random.random_range(0..=height - side));
        let large = side * self.scale;
        let high = pair.high.part((x * self.scale, y * self.scale), large, large);
        let (low, faults) = match degradation {
            Degradation::Practical { .. } | Degradation::Mixed { .. } => {
                let anew = degradation.with_seed(random.next_u64());
                (self.anew(&pair, (x, y), side, anew, random)?, anew.faults(self.scale))
            }
            _ => (pair.low.part((x, y), side, side), pair.faults),
        };
        Ok(Pair { high, low, faults })
    }

    /// Degrades a patch with its margin.
    fn anew(
        &self,
        pair: &Pair,
        (x, y): (usize, usize),
        side: usize,
        degradation: Degradation,
        random: &mut StdRng,
    ) -> Result<AnyPicture, DataError> {
        // Any margin from AROUND on, so that JPEG's blocks begin anywhere in the patch.
        let [left, top] = [x, y].map(|at| at.saturating_sub(AROUND + random.random_range(0..JPEG_BLOCK)));
        let (right, bottom) = ((x + side + AROUND).min(pair.low.width()), (y + side + AROUND).min(pair.low.height()));
        let (width, height) = ((right - left) * self.scale, (bottom - top) * self.scale);
        let around = pair.high.part((left * self.scale, top * self.scale), width, height);
        let low = degradation.apply(&around, self.scale);
        let low = low.map_err(|e| DataError { path: PathBuf::new(), why: e.to_string() })?;
        Ok(low.part((x - left, y - top), side, side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn picture(folder: &Path, name: &str, side: usize) -> Place {
        let rgb = (0..side * side * 3).map(|i| (i / 3 % side * 4 + i / 3 / side * 2) as u8).collect();
        let path = folder.join(name);
        pdn_image::write(&path, &Picture::from_rgb(side, side, rgb), &Default::default()).unwrap();
        (path, Cut::WHOLE)
    }

    #[test]
    fn what_does_not_fit_is_read_again_and_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let places: Vec<Place> = (0..6).map(|i| picture(folder.path(), &format!("{i}.png"), 32)).collect();
        let patches = |room: u64| {
            let patches = PatchCache::new(Degradation::BlurBicubic, 2, room);
            let random = &mut StdRng::seed_from_u64(1);
            let order = (0..40).map(|i| &places[i * 7 % 6]);
            order.map(|place| patches.patch(place, 9, random).unwrap().low.into_eight()).collect::<Vec<_>>()
        };
        assert_eq!(patches(1 << 30), patches(10_000));
        let patches = PatchCache::new(Degradation::BlurBicubic, 2, 1 << 30);
        patches.pair(&places[0]).unwrap();
        std::fs::remove_file(&places[0].0).unwrap();
        assert!(patches.pair(&places[0]).is_ok(), "it is cached");
        let error = PatchCache::new(Degradation::BlurBicubic, 2, 1 << 30).pair(&places[0]).unwrap_err().to_string();
        assert!(error.contains("0.png"), "{error}");
    }

    #[test]
    fn a_patch_is_where_its_original_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = picture(folder.path(), "a.png", 64);
        for degradation in [Degradation::Bicubic, Degradation::BlurBicubic16, Degradation::Mixed { seed: 0 }] {
            let patches = PatchCache::new(degradation, 2, 1 << 30);
            let random = &mut StdRng::seed_from_u64(5);
            for _ in 0..20 {
                let Pair { high, low, .. } = patches.patch(&place, 12, random).unwrap();
                assert_eq!((high.width(), low.width()), (24, 12));
                let low = low.into_eight();
                let mean = |p: &Picture| p.rgb().iter().map(|v| f64::from(*v)).sum::<f64>() / p.rgb().len() as f64;
                assert!((mean(&high) - mean(&low)).abs() < 8.0, "{degradation}: {} {}", mean(&high), mean(&low));
            }
        }
        let patches = PatchCache::new(Degradation::Bicubic, 2, 1 << 30);
        let error = patches.patch(&place, 33, &mut StdRng::seed_from_u64(5)).unwrap_err().to_string();
        assert!(error.contains("a.png") && error.contains("32x32"), "{error}");
    }

    #[test]
    fn a_cut_is_a_part_of_the_picture_made_smaller() {
        let picture = Picture::from_rgb(10, 8, (0..240).map(|i| i as u8).collect());
        assert_eq!(Cut::WHOLE.of(&picture), picture);
        let half = Cut { size: 0.5, part: Some([1, 0, 3]) }.of(&picture);
        assert_eq!(half.rgb(), resize_to(&picture, 5, 4).part((1, 0), 3, 3).rgb());
    }
}
