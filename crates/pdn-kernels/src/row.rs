//! The shape of a stored row.

/// Channels in a block.
pub const LANES: usize = 16;

/// The shape of a row: `[blocks][pad + width + pad][16]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowShape {
    /// Blocks of 16 channels.
    pub blocks: usize,
    /// Pixels.
    pub width: usize,
    /// Zero pixels on either side.
    pub pad: usize,
}

impl RowShape {
    /// The row of a map with so many channels, the last block filled up.
    pub fn new(channels: usize, width: usize, pad: usize) -> Self {
        Self { blocks: channels.div_ceil(LANES), width, pad }
    }

    /// Numbers in a row.
    pub fn len(self) -> usize {
        self.blocks * self.block_len()
    }

    /// Whether a row holds nothing.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Numbers in one block of a row.
    pub fn block_len(self) -> usize {
        (self.width + 2 * self.pad) * LANES
    }

    /// Where the first lane of a pixel is.
    pub fn at(self, block: usize, x: usize) -> usize {
        block * self.block_len() + (self.pad + x) * LANES
    }

    /// Sets the zero pixels on either side.
    pub fn clear_pads(self, row: &mut [f32]) {
        for block in row.chunks_exact_mut(self.block_len()) {
            let (left, rest) = block.split_at_mut(self.pad * LANES);
            left.fill(0.0);
            rest[self.width * LANES..].fill(0.0);
        }
    }
}
