//! IMDN (Hui et al., ACM Multimedia 2019), the worked example of adding a network.
//!
//! Follows `model/architecture.py` and `model/block.py` of Zheng222/IMDN and keeps their parameter names. In each block
//! three convolutions distil: a quarter of the channels is kept, and the rest goes on. The kept channels are
//! concatenated and weighted by contrast attention, whose statistic is the standard deviation plus the mean over the
//! whole picture. So this network cannot run row by row. Pictures are RGB in 0..1.

use crate::zoo::architecture::{Architecture, check_sizes, configuration, json};
use crate::zoo::layout::{Layout, as_stored, count, kernel_shape, same};
use crate::{Act, Builder, Network, NetworkError, NodeId, PictureFormat, Pool, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Configuration of IMDN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imdn {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels, a multiple of 4.
    pub features: usize,
    /// Distillation blocks.
    pub blocks: usize,
}

impl Imdn {
    /// Returns the published size: six blocks of 64 features.
    pub fn published(scale: usize) -> Self {
        Self { scale, features: 64, blocks: 6 }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network, such as features that are not a multiple of 4.
    pub fn build(&self) -> Result<Network, NetworkError> {
        check_sizes(&[("features", self.features, 4..=4096), ("blocks", self.blocks, 1..=4096)])?;
        let mut b = Builder::new();
        if !self.features.is_multiple_of(4) {
            b.fail(format!("features {}: expected a multiple of 4", self.features));
        }
        if ![2, 3, 4].contains(&self.scale) {
            b.fail(format!("scale {}: expected 2, 3 or 4", self.scale));
        }
        let picture = b.picture();
        let head = b.conv("fea_conv", picture, self.features, 3);
        let mut x = head;
        let mut outputs = Vec::new();
        for i in 1..=self.blocks {
            x = distillation_block(&mut b, &format!("IMDB{i}"), x, self.features);
            outputs.push(x);
        }
        let all = b.concat(&outputs);
        let x = b.conv("c.0", all, self.features, 1);
        let x = leaky(&mut b, x);
        let x = b.conv("LR_conv", x, self.features, 3);
        let x = b.add(x, head);
        let x = b.conv("upsampler.0", x, 3 * self.scale * self.scale, 3);
        let x = b.pixel_shuffle(x, self.scale);
        b.finish(ARCHITECTURE.id, self, PictureFormat::UNIT, x)
    }
}

fn distillation_block(b: &mut Builder, name: &str, input: NodeId, features: usize) -> NodeId {
    let kept = features / 4;
    let mut distilled = Vec::new();
    let mut x = input;
    for layer in ["c1", "c2", "c3"] {
        let y = b.conv(&format!("{name}.{layer}"), x, features, 3);
        let y = leaky(b, y);
        distilled.push(b.slice(y, 0, kept));
        x = b.slice(y, kept, features - kept);
    }
    distilled.push(b.conv(&format!("{name}.c4"), x, kept, 3));
    let x = b.concat(&distilled);
    let [down, up] = [0, 2].map(|layer| format!("{name}.cca.conv_du.{layer}"));
    let x = b.channel_attention([&down, &up], Pool::Contrast, x, (features / 16).max(1));
    let x = b.conv(&format!("{name}.c5"), x, features, 1);
    b.add(x, input)
}

fn leaky(b: &mut Builder, x: NodeId) -> NodeId {
    b.act(Act::LeakyRelu(0.05), x)
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "imdn",
    about: "IMDN (Hui et al. 2019), lightweight, with contrast attention",
    build: |config| configuration::<Imdn>(config)?.build(),
    presets: &[("imdn", |scale| json(Imdn::published(scale)))],
    layouts: &[Layout { name: "IMDN", infer, key: same, prepare: as_stored, ignored: &[] }],
};

fn infer(tensors: &Tensors) -> Option<Value> {
    let [features, 3, 3, 3] = kernel_shape(tensors, "fea_conv.weight")? else { return None };
    let [out, ..] = kernel_shape(tensors, "upsampler.0.weight")?;
    let scale = (2..=4).find(|s| 3 * s * s == out)?;
    let blocks = count(tensors, |i| format!("IMDB{}.c1.weight", i + 1));
    Some(json(Imdn { scale, features, blocks }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::recognise::tests::recognised_again;

    #[test]
    fn is_recognised_with_its_sizes() {
        for scale in [2, 3, 4] {
            let network = Imdn { features: 32, blocks: 4, ..Imdn::published(scale) }.build().unwrap();
            recognised_again(&network, same, "IMDN");
        }
    }

    #[test]
    fn features_that_cannot_be_distilled_are_refused() {
        let error = Imdn { features: 30, ..Imdn::published(4) }.build().unwrap_err();
        assert!(error.to_string().contains("multiple of 4"));
    }
}
