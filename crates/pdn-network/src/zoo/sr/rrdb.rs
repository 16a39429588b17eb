//! RRDBNet, the generator of ESRGAN (Wang et al., ECCV workshops 2018) and Real-ESRGAN (2021), and RRDB+ with a DCM
//! after each block.
//!
//! Follows `basicsr/archs/rrdbnet_arch.py`. A residual in residual dense block is three dense blocks of five
//! convolutions. Each dense block adds its output times 0.2 to its input, and so does the whole block of three.
//! Upscaling repeats pixels and convolves, twice for x4. Pictures are RGB in 0..1. *RRDB-23* is the network of ESRGAN
//! and RealESRGAN_x4plus, *RRDB-6* that of RealESRGAN_x4plus_anime_6B.
//!
//! For x2 and x1 Real-ESRGAN first moves the picture's 2x2 or 4x4 blocks into channels, at an eighth of the cost of x4
//! and less; ESRGAN's own x2 files have one stage less instead (`unshuffle` 1), and x8 and x16 more. x3 is one stage of
//! three, as in ESRGAN's code; in a file it looks like x2, and is read as that.
//!
//! | here (as BasicSR) | ESRGAN, BSRGAN, RealSR | ESRGAN's first files, n stages |
//! |---|---|---|
//! | `conv_first` | `conv_first` | `model.0` |
//! | `body.{b}.rdb{r}.conv{c}` | `RRDB_trunk.{b}.RDB{r}.conv{c}` | `model.1.sub.{b}.RDB{r}.conv{c}.0` |
//! | `conv_body` | `trunk_conv` | `model.1.sub.{blocks}` |
//! | `conv_up{s}` | `upconv{s}` | `model.{3s}` |
//! | `conv_hr` | `HRconv` | `model.{3n + 2}` |
//! | `conv_last` | `conv_last` | `model.{3n + 4}` |

use crate::zoo::architecture::{Architecture, check_sizes, configuration, json};
use crate::zoo::layout::{Layout, as_stored, count, kernel_shape, same};
use crate::{Act, Builder, DcmOptions, Interpolation, Network, NetworkError, NodeId, PictureFormat, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The factor for residuals.
const RESIDUAL: f64 = 0.2;

/// Configuration of RRDBNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rrdb {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels between blocks.
    pub features: usize,
    /// Channels that each convolution of a dense block adds.
    pub growth: usize,
    /// Residual in residual dense blocks.
    pub blocks: usize,
    /// Side of the pixel blocks that are first moved into channels: 1, 2 or 4.
    #[serde(default = "one")]
    pub unshuffle: usize,
    /// A DCM after each residual in residual dense block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dcm: Option<DcmOptions>,
}

fn one() -> usize {
    1
}

impl Rrdb {
    /// Returns blocks of 64 features growing by 32, with pixels unshuffled for x1 and x2 as in Real-ESRGAN.
    pub fn published(blocks: usize, scale: usize) -> Self {
        let unshuffle = match scale {
            1 => 4,
            2 => 2,
            _ => 1,
        };
        Self { scale, features: 64, growth: 32, blocks, unshuffle, dcm: None }
    }

