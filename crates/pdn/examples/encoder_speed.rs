//! Times prompt encoders, the bundled one and OpenAI's sizes with hashed weights:
//! `cargo run --release -p pdn --example encoder_speed [NAME ...]`.

use pdn::zoo::Clip;
use pdn::{Card, Encoder, EncoderFile, Framing, Picture, bundled_encoder, hashed};
use std::path::Path;
use std::time::Instant;

const RUNS: usize = 7;

/// A caption of the length that captions have: 12 tokens.
const TEXT: &str = "two brown dogs running on the beach at sunset";

/// The same to the last token that is read.
const WORDS: usize = 75;

fn with_hashed_weights(clip: Clip) -> Encoder {
    let networks = [clip.text_network(), clip.picture_network()].map(|network| network.expect("a published size"));
    let tensors = networks.iter().flat_map(|network| network.name_weights(hashed::weights(network))).collect();
    let (mean, deviation, card) = ([0.5; 3], [0.25; 3], Card::default());
    let file = EncoderFile { clip, mean, deviation, framing: Framing::CentreCrop, card, tensors };
    Encoder::new(Path::new("(hashed)"), file).expect("an encoder")
}

/// The median of a few runs in milliseconds, after one to warm up.
fn median(mut run: impl FnMut()) -> f64 {
    run();
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let rgb = (0..640 * 480 * 3).map(|i| (i * 37 % 251) as u8).collect();
    let picture = Picture::from_rgb(640, 480, rgb);
    let long = vec!["dog"; WORDS].join(" ");
    let sizes: [(&str, fn() -> Encoder); 4] = [
        ("pdn-clip", || bundled_encoder().expect("it comes with the library")),
        ("vit-b-32", || with_hashed_weights(Clip::vit_b_32())),
        ("vit-b-16", || with_hashed_weights(Clip::vit_b_16())),
        ("vit-l-14", || with_hashed_weights(Clip::vit_l_14())),
    ];
    println!("median of {RUNS}, milliseconds, {} threads", rayon::current_num_threads());
    for (name, encoder) in sizes.iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|a| a == name)) {
        let encoder = encoder();
        let text = median(|| drop(encoder.embed_text(TEXT)));
        let longest = median(|| drop(encoder.embed_text(&long)));
        let look = median(|| drop(encoder.embed_picture(&picture)));
        println!("{name:10} sentence {text:8.1}, of 77 tokens {longest:8.1}, picture {look:8.1}");
    }
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    peak.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
}
