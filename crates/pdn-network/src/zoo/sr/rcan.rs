//! RCAN (Zhang et al., ECCV 2018), and RCAN+ with three DCMs in each residual group (the paper's section 3.4).
//!
//! Follows `src/model/rcan.py` of EDSR-PyTorch and yulunzhang/RCAN, which share a layout. Ten groups of twenty blocks
//! of 64 features; a block is convolution, ReLU, convolution, channel attention, plus its input; a group ends in a
//! convolution and its skip; a long skip spans all groups. Pictures are 0..255 with DIV2K's mean subtracted. Channel
//! attention weights channels by their mean over the whole picture, so this network cannot run row by row. Official
//! weights exist for x2, x3, x4 and x8; x16 repeats the x2 stage once more.
//!
//! | here | EDSR-PyTorch | BasicSR |
//! |---|---|---|
//! | `conv_first` | `head.0` | `conv_first` |
//! | `body.{g}.blocks.{b}.conv1`, `.conv2` | `body.{g}.body.{b}.body.0`, `.2` | `body.{g}.residual_group.{b}.rcab.0`, `.2` |
//! | `body.{g}.blocks.{b}.attention.{0,2}` | `...body.3.conv_du.{0,2}` | `...rcab.3.attention.{1,3}` |
//! | `body.{g}.conv` | `body.{g}.body.{blocks}` | `body.{g}.conv` |
//! | `conv_after_body` | `body.{groups}` | `conv_after_body` |
//! | `upsample.{s}` | `tail.0.{2s}` | `upsample.{2s}` |
//! | `conv_last` | `tail.1` | `conv_last` |
//! | in the configuration | `sub_mean`, `add_mean` | not stored |

use crate::zoo::architecture::{Architecture, check_mean, check_sizes, configuration, json, module_after};
use crate::zoo::layout::{DIV2K_MEAN, Layout, as_stored, count, kernel_shape, mean_shift, same, upsampler_scale};
use crate::{Builder, DcmOptions, Network, NetworkError, NodeId, PictureFormat, Pool, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Configuration of RCAN and RCAN+.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rcan {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels of the body.
    pub features: usize,
    /// Residual groups.
    pub groups: usize,
    /// Residual channel attention blocks in each group.
    pub blocks: usize,
    /// Channels that attention squeezes the features to.
    pub squeezed: usize,
    /// The mean to subtract from each channel, in 0..1.
    #[serde(default = "div2k_mean")]
    pub mean: [f64; 3],
    /// Evenly spaced DCMs in each group: RCAN+.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plus: Option<Plus>,
}

/// The DCMs of a residual group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plus {
    /// Number of DCMs, the last after the last block; at most one after each block.
    pub modules: usize,
    /// The configuration of each DCM.
    pub dcm: DcmOptions,
}

fn div2k_mean() -> [f64; 3] {
    DIV2K_MEAN
}

impl Rcan {
    /// Returns the published size: ten groups of twenty blocks of 64 features.
    pub fn published(scale: usize) -> Self {
        Self { scale, features: 64, groups: 10, blocks: 20, squeezed: 4, mean: DIV2K_MEAN, plus: None }
    }