    /// Adds a DCM after each residual in residual dense block.
    pub fn plus(self, dcm: DcmOptions) -> Self {
        Self { dcm: Some(dcm), ..self }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network, such as no features or a scale that is not 1, 2, 3, 4, 8 or 16.
    pub fn build(&self) -> Result<Network, NetworkError> {
        check_sizes(&[
            ("features", self.features, 1..=4096),
            ("growth", self.growth, 1..=4096),
            ("blocks", self.blocks, 0..=256),
        ])?;
        let mut b = Builder::new();
        if ![1, 2, 4].contains(&self.unshuffle) {
            b.fail(format!("unshuffle {}: expected 1, 2 or 4", self.unshuffle));
        }
        if ![1, 2, 3, 4, 8, 16].contains(&self.scale) {
            b.fail(format!("scale {}: expected 1, 2, 3, 4, 8 or 16", self.scale));
        }
        let stages = match self.scale * self.unshuffle.clamp(1, 4) {
            1 => Vec::new(),
            factor => b.upsampling_stages(factor),
        };
        let picture = b.picture();
        let prompt = self.dcm.map(|dcm| b.prompt(dcm.dim));
        let x = if self.unshuffle == 1 { picture } else { b.pixel_unshuffle(picture, self.unshuffle) };
        let head = b.conv("conv_first", x, self.features, 3);
        let mut x = head;
        for i in 0..self.blocks {
            x = block(&mut b, &format!("body.{i}"), x, self.growth);
            if let Some((dcm, prompt)) = self.dcm.zip(prompt) {
                x = b.dcm(&format!("body.{i}.dcm"), x, prompt, &dcm);
            }
        }
        let x = b.branch_end("conv_body", x, self.features, 3);
        let mut x = b.add(x, head);
        for (stage, r) in stages.into_iter().enumerate() {
            x = b.enlarge(x, Interpolation::Nearest, r);
            x = b.conv(&format!("conv_up{}", stage + 1), x, self.features, 3);
            x = leaky(&mut b, x);
        }
        let x = b.conv("conv_hr", x, self.features, 3);
        let x = leaky(&mut b, x);
        let x = b.conv("conv_last", x, 3, 3);
        b.finish(ARCHITECTURE.id, self, PictureFormat::UNIT, x)
    }
}

/// Adds a residual in residual dense block with `input`'s channels, each convolution of which adds `growth` channels.
pub(super) fn block(b: &mut Builder, name: &str, input: NodeId, growth: usize) -> NodeId {
    let mut x = input;
    for r in 1..=3 {
        x = dense_block(b, &format!("{name}.rdb{r}"), x, growth);
    }
    let x = b.scale(x, RESIDUAL);
    b.add(x, input)
}

fn dense_block(b: &mut Builder, name: &str, input: NodeId, growth: usize) -> NodeId {
    let features = b.shape(input).channels;
    let mut maps = vec![input];
    for c in 1..=4 {
        let x = b.concat(&maps);
        let x = b.conv(&format!("{name}.conv{c}"), x, growth, 3);
        maps.push(leaky(b, x));
    }
    let x = b.concat(&maps);
    let x = b.branch_end(&format!("{name}.conv5"), x, features, 3);
    let x = b.scale(x, RESIDUAL);
    b.add(x, input)
}

pub(super) fn leaky(b: &mut Builder, x: NodeId) -> NodeId {
    b.act(Act::LeakyRelu(0.2), x)
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "rrdb",
    about: "RRDBNet (ESRGAN 2018, Real-ESRGAN 2021), and RRDB+ with a DCM after each block",
    build: |config| configuration::<Rrdb>(config)?.build(),
    presets: &[
        ("rrdb-23", |scale| json(Rrdb::published(23, scale))),
        ("rrdb-23+", |scale| json(Rrdb::published(23, scale).plus(DcmOptions::default()))),
        ("rrdb-6", |scale| json(Rrdb::published(6, scale))),
        ("rrdb-6+", |scale| json(Rrdb::published(6, scale).plus(DcmOptions::default()))),
    ],
    layouts: &[
        Layout { name: "BasicSR", infer: infer_basicsr, key: same, prepare: as_stored, ignored: &[] },
        Layout { name: "ESRGAN", infer: infer_esrgan, key: esrgan_key, prepare: as_stored, ignored: &[] },
        Layout { name: "ESRGAN's first", infer: infer_first, key: first_key, prepare: as_stored, ignored: &[] },
    ],
};

fn infer_basicsr(tensors: &Tensors) -> Option<Value> {
    infer(tensors, same, count(tensors, |s| format!("conv_up{}.weight", s + 1)))
}

fn infer_esrgan(tensors: &Tensors) -> Option<Value> {
    infer(tensors, esrgan_key, count(tensors, |s| format!("upconv{}.weight", s + 1)))
}

fn infer_first(tensors: &Tensors) -> Option<Value> {
    infer(tensors, first_key, count(tensors, |s| format!("model.{}.weight", 3 * (s + 1))))
}

/// Infers the sizes from the tensors, whose names `key` derives from ours.
fn infer(tensors: &Tensors, key: fn(&str, &Value) -> String, stages: usize) -> Option<Value> {
    let key = |ours: String| key(&ours, &Value::Null);
    let [features, channels, 3, 3] = kernel_shape(tensors, &key("conv_first.weight".into()))? else { return None };
    let [growth, ..] = kernel_shape(tensors, &key("body.0.rdb1.conv1.weight".into()))?;
    let unshuffle = match channels {
        3 => 1,
        12 => 2,
        48 => 4,
        _ => return None,
    };
    let scale = 1_usize.checked_shl(stages.try_into().ok()?)? / unshuffle;
    let blocks = count(tensors, |b| key(format!("body.{b}.rdb1.conv1.weight")));
    Some(json(Rrdb { scale, features, growth, blocks, unshuffle, dcm: None }))
}

fn esrgan_key(ours: &str, _config: &Value) -> String {
    let (layer, kind) = ours.rsplit_once('.').unwrap_or((ours, ""));
    let parts: Vec<&str> = layer.split('.').collect();
    let theirs = match parts[..] {
        ["body", b, rdb, conv] => format!("RRDB_trunk.{b}.{}.{conv}", rdb.to_uppercase()),
        ["conv_body"] => "trunk_conv".to_owned(),
        ["conv_hr"] => "HRconv".to_owned(),
        _ => layer.replace("conv_up", "upconv"),
    };
    format!("{theirs}.{kind}")
}

pub(super) fn first_key(ours: &str, config: &Value) -> String {
    let size = |name: &str| config[name].as_u64().unwrap_or(1);
    let stages = u64::from((size("scale") * size("unshuffle")).max(1).ilog2());
    let (layer, kind) = ours.rsplit_once('.').unwrap_or((ours, ""));
    let parts: Vec<&str> = layer.split('.').collect();
    let theirs = match parts[..] {
        ["conv_first"] => "model.0".to_owned(),
        ["body", b, rdb, conv] => format!("model.1.sub.{b}.{}.{conv}.0", rdb.to_uppercase()),
        ["conv_body"] => format!("model.1.sub.{}", size("blocks")),
        ["conv_hr"] => format!("model.{}", 3 * stages + 2),
        ["conv_last"] => format!("model.{}", 3 * stages + 4),
        _ => match layer.strip_prefix("conv_up").and_then(|stage| stage.parse::<u64>().ok()) {
            Some(stage) => format!("model.{}", 3 * stage),
            None => layer.to_owned(),
        },
    };
    format!("{theirs}.{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::zoo::recognise;
    use crate::zoo::recognise::tests::{named, recognised_again};

    fn small(scale: usize) -> Rrdb {
        Rrdb { features: 16, growth: 8, ..Rrdb::published(2, scale) }
    }

    #[test]
    fn every_layout_is_recognised_with_its_sizes() {
        let without = |scale: usize| Rrdb { unshuffle: 1, ..small(scale) };
        for rrdb in [small(1), small(2), without(2), small(4), small(8), small(16)] {
            let network = rrdb.build().unwrap();
            recognised_again(&network, same, "BasicSR");
            recognised_again(&network, esrgan_key, "ESRGAN");
            recognised_again(&network, first_key, "ESRGAN's first");
        }
    }

    #[test]
    fn esrgan_plus_is_refused_by_its_own_layers() {
        let mut file = named(&small(4).build().unwrap(), first_key);
        file.insert("model.1.sub.0.RDB1.conv1x1.weight".into(), Tensor::new(vec![8, 16, 1, 1], vec![0.0; 128]));
        let said = recognise(&file, None).unwrap_err().to_string();
        assert!(said.contains("rrdb") && said.contains("1 unexpected: model.1.sub.0.RDB1.conv1x1.weight"), "{said}");
    }

    #[test]
    fn a_scale_that_it_lacks_is_said() {
        assert!(small(5).build().unwrap_err().to_string().contains("scale 5"));
        let odd = Rrdb { unshuffle: 3, ..small(4) };
        assert!(odd.build().unwrap_err().to_string().contains("unshuffle 3"));
        let large = Rrdb { unshuffle: 4, ..small(16) };
        assert!(large.build().unwrap_err().to_string().contains("expected 2, 3, 4, 8 or 16"));
    }
}
