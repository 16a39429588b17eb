//! Times prompt encoders, the bundled one and OpenAI's sizes with hashed weights:
//! `cargo run --release -p pdn --example encoder_speed [NAME ...]`.

use pdn::zoo::Clip;
use pdn::{Card, Encoder, EncoderFile, Framing, Picture, bundled_encoder, hashed};
use std::path::Path;
use std::time::Instant;

const RUNS: usize = 9;

/// A caption of the length that captions have: 12 tokens.
const TEXT: &str = "two brown dogs running on the beach at sunset";

/// The same to the last token that is read.
const WORDS: usize = 75;

fn with_hashed_weights(clip: Clip) -> Encoder {
    let networks = [clip.text_network(), clip.picture_network()].map(|network| network.expect("a published size"));
    let tensors = networks.iter().flat_map(|network| network.name_weights(hashed::weights(network))).collect();
    let (mean, deviation, card) = ([0.5; 3], [0.25; 3], Card::default());
    let file = EncoderFile { clip, mean, deviation, framing: Framing::CentreCrop, faults: None, card, tensors };
    Encoder::new(Path::new("(hashed)"), file).expect("an encoder")
}

/// Milliseconds that all threads have computed so far: what counts where the machine has other work.
fn computed() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.split(' ').skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    // In hundredths of a second, as Linux has it.
    fields.iter().sum::<f64>() * 10.0
}

/// The median of a few runs in milliseconds, after one to warm up, and the mean that all threads computed.
fn times(mut run: impl FnMut()) -> String {
    run();
    let before = computed();
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let computed = (computed() - before) / RUNS as f64;
    times.sort_by(f64::total_cmp);
    format!("{:8.1} ({computed:.0})", times[RUNS / 2])
}

fn picture_of(seed: usize) -> Picture {
    Picture::from_rgb(640, 480, (0..640 * 480 * 3).map(|i| ((i + seed) * 37 % 251) as u8).collect())
}

/// Makes an encoder.
type Make = fn() -> Encoder;

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let picture = picture_of(0);
    let long = vec!["dog"; WORDS].join(" ");
    let sizes: [(&str, Make); 4] = [
        ("pdn-clip", || bundled_encoder().expect("it comes with the library")),
        ("vit-b-32", || with_hashed_weights(Clip::vit_b_32())),
        ("vit-b-16", || with_hashed_weights(Clip::vit_b_16())),
        ("vit-l-14", || with_hashed_weights(Clip::vit_l_14())),
    ];
    println!("median of {RUNS} in milliseconds (computed by all of {} threads)", rayon::current_num_threads());
    for (name, encoder) in sizes.iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|a| a == name)) {
        let encoder = encoder();
        let text = times(|| drop(encoder.embed_text(TEXT)));
        let longest = times(|| drop(encoder.embed_text(&long)));
        let look = times(|| drop(encoder.embed_picture(&picture)));
        println!("{name:10} sentence {text}, of 77 tokens {longest}, picture {look}");
        if encoder.tells_faults() {
            let heard = times(|| drop(encoder.faults_of_text(TEXT)));
            // Another picture each time, as the last few are remembered.
            let mut seed = 0;
            let seen = times(|| {
                seed += 1;
                drop(encoder.faults_of_picture(&picture_of(seed)));
            });
            let made = times(|| drop(picture_of(0)));
            println!("{name:10} faults heard {heard}, seen {seen} (making the picture {made})");
        }
    }
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    peak.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
}
