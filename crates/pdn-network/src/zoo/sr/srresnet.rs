//! SRResNet (Ledig et al., CVPR 2017: SRGAN's generator), and SRResNet+ with a DCM after each residual block.
//!
//! Follows section 3.2 of the paper and `model.py` of Lornatang/SRGAN-PyTorch: a 9x9 convolution, sixteen blocks of
//! convolution, PReLU, convolution, plus their input, a convolution and the long skip, x2 stages of convolution, pixel
//! shuffle and PReLU, and a 9x9 convolution. Pictures are RGB in 0..1.
//!
//! **Batch normalisation is folded when a file is read.** At inference it is a factor and an offset per channel,
//! directly after a convolution without a bias, so the convolution absorbs both exactly: `W γ / sqrt(σ² + ε)` and
//! `β - μ γ / sqrt(σ² + ε)`. The network here has plain convolutions with biases; it trains without normalisation, as
//! every later network does, EDSR first. PReLU has one slope per channel here; a single slope in a file is repeated.
//!
//! | here | SRGAN-PyTorch (before 2022 `conv_block{n}` for `conv{n}`) |
//! |---|---|
//! | `conv_first`, `act_first` | `conv1.0`, `conv1.1` |
//! | `body.{i}.conv1`, `.act`, `.conv2` | `trunk.{i}.rcb.0` with `.1`, `.2`, `.3` with `.4` |
//! | `conv_after_body` | `conv2.0` with `conv2.1` |
//! | `upsample.{s}.conv`, `.act` | `upsampling.{s}.upsample_block.0`, `.2` |
//! | `conv_last` | `conv3` |

use crate::zoo::architecture::{Architecture, check_sizes, configuration, json};
use crate::zoo::layout::{Layout, as_stored, count, kernel_shape, same, upsampler_scale};
use crate::{Builder, DcmOptions, Network, NetworkError, PictureFormat, Tensor, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// PyTorch's ε of batch normalisation.
const EPS: f64 = 1e-5;

/// Configuration of SRResNet and SRResNet+.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SrResNet {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels of the body.
    pub features: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// A DCM after each residual block: SRResNet+.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dcm: Option<DcmOptions>,
}

impl SrResNet {
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
        let head = b.conv("conv_first", picture, self.features, 9);
        let head = b.prelu("act_first", head);
        let mut x = head;
        for i in 0..self.blocks {
            let y = b.conv(&format!("body.{i}.conv1"), x, self.features, 3);
            let y = b.prelu(&format!("body.{i}.act"), y);
            let y = b.branch_end(&format!("body.{i}.conv2"), y, self.features, 3);
            x = b.add(y, x);
            if let Some((dcm, prompt)) = self.dcm.zip(prompt) {
                x = b.dcm(&format!("body.{i}.dcm"), x, prompt, &dcm);
            }
        }
        let x = b.branch_end("conv_after_body", x, self.features, 3);
        let mut x = b.add(x, head);
        for (stage, r) in b.upsampling_stages(self.scale).into_iter().enumerate() {
            x = b.conv(&format!("upsample.{stage}.conv"), x, self.features * r * r, 3);
            x = b.pixel_shuffle(x, r);
            x = b.prelu(&format!("upsample.{stage}.act"), x);
        }
        let x = b.conv("conv_last", x, 3, 9);
        b.finish(ARCHITECTURE.id, self, PictureFormat::UNIT, x)
    }
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "srresnet",
    about: "SRResNet (Ledig et al. 2017), its normalisation folded, and SRResNet+ with a DCM after each block",
    build: |config| configuration::<SrResNet>(config)?.build(),
    presets: &[
        ("srresnet", |scale| json(SrResNet::published(scale))),
        ("srresnet+", |scale| json(SrResNet::published(scale).plus(DcmOptions::default()))),
    ],
    layouts: &[
        Layout { name: "pdn", infer: infer_own, key: same, prepare: as_stored, ignored: &[] },
        Layout { name: "SRGAN-PyTorch", infer: infer_official, key: official_key, prepare: fold, ignored: &[] },
        Layout {
            name: "SRGAN-PyTorch before 2022",
            infer: infer_earlier,
            key: earlier_key,
            prepare: fold,
            ignored: &[],
        },
    ],
};

