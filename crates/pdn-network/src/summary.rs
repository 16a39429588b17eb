//! A network's size, cost and receptive field.

use crate::{Extent, Network, Op, Shape};

/// The size, cost and receptive field of a network.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Number of weights.
    pub parameters: usize,
    /// Multiply-accumulates per pixel of the picture to upscale.
    pub macs_per_pixel: usize,
    /// Multiply-accumulates per token of a sentence or sequence, without what attention adds for its length.
    #[serde(skip_serializing_if = "is_zero")]
    pub macs_per_token: usize,
    /// Multiply-accumulates once per picture or prompt, whatever its size.
    pub macs_per_picture: usize,
    /// How far around a pixel, in pixels of the picture to upscale, the input can affect the output. If `whole_picture`
    /// is not 0, the whole picture can.
    pub receptive_radius: usize,
    /// Operations that read the whole picture before they produce a pixel, which rules out streaming by rows.
    pub whole_picture: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Network {
    /// Computes the cost of the network as it stands: deploy it first to learn the cost of running it.
    pub fn summary(&self) -> Summary {
        let lowered = self.lower();
        let (mut macs_per_pixel, mut macs_per_token, mut macs_per_picture) = (0, 0, 0);
        for node in &lowered.nodes {
            let inputs: Vec<Shape> = node.inputs.iter().map(|input| lowered.node(*input).shape).collect();
            let macs = node.op.macs(&inputs, &lowered.params);
            match node.shape.extent {
                extent @ (Extent::Picture(_) | Extent::Reduced(_)) => macs_per_pixel += extent.per_picture_pixel(macs),
                Extent::Sequence => macs_per_token += macs,
                Extent::One => macs_per_picture += macs,
            }
            macs_per_picture += node.op.macs_once(&lowered.params);
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

    /// Walks back from the output: how far beyond a part of the output each map must be known, in that map's own
    /// pixels.
    fn receptive_radius(&self) -> usize {
        let mut margins = vec![0; self.nodes.len()];
        let mut radius = 0;
        for (i, node) in self.nodes.iter().enumerate().rev() {
            if let Op::Picture { .. } = node.op {
                radius = radius.max(margins[i]);
            }
            let needed = node.op.reach(margins[i], &self.params);
            for input in &node.inputs {
                let margin = &mut margins[input.index()];
                *margin = needed.max(*margin);
            }
        }
        radius
    }
}
