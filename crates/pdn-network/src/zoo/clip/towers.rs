//! CLIP (Radford et al., ICML 2021): a text tower and a picture tower that embed into the same space.
//!
//! Follows `clip/model.py` of openai/CLIP and keeps its parameter names, except for these, which are bare tensors
//! there:
//!
//! | here | openai/CLIP |
//! |---|---|
//! | `*.attn.in_proj.weight`, `.bias` | `*.attn.in_proj_weight`, `in_proj_bias` |
//! | `text_projection.weight`, `visual.proj.weight` | `text_projection`, `visual.proj`, transposed |
//! | `visual.conv1.weight` `[width, 3 patch², 1, 1]` | `visual.conv1.weight` `[width, 3, patch, patch]` |
//!
//! A sentence is read up to its end token, which provides its vector. Everything after it is padding, which has no
//! effect because attention is causal: so sequences are as long as their sentence. Sentences of any length up to
//! `context` and pictures of `side` x `side`, preprocessed by the encoder, give vectors of `dim` numbers, not
//! normalised.
//!
//! As an alternative to the transformer there is a small convolutional picture tower, which learns from thousands of
//! pictures where a transformer needs millions: residual blocks at a quarter, an eighth and so on of the picture,
//! averaged at the end. The output of each stage is tapped as `visual.stages.N`. A third tower of plain convolutions is
//! for noise, blur and JPEG: it normalises nothing, as amplitudes are what tells them.

use crate::zoo::architecture::{check_sizes, json};
use crate::{Act, Builder, End, Network, NetworkError, NodeId, PictureFormat, Pool};
use serde::{Deserialize, Serialize};

/// Configuration of both towers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// Length of an embedding.
    pub dim: usize,
    /// The text tower.
    pub text: TextTower,
    /// The picture tower.
    pub picture: PictureTower,
}

/// A causal transformer over tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextTower {
    /// Number of tokens; the last two are the start and end of a sentence.
    pub vocabulary: usize,
    /// The most tokens in a sentence, including its start and end.
    pub context: usize,
    /// Its blocks.
    pub blocks: Transformer,
    /// How the tokens become the sentence's vector.
    #[serde(default, skip_serializing_if = "Reading::is_end")]
    pub reading: Reading,
}

/// How a sentence's tokens become its vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// The end token, as in CLIP: it must first learn to gather what the others hold.
    #[default]
    End,
    /// The mean over all tokens, which is a bag of words from the first step: better with few captions.
    Mean,
}

impl Reading {
    fn is_end(&self) -> bool {
        *self == Self::End
    }
}

/// A stack of transformer blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transformer {
    /// Channels.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Whether the activation is the quick GELU. OpenAI's weights need it, most others the true one; with the wrong one
    /// the vectors still look right.
    pub quick_gelu: bool,
}

/// The network that embeds pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureTower {
    /// A vision transformer.
    Vit {
        /// Pixels a side.
        side: usize,
        /// Pixels a side of a patch.
        patch: usize,
        /// Its blocks.
        blocks: Transformer,
    },
    /// Residual convolutions.
    Convolutions {
        /// Pixels a side, a multiple of `4 * 2^(stages - 1)`.
        side: usize,
        /// Channels and residual blocks of each stage; each stage halves the extent of the one before.
        stages: Vec<(usize, usize)>,
    },
    /// Convolutions with ReLUs, neither residual nor normalised, so that amplitudes reach the mean at the end.
    Plain {
        /// Pixels a side, a multiple of `2^(stages - 1)`.
        side: usize,
        /// Channels and convolutions of each stage; each stage halves the extent of the one before.
        stages: Vec<(usize, usize)>,
    },
}

impl Clip {
    /// Returns OpenAI's ViT-B/32.
    pub fn vit_b_32() -> Self {
        Self::openai(512, 32, (512, 12), (768, 12))
    }

    /// Returns OpenAI's ViT-B/16.
    pub fn vit_b_16() -> Self {
        Self::openai(512, 16, (512, 12), (768, 12))
    }

    /// Returns OpenAI's ViT-L/14.
    pub fn vit_l_14() -> Self {
        Self::openai(768, 14, (768, 12), (1024, 24))
    }

