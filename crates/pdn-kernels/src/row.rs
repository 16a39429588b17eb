//! Rows of maps: their shape, their format, and rows that are read together.

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

/// How the numbers of a row are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Float32, `[block of 16][pixel][16]`.
    #[default]
    Singles,
    /// bf16 as tiles multiply them, in lines of 64 bytes: `[block of 32][pixel][32]`. Its memory is counted in float32 numbers,
    /// as any row's is.
    Lines,
}

/// Rows that are read together, of maps that stand one after the other in channels: for each map its rows, all maps' rows
/// being as many and at the same places.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Of each map its rows, each of whole blocks of the shape's pixels.
    pub maps: &'a [&'a [&'a [f32]]],
    /// How each map's numbers are kept; those of a map that is not named here are [`Format::Singles`].
    pub formats: &'a [Format],
    /// The shape of a row of all maps together, in blocks of 16 channels.
    pub shape: RowShape,
}

impl<'a> Input<'a> {
    /// How a map's numbers are kept.
    pub(crate) fn format(&self, map: usize) -> Format {
        self.formats.get(map).copied().unwrap_or_default()
    }

    /// Blocks of 16 channels of a map.
    fn blocks(&self, map: usize) -> usize {
        let stored = self.maps[map].first().map_or(0, |row| row.len() / self.shape.block_len());
        match self.format(map) {
            Format::Singles => stored,
            Format::Lines => 2 * stored,
        }
    }

    /// The map that holds a block of 16 channels, and which of its blocks it is.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(crate) fn place(&self, block: usize) -> (usize, usize) {
        let mut at = block;
        for map in 0..self.maps.len() {
            match self.blocks(map) {
                blocks if at < blocks => return (map, at),
                blocks => at -= blocks,
            }
        }
        unreachable!("block {block} of {:?}", self.shape)
    }

    /// The rows of the map that holds a block, and where in each of them the block begins, all maps being [`Format::Singles`].
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

    /// Panics unless there are so many rows of each map, of whole blocks, as many as the shape says, lines
    /// beginning at whole ones.
    pub(crate) fn check(&self, rows: usize) {
        let block = self.shape.block_len();
        // No product of the shape's wraps around, as slices hold it.
        let pixels = self.shape.pad.checked_mul(2).and_then(|pads| pads.checked_add(self.shape.width));
        assert!(pixels.is_some_and(|pixels| pixels <= isize::MAX as usize / LANES), "rows of {:?}", self.shape);
        assert!(!self.maps.is_empty(), "a map of input");
        let mut blocks = 0_usize;
        for (at, map) in self.maps.iter().enumerate() {
            let len = map.first().map_or(0, |row| row.len());
            assert!(map.len() == rows, "{rows} rows of input");
            assert!(len.is_multiple_of(block) && map.iter().all(|row| row.len() == len), "rows of whole blocks");
            assert!(self.format(at) == Format::Singles || blocks.is_multiple_of(2), "lines at whole ones");
            blocks += self.blocks(at);
        }
        assert_eq!(blocks, self.shape.blocks, "blocks of input");
    }
}

impl RowShape {
    /// The row of a map with so many channels, the last block filled up.
    pub fn new(channels: usize, width: usize, pad: usize) -> Self {
        Self { blocks: channels.div_ceil(LANES), width, pad }
    }

    /// The row of a map with so many channels, a multiple of 32, kept as lines.
    pub fn of_lines(channels: usize, width: usize, pad: usize) -> Self {
        Self { blocks: channels.div_ceil(2 * LANES), width, pad }
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
