//! PSNR and SSIM of a picture in every colour space, as `pdn eval` and `pdn compare` print them.

use crate::shared::bootstrap::{ahead, mean_with_interval};
use pdn::{ColourSpace, CompareError, Picture, Protocol, psnr, ssim};
use serde_json::{Value, json};

/// The colour spaces, in the order of the columns.
pub(crate) const SPACES: [(ColourSpace, &str); 3] =
    [(ColourSpace::YMatlab, "y_matlab"), (ColourSpace::YFull, "y_full"), (ColourSpace::Rgb, "rgb")];

/// Returns the PSNR in MATLAB's Y, with `shave` pixels removed from each side.
pub(crate) fn decibels(high: &Picture, large: &Picture, shave: usize) -> Result<f64, CompareError> {
    psnr(large, high, Protocol { space: ColourSpace::YMatlab, shave })
}

/// PSNR in dB and SSIM in each space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scores([(f64, f64); SPACES.len()]);

impl Scores {
    /// Compares two pictures, with `shave` pixels removed from each side.
    pub(crate) fn of(reference: &Picture, picture: &Picture, shave: usize) -> Result<Self, CompareError> {
        let mut scores = [(0.0, 0.0); SPACES.len()];
        for ((space, _), score) in SPACES.iter().zip(&mut scores) {
            let protocol = Protocol { space: *space, shave };
            *score = (psnr(reference, picture, protocol)?, ssim(reference, picture, protocol)?);
        }
        Ok(Self(scores))
    }

    /// Returns the PSNR in MATLAB's Y.
    pub(crate) fn psnr(&self) -> f64 {
        self.0[0].0
    }

    /// Returns the mean over pictures: of their decibels, not of their errors.
    pub(crate) fn mean<'a>(all: impl ExactSizeIterator<Item = &'a Self> + Clone) -> Self {
        let mean = |f: &dyn Fn(&Self) -> f64| all.clone().map(f).sum::<f64>() / all.len() as f64;
        Self(std::array::from_fn(|i| (mean(&|s| s.0[i].0), mean(&|s| s.0[i].1))))
    }

    /// Returns a cell for each space.
    pub(crate) fn cells(&self) -> [String; SPACES.len()] {
        self.0.map(|(psnr, ssim)| format!("{psnr:.3} / {ssim:.4}"))
    }

    /// Returns an entry for each space. The PSNR of equal pictures, which is infinite, is null.
    pub(crate) fn as_json(&self) -> Value {
        let entries = SPACES.iter().zip(self.0);
        Value::Object(entries.map(|((_, key), (p, s))| ((*key).into(), json!({"psnr": p, "ssim": s}))).collect())
    }
}

/// The difference between two scores of the same pictures, PSNR and SSIM in each space: the mean, and its interval.
pub(crate) struct Difference([[(f64, [f64; 2]); 2]; SPACES.len()]);

impl Difference {
    /// The index of PSNR.
    pub(crate) const PSNR: usize = 0;
    /// The index of SSIM.
    pub(crate) const SSIM: usize = 1;

    /// Computes the differences over at least one picture.
    pub(crate) fn of(pairs: &[(Scores, Scores)]) -> Self {
        let measure = |of: &dyn Fn(&Scores) -> f64| {
            mean_with_interval(&pairs.iter().map(|(one, other)| ahead(of(one), of(other))).collect::<Vec<f64>>())
        };
        Self(std::array::from_fn(|i| [measure(&|scores| scores.0[i].0), measure(&|scores| scores.0[i].1)]))
    }

    /// Returns a cell for each space, of PSNR or SSIM.
    pub(crate) fn cells(&self, measure: usize) -> [String; SPACES.len()] {
        let digits = [3, 4][measure];
        self.0.each_ref().map(|space| {
            let (mean, [low, high]) = space[measure];
            format!("{mean:+.digits$} ({low:+.digits$} to {high:+.digits$})")
        })
    }

    /// Returns an entry for each space.
    pub(crate) fn as_json(&self) -> Value {
        let entry = |(mean, interval): (f64, [f64; 2])| json!({"mean": mean, "interval": interval});
        let entries = SPACES.iter().zip(self.0);
        let of = |[psnr, ssim]: [_; 2]| json!({"psnr": entry(psnr), "ssim": entry(ssim)});
        Value::Object(entries.map(|((_, key), measures)| ((*key).into(), of(measures))).collect())
    }
}

/// Returns the column headers.
pub(crate) fn heads() -> [String; SPACES.len()] {
    SPACES.map(|(space, _)| space.to_string())
}

/// Returns the protocol of the figures, for programs.
pub(crate) fn protocol(shave: usize) -> Value {
    json!({
        "shave": shave,
        "y_matlab": "luma 16 to 235, not rounded",
        "y_full": "luma 0 to 255, not rounded",
        "psnr": "decibels below 255; null where the pictures are equal",
        "ssim": "Wang 2004, 11x11 Gaussian of 1.5, valid windows; in RGB the mean over channels",
    })
}
