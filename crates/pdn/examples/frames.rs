//! Upscales frames one after the other, as a player or a camera delivers them: the model is compiled once, the prompt
//! is set once, and each frame reuses the memory of the last one of its size.
//!
//! ```sh
//! cargo run --release -p pdn --example frames
//! ```

use pdn::{Options, Picture, Prompt, Upscaler, bundled_encoder, bundled_model};
use std::error::Error;
use std::time::Instant;

const WIDTH: usize = 160;
const HEIGHT: usize = 90;
const FRAMES: usize = 8;

/// Returns a frame of a disc that moves over a gradient, in place of a camera.
fn frame(at: usize) -> Picture {
    let centre = (20.0 + 16.0 * at as f64, HEIGHT as f64 / 2.0);
    let pixel = |i: usize| {
        let (x, y) = (i % WIDTH, i / WIDTH);
        let inside = (x as f64 - centre.0).hypot(y as f64 - centre.1) < 15.0;
        if inside { [230, 120, 40] } else { [(x + 40) as u8, (2 * y) as u8, 150] }
    };
    Picture::from_rgb(WIDTH, HEIGHT, (0..WIDTH * HEIGHT).flat_map(pixel).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = bundled_model(pdn::DEFAULT_MODEL).ok_or("no model comes with this build")??;
    let mut session = Upscaler::new(&model)?.session();
    // All frames share one sentence. Without it, each frame would be its own prompt, and the result might flicker.
    session.set_prompt(&Prompt::Text("an orange ball".into()), &bundled_encoder()?, &frame(0))?;
    let header = session.upscaler().header(&frame(0))?;
    // One buffer for all frames, like a texture.
    let mut large = Vec::with_capacity(header.row_bytes() * header.height);
    for at in 0..FRAMES {
        let picture = frame(at);
        let start = Instant::now();
        large.clear();
        session.upscale_rows(&picture, &Options::default(), &mut |_done| true, &mut |rows| {
            large.extend_from_slice(rows);
            Ok::<(), pdn::Error>(())
        })?;
        let (milliseconds, middle) = (start.elapsed().as_secs_f64() * 1e3, large.len() / 2);
        println!(
            "frame {at}: {}x{} in {milliseconds:.0} ms, its middle {:?}",
            header.width,
            header.height,
            &large[middle..middle + 3]
        );
    }
    Ok(())
}
