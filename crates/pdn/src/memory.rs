//! Memory needed to upscale a picture, beside the picture, the network's maps and the output.

use crate::enlarge::alpha::varies;
use crate::enlarge::is_larger;
use crate::error::Error;
use crate::target::{Size, Target};
use crate::upscaler::Upscaler;
use pdn_engine::RunOptions;
use pdn_image::AnyPicture;

/// Bytes of the rows in flight at a time: some MiB of them, or one row, in four forms of up to four samples.
const BANDS: usize = 16 << 20;

impl Upscaler {
    /// Returns the most bytes that [`Session::upscale_rows_to`](crate::Session::upscale_rows_to) takes beside the
    /// picture, the network's maps (`options.memory`) and the output: copies of a picture with transparency, rows in
    /// flight, and the whole result if the picture is so wide that it is run in columns.
    ///
    /// # Errors
    /// Same as [`Self::header_for`].
    pub fn memory_beside_maps(
        &self,
        picture: &AnyPicture,
        target: &Target,
        options: &RunOptions,
    ) -> Result<usize, Error> {
        let header = self.header_for(picture, target)?;
        let (small, size) = ((picture.width(), picture.height()), (header.width, header.height));
        let (pixels, large_pixels) = (small.0.saturating_mul(small.1), size.0.saturating_mul(size.1));
        let depth = header.depth.bytes().max(picture.header().depth.bytes());
        let is_varied = match picture {
            AnyPicture::Eight(picture) => varies(picture),
            AnyPicture::Sixteen(picture) => varies(picture),
        };
        // An 8-bit copy for the prompt; with transparency, one more copy and the nearest visible pixels.
        let copies = pixels.saturating_mul(if picture.has_transparency() { 3 + 8 * depth } else { 4 });
        let mut bytes = BANDS.saturating_add(copies);
        let Some(plan) = self.plan().filter(|_| is_larger(size, small)) else {
            return Ok(bytes.saturating_add(size.0.max(small.0).saturating_mul(64)));
        };
        let large = Size::Model.of(small, plan.network().scale)?;
        bytes = bytes.saturating_add(large.0.max(size.0).saturating_mul(64));
        if is_varied {
            // Transparency is upscaled as a picture of its own, and kept.
            bytes = bytes.saturating_add(large_pixels.saturating_mul(2 * depth));
        }
        if size != large {
            // A resize keeps as many rows as its filter spans.
            let reach = 8 + 4 * large.1.div_ceil(size.1);
            bytes = bytes.saturating_add(reach.saturating_mul(size.0).saturating_mul(2 * 3 * 4));
        }
        if options.tile.is_some() || plan.memory(small.1, small.0) > options.memory {
            bytes = bytes.saturating_add(large.0.saturating_mul(large.1).saturating_mul(3 * 2));
        }
        Ok(bytes)
    }

    /// Returns the number of masks that [`Session::masks`](crate::Session::masks) returns.
    pub fn mask_count(&self) -> usize {
        self.plan().map_or(0, |plan| plan.mask_count())
    }
}
