//! MSRResNet, the modified SRResNet of ESRGAN and BasicSR (Wang et al., ECCV workshops 2018), and MSRResNet+ with a DCM
//! after each residual block.
//!
//! Follows `basicsr/archs/srresnet_arch.py` and keeps its parameter names: sixteen blocks of convolution, ReLU,
//! convolution without normalisation and without a long skip; stages of convolution, pixel shuffle and leaky ReLU; the
//! result is added to the bilinearly upscaled picture. Pictures are RGB in 0..1. The official code has x2, x3 and x4;
//! x8 and x16 repeat the x2 stage.

use crate::zoo::architecture::{Architecture, check_sizes, configuration, json};
use crate::zoo::layout::{Layout, as_stored, count, kernel_shape, same, upsampler_scale};
use crate::{Act, Builder, DcmOptions, Interpolation, Network, NetworkError, NodeId, PictureFormat, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Configuration of MSRResNet and MSRResNet+.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MsrResNet {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels of the body.
    pub features: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// A DCM after each residual block: MSRResNet+.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dcm: Option<DcmOptions>,
}

impl MsrResNet {
    /// Returns the published size: sixteen blocks of 64 features.
    pub fn published(scale: usize) -> Self {
        Self { scale, features: 64, blocks: 16, dcm: None }
    }

    /// Adds a DCM after each residual block.
    pub fn plus(self, dcm: DcmOptions) -> Self {
        Self { dcm: Some(dcm), ..self }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network, such as no features or a scale that is not 2, 3, 4, 8 or 16.
    pub fn build(&self) -> Result<Network, NetworkError> {
        check_sizes(&[("features", self.features, 1..=4096), ("blocks", self.blocks, 0..=4096)])?;
        let mut b = Builder::new();
        let picture = b.picture();
        let prompt = self.dcm.map(|dcm| b.prompt(dcm.dim));
        let x = b.conv("conv_first", picture, self.features, 3);
        let mut x = leaky(&mut b, x);
        for i in 0..self.blocks {
            let y = b.conv_relu_conv([&format!("body.{i}.conv1"), &format!("body.{i}.conv2")], x);
            x = b.add(y, x);
            if let Some((dcm, prompt)) = self.dcm.zip(prompt) {
                x = b.dcm(&format!("body.{i}.dcm"), x, prompt, &dcm);
            }
        }
        for (stage, r) in b.upsampling_stages(self.scale).into_iter().enumerate() {
            x = b.conv(&format!("upconv{}", stage + 1), x, self.features * r * r, 3);
            x = b.pixel_shuffle(x, r);
            x = leaky(&mut b, x);
        }
        let x = b.conv("conv_hr", x, self.features, 3);
        let x = leaky(&mut b, x);
        let x = b.conv("conv_last", x, 3, 3);
        let base = b.enlarge(picture, Interpolation::Bilinear, self.scale);
        let x = b.add(x, base);
        b.finish(ARCHITECTURE.id, self, PictureFormat::UNIT, x)
    }
}

fn leaky(b: &mut Builder, x: NodeId) -> NodeId {
    b.act(Act::LeakyRelu(0.1), x)
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "msrresnet",
    about: "MSRResNet (BasicSR's SRResNet without normalisation), and MSRResNet+ with a DCM after each block",
    build: |config| configuration::<MsrResNet>(config)?.build(),
    presets: &[
        ("msrresnet", |scale| json(MsrResNet::published(scale))),
        ("msrresnet+", |scale| json(MsrResNet::published(scale).plus(DcmOptions::default()))),
    ],
    layouts: &[Layout { name: "BasicSR", infer, key: same, prepare: as_stored, ignored: &[] }],
};

fn infer(tensors: &Tensors) -> Option<Value> {
    let [features, 3, 3, 3] = kernel_shape(tensors, "conv_first.weight")? else { return None };
    let scale = upsampler_scale(tensors, |s| format!("upconv{}.weight", s + 1))?;
    let blocks = count(tensors, |i| format!("body.{i}.conv1.weight"));
    Some(json(MsrResNet { scale, features, blocks, dcm: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::recognise::tests::recognised_again;

    #[test]
    fn is_recognised_with_its_sizes() {
        for scale in [2, 3, 4, 8, 16] {
            let network = MsrResNet { features: 16, blocks: 2, ..MsrResNet::published(scale) }.build().unwrap();
            recognised_again(&network, same, "BasicSR");
        }
    }
}
