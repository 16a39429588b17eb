//! Times a network of hashed weights on a hashed picture, and prints one line of JSON: what `benches/peers.py` runs.
//!
//!     cargo run --release -p pdn-engine --example time -- edsr-baseline 4 256 256 [RUNS] [ISA] [OUTPUT]
//!
//! `OUTPUT` is where the last result is left, as raw little-endian float32, for comparison.

use pdn_engine::{Isa, Map, Plan, RunOptions};
use pdn_network::{hashed, zoo};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, scale, height, width, more @ ..] = &arguments[..] else {
        return Err("expected: NETWORK SCALE HEIGHT WIDTH [RUNS] [ISA] [OUTPUT]".into());
    };
    let (height, width) = (height.parse()?, width.parse()?);
    let runs: usize = more.first().map_or(Ok(7), |runs| runs.parse())?;
    let isa = more.get(1).map_or(Ok(Isa::best()), |isa| isa.parse())?;
    let network = zoo::preset(name, scale.parse()?)?;
    let mut plan = Plan::new(&network, &hashed::weights(&network), isa)?;
    let start = Instant::now();
    if let Some(dim) = network.prompt_dim() {
        plan.set_prompt(&hashed::prompt("prompt", dim))?;
    }
    let prompt = start.elapsed().as_secs_f64() * 1e3;
    let amplitude = network.picture.range / 2.0;
    let picture = Map::new(3, height, width, hashed::numbers("picture", 3 * height * width, amplitude));
    let before = peak_memory();
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..runs + 1 {
        drop(last.take());
        let start = Instant::now();
        last = Some(plan.run(&picture, &RunOptions::default(), &mut |_| true)?);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let memory = peak_memory();
    // The first run warms up.
    let mut times = times.split_off(1);
    times.sort_by(f64::total_cmp);
    if let (Some(path), Some(out)) = (more.get(2), &last) {
        std::fs::write(path, out.data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())?;
    }
    println!(
        "{{\"network\": \"{name}\", \"isa\": \"{isa}\", \"ms\": {:.1}, \"min_ms\": {:.1}, \"prompt_ms\": {prompt:.1}, \
         \"peak_mib\": {memory}, \"before_mib\": {before}, \"planned_mib\": {}}}",
        times[times.len() / 2],
        times[0],
        plan.memory(height, width) >> 20
    );
    Ok(())
}

/// The largest memory of this process so far, in MiB; 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}