    /// Returns one of OpenAI's sizes, from each tower's channels and blocks.
    fn openai(dim: usize, patch: usize, text: (usize, usize), picture: (usize, usize)) -> Self {
        let blocks = |(width, layers)| Transformer { width, heads: width / 64, layers, quick_gelu: true };
        Self {
            dim,
            text: TextTower { vocabulary: 49408, context: 77, blocks: blocks(text), reading: Reading::End },
            picture: PictureTower::Vit { side: 224, patch, blocks: blocks(picture) },
        }
    }

    /// Returns the side of the input pictures, in pixels.
    pub fn side(&self) -> usize {
        match self.picture {
            PictureTower::Vit { side, .. }
            | PictureTower::Convolutions { side, .. }
            | PictureTower::Plain { side, .. } => side,
        }
    }

    /// Returns the same configuration for another picture size, which a convolutional tower accepts as well.
    pub fn looking_at(&self, pixels: usize) -> Self {
        let mut other = self.clone();
        match &mut other.picture {
            PictureTower::Vit { side, .. }
            | PictureTower::Convolutions { side, .. }
            | PictureTower::Plain { side, .. } => *side = pixels,
        }
        other
    }

    /// Builds the network that embeds a sentence.
    ///
    /// # Errors
    /// Fails if the configuration describes no network.
    pub fn text_network(&self) -> Result<Network, NetworkError> {
        let TextTower { vocabulary, context, blocks, reading } = &self.text;
        check_sizes(&[
            ("vocabulary", *vocabulary, 3..=1 << 16),
            ("context", *context, 3..=4096),
            ("dim", self.dim, 1..=65536),
        ])?;
        blocks.check()?;
        let mut b = Builder::new();
        let x = b.words("token_embedding", *vocabulary, blocks.width);
        let x = b.positions("positional_embedding", x, *context);
        let x = blocks.build(&mut b, "transformer", x, true);
        let x = b.layer_norm("ln_final", x);
        let x = match reading {
            Reading::End => b.take(End::Last, x),
            Reading::Mean => b.global_pool(Pool::Mean, x),
        };
        let x = b.project("text_projection", x, self.dim);
        b.finish("clip-text", &json(self), PictureFormat::UNIT, x)
    }

    /// Builds the network that embeds a picture.
    ///
    /// # Errors
    /// Same as [`Self::text_network`].
    pub fn picture_network(&self) -> Result<Network, NetworkError> {
        check_sizes(&[("dim", self.dim, 1..=65536), ("side", self.side(), 1..=4096)])?;
        let mut b = Builder::new();
        let picture = b.picture();
        let x = match &self.picture {
            PictureTower::Vit { side, patch, blocks } => {
                check_sizes(&[("patch", *patch, 1..=*side)])?;
                if !side.is_multiple_of(*patch) {
                    return Err(NetworkError::Config(format!("side {side}: expected a multiple of patch {patch}")));
                }
                blocks.check()?;
                vit(&mut b, picture, side / patch, *patch, blocks)
            }
            PictureTower::Convolutions { side, stages } => {
                check_stages(*side, stages, 4)?;
                convolutions(&mut b, picture, stages)
            }
            PictureTower::Plain { side, stages } => {
                check_stages(*side, stages, 1)?;
                plain(&mut b, picture, stages)
            }
        };
        let x = b.project("visual.proj", x, self.dim);
        b.finish("clip-picture", &json(self), PictureFormat::UNIT, x)
    }
}

impl Transformer {
    fn check(&self) -> Result<(), NetworkError> {
        check_sizes(&[
            ("width", self.width, 1..=8192),
            ("heads", self.heads, 1..=256),
            ("layers", self.layers, 1..=256),
        ])
    }

    fn build(&self, b: &mut Builder, name: &str, x: NodeId, causal: bool) -> NodeId {
        (0..self.layers).fold(x, |x, i| self.block(b, &format!("{name}.resblocks.{i}"), x, causal))
    }

    fn block(&self, b: &mut Builder, name: &str, x: NodeId, causal: bool) -> NodeId {
        let width = self.width;
        let y = b.layer_norm(&format!("{name}.ln_1"), x);
        let y = b.conv(&format!("{name}.attn.in_proj"), y, 3 * width, 1);
        let parts = [0, 1, 2].map(|part| b.slice(y, part * width, width));
        let y = b.attend(parts, self.heads, causal);
        let y = b.branch_end(&format!("{name}.attn.out_proj"), y, width, 1);
        let x = b.add(x, y);
        let y = b.layer_norm(&format!("{name}.ln_2"), x);
        let y = b.conv(&format!("{name}.mlp.c_fc"), y, 4 * width, 1);
        let y = b.act(if self.quick_gelu { Act::QuickGelu } else { Act::Gelu }, y);
        let y = b.branch_end(&format!("{name}.mlp.c_proj"), y, width, 1);
        b.add(x, y)
    }
}

