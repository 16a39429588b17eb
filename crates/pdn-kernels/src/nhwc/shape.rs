//! A convolution's extent, its input maps, and the operations on its results.

/// A convolution over a group of images, with stride 1 and zero padding that keeps the extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelConv {
    /// Number of input channels.
    pub inputs: usize,
    /// Number of output channels.
    pub outputs: usize,
    /// Side of the kernel, odd.
    pub side: usize,
    /// Number of images in the group, which share the kernel.
    pub images: usize,
    /// Height of each image.
    pub height: usize,
    /// Width of each image.
    pub width: usize,
}

/// An input map.
#[derive(Clone, Copy, Debug)]
pub struct PixelMap<'a> {
    /// `[images, shuffle * height, shuffle * width, channels / shuffle²]`.
    pub numbers: &'a [f32],
    /// The output of a ReLU, of the same shape: zeros are read where it is not above zero, as the backward pass
    /// requires.
    pub positive: Option<&'a [f32]>,
    /// The side of the pixel block that each pixel's channels became, in PyTorch's order; 1 for none.
    pub shuffle: usize,
}

impl<'a> PixelMap<'a> {
    /// Wraps a map without ReLU or shuffle.
    pub fn new(numbers: &'a [f32]) -> Self {
        Self { numbers, positive: None, shuffle: 1 }
    }
}

/// Operations on a convolution's sums as they are stored: `max(sum + bias, 0) + add`, each part optional.
#[derive(Clone, Copy, Debug)]
pub struct PixelStore<'a> {
    /// Added first, one number per output.
    pub bias: Option<&'a [f32]>,
    /// Whether to apply a ReLU.
    pub relu: bool,
    /// Added last: a map of the output's shape.
    pub add: Option<&'a [f32]>,
    /// The side of the pixel block that each pixel's channels become; 1 for none. See [`PixelConv::shuffles`].
    pub shuffle: usize,
}

impl Default for PixelStore<'_> {
    fn default() -> Self {
        Self { bias: None, relu: false, add: None, shuffle: 1 }
    }
}

/// The order of channels that become `shuffle` by `shuffle` pixels: those of a pixel are adjacent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) channels: usize,
    pub(super) shuffle: usize,
}

impl Order {
    /// Returns a lane's channel in PyTorch's order.
    pub(super) fn channel(&self, lane: usize) -> usize {
        let parts = self.shuffle * self.shuffle;
        let each = self.channels / parts;
        lane % each * parts + lane / each
    }

    /// Returns the channel of every lane, computed once for all of the kernel's numbers.
    pub(super) fn of_lanes(&self) -> Vec<usize> {
        (0..self.channels).map(|lane| self.channel(lane)).collect()
    }
}

impl PixelStore<'_> {
    /// Rearranges one number per output into lane order.
    pub(super) fn lay_out(&self, given: &[f32], lanes: &mut [f32]) {
        let order = Order { channels: given.len(), shuffle: self.shuffle };
        for (lane, number) in lanes.iter_mut().enumerate().take(given.len()) {
            *number = given[order.channel(lane)];
        }
    }
}
