//! Compares metrics and degradations with published and independently measured values.

use pdn_image::{ColourSpace, Degradation, Limits, Picture, Protocol, Scale, psnr, read, resize, ssim};

fn pictures(set: &str) -> Option<Vec<(String, Picture)>> {
    let folder = pdn_testing::data(&format!("eval/{set}/HR"))?;
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let picture = |path: &std::path::Path| {
        (path.file_stem().unwrap().to_string_lossy().into_owned(), read(path, &Limits::default()).unwrap())
    };
    Some(paths.iter().map(|path| picture(path)).collect())
}

/// Compares bicubic upscaling of degraded pictures with the means of an independent numpy implementation: MATLAB's Y,
/// shave = scale.
#[test]
fn bicubic_on_the_benchmarks() {
    let mut failures = Vec::new();
    for (set, scale, degradation, expected) in [
        ("Set5", 2, Degradation::BlurBicubic, (30.02, 0.8657)),
        ("Set5", 3, Degradation::BlurBicubic, (28.82, 0.8306)),
        ("Set5", 4, Degradation::BlurBicubic, (27.60, 0.7876)),
        ("Set14", 2, Degradation::BlurBicubic, (27.45, 0.7731)),
        ("Set14", 4, Degradation::BlurBicubic, (25.53, 0.6791)),
        ("BSD100", 4, Degradation::BlurBicubic, (25.53, 0.6434)),
        ("Set5", 2, Degradation::Bicubic, (33.67, 0.9303)),
        ("Set5", 3, Degradation::Bicubic, (30.40, 0.8689)),
        ("Set5", 4, Degradation::Bicubic, (28.43, 0.8111)),
        ("Set14", 4, Degradation::Bicubic, (26.09, 0.7048)),
        ("BSD100", 4, Degradation::Bicubic, (25.96, 0.6681)),
    ] {
        let Some(pictures) = pictures(set) else { return };
        let protocol = Protocol { space: ColourSpace::YMatlab, shave: scale };
        let (mut decibels, mut similarity) = (0.0, 0.0);
        for (_, hr) in &pictures {
            let enlarged = resize(&degradation.apply(hr, scale).unwrap().into_eight(), Scale::Up(scale));
            let hr = hr.modcrop(scale);
            decibels += psnr(&hr, &enlarged, protocol).unwrap() / pictures.len() as f64;
            similarity += ssim(&hr, &enlarged, protocol).unwrap() / pictures.len() as f64;
        }
        println!("{set} x{scale} {degradation}: {decibels:.4} dB, {similarity:.5} ({protocol})");
        if (decibels - expected.0).abs() > 0.0051 || (similarity - expected.1).abs() > 0.000_051 {
            failures
                .push(format!("{set} x{scale} {degradation}: {decibels:.4}/{similarity:.5}, expected {expected:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Compares with BasicSR's `metrics/README.md`. Its pictures are cropped to multiples of 12, and its low-resolution
/// files come from a port of `imresize` that does not round between the passes, so a tenth of their pixels differ from
/// ours by one.
#[test]
fn basicsr_s_figures() {
    let Some(pictures) = pictures("Set14") else { return };
    let rgb = Protocol { space: ColourSpace::Rgb, shave: 4 };
    let y = Protocol { space: ColourSpace::YMatlab, shave: 4 };
    for (name, expected) in
        [("baboon", [20.419710, 22.441898, 0.391853, 0.453097]), ("comic", [20.239912, 21.720398, 0.567738, 0.585511])]
    {
        let (_, hr) = pictures.iter().find(|(found, _)| found == name).unwrap();
        let hr = hr.modcrop(12);
        let enlarged = resize(&Degradation::Bicubic.apply(&hr, 4).unwrap().into_eight(), Scale::Up(4));
        let found =
            [psnr(&hr, &enlarged, rgb), psnr(&hr, &enlarged, y), ssim(&hr, &enlarged, rgb), ssim(&hr, &enlarged, y)];
        for ((found, expected), tolerance) in found.into_iter().zip(expected).zip([2e-3, 2e-3, 3e-4, 3e-4]) {
            let found = found.unwrap();
            println!("{name}: {found:.6}, expected {expected}");
            assert!((found - expected).abs() < tolerance, "{name}: {found:.6}, expected {expected}");
        }
    }
}

#[test]
fn equal_pictures_and_unequal_sizes() {
    let picture = Picture::from_rgb(16, 12, (0..16 * 12 * 3).map(|i| (i * 7 % 256) as u8).collect());
    for space in [ColourSpace::YMatlab, ColourSpace::YFull, ColourSpace::Rgb] {
        let protocol = Protocol { space, shave: 0 };
        assert_eq!(psnr(&picture, &picture, protocol), Ok(f64::INFINITY));
        assert!((ssim(&picture, &picture, protocol).unwrap() - 1.0).abs() < 1e-12);
        assert!(ssim(&picture, &picture, Protocol { space, shave: 1 }).unwrap_err().to_string().contains("11"));
        assert!(psnr(&picture, &picture, Protocol { space, shave: 6 }).is_err());
        assert!(psnr(&picture, &picture.cropped(15, 12), protocol).is_err());
    }
}

#[test]
fn a_known_difference() {
    // Grey levels that differ by 10 differ in MATLAB's Y by 10 * 219 / 255.
    let flat = |level| Picture::from_rgb(12, 12, vec![level; 12 * 12 * 3]);
    let found = |space| psnr(&flat(100), &flat(110), Protocol { space, shave: 0 }).unwrap();
    let expected = |d: f64| 20.0 * (255.0 / d).log10();
    assert!((found(ColourSpace::Rgb) - expected(10.0)).abs() < 1e-9);
    assert!((found(ColourSpace::YFull) - expected(10.0)).abs() < 1e-9);
    assert!((found(ColourSpace::YMatlab) - expected(10.0 * 219.0 / 255.0)).abs() < 1e-9);
}
