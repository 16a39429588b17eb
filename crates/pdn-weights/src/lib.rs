//! The weights that come with `pdn`, as files in memory. Each was trained by this project, by the recipe in its card.
#![forbid(unsafe_code)]

/// The prompt encoder `pdn-clip`.
pub const ENCODER: &[u8] = include_bytes!("../pdn-clip.safetensors");

/// The networks, by name.
pub const MODELS: [(&str, &[u8]); 1] = [("pdn-x4", include_bytes!("../pdn-x4.safetensors"))];
