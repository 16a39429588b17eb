//! How long the tokenizer takes for each byte of texts of 1, 10 and 100 kB, the slowest of several kinds: the table of `fuzz/README.md`.
//!
//!     cargo run --release -p pdn-fuzz --example tokens

use pdn::Tokenizer;
use std::time::{Duration, Instant};

/// What texts are made of: words, one word without end, entities in entities, marks, other letters, tags, composed letters, blanks.
const PIECES: [&str; 12] = [
    "a person riding a motorcycle ",
    "in",
    "xq",
    "&amp;amp;",
    "&amp",
    "=",
    "\u{72ac}",
    "\u{fb03}",
    "<b>&lt;",
    "a\u{301}",
    "\u{fdfa}",
    " ",
];
const LENGTHS: [usize; 3] = [1_000, 10_000, 100_000];

fn main() {
    println!("| text | vocabulary | 1 kB | 10 kB | 100 kB |\n|---|---|---|---|---|");
    for vocabulary in [49_408, 8192] {
        let tokenizer = Tokenizer::new(vocabulary).expect("a vocabulary that there is");
        for piece in PIECES {
            let times = LENGTHS.map(|length| {
                let text = piece.repeat(length / piece.len());
                format!("{:.0} ns", fastest(&tokenizer, &text).as_secs_f64() * 1e9 / text.len() as f64)
            });
            println!("| `{}` | {vocabulary} | {} |", piece.escape_debug(), times.join(" | "));
        }
    }
}

/// The least time of five.
fn fastest(tokenizer: &Tokenizer, text: &str) -> Duration {
    let time = |_| {
        let begun = Instant::now();
        std::hint::black_box(tokenizer.encode(std::hint::black_box(text)));
        begun.elapsed()
    };
    (0..5).map(time).min().unwrap_or_default()
}
