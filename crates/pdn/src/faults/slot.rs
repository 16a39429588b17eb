//! The slots of the language of faults: blur, resize, sharpening, noise, grain and JPEG, each with its levels.

use pdn_image::{Faults, Resampling};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// The blur before the picture was made smaller, in pixels of the small picture.
    Blur,
    /// How the picture was made smaller.
    Resize,
    /// Sharpening, which leaves halos.
    Sharpening,
    /// The noise's standard deviation, in levels of 255.
    Noise,
    /// Whether noise is fine, or coarse as film grain.
    Grain,
    /// JPEG's quality.
    Jpeg,
}

/// A point on a slot's scale, or one of its kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// The amount, in the slot's unit; for kinds their number.
    pub at: f64,
    /// The index of its level in [`Slot::levels`].
    pub level: usize,
}

const fn points<const N: usize>(pairs: [(f64, usize); N]) -> [Point; N] {
    let mut points = [Point { at: 0.0, level: 0 }; N];
    let mut i = 0;
    while i < N {
        points[i] = Point { at: pairs[i].0, level: pairs[i].1 };
        i += 1;
    }
    points
}

static BLUR: [Point; 8] = points([(0.0, 0), (0.12, 1), (0.25, 1), (0.36, 1), (0.5, 2), (0.65, 2), (0.85, 3), (1.2, 3)]);
static KINDS: [Point; 3] = points([(0.0, 0), (1.0, 1), (2.0, 2)]);
static SHARPENING: [Point; 3] = points([(0.0, 0), (0.5, 1), (1.2, 2)]);
static NOISE: [Point; 6] = points([(0.0, 0), (2.0, 1), (5.0, 1), (10.0, 2), (16.0, 3), (24.0, 3)]);
/// In 100 minus the quality; none is below all.
static JPEG: [Point; 7] = points([(-10.0, 0), (5.0, 1), (15.0, 1), (28.0, 1), (40.0, 2), (52.0, 2), (65.0, 3)]);

const AMOUNTS: [&str; 4] = ["none", "slight", "strong", "heavy"];

impl Slot {
    /// All slots, in the order of their numbers in an embedding.
    pub const ALL: [Self; 6] = [Self::Blur, Self::Resize, Self::Sharpening, Self::Noise, Self::Grain, Self::Jpeg];

    /// Returns the name, as in `--faults`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blur => "blur",
            Self::Resize => "resize",
            Self::Sharpening => "sharpening",
            Self::Noise => "noise",
            Self::Grain => "grain",
            Self::Jpeg => "jpeg",
        }
    }

    /// Returns the names of the levels, from nothing to much; of `resize` and `grain`, the kinds.
    pub fn levels(self) -> &'static [&'static str] {
        match self {
            Self::Blur | Self::Noise | Self::Jpeg => &AMOUNTS,
            Self::Sharpening => &AMOUNTS[..3],
            Self::Resize => &["antialiased", "sharp", "nearest"],
            Self::Grain => &["fine", "coarse"],
        }
    }

    /// Returns the unit of an amount, with its range; `None` for kinds.
    pub fn unit(self) -> Option<(&'static str, [f64; 2])> {
        match self {
            Self::Blur => Some(("pixels of the small picture", [0.0, 8.0])),
            Self::Sharpening => Some(("times", [0.0, 4.0])),
            Self::Noise => Some(("levels of 255", [0.0, 100.0])),
            Self::Jpeg => Some(("JPEG's quality", [1.0, 100.0])),
            Self::Resize | Self::Grain => None,
        }
    }

    /// Returns how many numbers the slot has in [`KnownFaults`](crate::KnownFaults): its points, and not being told.
    pub fn options(self) -> usize {
        self.points().len() + 1
    }

    pub(crate) fn points(self) -> &'static [Point] {
        match self {
            Self::Blur => &BLUR,
            Self::Resize => &KINDS,
            Self::Sharpening => &SHARPENING,
            Self::Noise => &NOISE,
            Self::Grain => &KINDS[..2],
            Self::Jpeg => &JPEG,
        }
    }

    /// Returns where an amount lies among the slot's points: 1.5 is halfway between the second and the third.
    pub(crate) fn index(self, amount: f64) -> f64 {
        // A JPEG of any quality is a JPEG: it never lies between none and the best.
        let at = if self == Self::Jpeg { (100.0 - amount).max(self.points()[1].at) } else { amount };
        let points = self.points();
        let above = points.iter().position(|point| point.at >= at).unwrap_or(points.len() - 1);
        match above {
            0 => 0.0,
            _ => {
                let [low, high] = [points[above - 1].at, points[above].at];
                above as f64 - ((high - at) / (high - low)).clamp(0.0, 1.0)
            }
        }
    }

    /// Returns the amount at an index; `None` for kinds, and where there is no JPEG.
    pub(crate) fn amount(self, index: f64) -> Option<f64> {
        let points = self.points();
        let low = (index.max(0.0).floor() as usize).min(points.len() - 1);
        let high = (low + 1).min(points.len() - 1);
        let at = points[low].at + (points[high].at - points[low].at) * (index - low as f64);
        match self {
            Self::Resize | Self::Grain => None,
            Self::Jpeg if index < 0.5 => None,
            Self::Jpeg => Some(100.0 - at.max(0.0)),
            Self::Blur | Self::Sharpening | Self::Noise => Some(at),
        }
    }

    /// Returns where the faults lie among the slot's points; `None` for the grain of what has no noise.
    pub(crate) fn of(self, faults: &Faults) -> Option<f64> {
        Some(match self {
            Self::Blur => self.index(faults.blur),
            Self::Resize => match faults.resize {
                Resampling::Antialiased => 0.0,
                Resampling::Sharp => 1.0,
                Resampling::Nearest => 2.0,
            },
            Self::Sharpening => self.index(faults.sharpening),
            Self::Noise => self.index(faults.noise),
            Self::Grain => {
                if faults.noise == 0.0 {
                    return None;
                }
                f64::from(u8::from(faults.grain))
            }
            Self::Jpeg => faults.jpeg.map_or(0.0, |quality| self.index(f64::from(quality))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_indices_match() {
        for (slot, amount, index) in [
            (Slot::Blur, 0.0, 0.0),
            (Slot::Blur, 0.06, 0.5),
            (Slot::Blur, 0.5, 4.0),
            (Slot::Blur, 9.0, 7.0),
            (Slot::Noise, 7.5, 2.5),
            (Slot::Jpeg, 100.0, 1.0),
            (Slot::Jpeg, 95.0, 1.0),
            (Slot::Jpeg, 60.0, 4.0),
            (Slot::Jpeg, 10.0, 6.0),
        ] {
            assert!((slot.index(amount) - index).abs() < 1e-9, "{slot:?} {amount}: {}", slot.index(amount));
        }
        assert_eq!(Slot::Jpeg.amount(0.0), None);
        assert_eq!(Slot::Jpeg.amount(4.0), Some(60.0));
        assert_eq!(Slot::Blur.amount(0.5), Some(0.06));
        assert_eq!(Slot::Resize.amount(1.0), None);
    }

    #[test]
    fn every_level_has_a_point_and_none_goes_down() {
        for slot in Slot::ALL {
            let levels: Vec<usize> = slot.points().iter().map(|point| point.level).collect();
            assert!(levels.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1), "{slot:?}");
            assert_eq!(levels.last().map(|last| last + 1), Some(slot.levels().len()), "{slot:?}");
        }
    }
}
