//! What bf16 operands change, on trained weights and real pictures: PSNR with each precision, the difference from float32, and the
//! most that a level of 8 bits differs. Where there is no AMX it is emulated, which takes minutes; with `--pairs` it is not, and bf16
//! is by AVX-512's products of pairs.
//!
//!     cargo run --release -p pdn --example precision -- [--pairs] PICTURES MODEL [MODEL ...]
//!
//! Pictures are cut to multiples of the scale and degraded as in training by blur and bicubic interpolation; no prompt is given.

use pdn::{
    ColourSpace, Degradation, Isa, Limits, Model, Options, Picture, Precision, Prompt, Protocol, Upscaler,
    bundled_encoder, bundled_model, psnr,
};
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let pairs = arguments.first().is_some_and(|first| first == "--pairs");
    arguments.drain(..usize::from(pairs));
    let [folder, models @ ..] = &arguments[..] else {
        return Err("expected [--pairs] PICTURES MODEL [MODEL ...]".into());
    };
    if !pairs && !pdn_kernels::emulate_amx() {
        return Err("expected AMX, or AVX-512 with bf16 to emulate it".into());
    }
    let mut pictures: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    pictures.sort();
    println!("| model | precision | PSNR, Y (MATLAB), dB | beside f32 | levels that differ, % | by at most |");
    println!("|---|---|---|---|---|---|");
    for name in models {
        let model = bundled_model(name).unwrap_or_else(|| Model::open(Path::new(name)))?;
        compare(name, &model, &pictures)?;
    }
    Ok(())
}

fn compare(name: &str, model: &Model, pictures: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let mut exact: Vec<Picture> = Vec::new();
    let mut base = 0.0;
    for precision in Precision::ALL.into_iter().filter(|precision| precision.is_available()) {
        let (mut sum, mut differing, mut samples, mut most) = (0.0, 0, 0, 0);
        for (i, path) in pictures.iter().enumerate() {
            let scale = model.network.scale;
            let high = pdn::read(path, &Limits::default())?.modcrop(scale);
            let low = Degradation::BlurBicubic.apply(&high, scale)?.into_eight();
            let mut session = Upscaler::with_precision(model, Isa::Avx512, precision)?.session();
            session.set_prompt(&Prompt::None, &bundled_encoder()?, &low)?;
            let enlarged = session.upscale(&low, &Options::default(), &mut |_| true)?;
            sum += psnr(&high, &enlarged, Protocol { space: ColourSpace::YMatlab, shave: scale })?;
            if precision == Precision::F32 {
                exact.push(enlarged);
            } else {
                let pairs = enlarged.rgb().iter().zip(exact[i].rgb()).map(|(a, b)| a.abs_diff(*b));
                samples += enlarged.rgb().len();
                differing += pairs.clone().filter(|difference| *difference > 0).count();
                most = most.max(pairs.max().unwrap_or(0));
            }
        }
        let mean = sum / pictures.len() as f64;
        match precision {
            Precision::F32 => {
                base = mean;
                println!("| {name} | {precision} | {mean:.4} | | | |");
            }
            _ => {
                let part = 100.0 * differing as f64 / samples as f64;
                println!("| {name} | {precision} | {mean:.4} | {:+.5} | {part:.3} | {most} |", mean - base);
            }
        }
    }
    Ok(())
}
