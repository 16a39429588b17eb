//! RDN (Zhang et al., CVPR 2018), and RDN+ with a DCM after each residual dense block (the paper's section 3.4).
//!
//! Follows `src/model/rdn.py` of EDSR-PyTorch and keeps its parameter names. In a residual dense block every
//! convolution reads the block's input and all outputs before it; a 1x1 convolution fuses them and the input is added.
//! The outputs of all blocks are fused in turn, and the first layer's features added. *Configuration A* is 20 blocks of
//! 6 convolutions of 32 channels, *B* 16 blocks of 8 of 64: always say which. Pictures are 0..255 without a mean.
//! Scales 8 and 16 repeat the x2 stage, as the paper does; no official weights have them.
//!
//! | here (as EDSR-PyTorch) | RDN-pytorch of yjn870 and torchSR, whose pictures are 0..1 |
//! |---|---|
//! | `SFENet1`, `SFENet2` | `sfe1`, `sfe2` |
//! | `RDBs.{d}.convs.{c}.conv.0`, `RDBs.{d}.LFF` | `rdbs.{d}.layers.{c}.conv`, `rdbs.{d}.lff` |
//! | `GFF.{0,1}` | `gff.{0,1}` |
//! | `UPNet.{2s}`, the last of them to RGB | `upscale.{2s}`, `output` |

