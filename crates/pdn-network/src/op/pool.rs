//! Statistics over the whole picture.

use crate::Shape;

/// A statistic of a channel over the whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The mean.
    Mean,
    /// The population standard deviation plus the mean (IMDN's contrast).
    Contrast,
}

pub(super) fn shape(x: Shape) -> Shape {
    Shape::vector(x.channels)
}
