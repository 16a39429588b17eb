//! What is known of a picture's faults: for each slot a distribution over its points, or nothing.

use crate::faults::slot::Slot;
use pdn_image::Faults;
use std::fmt;
use std::str::FromStr;

/// What is known of a picture's faults. Whoever says it - a sentence, the picture itself, a control - says it in this
/// form, and networks are steered by it.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownFaults {
    /// For each slot the probabilities of its points, then that of not being told; together 1.
    slots: Vec<Vec<f32>>,
}

/// Why settings such as `blur=slight,noise=10` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// No slot has this name.
    #[error(
        "unknown fault `{0}`: expected blur, resize, sharpening, noise, grain or jpeg, as in blur=slight,noise=none"
    )]
    Slot(String),
    /// The slot has no such level.
    #[error("{slot}={found}: expected {expected}")]
    Level {
        /// The slot's name.
        slot: &'static str,
        /// The level as given.
        found: String,
        /// What the slot takes.
        expected: String,
    },
}

/// How often a fault in a sentence is taken for any other. Of 0, 0.05, 0.1 and 0.2 this fits wordings that training never
/// heard best, on pictures of the training (`docs/experiments/2026-11-30-weighed.md`).
const MISHEARD: f32 = 0.1;

/// How likely each point of a slot is at least, whatever the picture shows.
const MISREAD: f32 = 1e-4;

impl Default for KnownFaults {
    /// Nothing is known.
    fn default() -> Self {
        let unknown = |slot: &Slot| {
            let mut all = vec![0.0; slot.points().len() + 1];
            all[slot.points().len()] = 1.0;
            all
        };
        Self { slots: Slot::ALL.iter().map(unknown).collect() }
    }
}

impl KnownFaults {
    /// How many numbers there are: one for each point of each slot, and one more a slot.
    pub const LEN: usize = 35;

    /// Returns what is known to someone who knows the faults in numbers.
    pub fn exactly(faults: &Faults) -> Self {
        let mut known = Self::default();
        for slot in Slot::ALL {
            if let Some(index) = slot.of(faults) {
                known.set_index(slot, index);
            }
        }
        known
    }

    /// Creates what is known from unnormalised logarithms of its numbers, as a tower gives them.
    ///
    /// # Panics
    /// If there are not [`KnownFaults::LEN`].
    pub fn from_logits(logits: &[f32]) -> Self {
        assert_eq!(logits.len(), Self::LEN, "logits of faults");
        let mut rest = logits;
        let slot = |slot: &Slot| {
            let (own, others) = rest.split_at(slot.points().len() + 1);
            rest = others;
            let most = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let raw: Vec<f32> = own.iter().map(|v| (v - most).exp()).collect();
            let total: f32 = raw.iter().sum();
            raw.into_iter().map(|v| v / total).collect()
        };
        Self { slots: Slot::ALL.iter().map(slot).collect() }
    }

    /// Returns all probabilities: of each slot those of its points, then that of not being told.
    pub fn probabilities(&self) -> Vec<f32> {
        self.slots.concat()
    }

    /// Returns the square roots of the probabilities: each slot a vector of length 1, however sure it is.
    pub fn values(&self) -> Vec<f32> {
        self.slots.iter().flatten().map(|p| p.sqrt()).collect()
    }

    /// Reads [`Self::values`] of any length; `None` if a slot has none, or if there are more or fewer.
    pub(crate) fn from_values(values: &[f32]) -> Option<Self> {
        if values.len() != Self::LEN {
            return None;
        }
        let mut rest = values;
        let slot = |slot: &Slot| {
            let (own, others) = rest.split_at(slot.points().len() + 1);
            rest = others;
            let squares: f32 = own.iter().map(|v| v * v).sum();
            (squares.is_finite() && squares > 0.0).then(|| own.iter().map(|v| v * v / squares).collect())
        };
        Some(Self { slots: Slot::ALL.iter().map(slot).collect::<Option<_>>()? })
    }

    /// Returns, for each slot, the weighted mean of what is told with a positive weight.
    pub(crate) fn mean(parts: &[(f32, &Self)]) -> Self {
        let mut mean = Self::default();
        for slot in Slot::ALL {
            let telling = || parts.iter().filter(|(weight, known)| *weight > 0.0 && known.is_told(slot));
            let total: f32 = telling().map(|(weight, _)| weight).sum();
            if total > 0.0 {
                let share = |i: usize| telling().map(|(weight, known)| weight / total * known.of(slot)[i]).sum();
                *mean.of_mut(slot) = (0..=slot.points().len()).map(share).collect();
            }
        }
        mean
    }

