//! The weights that come with `pdn`, as files in memory. Each was trained by this project, by the recipe in its card.
//!
//! They are statics: of a constant each unit of code that names it has a copy in the program.
#![forbid(unsafe_code)]

/// The prompt encoder `pdn-clip`, in a crate of its own: the registry accepts 10 MiB per crate.
pub use pdn_weights_clip::ENCODER;

/// The networks, by name, the default first.
pub static MODELS: [(&str, &[u8]); 5] = [
    ("pdn-photo-x4", include_bytes!("../pdn-photo-x4.safetensors")),
    ("pdn-x4", include_bytes!("../pdn-x4.safetensors")),
    ("pdn-x2", include_bytes!("../pdn-x2.safetensors")),
    ("pdn-x4-lite", include_bytes!("../pdn-x4-lite.safetensors")),
    ("pdn-face-x8", include_bytes!("../pdn-face-x8.safetensors")),
];