    /// Adds three DCMs to each residual group.
    pub fn plus(self, dcm: DcmOptions) -> Self {
        Self { plus: Some(Plus { modules: 3, dcm }), ..self }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network, such as no features or a scale that is not 2, 3, 4, 8 or 16.
    pub fn build(&self) -> Result<Network, NetworkError> {
        let modules = self.plus.map_or(0, |plus| plus.modules);
        check_sizes(&[
            ("features", self.features, 1..=4096),
            ("groups", self.groups, 0..=256),
            ("blocks", self.blocks, 1..=256),
            ("squeezed", self.squeezed, 1..=4096),
            ("modules", modules, 0..=self.blocks),
        ])?;
        check_mean(self.mean)?;
        let mut b = Builder::new();
        let picture = b.picture();
        let prompt = self.plus.map(|plus| b.prompt(plus.dcm.dim));
        let head = b.conv("conv_first", picture, self.features, 3);
        let mut x = head;
        for g in 0..self.groups {
            x = self.group(&mut b, &format!("body.{g}"), x, prompt);
        }
        let x = b.branch_end("conv_after_body", x, self.features, 3);
        let x = b.add(x, head);
        let x = b.upsample(x, self.scale);
        let x = b.conv("conv_last", x, 3, 3);
        b.finish(ARCHITECTURE.id, self, PictureFormat { range: 255.0, mean: self.mean }, x)
    }

    fn group(&self, b: &mut Builder, name: &str, input: NodeId, prompt: Option<NodeId>) -> NodeId {
        let mut x = input;
        for i in 0..self.blocks {
            x = self.block(b, &format!("{name}.blocks.{i}"), x);
            if let Some((plus, prompt)) = self.plus.zip(prompt)
                && let Some(module) = module_after(i, self.blocks, plus.modules)
            {
                x = b.dcm(&format!("{name}.modules.{module}"), x, prompt, &plus.dcm);
            }
        }
        let x = b.branch_end(&format!("{name}.conv"), x, self.features, 3);
        b.add(x, input)
    }

    fn block(&self, b: &mut Builder, name: &str, input: NodeId) -> NodeId {
        let x = b.conv_relu_conv([&format!("{name}.conv1"), &format!("{name}.conv2")], input);
        let [down, up] = [0, 2].map(|layer| format!("{name}.attention.{layer}"));
        let x = b.channel_attention([&down, &up], Pool::Mean, x, self.squeezed);
        b.add(x, input)
    }
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "rcan",
    about: "RCAN (Zhang et al. 2018), and RCAN+ with three DCMs in each residual group",
    build: |config| configuration::<Rcan>(config)?.build(),
    presets: &[
        ("rcan", |scale| json(Rcan::published(scale))),
        ("rcan+", |scale| json(Rcan::published(scale).plus(DcmOptions::default()))),
    ],
    layouts: &[
        Layout { name: "pdn", infer: infer_own, key: same, prepare: as_stored, ignored: &[] },
        Layout {
            name: "EDSR-PyTorch",
            infer: infer_official,
            key: official_key,
            prepare: as_stored,
            ignored: &["sub_mean.", "add_mean."],
        },
        Layout { name: "BasicSR", infer: infer_basicsr, key: basicsr_key, prepare: as_stored, ignored: &[] },
    ],
};

fn infer_own(tensors: &Tensors) -> Option<Value> {
    infer(tensors, same, DIV2K_MEAN)
}

fn infer_official(tensors: &Tensors) -> Option<Value> {
    infer(tensors, official_key, mean_shift(tensors, "sub_mean.bias", 255.0))
}

fn infer_basicsr(tensors: &Tensors) -> Option<Value> {
    infer(tensors, basicsr_key, DIV2K_MEAN)
}

/// Infers the sizes from the tensors, whose names `key` derives from ours.
fn infer(tensors: &Tensors, key: fn(&str, &Value) -> String, mean: [f64; 3]) -> Option<Value> {
    let key = |ours: String| key(&ours, &Value::Null);
    let [features, 3, 3, 3] = kernel_shape(tensors, &key("conv_first.weight".into()))? else { return None };
    let [squeezed, ..] = kernel_shape(tensors, &key("body.0.blocks.0.attention.0.weight".into()))?;
    let scale = upsampler_scale(tensors, |s| key(format!("upsample.{s}.weight")))?;
    let groups = count(tensors, |g| key(format!("body.{g}.blocks.0.conv1.weight")));
    let blocks = count(tensors, |b| key(format!("body.0.blocks.{b}.attention.0.weight")));
    Some(json(Rcan { scale, features, groups, blocks, squeezed, mean, plus: None }))
}

fn official_key(ours: &str, config: &Value) -> String {
    let (layer, kind) = ours.rsplit_once('.').unwrap_or((ours, ""));
    let parts: Vec<&str> = layer.split('.').collect();
    let theirs = match parts[..] {
        ["conv_first"] => "head.0".to_owned(),
        ["body", g, "blocks", i, "conv1"] => format!("body.{g}.body.{i}.body.0"),
        ["body", g, "blocks", i, "conv2"] => format!("body.{g}.body.{i}.body.2"),
        ["body", g, "blocks", i, "attention", layer] => format!("body.{g}.body.{i}.body.3.conv_du.{layer}"),
        ["body", g, "conv"] => format!("body.{g}.body.{}", config["blocks"]),
        ["conv_after_body"] => format!("body.{}", config["groups"]),
        ["upsample", stage] => format!("tail.0.{}", 2 * stage.parse::<usize>().unwrap_or(0)),
        ["conv_last"] => "tail.1".to_owned(),
        _ => layer.to_owned(),
    };
    format!("{theirs}.{kind}")
}

fn basicsr_key(ours: &str, _config: &Value) -> String {
    let (layer, kind) = ours.rsplit_once('.').unwrap_or((ours, ""));
    let parts: Vec<&str> = layer.split('.').collect();
    let theirs = match parts[..] {
        ["body", g, "blocks", i, "conv1"] => format!("body.{g}.residual_group.{i}.rcab.0"),
        ["body", g, "blocks", i, "conv2"] => format!("body.{g}.residual_group.{i}.rcab.2"),
        ["body", g, "blocks", i, "attention", "0"] => format!("body.{g}.residual_group.{i}.rcab.3.attention.1"),
        ["body", g, "blocks", i, "attention", "2"] => format!("body.{g}.residual_group.{i}.rcab.3.attention.3"),
        ["upsample", stage] => format!("upsample.{}", 2 * stage.parse::<usize>().unwrap_or(0)),
        _ => layer.to_owned(),
    };
    format!("{theirs}.{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::zoo::recognise;
    use crate::zoo::recognise::tests::{named, recognised_again};

    fn small(scale: usize) -> Rcan {
        Rcan { features: 16, groups: 2, blocks: 3, squeezed: 2, ..Rcan::published(scale) }
    }

    #[test]
    fn every_layout_is_recognised_with_its_sizes() {
        for scale in [2, 3, 4, 8, 16] {
            let network = small(scale).build().unwrap();
            recognised_again(&network, same, "pdn");
            recognised_again(&network, official_key, "EDSR-PyTorch");
            recognised_again(&network, basicsr_key, "BasicSR");
        }
    }

    #[test]
    fn it_is_not_taken_for_edsr_nor_half_of_it_for_anything() {
        let mut file = named(&small(4).build().unwrap(), official_key);
        file.insert("sub_mean.bias".into(), Tensor::new(vec![3], vec![-127.5, -51.0, 0.0]));
        let recognised = recognise(&file, None).unwrap();
        assert_eq!((recognised.network.architecture, recognised.network.picture.mean), ("rcan", [0.5, 0.2, 0.0]));
        file.remove("body.1.body.2.body.3.conv_du.0.bias");
        file.insert("body.1.body.0.body.2.weight".into(), Tensor::new(vec![2], vec![0.0; 2]));
        file.insert("body.0.body.3.bias".into(), Tensor::new(vec![16], vec![f32::NAN; 16]));
        file.insert("gamma".into(), Tensor::new(vec![1], vec![0.0]));
        assert_eq!(
            recognise(&file, None).unwrap_err().to_string(),
            "looks like rcan in the layout of EDSR-PyTorch, but the weights do not fit the network: \
             1 missing: body.1.body.2.body.3.conv_du.0.bias; 1 unexpected: gamma; \
             1 of the wrong shape: body.1.body.0.body.2.weight is [2], expected [16, 16, 3, 3]; \
             1 not finite: body.0.body.3.bias"
        );
    }

    #[test]
    fn three_modules_stand_in_each_group() {
        let network = Rcan::published(2).plus(DcmOptions::default()).build().unwrap();
        assert_eq!(network.dcms().count(), 30);
        assert_eq!(network.taps[29].name, "body.9.modules.2.mask");
        let error = Rcan { blocks: 2, ..Rcan::published(2) }.plus(DcmOptions::default()).build().unwrap_err();
        assert!(error.to_string().contains("modules 3"));
    }
}