    /// Returns whether a slot is more likely told than not.
    pub fn is_told(&self, slot: Slot) -> bool {
        self.of(slot).last().is_some_and(|unknown| *unknown < 0.5)
    }

    /// Returns whether any slot is told.
    pub fn tells_any(&self) -> bool {
        Slot::ALL.iter().any(|slot| self.is_told(*slot))
    }

    /// Sets a slot to one of its levels, by its index in [`Slot::levels`].
    pub fn set_level(&mut self, slot: Slot, level: usize) {
        let points = slot.points();
        let count = points.iter().filter(|point| point.level == level).count();
        let share = |point: &super::slot::Point| if point.level == level { 1.0 / count as f32 } else { 0.0 };
        self.set(slot, points.iter().map(share).collect());
    }

    /// Sets a slot to an amount in its unit: pixels, levels of 255, or JPEG's quality.
    pub fn set_amount(&mut self, slot: Slot, amount: f64) {
        self.set_index(slot, slot.index(amount));
    }

    /// Sets a slot to what lies between two of its points.
    pub(crate) fn set_index(&mut self, slot: Slot, index: f64) {
        let share = |i: usize| (1.0 - (index - i as f64).abs()).max(0.0) as f32;
        self.set(slot, (0..slot.points().len()).map(share).collect());
    }

    /// Sets a slot to what someone sees who is off by about `spread` points: `index` is what they see.
    pub fn set_seen(&mut self, slot: Slot, index: f64, spread: f64) {
        let raw = (0..slot.points().len()).map(|i| (-((index - i as f64) / spread).powi(2) / 2.0).exp().max(1e-12));
        let raw: Vec<f64> = raw.collect();
        let total: f64 = raw.iter().sum();
        self.set(slot, raw.into_iter().map(|v| (v / total) as f32).collect());
    }

    fn set(&mut self, slot: Slot, points: Vec<f32>) {
        *self.of_mut(slot) = points;
        self.of_mut(slot).push(0.0);
    }

    /// Forgets a slot.
    pub fn forget(&mut self, slot: Slot) {
        let of = self.of_mut(slot);
        of.fill(0.0);
        if let Some(unknown) = of.last_mut() {
            *unknown = 1.0;
        }
    }

    /// Returns what is known here, and where nothing is, what is known there.
    pub fn or(&self, other: &Self) -> Self {
        let slots = Slot::ALL.iter().map(|slot| {
            if !self.is_told(*slot) {
                return other.of(*slot).to_vec();
            }
            let mut own = self.of(*slot).to_vec();
            if let Some(unknown) = own.last_mut() {
                *unknown = 0.0;
            }
            let total: f32 = own.iter().sum();
            own.into_iter().map(|p| p / total).collect()
        });
        Self { slots: slots.collect() }
    }

    /// Returns what a sentence tells, weighed with what the picture shows. Words hardly say how much, and can be
    /// misheard; the picture shows amounts, and can be misread. So a point counts as far as both hold it likely. A slot
    /// that only one of them tells is as that one tells it.
    pub(crate) fn weighed(&self, seen: &Self) -> Self {
        let mut weighed = self.or(seen);
        for slot in Slot::ALL.into_iter().filter(|slot| self.is_told(*slot) && seen.is_told(*slot)) {
            let (heard, seen) = (self.or(seen).slots[slot as usize].clone(), seen.of(slot));
            let count = slot.points().len();
            let point = |i: usize| ((1.0 - MISHEARD) * heard[i] + MISHEARD / count as f32) * (seen[i] + MISREAD);
            let points: Vec<f32> = (0..count).map(point).collect();
            let total: f32 = points.iter().sum();
            weighed.set(slot, points.into_iter().map(|p| p / total).collect());
        }
        weighed
    }

    /// Returns the likeliest level of a slot, by its index in [`Slot::levels`]; `None` if it is not told.
    pub fn level(&self, slot: Slot) -> Option<usize> {
        if !self.is_told(slot) {
            return None;
        }
        let shares = self.shares(slot);
        (0..shares.len()).max_by(|a, b| shares[*a].total_cmp(&shares[*b]))
    }

    /// Returns the probability of each level of a slot; what is missing to 1 is that of not being told.
    pub fn shares(&self, slot: Slot) -> Vec<f32> {
        let mut shares = vec![0.0; slot.levels().len()];
        slot.points().iter().zip(self.of(slot)).for_each(|(point, p)| shares[point.level] += p);
        shares
    }

