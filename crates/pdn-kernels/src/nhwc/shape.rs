//! A convolution's extent, the maps that it reads, and what happens to its results.

/// A convolution of stride 1, zero-padded so that the extent is kept, over a group of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelConv {
    /// Channels read.
    pub inputs: usize,
    /// Channels written.
    pub outputs: usize,
    /// Side of the kernel, odd.
    pub side: usize,
    /// Images in the group, which share the kernel.
    pub images: usize,
    /// Rows of each image.
    pub height: usize,
    /// Pixels in each row.
    pub width: usize,
}

/// A map that is read.
#[derive(Clone, Copy, Debug)]
pub struct PixelMap<'a> {
    /// `[images, shuffle * height, shuffle * width, channels / shuffle²]`.
    pub numbers: &'a [f32],
    /// Where this map, of the same shape, is not above zero, zeros are read: the way back through a ReLU that wrote it.
    pub positive: Option<&'a [f32]>,
    /// Pixels a side that each pixel's channels became, in PyTorch's order; 1 for none.
    pub shuffle: usize,
}

impl<'a> PixelMap<'a> {
    /// A map as it stands.
    pub fn new(numbers: &'a [f32]) -> Self {
        Self { numbers, positive: None, shuffle: 1 }
    }
}

/// What happens to a convolution's sums as they are stored: `max(sum + bias, 0) + add`, each part if it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct PixelStore<'a> {
    /// Added first, one number for each output.
    pub bias: Option<&'a [f32]>,
    /// Whether negative numbers become zero.
    pub relu: bool,
    /// Added last: a map of the output's shape.
    pub add: Option<&'a [f32]>,
    /// Pixels a side that each pixel's channels become; 1 for none. See [`PixelConv::shuffles`].
    pub shuffle: usize,
}

impl Default for PixelStore<'_> {
    fn default() -> Self {
        Self { bias: None, relu: false, add: None, shuffle: 1 }
    }
}

/// Where channels stand that are to become `shuffle` by `shuffle` pixels: those of a pixel side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) channels: usize,
    pub(super) shuffle: usize,
}

impl Order {
    /// The channel, in PyTorch's order, of a lane.
    pub(super) fn channel(&self, lane: usize) -> usize {
        let parts = self.shuffle * self.shuffle;
        let each = self.channels / parts;
        lane % each * parts + lane / each
    }

    /// The channel of every lane, found once for all of its kernel's numbers.
    pub(super) fn of_lanes(&self) -> Vec<usize> {
        (0..self.channels).map(|lane| self.channel(lane)).collect()
    }
}

impl PixelStore<'_> {
    /// Lays out numbers given for each output as lanes have them.
    pub(super) fn lay_out(&self, given: &[f32], lanes: &mut [f32]) {
        let order = Order { channels: given.len(), shuffle: self.shuffle };
        for (lane, number) in lanes.iter_mut().enumerate().take(given.len()) {
            *number = given[order.channel(lane)];
        }
    }
}
