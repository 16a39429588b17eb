//! Times training steps on synthetic pictures, as `pdn train` runs them: patches, forward, L1, backward, Adam.
//!
//!     cargo run --release -p pdn-train --example step -- edsr-baseline 4 12 cpu f32
//!
//! The arguments are the network, the scale, the number of steps, the device, and the precision of convolutions: f32 or
//! bf16. It prints the median time of a step in milliseconds, without the first two steps, and the peak memory in MiB
//! if the system reports it. `benches/training.py` compares it with PyTorch.

use pdn_image::{Degradation, Picture};
use pdn_network::{Card, hashed, zoo};
use pdn_train::data::patch_cache::{Cut, PatchCache};
use pdn_train::data::training_images::TrainingImage;
use pdn_train::device::Kind;
use pdn_train::executor::convolution::Precision;
use pdn_train::run::{Begin, Place, Schedule, train};
use pdn_train::tasks::super_resolution::{Loss, PromptMix, SuperResolution};
use std::time::Instant;

/// As in the command: another allocator would return pages to the system, to be faulted in again at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (network, scale, steps, device, precision) = match &arguments[..] {
        [network, scale, steps, device, precision] => (network, scale, steps, device.parse::<Kind>()?, precision),
        _ => return Err("expected a network, a scale, a number of steps, a device and a precision".into()),
    };
    let precision = match precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(format!("precision `{other}`: expected f32 or bf16").into()),
    };
    let (scale, steps): (usize, u64) = (scale.parse()?, steps.parse()?);
    if steps < 3 {
        return Err("expected at least three steps; the first two are not counted".into());
    }
    let network = zoo::preset(network, scale)?;
    let dim = network.prompt_dim().unwrap_or(1);
    let folder = tempfile::tempdir()?;
    let scene = |name: &str| {
        let side = 64 * scale;
        let rgb = hashed::numbers(name, side * side * 3, 127.0).into_iter().map(|v| (v + 128.0) as u8).collect();
        let file = folder.path().join(format!("{name}.png"));
        pdn_image::write(&file, &Picture::from_rgb(side, side, rgb), &Default::default())?;
        let (view, mirrored) = (hashed::prompt("view", dim), hashed::prompt("mirrored", dim));
        Ok::<TrainingImage, Box<dyn std::error::Error>>(TrainingImage {
            place: (file, Cut::WHOLE),
            captions: vec![],
            view,
            mirrored,
        })
    };
    let task = SuperResolution {
        network,
        patches: PatchCache::new(Degradation::BlurBicubic, scale, 1 << 28),
        sources: vec![(1.0, vec![scene("one")?, scene("two")?])],
        held_back: vec![scene("three")?],
        prompts: PromptMix { caption: 0.0, view: 0.5, mirrored: 0.5, faults: None },
        patch: 48,
        batch: 16,
        card: Card::default(),
        loss: Loss::L1,
        precision,
        start: None,
        eyes: None,
    };
    let schedule = Schedule {
        steps: steps + 1,
        rate: 1e-4,
        warmup: 0,
        decay: 0.0,
        clip: 0.0,
        accumulate: 1,
        average: 0.0,
        seed: 1,
        evaluate: steps + 2,
    };
    let (mut last, mut times) = (Instant::now(), Vec::new());
    let place = Place { folder: folder.path().join("run"), device: device.device()? };
    train(&task, &schedule, place, &Begin::New, &mut |progress| {
        times.push(last.elapsed().as_secs_f64() * 1e3);
        last = Instant::now();
        // Stop before the schedule's last step, which ends with an evaluation.
        progress.step.done < steps
    })?;
    let mut times = times.split_off(2);
    times.sort_by(f64::total_cmp);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    let ms = times[times.len() / 2];
    println!(
        "{}",
        serde_json::json!({"ms": ms, "min": times[0], "max": times[times.len() - 1], "peak_mib": peak.map(|kib| kib / 1024)})
    );
    Ok(())
}