    /// Returns the mean amount of a slot in its unit; `None` if it is not told, for kinds, and where there is no JPEG.
    pub fn amount(&self, slot: Slot) -> Option<f64> {
        slot.amount(self.index(slot)?)
    }

    /// Returns the mean index of a slot among its points, such as 1.5 between the second and the third; `None` if it is
    /// not told.
    pub fn index(&self, slot: Slot) -> Option<f64> {
        if !self.is_told(slot) {
            return None;
        }
        let points = self.of(slot).split_last().map_or(&[][..], |(_, points)| points);
        let total: f64 = points.iter().map(|p| f64::from(*p)).sum();
        Some(points.iter().enumerate().map(|(i, p)| i as f64 * f64::from(*p)).sum::<f64>() / total)
    }

    /// Returns whether both know the same of a slot.
    pub(crate) fn same(&self, slot: Slot, other: &Self) -> bool {
        self.of(slot).iter().zip(other.of(slot)).all(|(a, b)| (a - b).abs() < 1e-4)
    }

    fn of(&self, slot: Slot) -> &[f32] {
        &self.slots[slot as usize]
    }

    fn of_mut(&mut self, slot: Slot) -> &mut Vec<f32> {
        &mut self.slots[slot as usize]
    }
}

impl FromStr for KnownFaults {
    type Err = FaultsError;

    /// Parses settings such as `blur=slight,noise=10,jpeg=none`: levels, or amounts in the slot's unit. `unknown`
    /// forgets a slot.
    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let mut known = Self::default();
        for part in text.split(',').map(str::trim) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            let slot = Slot::ALL.into_iter().find(|slot| slot.name() == name);
            let slot = slot.ok_or_else(|| FaultsError::Slot(name.to_owned()))?;
            let amount = || {
                let (_, [least, most]) = slot.unit()?;
                value.parse::<f64>().ok().filter(|amount| (least..=most).contains(amount))
            };
            match slot.levels().iter().position(|level| *level == value) {
                Some(level) => known.set_level(slot, level),
                None if value == "unknown" => known.forget(slot),
                None => match amount() {
                    Some(amount) => known.set_amount(slot, amount),
                    None => {
                        let mut expected = slot.levels().join(", ");
                        if let Some((unit, [least, most])) = slot.unit() {
                            expected += &format!(", or a number from {least} to {most} ({unit})");
                        }
                        return Err(FaultsError::Level { slot: slot.name(), found: value.to_owned(), expected });
                    }
                },
            }
        }
        Ok(known)
    }
}

