//! WebP (RFC 9649).

mod decode;
mod lossless;
#[cfg(feature = "webp-lossy")]
pub(crate) mod lossy;

pub(crate) use decode::read;
pub(crate) use lossless::encode;
