//! SRVGGNetCompact, Real-ESRGAN's small network (Wang et al., ICCV workshops 2021).
//!
//! Follows `basicsr/archs/srvgg_arch.py` and keeps its parameter names: convolutions with a PReLU after each, all at
//! the small size, then a convolution to the pixels of each block and a pixel shuffle, added to the nearest-neighbour
//! upscaled picture. Pictures are RGB in 0..1. *Compact* here is 32 convolutions (`realesr-general-x4v3`), *compact-16*
//! half as many (`realesr-animevideov3`). The last layer supports any scale; published weights are x4, others x1 and
//! x2.

use crate::zoo::architecture::{Architecture, check_sizes, configuration, json};
use crate::zoo::layout::{Layout, as_stored, kernel_shape, same};
use crate::{Builder, Interpolation, Network, NetworkError, PictureFormat, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Configuration of SRVGGNetCompact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Srvgg {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels of the body.
    pub features: usize,
    /// Convolutions in the body, between the first and the last.
    pub convs: usize,
}

impl Srvgg {
    /// Returns 32 convolutions of 64 features.
    pub fn compact(scale: usize) -> Self {
        Self { scale, features: 64, convs: 32 }
    }

    /// Returns 16 convolutions of 64 features.
    pub fn compact_16(scale: usize) -> Self {
        Self { convs: 16, ..Self::compact(scale) }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network, such as no features or a scale that is not 1 to 16.
    pub fn build(&self) -> Result<Network, NetworkError> {
        check_sizes(&[
            ("features", self.features, 1..=4096),
            ("convs", self.convs, 0..=4096),
            ("scale", self.scale, 1..=16),
        ])?;
        let mut b = Builder::new();
        let picture = b.picture();
        let mut x = picture;
        for i in 0..=self.convs {
            x = b.conv(&format!("body.{}", 2 * i), x, self.features, 3);
            x = b.prelu(&format!("body.{}", 2 * i + 1), x);
        }
        let x = b.conv(&format!("body.{}", 2 * self.convs + 2), x, 3 * self.scale * self.scale, 3);
        let x = b.pixel_shuffle(x, self.scale);
        let base = b.enlarge(picture, Interpolation::Nearest, self.scale);
        let x = b.add(x, base);
        b.finish(ARCHITECTURE.id, self, PictureFormat::UNIT, x)
    }
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "srvgg",
    about: "SRVGGNetCompact (Real-ESRGAN, Wang et al. 2021)",
    build: |config| configuration::<Srvgg>(config)?.build(),
    presets: &[
        ("srvgg-compact", |scale| json(Srvgg::compact(scale))),
        ("srvgg-compact-16", |scale| json(Srvgg::compact_16(scale))),
    ],
    layouts: &[Layout { name: "Real-ESRGAN", infer, key: same, prepare: as_stored, ignored: &[] }],
};

fn infer(tensors: &Tensors) -> Option<Value> {
    let [features, 3, 3, 3] = kernel_shape(tensors, "body.0.weight")? else { return None };
    tensors.get("body.1.weight").filter(|slopes| slopes.shape() == [features])?;
    let is_conv = |i: &usize| kernel_shape(tensors, &format!("body.{}.weight", 2 * i)).is_some();
    let convs = (0..).take_while(is_conv).count().checked_sub(2)?;
    let [out, ..] = kernel_shape(tensors, &format!("body.{}.weight", 2 * convs + 2))?;
    let scale = (1..=16).find(|s| 3 * s * s == out)?;
    Some(json(Srvgg { scale, features, convs }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::recognise::tests::recognised_again;

    #[test]
    fn is_recognised_with_its_sizes() {
        for scale in [1, 2, 3, 4, 8, 16] {
            let network = Srvgg { features: 16, convs: 3, ..Srvgg::compact(scale) }.build().unwrap();
            recognised_again(&network, same, "Real-ESRGAN");
        }
    }
}
