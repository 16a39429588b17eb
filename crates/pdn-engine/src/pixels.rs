//! Pictures as a plan reads them: number by number, so that no 32-bit copy is needed.

use crate::map::Map;

/// A picture in a network's value range.
pub trait Pixels: Sync {
    /// Returns the number of channels, of rows, and of pixels per row.
    fn size(&self) -> (usize, usize, usize);

    /// Returns a channel's number at row `y`, pixel `x`, inside the picture.
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

/// A picture padded by reflection, without repeating the edge, as Real-ESRGAN pads a picture that does not end with a
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
