//! The metrics of `--metrics`, as `pdn eval` and `pdn compare` print them.

use crate::args::metrics::{MetricChoice, MetricName};
use crate::shared::bootstrap::{ahead, mean_with_interval};
use crate::shared::failure::Failure;
use pdn::Picture;
use pdn_metrics::{Better, Luma, Metric, MetricError, MsSsim, Niqe, Pristine};
use serde_json::{Map, Value, json};

/// The file with what NIQE knows of pristine pictures.
const PRISTINE: &str = "niqe_pris_params.npz";

/// The metrics that were asked for, in that order.
pub(crate) struct Metrics(Vec<Box<dyn Metric>>);

impl Metrics {
    /// Opens the files that the metrics need.
    pub(crate) fn open(choice: &MetricChoice) -> Result<Self, Failure> {
        let pristine = || {
            let name = "--metrics niqe";
            let folder = choice.metric_files.as_ref().ok_or_else(|| {
                Failure::usage(format_args!("{name}: needs {PRISTINE}; give its folder by --metric-files"))
            })?;
            Pristine::open(&folder.join(PRISTINE)).map_err(Failure::failed)
        };
        let metric = |name: &MetricName| -> Result<Box<dyn Metric>, Failure> {
            Ok(match name {
                MetricName::MsSsim => Box::new(MsSsim),
                MetricName::Niqe => Box::new(Niqe::new(pristine()?, Luma::Y)),
                MetricName::NiqeAuthors => Box::new(Niqe::new(pristine()?, Luma::Grey)),
            })
        };
        let named = choice.metrics.iter().enumerate();
        let once = named.filter(|(at, name)| !choice.metrics[..*at].contains(name));
        Ok(Self(once.map(|(_, name)| metric(name)).collect::<Result<_, _>>()?))
    }

    /// Returns the scores of a picture, with `shave` pixels removed from each side.
    pub(crate) fn score(&self, picture: &Picture, reference: &Picture, shave: usize) -> Result<Vec<f64>, MetricError> {
        self.0.iter().map(|metric| metric.score(picture, Some(reference), shave)).collect()
    }

    /// Returns the metrics themselves.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &dyn Metric> {
        self.0.iter().map(Box::as_ref)
    }

    /// Returns the column headers.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.iter().map(|metric| metric.name().to_owned()).collect()
    }

    /// Returns a line for each metric: what it is, and which way it points.
    pub(crate) fn words(&self) -> Vec<String> {
        let better = |metric: &dyn Metric| match metric.better() {
            Better::Higher => "more is better",
            Better::Lower => "less is better",
        };
        self.iter().map(|metric| format!("{}: {}; {}", metric.name(), metric.protocol(), better(metric))).collect()
    }

    /// Returns an object with an entry for each metric.
    pub(crate) fn object(&self, entries: impl IntoIterator<Item = Value>) -> Value {
        let names = self.iter().map(|metric| metric.name().to_owned());
        Value::Object(names.zip(entries).collect::<Map<String, Value>>())
    }

    /// Returns what each metric is, for programs. A range without a bound has null there.
    pub(crate) fn protocols(&self) -> Value {
        self.object(self.iter().map(|metric| {
            let better = if metric.better() == Better::Higher { "higher" } else { "lower" };
            json!({"protocol": metric.protocol(), "better": better, "range": metric.range()})
        }))
    }
}

/// Returns a score, as tables have it.
pub(crate) fn cell(score: f64) -> String {
    format!("{score:.4}")
}

/// Returns the means of scores of several pictures.
pub(crate) fn means(all: &[&[f64]]) -> Vec<f64> {
    columns(all).map(|column| column.iter().sum::<f64>() / column.len() as f64).collect()
}

/// Returns the mean differences between two models' scores of the same pictures, with their intervals.
pub(crate) fn differences(pairs: &[(&[f64], &[f64])]) -> Vec<(f64, [f64; 2])> {
    let of_picture = |(one, other): &(&[f64], &[f64])| -> Vec<f64> {
        one.iter().zip(*other).map(|(one, other)| ahead(*one, *other)).collect()
    };
    let all: Vec<Vec<f64>> = pairs.iter().map(of_picture).collect();
    let all: Vec<&[f64]> = all.iter().map(Vec::as_slice).collect();
    columns(&all).map(|column| mean_with_interval(&column)).collect()
}

/// Returns the scores of all pictures, by metric.
fn columns(all: &[&[f64]]) -> impl Iterator<Item = Vec<f64>> {
    let metrics = all.first().map_or(0, |first| first.len());
    (0..metrics).map(|metric| all.iter().map(|scores| scores[metric]).collect())
}
