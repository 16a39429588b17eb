//! Measures how long a picture takes to write, and how large its file becomes: upscales it with bicubic interpolation, and
//! writes it to each file named.
//!
//!     cargo run --profile test -p pdn-image --example write -- IN WIDTH HEIGHT OUT...

use pdn_image::{Limits, WriteOptions, read, resize_to, write};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, width, height, outputs @ ..] = &args[..] else { return Err("expected IN WIDTH HEIGHT OUT...".into()) };
    let picture = resize_to(&read(Path::new(input), &Limits::default())?, width.parse()?, height.parse()?);
    for output in outputs {
        let begin = Instant::now();
        write(Path::new(output), &picture, &WriteOptions::default())?;
        let bytes = std::fs::metadata(output)?.len();
        println!("{output}: {:.2} s, {:.1} MB", begin.elapsed().as_secs_f64(), bytes as f64 / 1e6);
    }
    Ok(())
}
