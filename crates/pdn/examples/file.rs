//! Upscales one file: the shortest program that does it well.
//!
//! ```sh
//! cargo run --release -p pdn --example file -- photo.jpg photo_x4.png "a brown dog on the beach"
//! ```

use pdn::{Limits, Options, Prompt, RowWriter, Upscaler, WriteOptions, bundled_encoder, bundled_model};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, prompt) = match words.as_slice() {
        [input, output] => (input, output, Prompt::None),
        [input, output, sentence] => (input, output, Prompt::Text(sentence.clone())),
        _ => return Err("expected IN OUT [SENTENCE]".into()),
    };
    // `Upscaler::open` takes a file of weights instead, which may need no prompt.
    let model = bundled_model(pdn::DEFAULT_MODEL).ok_or("no model comes with this build")??;
    let mut session = Upscaler::new(&model)?.session();
    let picture = pdn::read(Path::new(input), &Limits::default())?;
    session.set_prompt(&prompt, &bundled_encoder()?, &picture)?;
    // Rows are written as they come: the upscaled picture is never whole in memory, and the file on disk is complete or
    // absent.
    let mut writer =
        RowWriter::create(Path::new(output), &session.upscaler().header(&picture)?, &WriteOptions::default())?;
    let mut progress = |done: f64| {
        eprint!("\r{:3.0} %", 100.0 * done);
        true // go on
    };
    session.upscale_rows(&picture, &Options::default(), &mut progress, &mut |rows| {
        writer.write_rows(rows).map_err(Box::<dyn Error>::from)
    })?;
    writer.finish()?;
    eprintln!("\r{output}");
    Ok(())
}
