//! The history of a run, stored in its state.

use serde::{Deserialize, Deserializer, Serialize};

/// The history of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Its evaluations.
    pub records: Vec<Record>,
    /// Steps at which it continued from weights alone, without the optimizer's moments.
    pub restarts: Vec<u64>,
}

/// One evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps done.
    pub step: u64,
    /// Mean loss since the last evaluation.
    #[serde(deserialize_with = "or_nan")]
    pub loss: f64,
    /// Seconds of training, over all sessions.
    pub seconds: f64,
    /// Metrics by name.
    #[serde(deserialize_with = "figures")]
    pub figures: Vec<(String, f64)>,
}

/// Deserializes a number; null, which stands for a non-finite one in JSON, becomes NaN. Examples are the PSNR of a
/// perfect picture and that of an unreadable one.
fn or_nan<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// Deserializes metrics, some of which may be null, as above.
fn figures<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, f64)>, D::Error> {
    let found = Vec::<(String, Option<f64>)>::deserialize(from)?;
    Ok(found.into_iter().map(|(name, figure)| (name, figure.unwrap_or(f64::NAN))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_are_no_numbers_are_read_again() {
        let figures = [("PSNR", f64::INFINITY), ("least", f64::NAN), ("SSIM", 0.5)];
        let figures = figures.map(|(name, figure)| (name.to_owned(), figure)).to_vec();
        let record = Record { step: 3, loss: f64::NAN, seconds: 1.5, figures };
        let text = serde_json::json!(History { records: vec![record], restarts: vec![1] }).to_string();
        let History { records, restarts } = serde_json::from_str(&text).unwrap();
        let [Record { step: 3, loss, seconds: 1.5, figures }] = &records[..] else { panic!("{records:?}") };
        assert!(restarts == [1] && loss.is_nan());
        // JSON has no infinity either.
        assert!(
            figures[0].1.is_nan() && figures[1].1.is_nan() && figures[2] == ("SSIM".to_owned(), 0.5),
            "{figures:?}"
        );
    }
}
