//! Scores beside those of the programs that others use (`tests/reference/metrics.py`).

use pdn_image::Picture;
use pdn_metrics::{Luma, Metric, MsSsim, Niqe, Pristine};
use serde_json::Value;

/// The picture that the script draws: edges, waves and noise, in whole numbers.
fn drawn(width: usize, height: usize, noise: usize) -> Picture {
    let level = |at: usize| {
        let (y, x, c) = (at / 3 / width, at / 3 % width, at % 3);
        let random = (at * 7919 + (at * at) % 104_729 * 31) % 1009;
        let level = 40 + (x * x / 97 + y * 3 + 20 * c) % 120 + (x * y / 61) % 60 + random * noise / 1009;
        level.min(255) as u8
    };
    Picture::from_rgb(width, height, (0..width * height * 3).map(level).collect())
}

/// The cases of the file: a picture, the same without noise, and what others' programs give.
fn cases() -> Vec<(Picture, Picture, Value)> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/reference/metrics/scores.json")).unwrap();
    let number = |case: &Value, key: &str| case[key].as_u64().unwrap() as usize;
    let pictures = |case: Value| {
        let [width, height, noise] = ["width", "height", "noise"].map(|key| number(&case, key));
        (drawn(width, height, noise), drawn(width, height, 0), case)
    };
    cases.into_iter().map(pictures).collect()
}

#[test]
fn niqe_is_basicsr_s_and_the_authors() {
    let Some(path) = pdn_testing::data("metrics/niqe_pris_params.npz") else { return };
    let pristine = Pristine::open(&path).unwrap();
    for (luma, key) in [(Luma::Y, "niqe"), (Luma::Grey, "niqe_authors")] {
        let niqe = Niqe::new(pristine.clone(), luma);
        for (picture, _, case) in cases() {
            let (found, expected) = (niqe.score(&picture, None, 0).unwrap(), case[key].as_f64().unwrap());
            assert!((found - expected).abs() < 1e-5 * expected, "{key}: {found} {case}");
        }
    }
}

#[test]
fn ms_ssim_is_pytorch_msssim_s() {
    let mut compared = 0;
    for (picture, clean, case) in cases() {
        if let Some(expected) = case.get("ms_ssim").and_then(Value::as_f64) {
            let found = MsSsim.score(&picture, Some(&clean), 0).unwrap();
            assert!((found - expected).abs() < 1e-5, "{found} {case}");
            compared += 1;
        }
    }
    assert_eq!(compared, 3);
}

#[test]
fn niqe_needs_two_blocks_with_texture() {
    let Some(path) = pdn_testing::data("metrics/niqe_pris_params.npz") else { return };
    let niqe = Niqe::new(Pristine::open(&path).unwrap(), Luma::Y);
    let error = |picture: Picture, shave| niqe.score(&picture, None, shave).unwrap_err().to_string();
    assert!(error(drawn(191, 190, 5), 0).contains("two blocks of 96x96"));
    assert!(error(drawn(192, 96, 5), 1).contains("shaving 1"));
    assert!(error(Picture::from_rgb(192, 96, vec![9; 192 * 96 * 3]), 0).contains("texture"));
    assert!(niqe.score(&drawn(192, 96, 5), None, 0).is_ok());
}

/// Published: 5.72957338 by MATLAB R2021a and 5.7295763 by BasicSR (its `docs/Metrics.md`).
#[test]
fn niqe_of_the_baboon_is_as_published() {
    let Some(path) = pdn_testing::data("metrics/niqe_pris_params.npz") else { return };
    let Some(baboon) = pdn_testing::data("eval/Set14/HR/baboon.png") else { return };
    let niqe = Niqe::new(Pristine::open(&path).unwrap(), Luma::Y);
    let found = niqe.score(&pdn_image::read(&baboon, &Default::default()).unwrap(), None, 0).unwrap();
    assert!((found - 5.729_573).abs() < 1e-4, "{found}");
}