impl fmt::Display for KnownFaults {
    /// Says in words what is known, as in "slightly blurred, some noise, JPEG about 60".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for slot in Slot::ALL {
            let Some(level) = self.level(slot) else { continue };
            parts.push(match (slot, level) {
                (Slot::Blur, 0) => "sharp".to_owned(),
                (Slot::Blur, level) => ["slightly blurred", "blurred", "heavily blurred"][level - 1].to_owned(),
                (Slot::Resize, 0) => continue,
                (Slot::Resize, 1) => "downscaled without antialiasing".to_owned(),
                (Slot::Resize, _) => "downscaled to the nearest pixel".to_owned(),
                (Slot::Sharpening, 0) => continue,
                (Slot::Sharpening, 1) => "sharpened".to_owned(),
                (Slot::Sharpening, _) => "oversharpened".to_owned(),
                (Slot::Noise, 0) => "no noise".to_owned(),
                (Slot::Noise, level) => ["some noise", "noisy", "very noisy"][level - 1].to_owned(),
                (Slot::Grain, 1) if self.level(Slot::Noise).is_none_or(|noise| noise > 0) => "coarse grain".to_owned(),
                (Slot::Grain, _) => continue,
                (Slot::Jpeg, 0) => "no JPEG traces".to_owned(),
                (Slot::Jpeg, _) => match self.amount(slot) {
                    Some(quality) => format!("JPEG about {}", (quality / 5.0).round() * 5.0),
                    None => "JPEG".to_owned(),
                },
            });
        }
        match parts.is_empty() {
            true => f.write_str("nothing known"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(text: &str) -> KnownFaults {
        text.parse().unwrap()
    }

    #[test]
    fn each_slot_has_the_length_one() {
        assert_eq!(KnownFaults::default().values().len(), KnownFaults::LEN);
        let faults: Faults = "blur=0.3,grain=7,jpeg=66".parse().unwrap();
        let mut seen = KnownFaults::default();
        seen.set_seen(Slot::Blur, 2.3, 0.8);
        for known in [KnownFaults::default(), KnownFaults::exactly(&faults), seen, known("noise=heavy,resize=sharp")] {
            let squares: f32 = known.values().iter().map(|v| v * v).sum();
            assert!((squares - 6.0).abs() < 1e-5, "{known}: {squares}");
        }
    }

    #[test]
    fn settings_become_words() {
        for (settings, words) in [
            ("blur=slight,noise=none", "slightly blurred, no noise"),
            ("noise=slight,jpeg=60,blur=0.25", "slightly blurred, some noise, JPEG about 60"),
            ("blur=none,jpeg=none,grain=coarse,noise=heavy", "sharp, very noisy, coarse grain, no JPEG traces"),
            ("resize=nearest,sharpening=strong", "downscaled to the nearest pixel, oversharpened"),
            ("blur=unknown", "nothing known"),
        ] {
            assert_eq!(known(settings).to_string(), words);
        }
        for (settings, said) in [
            ("blur", "blur=: expected none, slight, strong, heavy, or a number from 0 to 8"),
            ("blur=9", "blur=9: expected"),
            ("resize=1", "resize=1: expected antialiased, sharp, nearest"),
            ("", "unknown fault ``"),
            ("blur=slight;noise=none", "expected none"),
        ] {
            let error = settings.parse::<KnownFaults>().unwrap_err().to_string();
            assert!(error.contains(said), "{settings}: {error}");
        }
    }

    #[test]
    fn what_is_told_wins_over_what_is_seen() {
        let told = known("blur=strong");
        let seen = known("blur=none,noise=slight");
        let both = told.or(&seen);
        assert_eq!((both.level(Slot::Blur), both.level(Slot::Noise)), (Some(2), Some(1)));
        assert_eq!(both.level(Slot::Jpeg), None);
        assert_eq!(KnownFaults::default().or(&seen), seen);
    }

    #[test]
    fn words_and_picture_are_weighed() {
        let told = known("blur=strong,noise=none");
        // The words say how strong, and the picture how much of that.
        let mut seen = KnownFaults::default();
        seen.set_seen(Slot::Blur, Slot::Blur.index(0.65), 1.0);
        let weighed = told.weighed(&seen);
        assert_eq!((weighed.level(Slot::Blur), weighed.level(Slot::Noise)), (Some(2), Some(0)));
        let off = |known: &KnownFaults| (known.amount(Slot::Blur).unwrap() - 0.65).abs();
        assert!(off(&weighed) < off(&told), "{weighed}");
        // What is plainly seen is not talked away, and what is hardly seen is.
        seen.set_seen(Slot::Blur, 0.0, 0.4);
        assert_eq!(told.weighed(&seen).level(Slot::Blur), Some(0));
        seen.set_seen(Slot::Blur, Slot::Blur.index(0.3), 3.0);
        assert_eq!(told.weighed(&seen).level(Slot::Blur), Some(2));
        assert_eq!(KnownFaults::default().weighed(&seen), seen);
        assert_eq!(told.weighed(&KnownFaults::default()), told);
        let sum: f32 = weighed.probabilities().iter().sum();
        assert!((sum - 6.0).abs() < 1e-5);
    }

    #[test]
    fn logits_are_probabilities() {
        let mut logits = vec![0.0; KnownFaults::LEN];
        logits[3] = 9.0;
        let known = KnownFaults::from_logits(&logits);
        assert_eq!(known.level(Slot::Blur), Some(1));
        assert!((known.amount(Slot::Blur).unwrap() - 0.36).abs() < 0.01);
        let sum: f32 = known.probabilities().iter().sum();
        assert!((sum - 6.0).abs() < 1e-5);
    }

    #[test]
    fn exact_numbers_are_kept() {
        let faults: Faults = "blur=0.31,noise=12,jpeg=55".parse().unwrap();
        let known = KnownFaults::exactly(&faults);
        for (slot, amount) in [(Slot::Blur, 0.31), (Slot::Noise, 12.0), (Slot::Jpeg, 55.0)] {
            assert!((known.amount(slot).unwrap() - amount).abs() < 1e-3, "{slot:?}");
        }
        assert_eq!(known.level(Slot::Grain), Some(0));
        assert_eq!(KnownFaults::exactly(&Faults::default()).level(Slot::Grain), None);
    }
}
