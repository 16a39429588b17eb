//! The prompt encoder that comes with `pdn`, as a file in memory: a small CLIP, trained by this project by the recipe in its card.
#![forbid(unsafe_code)]

/// The file `pdn-clip.safetensors`: a static, for of a constant each unit of code that names it has a copy in the program.
pub static ENCODER: &[u8] = include_bytes!("../pdn-clip.safetensors");
