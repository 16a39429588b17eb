//! A network's size, cost and receptive field, read from the value.

use crate::{Extent, Network, Op, Shape};

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

    /// Walks back from the output: how far beyond a part of the output each map must be known, in that map's own pixels.
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