fn infer_own(tensors: &Tensors) -> Option<Value> {
    infer(tensors, same)
}

fn infer_official(tensors: &Tensors) -> Option<Value> {
    infer(tensors, official_key)
}

fn infer_earlier(tensors: &Tensors) -> Option<Value> {
    infer(tensors, earlier_key)
}

/// Infers the sizes from the tensors, whose names `key` derives from ours.
fn infer(tensors: &Tensors, key: fn(&str, &Value) -> String) -> Option<Value> {
    let key = |ours: String| key(&ours, &Value::Null);
    let [features, 3, 9, 9] = kernel_shape(tensors, &key("conv_first.weight".into()))? else { return None };
    let scale = upsampler_scale(tensors, |s| key(format!("upsample.{s}.conv.weight")))?;
    let blocks = count(tensors, |i| key(format!("body.{i}.conv1.weight")));
    Some(json(SrResNet { scale, features, blocks, dcm: None }))
}

fn official_key(ours: &str, _config: &Value) -> String {
    let (layer, kind) = ours.rsplit_once('.').unwrap_or((ours, ""));
    let parts: Vec<&str> = layer.split('.').collect();
    let theirs = match parts[..] {
        ["conv_first"] => "conv1.0".to_owned(),
        ["act_first"] => "conv1.1".to_owned(),
        ["body", i, "conv1"] => format!("trunk.{i}.rcb.0"),
        ["body", i, "act"] => format!("trunk.{i}.rcb.2"),
        ["body", i, "conv2"] => format!("trunk.{i}.rcb.3"),
        ["conv_after_body"] => "conv2.0".to_owned(),
        ["upsample", stage, "conv"] => format!("upsampling.{stage}.upsample_block.0"),
        ["upsample", stage, "act"] => format!("upsampling.{stage}.upsample_block.2"),
        ["conv_last"] => "conv3".to_owned(),
        _ => layer.to_owned(),
    };
    format!("{theirs}.{kind}")
}

fn earlier_key(ours: &str, config: &Value) -> String {
    let theirs = official_key(ours, config);
    match theirs.strip_prefix("conv") {
        Some(rest) => format!("conv_block{rest}"),
        None => theirs,
    }
}

/// Folds each normalisation into the convolution before it, and repeats slopes shared by all channels.
fn fold(tensors: &mut Tensors) {
    let norms: Vec<String> =
        tensors.keys().filter_map(|key| Some(key.strip_suffix(".running_mean")?.to_owned())).collect();
    for norm in norms {
        if let Some((conv, folded)) = folded(tensors, &norm) {
            ["weight", "bias", "running_mean", "running_var"].iter().for_each(|kind| {
                tensors.remove(&format!("{norm}.{kind}"));
            });
            let [weight, bias] = folded;
            tensors.insert(format!("{conv}.weight"), weight);
            tensors.insert(format!("{conv}.bias"), bias);
        }
    }
    let shared: Vec<String> = tensors.iter().filter(|(_, t)| t.shape() == [1]).map(|(key, _)| key.clone()).collect();
    for key in shared {
        if let Some(slopes) = repeated(tensors, &key) {
            tensors.insert(key, slopes);
        }
    }
}

/// Repeats a PReLU's single slope for each output channel of the first convolution in its sequence, or for the channels
/// that a pixel shuffle leaves of them.
fn repeated(tensors: &Tensors, key: &str) -> Option<Tensor> {
    let sequence = key.strip_suffix(".1.weight").or(key.strip_suffix(".2.weight"))?;
    let outputs = *tensors.get(&format!("{sequence}.0.weight"))?.shape().first()?;
    let head = tensors.get("conv1.0.bias").or(tensors.get("conv_block1.0.bias"))?;
    let channels = head.data().len().min(outputs);
    Some(Tensor::new(vec![channels], vec![tensors[key].data()[0]; channels]))
}

