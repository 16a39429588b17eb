//! Options for writing.

use crate::Provenance;

/// How to write a picture.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The quality, 1 to 100, for formats that [have one](crate::Format::has_quality); others ignore it. The default is 95 for
    /// JPEG, 90 for AVIF, and lossless for WebP.
    pub quality: Option<u8>,
    /// How the picture was made, to store with it.
    pub provenance: Option<Provenance>,
}
