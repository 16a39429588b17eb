//! Rows of maps: their shape, their format, and rows that are read together.

/// Channels in a block.
pub const LANES: usize = 16;

/// The shape of a row: `[blocks][pad + width + pad][16]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowShape {
    /// Number of blocks of 16 channels.
    pub blocks: usize,
    /// Number of pixels.
    pub width: usize,
    /// Zero pixels on either side.
    pub pad: usize,
}

/// The storage format of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Float32, `[block of 16][pixel][16]`.
    #[default]
    Singles,
    /// bf16 as tiles multiply them, in lines of 64 bytes: `[block of 32][pixel][32]`. Its length is counted in float32
    /// numbers, like that of any row.
    Lines,
}

/// A row to read.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its numbers, as many as the shape has.
    pub data: &'a [f32],
    /// Its shape.
    pub shape: RowShape,
}

impl<'a> Row<'a> {
    /// Creates a row of a shape.
    pub fn new(data: &'a [f32], shape: RowShape) -> Self {
        Self { data, shape }
    }
}

/// Rows to write, one after the other.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// Their numbers, as many for each row as the shape has.
    pub data: &'a mut [f32],
    /// The shape of each.
    pub shape: RowShape,
}

impl<'a> RowsMut<'a> {
    /// Creates rows of a shape.
    pub fn new(data: &'a mut [f32], shape: RowShape) -> Self {
        Self { data, shape }
    }
}

/// Rows to read together, from maps whose channels are concatenated. Every map has the same number of rows, at the same
/// positions.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The rows of each map, each of whole blocks of the shape's pixels.
    pub maps: &'a [&'a [&'a [f32]]],
    /// The format of each map; maps without an entry are [`Format::Singles`].
    pub formats: &'a [Format],
    /// The shape of a row of all maps together, in blocks of 16 channels.
    pub shape: RowShape,
}

impl<'a> Input<'a> {
    /// Returns the format of a map.
    pub(crate) fn format(&self, map: usize) -> Format {
        self.formats.get(map).copied().unwrap_or_default()
    }

    /// Returns a map's number of blocks of 16 channels.
    fn blocks(&self, map: usize) -> usize {
        let stored = self.maps[map].first().map_or(0, |row| row.len() / self.shape.block_len());
        match self.format(map) {
            Format::Singles => stored,
            Format::Lines => 2 * stored,
        }
    }

    /// Returns the map that holds a block of 16 channels, and the block's index in that map.
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

    /// Returns the rows of the map that holds a block, and the block's offset in each of them. All maps must be
    /// [`Format::Singles`].
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

    /// Panics unless each map has this many rows of whole blocks, the blocks add up to the shape's, and lines begin at
    /// a whole line.
    pub(crate) fn check(&self, rows: usize) {
        let block = self.shape.block_len();
        // No product of the shape's fields wraps around, because slices hold it.
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
    /// Returns the shape of a row of a map with this many channels; the last block is padded.
    pub fn new(channels: usize, width: usize, pad: usize) -> Self {
        Self { blocks: channels.div_ceil(LANES), width, pad }
    }

    /// Returns the shape of a row of a map stored as lines, with this many channels, a multiple of 32.
    pub fn of_lines(channels: usize, width: usize, pad: usize) -> Self {
        Self { blocks: channels.div_ceil(2 * LANES), width, pad }
    }

    /// Panics unless a slice is a row of this shape. A shape beyond the address space has no row.
    pub(crate) fn check(self, row: &[f32]) {
        let pixels = self.pad.checked_mul(2).and_then(|pads| pads.checked_add(self.width));
        let len = pixels.and_then(|pixels| pixels.checked_mul(LANES)).and_then(|len| len.checked_mul(self.blocks));
        assert!(len == Some(row.len()), "a row of {self:?}, found {} numbers", row.len());
    }

    /// Returns the number of elements in a row.
    pub fn len(self) -> usize {
        self.blocks * self.block_len()
    }

    /// Returns whether a row is empty.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Returns the number of elements in one block of a row.
    pub fn block_len(self) -> usize {
        (self.width + 2 * self.pad) * LANES
    }

    /// Returns the index of a pixel's first lane.
    pub fn at(self, block: usize, x: usize) -> usize {
        block * self.block_len() + (self.pad + x) * LANES
    }

    /// Clears the zero pixels on either side.
    pub fn clear_pads(self, row: &mut [f32]) {
        for block in row.chunks_exact_mut(self.block_len()) {
            let (left, rest) = block.split_at_mut(self.pad * LANES);
            left.fill(0.0);
            rest[self.width * LANES..].fill(0.0);
        }
    }
}
