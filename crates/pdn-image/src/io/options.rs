//! Options of writing.

use crate::Provenance;

/// How a picture is written.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// The quality, 1 to 100, of a format that [has one](crate::Format::has_quality); of others it is not regarded. Without it JPEG is
    /// written at 95, AVIF at 90, WebP without loss.
    pub quality: Option<u8>,
    /// How the picture was made, to be stored with it.
    pub provenance: Option<Provenance>,
}
