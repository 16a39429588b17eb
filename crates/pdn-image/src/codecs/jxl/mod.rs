//! JPEG XL (ISO 18181).

mod boxes;
mod decode;
#[cfg(feature = "jxl")]
mod encode;

pub(crate) use decode::read;
#[cfg(feature = "jxl")]
pub(crate) use encode::{check_profile, encode};
