//! SPSR, Structure-Preserving Super Resolution with Gradient Guidance (Ma et al., CVPR 2020), and SPSR+ with a DCM
//! after each block of the super-resolution branch.
//!
//! Follows `code/models/modules/architecture.py` of `Maclory/SPSR`. The super-resolution branch is [`Rrdb`] up to its
//! last convolution. A second branch enlarges the picture's gradient: it reads the first branch's features after 5, 10,
//! 15 and 20 blocks, each through a block of twice the features and a convolution that merges them. A block over the
//! features of both branches fuses them into the picture. Pictures are RGB in 0..1.
//!
//! The tap `gradient` is the enlarged gradient, which training compares with that of the original; the engine, which
//! only wants the picture, leaves it out.
//!
//! | here | SPSR's files, n stages |
//! |---|---|
//! | `conv_first`, `body.{b}.rdb{r}.conv{c}`, `conv_body`, `conv_up{s}` | as [`Rrdb`] in ESRGAN's first files |
//! | `conv_hr` | `HR_conv0_new.0`, and again `model.{3n + 2}` |
//! | `conv_features` | `HR_conv1_new.0` |
//! | `gradient.conv_first` | `b_fea_conv.0` |
//! | `gradient.body.{i}.rdb{r}.conv{c}`, `gradient.merge.{i}` | `b_block_{i + 1}.RDB{r}.conv{c}.0`, `b_concat_{i + 1}.0` |
//! | `gradient.conv_body` | `b_LR_conv.0` |
//! | `gradient.conv_up{s}`, `gradient.conv_hr`, `gradient.conv_features` | `b_module.{3s - 2}`, `.{3n}`, `.{3n + 2}` |
//! | `gradient.conv_last` | `conv_w.0` |
//! | `fusion.body.rdb{r}.conv{c}`, `fusion.merge` | `f_block.RDB{r}.conv{c}.0`, `f_concat.0` |
//! | `fusion.conv_hr`, `fusion.conv_last` | `f_HR_conv0.0`, `f_HR_conv1.0` |

use super::rrdb::{self, leaky};
use crate::zoo::architecture::{Architecture, check_sizes, configuration, json};
use crate::zoo::layout::{Layout, count, kernel_shape};
use crate::{Builder, DcmOptions, Interpolation, Network, NetworkError, NodeId, PictureFormat, Tensor, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How often the gradient branch reads the features of the other.
const MERGES: usize = 4;

/// Keeps the gradient's root from an infinite slope at 0: the official code adds its square, 1e-6.
const EPS: f64 = 1e-3;

/// Configuration of SPSR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spsr {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels between blocks.
    pub features: usize,
    /// Channels that each convolution of a dense block adds.
    pub growth: usize,
    /// Blocks of the super-resolution branch.
    pub blocks: usize,
    /// Blocks from one merge with the gradient branch to the next.
    #[serde(default = "five")]
    pub interval: usize,
    /// A DCM after each block of the super-resolution branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dcm: Option<DcmOptions>,
}

fn five() -> usize {
    5
}

impl Spsr {
    /// Returns the published size: 23 blocks of 64 features growing by 32.
    pub fn published(scale: usize) -> Self {
        Self { scale, features: 64, growth: 32, blocks: 23, interval: five(), dcm: None }
    }

