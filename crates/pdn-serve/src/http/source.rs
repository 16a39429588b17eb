//! Where a picture comes from, and the format that its result has.

use axum::body::Bytes;
use pdn::Format;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where a picture comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    Kept(Uuid),
    File(Bytes),
}

/// A file format of upscaled pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileFormat {
    /// PNG.
    #[default]
    Png,
    /// JPEG, which has no transparency.
    Jpeg,
    /// WebP, lossless.
    Webp,
    /// TIFF, with lossless compression.
    Tiff,
}

impl FileFormat {
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Png => Format::Png,
            Self::Jpeg => Format::Jpeg,
            Self::Webp => Format::WebP,
            Self::Tiff => Format::Tiff,
        }
    }

    /// Returns the quality for JPEG; the other formats are lossless here.
    pub(crate) fn quality(self, quality: u8) -> Option<u8> {
        (self == Self::Jpeg).then_some(quality)
    }

    pub(crate) fn media(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Tiff => "image/tiff",
        }
    }

    /// Returns the file extension.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
            Self::Tiff => "tif",
        }
    }
}
