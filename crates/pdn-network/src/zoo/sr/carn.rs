//! CARN (Ahn et al., ECCV 2018), the larger of the two, without grouped convolutions.
//!
//! Follows `carn/model/carn.py` and `carn/model/ops.py` of nmhkahn/CARN-pytorch and keeps its parameter names. At two
//! levels, each of three layers is followed by a 1x1 convolution over everything before it: the layers of the network
//! are blocks, and the layers of a block are residual blocks. Upscaling comes last, in stages of convolution, ReLU and
//! pixel shuffle. Pictures are 0..1 with DIV2K's mean subtracted. Scales 8 and 16 repeat the x2 stage; no official
//! weights have them.
//!
//! The published weights are one file for all scales, with `upsample.up2`, `.up3` and `.up4` for `upsample.up` here.
//! Such a file is three networks, so the caller must pick one.

use crate::zoo::architecture::{Architecture, check_mean, check_sizes, configuration, json};
use crate::zoo::layout::{DIV2K_MEAN, Layout, as_stored, kernel_shape, mean_shift, same, upsampler_scale};
use crate::{Builder, Network, NetworkError, NodeId, PictureFormat, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Configuration of CARN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carn {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels.
    pub features: usize,
    /// The mean to subtract from each channel, in 0..1.
    pub mean: [f64; 3],
}

impl Carn {
    /// Returns the published size: 64 features.
    pub fn published(scale: usize) -> Self {
        Self { scale, features: 64, mean: DIV2K_MEAN }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network, such as no features or a scale that is not 2, 3, 4, 8 or 16.
    pub fn build(&self) -> Result<Network, NetworkError> {
        check_sizes(&[("features", self.features, 1..=4096)])?;
        check_mean(self.mean)?;
        let mut b = Builder::new();
        let picture = b.picture();
        let x = b.conv("entry", picture, self.features, 3);
        let block = |b: &mut Builder, name: &str, x| cascade(b, &format!("{name}."), self.features, x, residual_block);
        let mut x = cascade(&mut b, "", self.features, x, block);
        for (stage, r) in b.upsampling_stages(self.scale).into_iter().enumerate() {
            x = b.conv(&upsampler("up", stage), x, self.features * r * r, 3);
            x = b.relu(x);
            x = b.pixel_shuffle(x, r);
        }
        let x = b.conv("exit", x, 3, 3);
        b.finish(ARCHITECTURE.id, self, PictureFormat { range: 1.0, mean: self.mean }, x)
    }
}

/// Adds three layers, `b1` to `b3`, each followed by a convolution over the input and all layers so far.
fn cascade(
    b: &mut Builder,
    prefix: &str,
    features: usize,
    input: NodeId,
    layer: impl Fn(&mut Builder, &str, NodeId) -> NodeId,
) -> NodeId {
    let (mut x, mut all) = (input, vec![input]);
    for i in 1..=3 {
        all.push(layer(b, &format!("{prefix}b{i}"), x));
        let maps = b.concat(&all);
        x = b.conv(&format!("{prefix}c{i}.body.0"), maps, features, 1);
        x = b.relu(x);
    }
    x
}

fn residual_block(b: &mut Builder, name: &str, x: NodeId) -> NodeId {
    let y = b.conv_relu_conv([&format!("{name}.body.0"), &format!("{name}.body.2")], x);
    let y = b.add(y, x);
    b.relu(y)
}

/// Returns the name of a stage's convolution; ReLU and pixel shuffle also count in the sequence.
fn upsampler(name: &str, stage: usize) -> String {
    format!("upsample.{name}.body.{}", 3 * stage)
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "carn",
    about: "CARN (Ahn et al. 2018), lightweight, of cascading residual blocks",
    build: |config| configuration::<Carn>(config)?.build(),
    presets: &[("carn", |scale| json(Carn::published(scale)))],
    layouts: &[
        Layout {
            name: "CARN-pytorch",
            infer: |tensors| infer(tensors, "up"),
            key: same,
            prepare: as_stored,
            ignored: &["sub_mean.", "add_mean."],
        },
        Layout {
            name: "CARN-pytorch for many scales, x2",
            infer: |tensors| infer(tensors, "up2"),
            key: key_of_many,
            prepare: as_stored,
            ignored: &["sub_mean.", "add_mean.", "upsample.up3.", "upsample.up4."],
        },
        Layout {
            name: "CARN-pytorch for many scales, x3",
            infer: |tensors| infer(tensors, "up3"),
            key: key_of_many,
            prepare: as_stored,
            ignored: &["sub_mean.", "add_mean.", "upsample.up2.", "upsample.up4."],
        },
        Layout {
            name: "CARN-pytorch for many scales, x4",
            infer: |tensors| infer(tensors, "up4"),
            key: key_of_many,
            prepare: as_stored,
            ignored: &["sub_mean.", "add_mean.", "upsample.up2.", "upsample.up3."],
        },
    ],
};

fn infer(tensors: &Tensors, name: &str) -> Option<Value> {
    let [features, 3, 3, 3] = kernel_shape(tensors, "entry.weight")? else { return None };
    let scale = upsampler_scale(tensors, |stage| format!("{}.weight", upsampler(name, stage)))?;
    Some(json(Carn { scale, features, mean: mean_shift(tensors, "sub_mean.shifter.bias", 1.0) }))
}

fn key_of_many(ours: &str, config: &Value) -> String {
    match ours.strip_prefix("upsample.up.") {
        Some(rest) => format!("upsample.up{}.{rest}", config["scale"]),
        None => ours.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::zoo::recognise;
    use crate::zoo::recognise::tests::{named, recognised_again};

    fn small(scale: usize) -> Network {
        Carn { features: 8, ..Carn::published(scale) }.build().unwrap()
    }

    #[test]
    fn every_layout_is_recognised_with_its_sizes() {
        for scale in [2, 3, 4, 8] {
            recognised_again(&small(scale), same, "CARN-pytorch");
        }
        for scale in [2, 3, 4] {
            recognised_again(&small(scale), key_of_many, &format!("CARN-pytorch for many scales, x{scale}"));
        }
    }

    #[test]
    fn of_a_file_for_many_scales_one_must_be_said() {
        let file = [2, 3, 4].into_iter().flat_map(|scale| named(&small(scale), key_of_many)).collect();
        let said = recognise(&file, None).unwrap_err().to_string();
        assert!(["more than one", "x2", "x3", "x4"].iter().all(|part| said.contains(part)), "{said}");
        for scale in [2, 3, 4] {
            assert_eq!(recognise(&file, Some(scale)).unwrap().network, small(scale));
        }
        assert!(recognise(&file, Some(8)).unwrap_err().to_string().contains("has scale x2, x3, x4, expected x8"));
    }

    #[test]
    fn the_stored_mean_is_read() {
        let mut file = named(&small(2), same);
        file.insert("sub_mean.shifter.bias".into(), Tensor::new(vec![3], vec![-0.5, -0.25, 0.0]));
        assert_eq!(recognise(&file, None).unwrap().network.picture.mean, [0.5, 0.25, 0.0]);
    }
}