    /// Adds a DCM after each block of the super-resolution branch.
    pub fn plus(self, dcm: DcmOptions) -> Self {
        Self { dcm: Some(dcm), ..self }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network: no features, fewer blocks than the merges need, or a scale that
    /// is not 2, 3, 4, 8 or 16.
    pub fn build(&self) -> Result<Network, NetworkError> {
        check_sizes(&[
            ("features", self.features, 1..=4096),
            ("growth", self.growth, 1..=4096),
            ("interval", self.interval, 1..=64),
            ("blocks", self.blocks, MERGES * self.interval..=256),
        ])?;
        let mut b = Builder::new();
        let stages = b.upsampling_stages(self.scale);
        let picture = b.picture();
        let (features, merged) = self.features(&mut b, picture, &stages);
        let gradient = self.gradient(&mut b, picture, merged, &stages);
        let last = b.conv("gradient.conv_last", gradient, 3, 1);
        b.tap("gradient", last);
        let x = b.concat(&[gradient, features]);
        let x = rrdb::block(&mut b, "fusion.body", x, self.growth);
        let x = b.conv("fusion.merge", x, self.features, 3);
        let x = b.conv("fusion.conv_hr", x, self.features, 3);
        let x = leaky(&mut b, x);
        let x = b.conv("fusion.conv_last", x, 3, 3);
        b.finish(ARCHITECTURE.id, self, PictureFormat::UNIT, x)
    }

    /// Adds the super-resolution branch. Returns its enlarged features, and those the gradient branch reads.
    fn features(&self, b: &mut Builder, picture: NodeId, stages: &[usize]) -> (NodeId, Vec<NodeId>) {
        let prompt = self.dcm.map(|dcm| b.prompt(dcm.dim));
        let head = b.conv("conv_first", picture, self.features, 3);
        let (mut x, mut merged) = (head, Vec::new());
        for i in 0..self.blocks {
            x = rrdb::block(b, &format!("body.{i}"), x, self.growth);
            if let Some((dcm, prompt)) = self.dcm.zip(prompt) {
                x = b.dcm(&format!("body.{i}.dcm"), x, prompt, &dcm);
            }
            if (i + 1) % self.interval == 0 && merged.len() < MERGES {
                merged.push(x);
            }
        }
        let x = b.branch_end("conv_body", x, self.features, 3);
        let x = b.add(x, head);
        (self.enlarge(b, "", x, stages), merged)
    }

    /// Adds the gradient branch; returns its enlarged features.
    fn gradient(&self, b: &mut Builder, picture: NodeId, merged: Vec<NodeId>, stages: &[usize]) -> NodeId {
        let x = b.gradient(picture, EPS);
        let head = b.conv("gradient.conv_first", x, self.features, 3);
        let mut x = head;
        for (i, features) in merged.into_iter().enumerate() {
            x = b.concat(&[x, features]);
            x = rrdb::block(b, &format!("gradient.body.{i}"), x, self.growth);
            x = b.conv(&format!("gradient.merge.{i}"), x, self.features, 3);
        }
        let x = b.branch_end("gradient.conv_body", x, self.features, 3);
        let x = b.add(x, head);
        self.enlarge(b, "gradient.", x, stages)
    }

    fn enlarge(&self, b: &mut Builder, branch: &str, mut x: NodeId, stages: &[usize]) -> NodeId {
        for (stage, r) in stages.iter().enumerate() {
            x = b.enlarge(x, Interpolation::Nearest, *r);
            x = b.conv(&format!("{branch}conv_up{}", stage + 1), x, self.features, 3);
            x = leaky(b, x);
        }
        x = b.conv(&format!("{branch}conv_hr"), x, self.features, 3);
        x = leaky(b, x);
        b.conv(&format!("{branch}conv_features"), x, self.features, 3)
    }
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "spsr",
    about: "SPSR (CVPR 2020), guided by the picture's gradient, and SPSR+ with a DCM after each block",
    build: |config| configuration::<Spsr>(config)?.build(),
    presets: &[
        ("spsr", |scale| json(Spsr::published(scale))),
        ("spsr+", |scale| json(Spsr::published(scale).plus(DcmOptions::default()))),
    ],
    layouts: &[Layout { name: "SPSR", infer, key, prepare, ignored: &[] }],
};

fn infer(tensors: &Tensors) -> Option<Value> {
    let [features, 3, 3, 3] = kernel_shape(tensors, "b_fea_conv.0.weight")? else { return None };
    let [growth, ..] = kernel_shape(tensors, "f_block.RDB1.conv1.0.weight")?;
    let scale = 1_usize.checked_shl(stages(tensors).try_into().ok()?)?;
    let blocks = count(tensors, |b| format!("model.1.sub.{b}.RDB1.conv1.0.weight"));
    Some(json(Spsr { features, growth, blocks, ..Spsr::published(scale) }))
}

/// Counts the convolutions after an enlargement: after the first, each third layer of `b_module`.
fn stages(tensors: &Tensors) -> usize {
    count(tensors, |s| format!("b_module.{}.weight", 3 * s + 1))
}

fn key(ours: &str, config: &Value) -> String {
    let stages = u64::from(config["scale"].as_u64().unwrap_or(1).max(1).ilog2());
    let (layer, kind) = ours.rsplit_once('.').unwrap_or((ours, ""));
    let parts: Vec<&str> = layer.split('.').collect();
    let up = |conv: &str| conv.strip_prefix("conv_up").and_then(|stage| stage.parse::<u64>().ok());
    let next = |i: &str| i.parse::<u64>().map_or(0, |i| i + 1);
    let theirs = match parts[..] {
        ["conv_hr"] => "HR_conv0_new.0".to_owned(),
        ["conv_features"] => "HR_conv1_new.0".to_owned(),
        ["gradient", "conv_first"] => "b_fea_conv.0".to_owned(),
        ["gradient", "body", i, rdb, conv] => format!("b_block_{}.{}.{conv}.0", next(i), rdb.to_uppercase()),
        ["gradient", "merge", i] => format!("b_concat_{}.0", next(i)),
        ["gradient", "conv_body"] => "b_LR_conv.0".to_owned(),
        ["gradient", "conv_hr"] => format!("b_module.{}", 3 * stages),
        ["gradient", "conv_features"] => format!("b_module.{}", 3 * stages + 2),
        ["gradient", "conv_last"] => "conv_w.0".to_owned(),
        ["gradient", conv] => up(conv).map_or(layer.to_owned(), |stage| format!("b_module.{}", 3 * stage - 2)),
        ["fusion", "body", rdb, conv] => format!("f_block.{}.{conv}.0", rdb.to_uppercase()),
        ["fusion", "merge"] => "f_concat.0".to_owned(),
        ["fusion", "conv_hr"] => "f_HR_conv0.0".to_owned(),
        ["fusion", "conv_last"] => "f_HR_conv1.0".to_owned(),
        _ => return rrdb::first_key(ours, config),
    };
    format!("{theirs}.{kind}")
}

/// Removes what is no parameter: the fixed filters of the gradient, and the second copy of a layer. Other filters, or a
/// copy that differs, stay and are refused as unexpected. A file that holds the layer once may have it by either name.
fn prepare(tensors: &mut Tensors) {
    for (name, at) in [("weight_h", [3, 5]), ("weight_v", [1, 7])] {
        let filter = Tensor::new(vec![1, 1, 3, 3], (0..9).map(|i| difference(i, at)).collect());
        let key = format!("get_g_nopadding.{name}");
        if tensors.get(&key) == Some(&filter) {
            tensors.remove(&key);
        }
    }
    let copy = 3 * stages(tensors) + 2;
    for kind in ["weight", "bias"] {
        let (first, second) = (format!("HR_conv0_new.0.{kind}"), format!("model.{copy}.{kind}"));
        match tensors.get(&first) {
            Some(layer) if tensors.get(&second) == Some(layer) => drop(tensors.remove(&second)),
            Some(_) => {}
            None => {
                if let Some(layer) = tensors.remove(&second) {
                    tensors.insert(first, layer);
                }
            }
        }
    }
}

/// Returns number `i` of a filter that subtracts the pixel at one place from that at another.
fn difference(i: usize, [minus, plus]: [usize; 2]) -> f32 {
    f32::from(i == plus) - f32::from(i == minus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashed;
    use crate::zoo::recognise;
    use crate::zoo::recognise::tests::named;

    fn small(scale: usize) -> Spsr {
        Spsr { features: 8, growth: 4, blocks: 21, ..Spsr::published(scale) }
    }

    /// Returns a file as the official code saves it.
    fn official(network: &Network, copy: usize) -> Tensors {
        let mut file = named(network, key);
        for kind in ["weight", "bias"] {
            let layer = file[&format!("HR_conv0_new.0.{kind}")].clone();
            file.insert(format!("model.{copy}.{kind}"), layer);
        }
        let filter = |numbers: [f32; 9]| Tensor::new(vec![1, 1, 3, 3], numbers.to_vec());
        let vertical = filter([0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let horizontal = filter([0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        file.insert("get_g_nopadding.weight_v".into(), vertical);
        file.insert("get_g_nopadding.weight_h".into(), horizontal);
        file
    }

    #[test]
    fn the_official_file_is_recognised_with_its_sizes() {
        for (scale, copy) in [(2, 5), (4, 8), (8, 11)] {
            let network = small(scale).build().unwrap();
            let recognised = recognise(&official(&network, copy), None).unwrap();
            assert_eq!((&recognised.network, recognised.layout), (&network, "SPSR"));
            assert_eq!(recognised.weights, hashed::weights(&network));
        }
    }

    #[test]
    fn names_are_the_official_ones() {
        let config = json(Spsr::published(4));
        for (ours, theirs) in [
            ("conv_first", "model.0"),
            ("body.22.rdb3.conv5", "model.1.sub.22.RDB3.conv5.0"),
            ("conv_body", "model.1.sub.23"),
            ("conv_up2", "model.6"),
            ("conv_hr", "HR_conv0_new.0"),
            ("conv_features", "HR_conv1_new.0"),
            ("gradient.conv_first", "b_fea_conv.0"),
            ("gradient.body.3.rdb1.conv2", "b_block_4.RDB1.conv2.0"),
            ("gradient.merge.0", "b_concat_1.0"),
            ("gradient.conv_body", "b_LR_conv.0"),
            ("gradient.conv_up1", "b_module.1"),
            ("gradient.conv_up2", "b_module.4"),
            ("gradient.conv_hr", "b_module.6"),
            ("gradient.conv_features", "b_module.8"),
            ("gradient.conv_last", "conv_w.0"),
            ("fusion.body.rdb2.conv4", "f_block.RDB2.conv4.0"),
            ("fusion.merge", "f_concat.0"),
            ("fusion.conv_hr", "f_HR_conv0.0"),
            ("fusion.conv_last", "f_HR_conv1.0"),
        ] {
            assert_eq!(key(&format!("{ours}.weight"), &config), format!("{theirs}.weight"));
        }
    }

    #[test]
    fn a_layer_that_is_stored_twice_may_be_stored_once_by_either_name() {
        let network = small(4).build().unwrap();
        for stem in ["model.8", "HR_conv0_new.0"] {
            let mut file = official(&network, 8);
            file.retain(|name, _| !name.starts_with(stem));
            assert_eq!(recognise(&file, None).unwrap().weights, hashed::weights(&network));
        }
    }

    #[test]
    fn copies_that_differ_and_other_filters_are_refused_by_name() {
        let network = small(4).build().unwrap();
        for name in ["model.8.bias", "get_g_nopadding.weight_h"] {
            let mut file = official(&network, 8);
            let shape = file[name].shape().to_vec();
            let count = shape.iter().product();
            file.insert(name.into(), Tensor::new(shape, vec![0.5; count]));
            let said = recognise(&file, None).unwrap_err().to_string();
            assert!(said.contains("spsr") && said.contains(&format!("1 unexpected: {name}")), "{said}");
        }
    }

    #[test]
    fn what_no_network_has_is_said() {
        let said = |spsr: Spsr| spsr.build().unwrap_err().to_string();
        assert!(said(Spsr { blocks: 19, ..small(4) }).contains("blocks 19: expected 20"));
        assert!(said(Spsr { interval: 0, ..small(4) }).contains("interval 0"));
        assert!(said(small(5)).contains("scale 5"));
    }
}
