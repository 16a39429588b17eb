//! Maps of numbers in channel-major order, and the number types that they hold.

use num_traits::Float;
use pdn_network::Tensor;
use rayon::prelude::*;
use std::borrow::Cow;

/// A number type in which operations are defined.
pub trait Real: Float + Send + Sync + std::iter::Sum + 'static {
    /// Returns a tensor's numbers.
    fn numbers(tensor: &Tensor) -> Cow<'_, [Self]>;
}

impl Real for f32 {
    fn numbers(tensor: &Tensor) -> Cow<'_, [Self]> {
        tensor.data().into()
    }
}

impl Real for f64 {
    fn numbers(tensor: &Tensor) -> Cow<'_, [Self]> {
        tensor.data().iter().map(|v| Self::from(*v)).collect()
    }
}

/// The fewest numbers that a thread takes in elementwise operations.
const SHARE: usize = 1 << 12;

/// A map of `channels` x `height` x `width`, in that order, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Map<T> {
    /// Number of channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
    /// The numbers: channel by channel, row by row.
    pub data: Vec<T>,
}

impl<T: Real> Map<T> {
    /// Creates a map over these numbers.
    ///
    /// # Panics
    /// If there are not `channels * height * width` numbers.
    pub fn new(channels: usize, height: usize, width: usize, data: Vec<T>) -> Self {
        assert_eq!(data.len(), channels * height * width, "a map of {channels}x{height}x{width}");
        Self { channels, height, width, data }
    }

    pub(crate) fn vector(data: Vec<T>) -> Self {
        Self::new(data.len(), 1, 1, data)
    }

    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub(crate) fn plane(&self, channel: usize) -> &[T] {
        &self.data[channel * self.pixels()..][..self.pixels()]
    }

    /// Returns the number at a channel and pixel, broadcasting a single channel or a single pixel.
    pub(crate) fn spread(&self, channel: usize, pixel: usize) -> T {
        let channel = if self.channels == 1 { 0 } else { channel };
        let pixel = if self.pixels() == 1 { 0 } else { pixel };
        self.data[channel * self.pixels() + pixel]
    }

    pub(crate) fn map(&self, f: impl Fn(T) -> T + Sync) -> Self {
        Self { data: self.data.par_iter().with_min_len(SHARE).map(|v| f(*v)).collect(), ..*self }
    }

    /// Creates a map of one channel from a function of the pixel's index.
    pub(crate) fn per_pixel(&self, f: impl Fn(usize) -> T) -> Self {
        Self::new(1, self.height, self.width, (0..self.pixels()).map(f).collect())
    }
}

pub(crate) fn real<T: Real>(v: f64) -> T {
    T::from(v).expect("every f64 is a Real, rounded")
}
