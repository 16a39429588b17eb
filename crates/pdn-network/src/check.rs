//! What a network costs and needs, read from the value.

use crate::Network;
use crate::network::Node;
use crate::op::{Extent, Interpolation, Op};

/// Cost and reach of a network.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Numbers in its parameters.
    pub parameters: usize,
    /// Multiply-accumulates for each pixel of the picture to enlarge.
    pub macs_per_pixel: usize,
    /// Multiply-accumulates for each token of a sentence or sequence, without what attention adds by its length.
    #[serde(skip_serializing_if = "is_zero")]
    pub macs_per_token: usize,
    /// Multiply-accumulates once for each picture or prompt, whatever its size.
    pub macs_per_picture: usize,
    /// Pixels of the picture to enlarge, on each side of a pixel, that can change what comes out of it.
    /// The whole picture can where `whole_picture` is not empty.
    pub receptive_radius: usize,
    /// Operations that read the whole picture before they give a pixel, so that its rows cannot flow.
    pub whole_picture: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Network {
    /// Counts and measures the network as it stands: deploy it first to know what running it costs.
    pub fn summary(&self) -> Summary {
        let lowered = self.lower();
        let (mut macs_per_pixel, mut macs_per_token, mut macs_per_picture) = (0, 0, 0);
        for node in &lowered.nodes {
            match node.shape.extent {
                extent @ (Extent::Picture(_) | Extent::Reduced(_)) => {
                    macs_per_pixel += extent.per_picture_pixel(lowered.macs(node));
                }
                Extent::Sequence => macs_per_token += lowered.macs(node),
                Extent::One => macs_per_picture += lowered.macs(node),
            }
            if let Op::MixedConv { bank, .. } = node.op {
                macs_per_picture += lowered.param(bank).len();
            }
        }
        Summary {
            parameters: self.params.iter().map(|p| p.len()).sum(),
            macs_per_pixel,
            macs_per_token,
            macs_per_picture,
            receptive_radius: lowered.receptive_radius(),
            whole_picture: lowered.nodes.iter().filter(|node| node.op.reads_whole_picture()).count(),
        }
    }

    /// Multiply-accumulates for one pixel of a node's map.
    fn macs(&self, node: &Node) -> usize {
        match node.op {
            Op::Conv { weight, .. } => self.param(weight).len(),
            Op::MixedConv { bank, .. } => self.param(bank).shape[1..].iter().product(),
            Op::Dot | Op::Norm { .. } => self.node(node.inputs[0]).shape.channels,
            _ => 0,
        }
    }

    /// Walks back from the output: how far beyond a part of the output each map must be known, in that map's own pixels.
    fn receptive_radius(&self) -> usize {
        let mut margins = vec![0; self.nodes.len()];
        let mut radius = 0;
        for (i, node) in self.nodes.iter().enumerate().rev() {
            let needed = match node.op {
                Op::Conv { weight, .. } => margins[i] + self.param(weight).shape[3] / 2,
                Op::MixedConv { bank, .. } => margins[i] + self.param(bank).shape[4] / 2,
                // A part starts at a multiple of the scale, so a margin of m pixels lies in ceil(m / r) blocks.
                Op::PixelShuffle(r) => margins[i].div_ceil(r),
                Op::PixelUnshuffle(r) => margins[i] * r,
                Op::Enlarge(Interpolation::Nearest, r) => margins[i].div_ceil(r),
                Op::Enlarge(Interpolation::Bilinear, r) => margins[i].div_ceil(r) + 1,
                Op::Picture { .. } => {
                    radius = radius.max(margins[i]);
                    continue;
                }
                _ => margins[i],
            };
            for input in &node.inputs {
                let margin = &mut margins[input.index()];
                *margin = needed.max(*margin);
            }
        }
        radius
    }
}
