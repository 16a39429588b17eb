//! Maps of numbers, channel by channel, and the numbers that they are of.

use num_traits::Float;
use pdn_network::Tensor;
use rayon::prelude::*;
use std::borrow::Cow;

/// A number that operations are defined in.
pub trait Real: Float + Send + Sync + std::iter::Sum + 'static {
    /// A tensor's numbers.
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

/// How many numbers one thread takes at least where each is changed on its own.
const SHARE: usize = 1 << 12;

/// A map of `channels` x `height` x `width`, in that order, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Map<T> {
    /// How many channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// The numbers: channel by channel, row by row.
    pub data: Vec<T>,
}

impl<T: Real> Map<T> {
    /// A map over these numbers.
    ///
    /// # Panics
    /// When the numbers are not `channels * height * width`.
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

    /// The number at a channel and pixel, where one channel or one pixel stands for all.
    pub(crate) fn spread(&self, channel: usize, pixel: usize) -> T {
        let channel = if self.channels == 1 { 0 } else { channel };
        let pixel = if self.pixels() == 1 { 0 } else { pixel };
        self.data[channel * self.pixels() + pixel]
    }

    pub(crate) fn map(&self, f: impl Fn(T) -> T + Sync) -> Self {
        Self { data: self.data.par_iter().with_min_len(SHARE).map(|v| f(*v)).collect(), ..*self }
    }

    /// One number for each pixel, from the pixel's index.
    pub(crate) fn per_pixel(&self, f: impl Fn(usize) -> T) -> Self {
        Self::new(1, self.height, self.width, (0..self.pixels()).map(f).collect())
    }
}

pub(crate) fn real<T: Real>(v: f64) -> T {
    T::from(v).expect("every f64 is a Real, rounded")
}
