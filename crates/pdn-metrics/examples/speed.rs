//! Times each metric on a picture; `benches/metrics.py` times other programs on the same one.
//!
//!     cargo run --release -p pdn-metrics --example speed -- picture.png niqe_pris_params.npz

use pdn_image::{Limits, gaussian_blur, read};
use pdn_metrics::{Luma, Metric, MsSsim, Niqe, Pristine};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Runs of which the fastest counts.
const RUNS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [picture, pristine] = &arguments[..] else { return Err("expected: PICTURE niqe_pris_params.npz".into()) };
    let picture = read(Path::new(picture), &Limits::default())?;
    let blurred = gaussian_blur(&picture, 1.0);
    let niqe = Niqe::new(Pristine::open(Path::new(pristine))?, Luma::Y);
    for metric in [&niqe as &dyn Metric, &MsSsim] {
        let mut fastest = f64::INFINITY;
        let mut score = 0.0;
        for _ in 0..RUNS {
            let start = Instant::now();
            score = metric.score(&blurred, Some(&picture), 0)?;
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
        println!("{:<8} {score:.4}  {:.1} ms", metric.name(), fastest * 1e3);
    }
    Ok(())
}