fn vit(b: &mut Builder, picture: NodeId, patches: usize, patch: usize, blocks: &Transformer) -> NodeId {
    let x = b.pixel_unshuffle(picture, patch);
    let x = b.project("visual.conv1", x, blocks.width);
    let class = b.constant("visual.class_embedding", blocks.width);
    let x = b.join(class, x);
    let x = b.positions("visual.positional_embedding", x, patches * patches + 1);
    let x = b.layer_norm("visual.ln_pre", x);
    let x = blocks.build(b, "visual.transformer", x, false);
    let x = b.take(End::First, x);
    b.layer_norm("visual.ln_post", x)
}

/// Checks the stages of a tower whose first one sees the picture `first` times smaller.
fn check_stages(side: usize, stages: &[(usize, usize)], first: usize) -> Result<(), NetworkError> {
    check_sizes(&[("stages", stages.len(), 1..=8)])?;
    for (width, blocks) in stages {
        check_sizes(&[("width", *width, 1..=8192), ("blocks", *blocks, 0..=256)])?;
    }
    let multiple = first << (stages.len() - 1);
    match side.is_multiple_of(multiple) {
        true => Ok(()),
        false => Err(NetworkError::Config(format!("side {side}: expected a multiple of {multiple}"))),
    }
}

fn convolutions(b: &mut Builder, picture: NodeId, stages: &[(usize, usize)]) -> NodeId {
    let mut x = picture;
    for (s, (width, blocks)) in stages.iter().enumerate() {
        let name = format!("visual.stages.{s}");
        x = b.pixel_unshuffle(x, if s == 0 { 4 } else { 2 });
        x = b.conv(&format!("{name}.down"), x, *width, if s == 0 { 3 } else { 1 });
        for i in 0..*blocks {
            let y = b.layer_norm(&format!("{name}.{i}.norm"), x);
            let y = b.conv_relu_conv([&format!("{name}.{i}.conv1"), &format!("{name}.{i}.conv2")], y);
            x = b.add(x, y);
        }
        b.tap(&name, x);
    }
    let x = b.global_pool(Pool::Mean, x);
    b.layer_norm("visual.ln_post", x)
}

fn plain(b: &mut Builder, picture: NodeId, stages: &[(usize, usize)]) -> NodeId {
    let mut x = picture;
    for (s, (width, count)) in stages.iter().enumerate() {
        if s > 0 {
            x = b.pixel_unshuffle(x, 2);
        }
        for i in 0..*count {
            let y = b.conv(&format!("visual.stages.{s}.{i}"), x, *width, 3);
            x = b.relu(y);
        }
    }
    let x = b.global_pool(Pool::Mean, x);
    let width = stages.last().map_or(1, |(width, _)| *width);
    let x = b.conv("visual.hidden", x, width, 1);
    b.relu(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai_s_sizes_have_the_published_counts_of_parameters() {
        // Each includes the logit scale, which is not part of a tower.
        for (clip, published) in
            [(Clip::vit_b_32(), 151_277_313), (Clip::vit_b_16(), 149_620_737), (Clip::vit_l_14(), 427_616_513)]
        {
            let text = clip.text_network().unwrap().summary().parameters;
            let picture = clip.picture_network().unwrap().summary().parameters;
            assert_eq!(text + picture + 1, published);
        }
    }

    #[test]
    fn sizes_that_no_tower_has_are_refused() {
        let stages = |side, stages: &[(usize, usize)]| Clip {
            picture: PictureTower::Convolutions { side, stages: stages.to_vec() },
            ..Clip::vit_b_32()
        };
        for (clip, word) in [
            (Clip { dim: 0, ..Clip::vit_b_32() }, "dim"),
            (stages(100, &[(8, 1), (8, 1)]), "multiple of 8"),
            (stages(96, &[]), "stages"),
            (stages(96, &[(0, 1)]), "width"),
            (
                Clip { picture: PictureTower::Plain { side: 12, stages: vec![(8, 1); 4] }, ..Clip::vit_b_32() },
                "multiple of 8",
            ),
        ] {
            assert!(clip.picture_network().unwrap_err().to_string().contains(word));
        }
    }
}
