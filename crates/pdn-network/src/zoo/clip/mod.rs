//! CLIP (Radford et al., 2021): its towers, and the layouts of the files that hold them.

mod layouts;
mod towers;

pub use layouts::{ClipLayout, ClipSettings};
pub use towers::{Clip, PictureTower, Reading, TextTower, Transformer};