/// Returns the name of the convolution before a normalisation, and its weight and bias with the normalisation folded
/// in. Returns `None` if the tensors do not fit each other, which binding then reports.
fn folded(tensors: &Tensors, norm: &str) -> Option<(String, [Tensor; 2])> {
    let (sequence, place) = norm.rsplit_once('.')?;
    let conv = format!("{sequence}.{}", place.parse::<usize>().ok()?.checked_sub(1)?);
    let weight = tensors.get(&format!("{conv}.weight"))?;
    let outputs = *weight.shape().first()?;
    let vector = |key: String| tensors.get(&key).filter(|t| t.shape() == [outputs]).map(|t| t.data());
    let [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
        .map(|kind| vector(format!("{norm}.{kind}")))
        .into_iter()
        .collect::<Option<Vec<_>>>()?
        .try_into()
        .ok()?;
    let factor = |o: usize| f64::from(gamma[o]) / (f64::from(variance[o]) + EPS).sqrt();
    let inputs = weight.data().len().checked_div(outputs)?;
    let scaled = weight.data().iter().enumerate().map(|(i, w)| (f64::from(*w) * factor(i / inputs)) as f32).collect();
    let bias = vector(format!("{conv}.bias"));
    let bias = (0..outputs).map(|o| {
        let before = bias.map_or(0.0, |bias| f64::from(bias[o])) - f64::from(mean[o]);
        (before * factor(o) + f64::from(beta[o])) as f32
    });
    let bias = Tensor::new(vec![outputs], bias.collect());
    Some((conv, [Tensor::new(weight.shape().to_vec(), scaled), bias]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::recognise;
    use crate::zoo::recognise::tests::{named, recognised_again};

    fn small(scale: usize) -> Network {
        SrResNet { features: 16, blocks: 2, ..SrResNet::published(scale) }.build().unwrap()
    }

    #[test]
    fn every_layout_is_recognised_with_its_sizes() {
        for scale in [2, 3, 4, 8, 16] {
            recognised_again(&small(scale), same, "pdn");
            recognised_again(&small(scale), official_key, "SRGAN-PyTorch");
            recognised_again(&small(scale), earlier_key, "SRGAN-PyTorch before 2022");
        }
    }

    #[test]
    fn normalisation_is_folded() {
        let vector = |values: [f32; 2]| Tensor::new(vec![2], values.to_vec());
        let mut tensors = Tensors::from([
            ("conv2.0.weight".into(), Tensor::new(vec![2, 1, 1, 2], vec![1.0, 2.0, 3.0, 4.0])),
            ("conv2.1.weight".into(), vector([2.0, 6.0])),
            ("conv2.1.bias".into(), vector([0.5, 0.25])),
            ("conv2.1.running_mean".into(), vector([1.0, -1.0])),
            ("conv2.1.running_var".into(), vector([4.0 - 1e-5, 9.0 - 1e-5])),
        ]);
        fold(&mut tensors);
        let expected = Tensors::from([
            ("conv2.0.weight".into(), Tensor::new(vec![2, 1, 1, 2], vec![1.0, 2.0, 6.0, 8.0])),
            ("conv2.0.bias".into(), vector([-0.5, 2.25])),
        ]);
        assert_eq!(tensors, expected);
    }

    #[test]
    fn normalisation_that_does_not_fit_is_named() {
        let mut file = named(&small(4), official_key);
        file.insert("conv2.1.running_mean".into(), Tensor::new(vec![3], vec![0.0; 3]));
        assert!(recognise(&file, None).unwrap_err().to_string().contains("conv2.1.running_mean"));
    }
}
