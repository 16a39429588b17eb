//! `pdn bench`: measures a model's time and memory.

use crate::args::Bench;
use crate::display::progress::interrupted;
use crate::display::say::{out, say};
use crate::display::table::table;
use crate::shared::atomic_file;
use crate::shared::engine::{enlarge, failure, options};
use crate::shared::failure::Failure;
use crate::shared::model::open_or_make;
use crate::shared::outputs::keep_other;
use pdn::{Isa, Map, Model, Plan, PlanSession, hashed};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(crate) fn run(args: &Bench) -> Result<(), Failure> {
    args.output.iter().try_for_each(|path| keep_other(path, args.force))?;
    let model = open_or_make(&args.model, args.scale)?;
    check_room(args.size, model.network.scale)?;
    let (facts, result) = enlarge(&args.engine, || time(args, &model)).map_err(|error| failure(&args.model, error))?;
    if let Some(path) = &args.output {
        let bytes: Vec<u8> = result.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        atomic_file::write(path, args.force, |path| pdn::write_atomically(path, &bytes))?;
    }
    if args.json {
        out(&facts.to_string());
        return Ok(());
    }
    let text = |key: &str| facts[key].as_str().unwrap_or_default().to_owned();
    let count = |key: &str| match facts[key].as_u64() {
        Some(1) => format!("1 {}", key.trim_end_matches('s')),
        many => format!("{} {key}", many.unwrap_or_default()),
    };
    say!(
        "{} x{}, {}x{} pixels, {} {}, {}, {}",
        text("network"),
        facts["scale"],
        facts["width"],
        facts["height"],
        text("isa"),
        text("precision"),
        count("threads"),
        count("runs")
    );
    say!("");
    let cell = |key: &str| facts[key].as_f64().map_or("-".to_owned(), |v| format!("{v:.1}"));
    let columns = [
        ("median, ms", "ms"),
        ("min, ms", "min_ms"),
        ("max, ms", "max_ms"),
        ("GFLOP/s", "gflops"),
        ("% of peak", "share"),
        ("peak memory, MiB", "peak_mib"),
    ];
    let heads = columns.map(|(head, _)| head.to_owned()).to_vec();
    out(&table(&[heads, columns.map(|(_, key)| cell(key)).to_vec()]));
    if facts["prompt_ms"].is_number() {
        say!("");
        say!("prompt change: {} ms", cell("prompt_ms"));
    }
    if let Some(layers) = facts["layers"].as_array() {
        let heads = ["layer", "ms", "GFLOP/s"].map(str::to_owned).to_vec();
        let row = |layer: &Value| {
            let number = |key: &str| layer[key].as_f64().map_or("-".to_owned(), |v| format!("{v:.1}"));
            vec![layer["name"].as_str().unwrap_or_default().to_owned(), number("ms"), number("gflops")]
        };
        let rows: Vec<Vec<String>> = std::iter::once(heads).chain(layers.iter().map(row)).collect();
        say!("");
        out(&table(&rows));
    }
    Ok(())
}

/// Rejects a picture if the system says that there is not enough memory for it and its result.
fn check_room((width, height): (usize, usize), scale: usize) -> Result<(), Failure> {
    let needed = (3 * width * height * (1 + scale * scale) * size_of::<f32>()) as u64 >> 20;
    match mebibytes("/proc/meminfo", "MemAvailable:") {
        Some(available) if needed > available => Err(Failure::failed(format_args!(
            "--size {width}x{height}: the picture and its result need {needed} MiB, but only {available} MiB are available"
        ))),
        _ => Ok(()),
    }
}

/// Runs the model; returns the figures and the last result.
fn time(args: &Bench, model: &Model) -> Result<(Value, Map<f32>), pdn::Error> {
    let (isa, precision) = args.engine.target();
    let plan = Plan::with_precision(&model.network, &model.weights, isa, precision)?;
    let mut session = PlanSession::new(plan);
    let prompt_ms = match model.network.prompt_dim() {
        Some(dim) => Some(time_prompts(&mut session, dim)?),
        None => None,
    };
    let (width, height) = args.size;
    let amplitude = model.network.picture.range / 2.0;
    let picture = Map::new(3, height, width, hashed::numbers("picture", 3 * height * width, amplitude));
    let before = peak_memory();
    let mut once = || {
        let start = Instant::now();
        let result = session.run(&picture, &options(&args.engine), &mut |_| !interrupted())?;
        Ok::<_, pdn::Error>((milliseconds(start), result))
    };
    // The first run warms up.
    let (_, mut result) = once()?;
    let mut times = Vec::new();
    for _ in 0..args.runs {
        drop(result);
        let (ms, map) = once()?;
        times.push(ms);
        result = map;
    }
    let all = times.clone();
    times.sort_by(f64::total_cmp);
    let ms = times[times.len() / 2];
    let pixels = (width * height) as f64;
    let flops = 2.0 * (model.network.deployed().summary().macs_per_pixel as f64) * pixels;
    let peak = peak_gflops(isa);
    let mut facts = json!({
        "network": args.model.display().to_string(),
        "scale": model.network.scale,
        "picture": {"range": model.network.picture.range, "mean": model.network.picture.mean},
        "width": width,
        "height": height,
        "isa": isa.to_string(),
        "precision": precision.to_string(),
        "threads": rayon::current_num_threads(),
        "runs": args.runs,
        "ms": ms,
        "times": all,
        "min_ms": times[0],
        "max_ms": times[times.len() - 1],
        "prompt_ms": prompt_ms,
        "gflops": flops / ms / 1e6,
        "peak_gflops": peak,
        "share": 100.0 * flops / ms / 1e6 / peak,
        "peak_mib": peak_memory(),
        "before_mib": before,
        "planned_mib": session.plan().memory(height, width) >> 20,
    });
    if args.layers {
        let layer = |(name, macs, time): (&str, usize, Duration)| {
            let ms = time.as_secs_f64() * 1e3;
            let gflops = (macs > 0).then(|| 2.0 * macs as f64 * pixels / ms / 1e6);
            json!({"name": name, "ms": ms, "gflops": gflops})
        };
        facts["layers"] = session.time_steps(&picture, &options(&args.engine))?.into_iter().map(layer).collect();
    }
    Ok((facts, result))
}

/// Returns how long a change of the prompt takes: the median over several.
fn time_prompts(session: &mut PlanSession, dim: usize) -> Result<f64, pdn::Error> {
    let mut times = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f", "prompt"] {
        let prompt = hashed::prompt(name, dim);
        let start = Instant::now();
        session.set_prompt(&prompt)?;
        times.push(milliseconds(start));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Returns the GFLOP/s of this machine's fused multiply-adds, on as many threads as run the model.
fn peak_gflops(isa: Isa) -> f64 {
    let each = rayon::broadcast(|_| pdn::peak_flops(isa, PEAK_TIME));
    each.iter().sum::<f64>() / 1e9
}

/// How long to measure the peak.
const PEAK_TIME: Duration = Duration::from_millis(100);

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Returns the peak memory of this process so far, in MiB, if the system reports it.
fn peak_memory() -> Option<u64> {
    mebibytes("/proc/self/status", "VmHWM:")
}

/// Returns a memory figure from Linux, in MiB.
fn mebibytes(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 10)
}
