//! Conversion between samples and linear light, by the curves of the picture's ICC profile, or sRGB's without one.

use moxcms::{ColorProfile, ToneReprCurve};

/// The curves of red, green and blue: linear light at each 16-bit level.
#[derive(Debug)]
pub struct Light {
    curves: Vec<Vec<f32>>,
}

/// Levels per curve.
const LEVELS: usize = 1 << 16;

impl Light {
    /// Returns sRGB's curve (IEC 61966-2-1).
    pub fn srgb() -> Self {
        let light = |level: usize| {
            let v = level as f64 / (LEVELS - 1) as f64;
            (if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }) as f32
        };
        Self { curves: vec![(0..LEVELS).map(light).collect()] }
    }

    /// Returns the curves of a profile, or `None` if it is damaged or uses colour tables instead of a curve per
    /// channel.
    pub fn of_profile(icc: &[u8]) -> Option<Self> {
        let profile = ColorProfile::new_from_slice(icc).ok()?;
        let curves = match (&profile.red_trc, &profile.green_trc, &profile.blue_trc, &profile.gray_trc) {
            (Some(red), Some(green), Some(blue), _) => vec![red, green, blue],
            (None, None, None, Some(grey)) => vec![grey],
            _ => return None,
        };
        Some(Self { curves: curves.into_iter().map(curve).collect::<Option<_>>()? })
    }

    fn curve(&self, channel: usize) -> &[f32] {
        &self.curves[channel % self.curves.len()]
    }

    /// Converts interleaved RGB, 0 to 1, to linear light in place.
    pub fn linear(&self, rgb: &mut [f32]) {
        for (i, v) in rgb.iter_mut().enumerate() {
            let curve = self.curve(i % 3);
            let at = v.clamp(0.0, 1.0) * (LEVELS - 1) as f32;
            let level = at as usize;
            let next = curve[(level + 1).min(LEVELS - 1)];
            *v = curve[level] + (next - curve[level]) * (at - level as f32);
        }
    }

    /// Converts linear light back to interleaved RGB in place.
    pub fn encoded(&self, rgb: &mut [f32]) {
        for (i, v) in rgb.iter_mut().enumerate() {
            let curve = self.curve(i % 3);
            let above = curve.partition_point(|light| light < v).clamp(1, LEVELS - 1);
            let (low, high) = (curve[above - 1], curve[above]);
            let part = if high > low { ((*v - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
            *v = ((above - 1) as f32 + part) / (LEVELS - 1) as f32;
        }
    }
}

/// Evaluates a curve at every level; returns `None` if it decreases anywhere or cannot be evaluated.
fn curve(curve: &ToneReprCurve) -> Option<Vec<f32>> {
    let evaluator = curve.make_linear_evaluator().ok()?;
    let light = |level: usize| evaluator.evaluate_value(level as f32 / (LEVELS - 1) as f32);
    let table: Vec<f32> = (0..LEVELS).map(light).collect();
    (table.iter().all(|v| v.is_finite()) && table.is_sorted()).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same() {
        let profiles =
            [ColorProfile::new_adobe_rgb(), ColorProfile::new_gray_with_gamma(1.8), ColorProfile::new_srgb()];
        let lights = profiles.map(|profile| Light::of_profile(&profile.encode().unwrap()).unwrap());
        for light in lights.iter().chain([&Light::srgb()]) {
            let levels: Vec<f32> = (0..=3000).map(|i| i as f32 / 3000.0).collect();
            let mut found = levels.clone();
            light.linear(&mut found);
            assert!(found.iter().skip(3).zip(&levels[3..]).take(2000).all(|(light, level)| light < level));
            light.encoded(&mut found);
            // The darkest levels of a pure power curve are too flat to tell apart in 32 bits.
            assert!(
                found.iter().zip(&levels).all(|(a, b)| (a - b).abs() < 2e-3 && (*b < 0.02 || (a - b).abs() < 2e-5))
            );
        }
        let mut half = [0.5_f32; 3];
        Light::srgb().linear(&mut half);
        assert!((half[0] - 0.214_041).abs() < 1e-5);
        assert!(Light::of_profile(&[0; 131]).is_none());
    }
}
