//! `pdn --version`: what a bug report needs to say about the program and the machine.

use pdn::{Isa, Precision};
use std::sync::LazyLock;

/// The optional features, and whether this build has them.
const FEATURES: [(&str, bool); 9] = [
    ("avif", cfg!(feature = "avif")),
    ("cuda", cfg!(feature = "cuda")),
    ("hub", cfg!(feature = "hub")),
    ("jxl", cfg!(feature = "jxl")),
    ("jxl-read", cfg!(feature = "jxl-read")),
    ("serve", cfg!(feature = "serve")),
    ("train", cfg!(feature = "train")),
    ("webp-lossy", cfg!(feature = "webp-lossy")),
    ("wgpu", cfg!(feature = "wgpu")),
];

/// The version number, the same on every machine.
pub(crate) const NUMBER: &str = env!("CARGO_PKG_VERSION");

/// Returns one line, after the name: the version, the built-in features, and the instruction set and the precision that
/// a command uses here by default.
pub(crate) fn short() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let built: Vec<String> = FEATURES.iter().filter(|(_, has)| *has).map(|(name, _)| format!("+{name}")).collect();
        let features = if built.is_empty() { "no features".to_owned() } else { built.join(" ") };
        let asked = std::env::var("PDN_ISA").ok().and_then(|name| name.parse().ok());
        let isa = asked.filter(|isa: &Isa| isa.is_available()).unwrap_or_else(Isa::best);
        format!("{NUMBER} ({features}; {isa}, {})", Precision::fast(isa))
    });
    &TEXT
}

/// Returns the same, followed by what this build leaves out and what this machine supports.
pub(crate) fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let features = FEATURES.map(|(name, has)| format!("{}{name}", if has { '+' } else { '-' })).join(" ");
        let sets: Vec<String> = Isa::available().map(|isa| isa.to_string()).collect();
        let precisions = Precision::ALL.into_iter().filter(|precision| precision.is_available());
        let precisions: Vec<String> = precisions.map(|precision| precision.to_string()).collect();
        format!(
            "{}\n\nfeatures: {features}\ninstruction sets here: {}\nprecisions here: {}",
            short(),
            sets.join(" "),
            precisions.join(" ")
        )
    });
    &TEXT
}
