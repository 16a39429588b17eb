//! ICC profiles: checks whether one is complete, and builds profiles for colours that a PNG or an AVIF describes by
//! other means, so that every format can carry them.

use moxcms::{Chromaticity, CicpProfile, ColorPrimaries, ColorProfile, MatrixCoefficients, XyY, curve_from_gamma};
use png::{Info, SourceChromaticities};

/// Returns whether a profile is complete according to its tag table (ICC.1:2022, sections 7.2 and 7.3), and is for this
/// kind of colour.
pub(crate) fn fits(icc: &[u8], grey: bool) -> bool {
    let number = |at: usize| icc.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) as usize);
    let space: &[u8] = if grey { b"GRAY" } else { b"RGB " };
    let is_whole = || {
        let (length, tags) = (number(0)?, number(128)?);
        let within = |i: usize| {
            let end = number(132 + 12 * i + 4)?.checked_add(number(132 + 12 * i + 8)?)?;
            (end <= icc.len()).then_some(())
        };
        (length <= icc.len() && tags <= icc.len() / 12).then_some(())?;
        (0..tags).try_for_each(within)
    };
    icc.get(16..20) == Some(space) && icc.get(36..40) == Some(b"acsp") && is_whole().is_some()
}

/// Truncates a profile to the length that it states (section 7.2.2): some readers reject a profile with trailing bytes.
pub(crate) fn cut_to_length(mut icc: Vec<u8>) -> Vec<u8> {
    if let Some(length) = icc.first_chunk() {
        icc.truncate((u32::from_be_bytes(*length) as usize).max(128));
    }
    icc
}

/// Builds a profile for what a PNG states without one: cICP, or gAMA with or without cHRM (PNG, third edition, sections
/// 11.3.2). Returns `None` if that is sRGB or is not understood.
pub(crate) fn of_png(info: &Info, grey: bool) -> Option<Vec<u8>> {
    let profile = match (info.coding_independent_code_points, info.srgb, info.gama_chunk) {
        (Some(points), ..) => return of_code_points(points.color_primaries, points.transfer_function),
        (None, None, Some(gamma)) => of_gamma(gamma.into_value(), info.chrm_chunk, grey)?,
        _ => return None,
    };
    profile.encode().ok()
}

/// H.273's code points for sRGB: BT.709's primaries and sRGB's curve.
const SRGB: (u8, u8) = (1, 13);

/// Builds a profile for primaries and a curve in H.273's code points. Returns `None` if that is sRGB or is not
/// understood.
pub(crate) fn of_code_points(primaries: u8, curve: u8) -> Option<Vec<u8>> {
    if (primaries, curve) == SRGB {
        return None;
    }
    let profile = ColorProfile::new_from_cicp(CicpProfile {
        color_primaries: primaries.try_into().ok()?,
        transfer_characteristics: curve.try_into().ok()?,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    });
    // Code points that are not understood leave the profile without curves.
    profile.red_trc.as_ref()?;
    profile.encode().ok()
}

/// The gamma that writers of sRGB state, and the tolerance for it and for the primaries.
const SRGB_GAMMA: (f32, f32) = (0.45455, 0.001);
const SRGB_PRIMARIES: ([f32; 8], f32) = ([0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06], 0.001);

fn of_gamma(gamma: f32, primaries: Option<SourceChromaticities>, grey: bool) -> Option<ColorProfile> {
    let given = primaries.map(|p| [p.white, p.red, p.green, p.blue].map(|(x, y)| [x.into_value(), y.into_value()]));
    let numbers = given.map_or(SRGB_PRIMARIES.0, |p| std::array::from_fn(|i| p[i / 2][i % 2]));
    let near = |(a, b): (&f32, &f32)| (a - b).abs() < SRGB_PRIMARIES.1;
    let usual = grey || numbers.iter().zip(&SRGB_PRIMARIES.0).all(near);
    if !(gamma > 0.01 && gamma < 100.0) || (usual && (gamma - SRGB_GAMMA.0).abs() < SRGB_GAMMA.1) {
        return None;
    }
    if grey {
        return Some(ColorProfile::new_gray_with_gamma(1.0 / gamma));
    }
    if numbers.iter().any(|v| !(*v > 0.0 && *v < 1.0)) {
        return None;
    }
    let point = |i: usize| Chromaticity { x: numbers[i], y: numbers[i + 1] };
    let mut profile = ColorProfile::new_srgb();
    let white = XyY { x: f64::from(numbers[0]), y: f64::from(numbers[1]), yb: 1.0 };
    profile.update_rgb_colorimetry(white, ColorPrimaries { red: point(2), green: point(4), blue: point(6) });
    let curve = Some(curve_from_gamma(1.0 / gamma));
    (profile.red_trc, profile.green_trc, profile.blue_trc) = (curve.clone(), curve.clone(), curve);
    profile.description = None;
    Some(profile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Light;
    use png::{CodingIndependentCodePoints, ScaledFloat};

    /// Returns what half of the light becomes by the PNG's own description.
    fn half(info: &Info) -> f32 {
        let icc = of_png(info, false).unwrap();
        assert!(fits(&icc, false) && !fits(&icc, true));
        let mut levels = [0.5; 3];
        Light::of_profile(&icc).unwrap().linear(&mut levels);
        levels[1]
    }

    #[test]
    fn what_a_png_says_becomes_a_profile_that_says_the_same() {
        let mut info = Info::with_size(1, 1);
        assert_eq!(of_png(&info, false), None);
        info.gama_chunk = Some(ScaledFloat::new(0.45455));
        assert_eq!(of_png(&info, false), None, "that is sRGB's");
        info.gama_chunk = Some(ScaledFloat::new(1.0));
        assert!((half(&info) - 0.5).abs() < 1e-3);
        info.chrm_chunk = Some(SourceChromaticities::new((0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)));
        info.gama_chunk = Some(ScaledFloat::new(1.0 / 2.2));
        assert!((half(&info) - 0.5_f32.powf(2.2)).abs() < 2e-3);
        let icc = of_png(&info, false).unwrap();
        let colorant = ColorProfile::new_from_slice(&icc).unwrap().green_colorant;
        let adobe = ColorProfile::new_adobe_rgb().green_colorant;
        assert!((colorant.x - adobe.x).abs() < 2e-3 && (colorant.y - adobe.y).abs() < 2e-3, "{colorant:?}");
        let points = |color_primaries, transfer_function| {
            Some(CodingIndependentCodePoints {
                color_primaries,
                transfer_function,
                matrix_coefficients: 0,
                is_video_full_range_image: true,
            })
        };
        info.coding_independent_code_points = points(1, 13);
        assert_eq!(of_png(&info, false), None, "that is sRGB");
        info.coding_independent_code_points = points(12, 13);
        assert!((half(&info) - 0.214).abs() < 2e-3);
    }

    #[test]
    fn a_profile_that_is_cut_does_not_fit() {
        let icc = ColorProfile::new_adobe_rgb().encode().unwrap();
        assert!(fits(&icc, false));
        for length in 0..icc.len() {
            assert!(!fits(&icc[..length], false), "{length} bytes");
        }
        let longer = [&icc[..], &[0; 3]].concat();
        assert_eq!(cut_to_length(longer), icc);
        assert_eq!(cut_to_length(vec![0; 3]), [0; 3]);
    }
}
