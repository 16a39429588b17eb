//! The channels, kernel side and shuffle of a convolution of rows.

use crate::LANES;

/// The largest side of a kernel.
pub(crate) const MAX_SIDE: usize = 15;

/// The shape of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) side: usize,
    pub(crate) shuffle: usize,
}

impl ConvShape {
    /// Returns the number of output blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.outputs.div_ceil(LANES)
    }

    /// Returns the output channel in a lane of a block, if there is one. A block of a shuffled convolution holds one
    /// phase.
    pub(crate) fn output(&self, block: usize, lane: usize) -> Option<usize> {
        let phases = self.shuffle * self.shuffle;
        let blocks_of_phase = self.blocks() / phases;
        let (phase, block) = match phases {
            1 => (0, block),
            _ => (block / blocks_of_phase, block % blocks_of_phase),
        };
        let output = (block * LANES + lane) * phases + phase;
        (output < self.outputs).then_some(output)
    }

    /// Lays out one number per output as `[block][16]`, with zeros in unused lanes.
    pub(crate) fn lay_out(&self, numbers: &[f32]) -> Vec<f32> {
        let lanes = (0..self.blocks()).flat_map(|block| (0..LANES).map(move |lane| (block, lane)));
        lanes.map(|(block, lane)| self.output(block, lane).map_or(0.0, |output| numbers[output])).collect()
    }
}
