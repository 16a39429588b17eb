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

/// Rows that are read together, of maps that stand one after the other in channels: for each map its rows, all maps' rows
/// being as many and at the same places.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Of each map its rows, each of whole blocks of the shape's pixels.
    pub maps: &'a [&'a [&'a [f32]]],
    /// The shape of a row of all maps together.
    pub shape: RowShape,
}

impl<'a> Input<'a> {
    /// The rows of the map that holds a block, and where in each of them the block begins.
    pub(crate) fn block(&self, block: usize) -> (&'a [&'a [f32]], usize) {
        let mut at = block * self.shape.block_len();
        for rows in self.maps {
            let len = rows.first().map_or(0, |row| row.len());
            if at < len {
                return (rows, at);
            }
            at -= len;
        }
        unreachable!("block {block} of {:?}", self.shape)
    }

    /// Panics unless there are so many rows of each map, of whole blocks, as many as the shape says.
    pub(crate) fn check(&self, rows: usize) {
        let block = self.shape.block_len();
        // No product of the shape's wraps around, as slices hold it.
        let pixels = self.shape.pad.checked_mul(2).and_then(|pads| pads.checked_add(self.shape.width));
        assert!(pixels.is_some_and(|pixels| pixels <= isize::MAX as usize / LANES), "rows of {:?}", self.shape);
        assert!(!self.maps.is_empty(), "a map of input");
        let whole = |map: &&[&[f32]]| {
            let len = map.first().map_or(0, |row| row.len());
            assert!(map.len() == rows, "{rows} rows of input");
            assert!(len.is_multiple_of(block) && map.iter().all(|row| row.len() == len), "rows of whole blocks");
            len / block
        };
        assert_eq!(self.maps.iter().map(whole).sum::<usize>(), self.shape.blocks, "blocks of input");
    }
}

impl RowShape {
    /// The row of a map with so many channels, the last block filled up.
    pub fn new(channels: usize, width: usize, pad: usize) -> Self {
        Self { blocks: channels.div_ceil(LANES), width, pad }
    }

    /// Panics unless a slice is a row of this shape. Beyond what memory holds no shape has a row.
    pub(crate) fn check(self, row: &[f32]) {
        let pixels = self.pad.checked_mul(2).and_then(|pads| pads.checked_add(self.width));
        let len = pixels.and_then(|pixels| pixels.checked_mul(LANES)).and_then(|len| len.checked_mul(self.blocks));
        assert!(len == Some(row.len()), "a row of {self:?}, found {} numbers", row.len());
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
