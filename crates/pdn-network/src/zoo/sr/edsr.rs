//! EDSR (Lim et al., CVPR workshops 2017), and EDSR+ with a DCM after each residual block (the paper's section 3.4).
//!
//! Follows `src/model/edsr.py` of sanghyun-son/EDSR-PyTorch. Blocks are convolution, ReLU, convolution without
//! normalisation, scaled and added; a long skip spans all of them; upscaling comes last. *Baseline* is 16 blocks of 64
//! features, *full* 32 blocks of 256 with residuals scaled by 0.1: always say which. Pictures are 0..255 with DIV2K's
//! mean subtracted. Scales 8 and 16 repeat the x2 stage; no official weights have them.
//!
//! | here (as BasicSR's `edsr_arch.py`) | EDSR-PyTorch |
//! |---|---|
//! | `conv_first` | `head.0` |
//! | `body.{i}.conv1`, `body.{i}.conv2` | `body.{i}.body.0`, `body.{i}.body.2` |
//! | `conv_after_body` | `body.{blocks}` |
//! | `upsample.{s}` (BasicSR: `upsample.{2s}`) | `tail.0.{2s}` |
//! | `conv_last` | `tail.1` |
//! | in the configuration (BasicSR: not stored) | `sub_mean`, `add_mean` |

