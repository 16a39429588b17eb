//! Several prompts in one picture: every DCM computes `Σ_r α_r DCM(x; p_r)`, where α_r is each prompt's share of a
//! pixel, 0 to 1, and all shares of a pixel sum to 1.
//!
//! A prompt is computed only where its share is not 0, so the cost of a region follows its area, and an area wholly in
//! one region is bit-identical to the result of its prompt alone.

use crate::RunError;
use crate::map::Map;
use crate::run::dcm::PromptedDcm;
use pdn_network::Extent;

/// The largest deviation from 1 of the sum of a pixel's shares.
const SLACK: f32 = 1e-4;

/// A prompt and where it applies.
#[derive(Clone, Debug)]
pub struct Region {
    /// A unit vector of the network's prompt length.
    pub prompt: Vec<f32>,
    /// Its share of each pixel of the input picture: one channel, 0 to 1.
    pub share: Map<f32>,
}

/// A region ready to run.
#[derive(Debug)]
pub(crate) struct PromptedRegion {
    pub(crate) share: Map<f32>,
    pub(crate) dcms: Vec<PromptedDcm>,
}

/// Checks that all shares are 0 to 1 and sum to 1 at every pixel.
pub(crate) fn check_shares(regions: &[Region]) -> Result<(), RunError> {
    let wrong = |why: String| Err(RunError::Regions(why));
    let Some(first) = regions.first() else { return wrong("there are none".into()) };
    let size = |map: &Map<f32>| (map.channels, map.height, map.width);
    if let Some(other) = regions.iter().find(|region| size(&region.share) != (1, first.share.height, first.share.width))
    {
        let [(_, h, w), (c, h2, w2)] = [size(&first.share), size(&other.share)];
        return wrong(format!("expected shares of 1x{h}x{w} for each, found {c}x{h2}x{w2}"));
    }
    for pixel in 0..first.share.data.len() {
        let shares = || regions.iter().map(|region| region.share.data[pixel]);
        let sum: f32 = shares().sum();
        if shares().any(|share| !(0.0..=1.0).contains(&share)) || (sum - 1.0).abs() > SLACK {
            let (y, x) = (pixel / first.share.width, pixel % first.share.width);
            return wrong(format!(
                "at row {y}, column {x} the shares are {sum} together: expected 0 to 1 each, 1 together"
            ));
        }
    }
    Ok(())
}

impl PromptedRegion {
    /// Returns the region's share of a pixel of a map of some extent, at `(y, x)` of the whole map.
    pub(crate) fn share(&self, extent: Extent, y: usize, x: usize) -> f32 {
        let Map { height, width, .. } = self.share;
        // A picture that does not end with a whole block is padded.
        let at = |y: usize, x: usize| self.share.data[y.min(height - 1) * width + x.min(width - 1)];
        match extent {
            Extent::Picture(scale) => at(y / scale, x / scale),
            Extent::Reduced(by) => {
                let block = (0..by).flat_map(|dy| (0..by).map(move |dx| (dy, dx)));
                block.map(|(dy, dx)| at(y * by + dy, x * by + dx)).sum::<f32>() / (by * by) as f32
            }
            Extent::One | Extent::Sequence => unreachable!("modules work on maps of the picture's extent"),
        }
    }
}
