//! PDN, the paper's own network (section 3.2): groups of residual blocks with DCMs between them.
//!
//! The paper takes RCAN's residual in residual as its basic block and gives neither depth, width nor the number of
//! modules. Its table 1 puts PDN (31.47 dB on Set5 x4) far above RCAN+ (30.76 dB in table 3), so PDN is taken to be a
//! network of its own, sized by its configuration. A group is `blocks` residual blocks (convolution, ReLU,
//! convolution), with `modules` evenly spaced DCMs, then a convolution and the group's skip; a long skip spans all
//! groups.
//!
//! **RCAN's channel attention is off by default.** It weights channels by their mean over the whole picture, which (1)
//! makes every output pixel depend on every input pixel, so that pictures cannot run row by row and memory grows with
//! the picture; (2) is a statistic of 48x48 patches in training and of whole photographs in use; and (3) is what a DCM
//! does better, by the prompt and per pixel. `channel_attention` turns it on, as a control.
//!
//! A DCM has no inner residual by default: inside a group, the group's skip spans it.

use crate::zoo::architecture::{Architecture, check_sizes, configuration, json, module_after};
use crate::zoo::layout::{DIV2K_MEAN, Layout, as_stored, same};
use crate::{Builder, DcmOptions, Network, NetworkError, NodeId, PictureFormat, Pool};
use serde::{Deserialize, Serialize};

/// Configuration of PDN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pdn {
    /// The upscaling factor per side.
    pub scale: usize,
    /// Channels of the body.
    pub features: usize,
    /// Residual groups.
    pub groups: usize,
    /// Residual blocks in each group.
    pub blocks: usize,
    /// Number of DCMs in each group, evenly spaced, the last after the last block; at most one after each block.
    pub modules: usize,
    /// The configuration of each DCM.
    pub dcm: DcmOptions,
    /// The layers that upscale at the end.
    #[serde(default, skip_serializing_if = "Tail::is_staged")]
    pub tail: Tail,
    /// RCAN's channel attention in each block; its squeezed width is the features divided by this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_attention: Option<usize>,
}

/// The layers that turn a body's features into the upscaled picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tail {
    /// EDSR's: upscales features in stages, with a last convolution at full size. At x4 these few layers cost as much
    /// as twenty of the body.
    #[default]
    Staged,
    /// One convolution to the pixels of each block, and a pixel shuffle: all work happens at the small size.
    Direct,
}

impl Tail {
    fn is_staged(&self) -> bool {
        *self == Self::Staged
    }
}

impl Pdn {
    /// Returns four groups of six blocks of 64 features, with two modules per group.
    pub fn medium(scale: usize) -> Self {
        let dcm = DcmOptions::default();
        Self { scale, features: 64, groups: 4, blocks: 6, modules: 2, dcm, tail: Tail::Staged, channel_attention: None }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Fails if the configuration describes no network, such as more modules than blocks.
    pub fn build(&self) -> Result<Network, NetworkError> {
        check_sizes(&[
            ("features", self.features, 1..=4096),
            ("scale", self.scale, 1..=16),
            ("groups", self.groups, 0..=256),
            ("blocks", self.blocks, 1..=256),
            ("channel_attention", self.channel_attention.unwrap_or(1), 1..=4096),
        ])?;
        let mut b = Builder::new();
        if self.modules > self.blocks {
            b.fail(format!("modules {}: expected at most one for each of {} blocks", self.modules, self.blocks));
        }
        let picture = b.picture();
        let prompt = b.prompt(self.dcm.dim);
        let head = b.conv("conv_first", picture, self.features, 3);
        let mut x = head;
        for g in 0..self.groups {
            x = self.group(&mut b, &format!("groups.{g}"), x, prompt);
        }
        let x = b.conv("conv_after_body", x, self.features, 3);
        let x = b.add(x, head);
        let x = match self.tail {
            Tail::Staged => {
                let x = b.upsample(x, self.scale);
                b.conv("conv_last", x, 3, 3)
            }
            Tail::Direct => {
                let x = b.conv("conv_last", x, 3 * self.scale * self.scale, 3);
                b.pixel_shuffle(x, self.scale)
            }
        };
        b.finish(ARCHITECTURE.id, self, PictureFormat { range: 1.0, mean: DIV2K_MEAN }, x)
    }

    fn group(&self, b: &mut Builder, name: &str, input: NodeId, prompt: NodeId) -> NodeId {
        let mut x = input;
        for i in 0..self.blocks {
            x = self.block(b, &format!("{name}.blocks.{i}"), x);
            if let Some(module) = module_after(i, self.blocks, self.modules) {
                x = b.dcm(&format!("{name}.modules.{module}"), x, prompt, &self.dcm);
            }
        }
        let x = b.branch_end(&format!("{name}.conv"), x, self.features, 3);
        b.add(x, input)
    }

    fn block(&self, b: &mut Builder, name: &str, input: NodeId) -> NodeId {
        let mut x = b.conv_relu_conv([&format!("{name}.conv1"), &format!("{name}.conv2")], input);
        if let Some(reduction) = self.channel_attention {
            let [down, up] = [0, 2].map(|layer| format!("{name}.attention.{layer}"));
            x = b.channel_attention([&down, &up], Pool::Mean, x, (self.features / reduction).max(1));
        }
        b.add(x, input)
    }
}

pub(in crate::zoo) const ARCHITECTURE: Architecture = Architecture {
    id: "pdn",
    about: "PDN, the prompt-guided dynamic network",
    build: |config| configuration::<Pdn>(config)?.build(),
    presets: &[("pdn", |scale| json(Pdn::medium(scale)))],
    // Its files are written here and carry their card; no other project's layout exists.
    layouts: &[Layout { name: "pdn", infer: |_| None, key: same, prepare: as_stored, ignored: &[] }],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_channel_attention_needs_the_whole_picture() {
        let pdn = Pdn::medium(4);
        assert_eq!(pdn.build().unwrap().summary().whole_picture, 0);
        let with = Pdn { channel_attention: Some(16), ..pdn };
        assert_eq!(with.build().unwrap().summary().whole_picture, 24);
    }

    #[test]
    fn deployed_it_is_smaller_and_cheaper() {
        let network = Pdn::medium(4).build().unwrap();
        let (trained, deployed) = (network.summary(), network.deployed().summary());
        assert!(deployed.parameters * 2 < trained.parameters, "{deployed:?} {trained:?}");
        assert!(deployed.macs_per_pixel * 5 < trained.macs_per_pixel * 3, "{deployed:?} {trained:?}");
        assert_eq!(deployed.receptive_radius, trained.receptive_radius);
    }

    #[test]
    fn more_modules_than_blocks_are_refused() {
        let error = Pdn { modules: 7, ..Pdn::medium(4) }.build().unwrap_err();
        assert!(error.to_string().contains("at most one"));
    }
}