use crate::zoo::architecture::{Architecture, check_mean, check_sizes, configuration, json};
use crate::zoo::layout::{DIV2K_MEAN, Layout, as_stored, count, kernel_shape, mean_shift, same, upsampler_scale};
use crate::{Builder, DcmOptions, Network, NetworkError, PictureFormat, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Configuration of EDSR and EDSR+.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edsr {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels of the body.
    pub features: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// The factor for each block's branch before it is added.
    pub residual_scale: f64,
    /// The mean to subtract from each channel, in 0..1.
    #[serde(default = "div2k_mean")]
    pub mean: [f64; 3],
    /// A DCM after each residual block: EDSR+.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dcm: Option<DcmOptions>,
}

fn div2k_mean() -> [f64; 3] {
    DIV2K_MEAN
}

impl Edsr {
    /// Returns the baseline: 16 blocks of 64 features.
    pub fn baseline(scale: usize) -> Self {
        Self { scale, features: 64, blocks: 16, residual_scale: 1.0, mean: DIV2K_MEAN, dcm: None }
    }

    /// Returns the full size: 32 blocks of 256 features.
    pub fn full(scale: usize) -> Self {
        Self { features: 256, blocks: 32, residual_scale: 0.1, ..Self::baseline(scale) }
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
        check_mean(self.mean)?;
        let mut b = Builder::new();
        let picture = b.picture();
        let prompt = self.dcm.map(|dcm| b.prompt(dcm.dim));
        let head = b.conv("conv_first", picture, self.features, 3);
        let mut x = head;
        for i in 0..self.blocks {
            let y = b.conv_relu_conv([&format!("body.{i}.conv1"), &format!("body.{i}.conv2")], x);
            let y = b.scale(y, self.residual_scale);
            x = b.add(y, x);
            if let Some((dcm, prompt)) = self.dcm.zip(prompt) {
                x = b.dcm(&format!("body.{i}.dcm"), x, prompt, &dcm);
            }
        }
        let x = b.conv("conv_after_body", x, self.features, 3);
        let x = b.add(x, head);
        let x = b.upsample(x, self.scale);
        let x = b.conv("conv_last", x, 3, 3);
        b.finish(ARCHITECTURE.id, self, PictureFormat { range: 255.0, mean: self.mean }, x)
    }
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "edsr",
    about: "EDSR (Lim et al. 2017), and EDSR+ with a DCM after each block",
    build: |config| configuration::<Edsr>(config)?.build(),
    presets: &[
        ("edsr-baseline", |scale| json(Edsr::baseline(scale))),
        ("edsr-baseline+", |scale| json(Edsr::baseline(scale).plus(DcmOptions::default()))),
        ("edsr", |scale| json(Edsr::full(scale))),
        ("edsr+", |scale| json(Edsr::full(scale).plus(DcmOptions::default()))),
    ],
    layouts: &[
        Layout { name: "pdn", infer: infer_own, key: same, prepare: as_stored, ignored: &[] },
        Layout { name: "BasicSR", infer: infer_basicsr, key: basicsr_key, prepare: as_stored, ignored: &[] },
        Layout {
            name: "EDSR-PyTorch",
            infer: infer_official,
            key: official_key,
            prepare: as_stored,
            ignored: &["sub_mean.", "add_mean."],
        },
    ],
};

fn infer_own(tensors: &Tensors) -> Option<Value> {
    // An x2 or x3 file of BasicSR has the same keys; it is recognised here and is the same network.
    infer_named(tensors, 1)
}

fn infer_basicsr(tensors: &Tensors) -> Option<Value> {
    tensors.contains_key("upsample.2.weight").then(|| infer_named(tensors, 2))?
}

fn infer_named(tensors: &Tensors, stride: usize) -> Option<Value> {
    if stride == 1 && tensors.contains_key("upsample.2.weight") && !tensors.contains_key("upsample.1.weight") {
        return None;
    }
    let [features, 3, 3, 3] = kernel_shape(tensors, "conv_first.weight")? else { return None };
    tensors.get("conv_after_body.weight").and(tensors.get("body.0.conv1.weight"))?;
    infer(
        features,
        count(tensors, |i| format!("body.{i}.conv1.weight")),
        upsampler_scale(tensors, |s| format!("upsample.{}.weight", s * stride))?,
        DIV2K_MEAN,
    )
}

fn infer_official(tensors: &Tensors) -> Option<Value> {
    let [features, 3, 3, 3] = kernel_shape(tensors, "head.0.weight")? else { return None };
    tensors.get("body.0.body.0.weight")?;
    infer(
        features,
        count(tensors, |i| format!("body.{i}.body.0.weight")),
        upsampler_scale(tensors, |s| format!("tail.0.{}.weight", 2 * s))?,
        mean_shift(tensors, "sub_mean.bias", 255.0),
    )
}

fn infer(features: usize, blocks: usize, scale: usize, mean: [f64; 3]) -> Option<Value> {
    // Files do not store the residual scale: every published network of 256 features uses 0.1, every smaller one 1.
    let residual_scale = if features >= 256 { 0.1 } else { 1.0 };
    Some(json(Edsr { scale, features, blocks, residual_scale, mean, dcm: None }))
}

fn basicsr_key(ours: &str, _config: &Value) -> String {
    match ours.strip_prefix("upsample.").and_then(|rest| rest.split_once('.')) {
        Some((stage, rest)) => format!("upsample.{}.{rest}", 2 * stage.parse::<usize>().unwrap_or(0)),
        None => ours.to_owned(),
    }
}

fn official_key(ours: &str, config: &Value) -> String {
    let (layer, kind) = ours.rsplit_once('.').unwrap_or((ours, ""));
    let parts: Vec<&str> = layer.split('.').collect();
    let theirs = match parts[..] {
        ["conv_first"] => "head.0".to_owned(),
        ["body", i, "conv1"] => format!("body.{i}.body.0"),
        ["body", i, "conv2"] => format!("body.{i}.body.2"),
        ["conv_after_body"] => format!("body.{}", config["blocks"]),
        ["upsample", stage] => format!("tail.0.{}", 2 * stage.parse::<usize>().unwrap_or(0)),
        ["conv_last"] => "tail.1".to_owned(),
        _ => layer.to_owned(),
    };
    format!("{theirs}.{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::zoo::recognise::tests::{named, recognised_again};
    use crate::zoo::{RecogniseError, recognise};

    #[test]
    fn every_layout_is_recognised_with_its_sizes() {
        for scale in [2, 3, 4, 8] {
            for features in [8, 256] {
                let residual_scale = if features == 256 { 0.1 } else { 1.0 };
                let network = Edsr { features, blocks: 3, residual_scale, ..Edsr::baseline(scale) }.build().unwrap();
                recognised_again(&network, same, "pdn");
                // With one stage the names are the same.
                recognised_again(&network, basicsr_key, if scale > 3 { "BasicSR" } else { "pdn" });
                recognised_again(&network, official_key, "EDSR-PyTorch");
            }
        }
    }

    #[test]
    fn the_stored_mean_is_read() {
        let network = Edsr { features: 8, blocks: 1, ..Edsr::baseline(2) }.build().unwrap();
        let mut file = named(&network, official_key);
        file.insert("sub_mean.weight".into(), Tensor::new(vec![3, 3, 1, 1], vec![0.0; 9]));
        file.insert("sub_mean.bias".into(), Tensor::new(vec![3], vec![-127.5, -51.0, 0.0]));
        assert_eq!(recognise(&file, None).unwrap().network.picture.mean, [0.5, 0.2, 0.0]);
    }

    #[test]
    fn a_missing_or_foreign_tensor_is_named() {
        let network = Edsr { features: 8, blocks: 2, ..Edsr::baseline(4) }.build().unwrap();
        let mut file = named(&network, official_key);
        file.remove("body.1.body.2.bias");
        file.insert("body.1.attention".into(), Tensor::new(vec![1], vec![0.0]));
        let error = recognise(&file, None).unwrap_err();
        let RecogniseError::Misfit(candidates) = &error else { panic!("{error}") };
        assert_eq!(candidates.len(), 1);
        assert_eq!((candidates[0].architecture, candidates[0].layout), ("edsr", "EDSR-PyTorch"));
        let said = error.to_string();
        assert!(said.contains("1 missing: body.1.body.2.bias") && said.contains("body.1.attention"), "{said}");
    }
}