use crate::zoo::architecture::{Architecture, check_sizes, configuration, json};
use crate::zoo::layout::{Layout, as_stored, count, kernel_shape, same};
use crate::{Builder, DcmOptions, Network, NetworkError, NodeId, PictureFormat, Tensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Configuration of RDN and RDN+.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rdn {
    /// The upscaling factor per side.
    pub scale: usize,
    /// G0, the channels between blocks.
    pub features: usize,
    /// G, the channels that each convolution of a block adds.
    pub growth: usize,
    /// D, the residual dense blocks.
    pub blocks: usize,
    /// C, the convolutions in each block.
    pub layers: usize,
    /// The value of white in the network's input.
    #[serde(default = "official_range")]
    pub range: f64,
    /// A DCM after each residual dense block: RDN+.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dcm: Option<DcmOptions>,
}

fn official_range() -> f64 {
    255.0
}

impl Rdn {
    /// Returns configuration A: 20 blocks of 6 convolutions, growing by 32.
    pub fn a(scale: usize) -> Self {
        Self { scale, features: 64, growth: 32, blocks: 20, layers: 6, range: official_range(), dcm: None }
    }

    /// Returns configuration B: 16 blocks of 8 convolutions, growing by 64.
    pub fn b(scale: usize) -> Self {
        Self { growth: 64, blocks: 16, layers: 8, ..Self::a(scale) }
    }

    /// Adds a DCM after each residual dense block.
    pub fn plus(self, dcm: DcmOptions) -> Self {
        Self { dcm: Some(dcm), ..self }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network, such as no blocks or a scale that is not 2, 3, 4, 8 or 16.
    pub fn build(&self) -> Result<Network, NetworkError> {
        check_sizes(&[
            ("features", self.features, 1..=4096),
            ("growth", self.growth, 1..=4096),
            ("blocks", self.blocks, 1..=256),
            ("layers", self.layers, 1..=64),
        ])?;
        if ![1.0, 255.0].contains(&self.range) {
            return Err(NetworkError::Config(format!("range {}: expected 1 or 255", self.range)));
        }
        let mut b = Builder::new();
        let picture = b.picture();
        let prompt = self.dcm.map(|dcm| b.prompt(dcm.dim));
        let head = b.conv("SFENet1", picture, self.features, 3);
        let mut x = b.conv("SFENet2", head, self.features, 3);
        let mut outputs = Vec::new();
        for d in 0..self.blocks {
            x = self.dense_block(&mut b, &format!("RDBs.{d}"), x);
            if let Some((dcm, prompt)) = self.dcm.zip(prompt) {
                x = b.dcm(&format!("RDBs.{d}.dcm"), x, prompt, &dcm);
            }
            outputs.push(x);
        }
        let x = b.concat(&outputs);
        let x = b.conv("GFF.0", x, self.features, 1);
        let x = b.branch_end("GFF.1", x, self.features, 3);
        let x = b.add(x, head);
        let x = self.upsample(&mut b, x);
        b.finish(ARCHITECTURE.id, self, PictureFormat { range: self.range, mean: [0.0; 3] }, x)
    }

    fn dense_block(&self, b: &mut Builder, name: &str, input: NodeId) -> NodeId {
        let mut maps = vec![input];
        for c in 0..self.layers {
            let x = b.concat(&maps);
            let x = b.conv(&format!("{name}.convs.{c}.conv.0"), x, self.growth, 3);
            maps.push(b.relu(x));
        }
        let x = b.concat(&maps);
        let x = b.branch_end(&format!("{name}.LFF"), x, self.features, 1);
        b.add(x, input)
    }

    /// Adds the upsampling stages from G0 to G channels, then the convolution to RGB.
    fn upsample(&self, b: &mut Builder, mut x: NodeId) -> NodeId {
        let stages = b.upsampling_stages(self.scale);
        for (stage, r) in stages.iter().enumerate() {
            x = b.conv(&format!("UPNet.{}", 2 * stage), x, self.growth * r * r, 3);
            x = b.pixel_shuffle(x, *r);
        }
        b.conv(&format!("UPNet.{}", 2 * stages.len()), x, 3, 3)
    }
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "rdn",
    about: "RDN (Zhang et al. 2018), and RDN+ with a DCM after each residual dense block",
    build: |config| configuration::<Rdn>(config)?.build(),
    presets: &[
        ("rdn", |scale| json(Rdn::b(scale))),
        ("rdn+", |scale| json(Rdn::b(scale).plus(DcmOptions::default()))),
        ("rdn-a", |scale| json(Rdn::a(scale))),
        ("rdn-a+", |scale| json(Rdn::a(scale).plus(DcmOptions::default()))),
    ],
    layouts: &[
        Layout { name: "EDSR-PyTorch", infer: infer_official, key: same, prepare: as_stored, ignored: &[] },
        Layout { name: "RDN-pytorch", infer: infer_yjn870, key: yjn870_key, prepare: as_stored, ignored: &[] },
    ],
};

fn infer_official(tensors: &Tensors) -> Option<Value> {
    // The last of them is not a stage.
    infer(tensors, same, count(tensors, |s| format!("UPNet.{}.weight", 2 * s)).checked_sub(1)?, 255.0)
}

fn infer_yjn870(tensors: &Tensors) -> Option<Value> {
    infer(tensors, yjn870_key, count(tensors, |s| format!("upscale.{}.weight", 2 * s)), 1.0)
}

/// Infers the sizes from the tensors, whose names `key` derives from ours.
fn infer(tensors: &Tensors, key: fn(&str, &Value) -> String, stages: usize, range: f64) -> Option<Value> {
    let key = |ours: String| key(&ours, &Value::Null);
    let [features, 3, 3, 3] = kernel_shape(tensors, &key("SFENet1.weight".into()))? else { return None };
    let [growth, ..] = kernel_shape(tensors, &key("RDBs.0.convs.0.conv.0.weight".into()))?;
    let [widened, ..] = kernel_shape(tensors, &key("UPNet.0.weight".into()))?;
    let scale = match (widened.checked_div(growth)?, stages) {
        (9, 1) => 3,
        (4, 1..=4) => 1 << stages,
        _ => return None,
    };
    let blocks = count(tensors, |d| key(format!("RDBs.{d}.LFF.weight")));
    let layers = count(tensors, |c| key(format!("RDBs.0.convs.{c}.conv.0.weight")));
    Some(json(Rdn { scale, features, growth, blocks, layers, range, dcm: None }))
}

fn yjn870_key(ours: &str, config: &Value) -> String {
    let stages = match config["scale"].as_u64() {
        Some(3) => 1,
        Some(scale @ 1..) => scale.ilog2(),
        _ => 4,
    };
    if let Some(kind) = ours.strip_prefix(&format!("UPNet.{}.", 2 * stages)) {
        return format!("output.{kind}");
    }
    ours.replace("SFENet", "sfe")
        .replace("RDBs.", "rdbs.")
        .replace(".convs.", ".layers.")
        .replace(".conv.0.", ".conv.")
        .replace(".LFF.", ".lff.")
        .replace("GFF.", "gff.")
        .replace("UPNet.", "upscale.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo::recognise;
    use crate::zoo::recognise::tests::{named, recognised_again};

    #[test]
    fn both_layouts_are_recognised_with_their_value_range() {
        for scale in [2, 3, 4, 8, 16] {
            let rdn = Rdn { features: 16, growth: 16, blocks: 3, layers: 2, ..Rdn::b(scale) };
            recognised_again(&rdn.build().unwrap(), same, "EDSR-PyTorch");
            let unit = Rdn { range: 1.0, ..rdn };
            recognised_again(&unit.build().unwrap(), yjn870_key, "RDN-pytorch");
        }
        let a = Rdn { features: 16, growth: 8, blocks: 2, layers: 3, ..Rdn::a(4) };
        recognised_again(&a.build().unwrap(), same, "EDSR-PyTorch");
        recognised_again(&Rdn { range: 1.0, ..a }.build().unwrap(), yjn870_key, "RDN-pytorch");
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let network = Rdn { features: 8, growth: 8, blocks: 2, layers: 2, ..Rdn::b(2) }.build().unwrap();
        let mut file = named(&network, yjn870_key);
        file.remove("rdbs.1.lff.bias");
        assert!(recognise(&file, None).unwrap_err().to_string().contains("1 missing: rdbs.1.lff.bias"));
    }
}
