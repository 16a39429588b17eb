//! Pictures as a plan reads them: number by number, so that they need not be there in 32 bits.

use crate::map::Map;

/// A picture in a network's value range.
pub trait Pixels: Sync {
    /// Channels, rows, and pixels in each.
    fn size(&self) -> (usize, usize, usize);

    /// A channel's number at row `y`, pixel `x`, inside the picture.
    fn number(&self, channel: usize, y: usize, x: usize) -> f32;
}

impl Pixels for Map<f32> {
    fn size(&self) -> (usize, usize, usize) {
        (self.channels, self.height, self.width)
    }

    fn number(&self, channel: usize, y: usize, x: usize) -> f32 {
        self.data[(channel * self.height + y) * self.width + x]
    }
}

/// A picture continued by its reflection, without the edge itself, as Real-ESRGAN continues one that does not end with a
/// whole block of pixels.
pub(crate) struct Reflected<'a>(pub(crate) &'a dyn Pixels);

impl Reflected<'_> {
    pub(crate) fn number(&self, channel: usize, y: usize, x: usize) -> f32 {
        let (_, height, width) = self.0.size();
        self.0.number(channel, mirror(y, height), mirror(x, width))
    }
}

fn mirror(at: usize, length: usize) -> usize {
    match at.checked_sub(length) {
        None => at,
        Some(beyond) => length.saturating_sub(2 + beyond),
    }
}
