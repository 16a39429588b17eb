//! What an enlarged picture is to be: its size, its depth, and what is done beside the network's own work.

use crate::error::Error;
use pdn_image::Depth;

/// What an enlarged picture is to be; what is not said is the network's size and the picture's depth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Target {
    /// How large it becomes. Another size than the network's is reached by an exact resize of what the network gives: MATLAB's
    /// bicubic rule with antialiasing, from 16 bits a sample, rounded once. A picture that becomes larger on no side is
    /// resized without the network.
    pub size: Size,
    /// Bits of a sample [default: as the picture has].
    pub depth: Option<Depth>,
    /// Whether that resize is made in linear light: by the curves of the picture's profile, or else sRGB's.
    pub linear_light: bool,
    /// Whether the low frequencies of what a network gives are replaced by the picture's own, as networks may shift colours.
    pub color_fix: bool,
    /// Whether a network's result is the mean over the picture's eight flips and rotations. It takes eight times as long, and
    /// holds the network's result whole, 12 bytes a pixel.
    pub self_ensemble: bool,
}

/// How large an enlarged picture becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Size {
    /// As large as the network makes it.
    #[default]
    Model,
    /// So many times the width and the height.
    Factor(f64),
    /// So many pixels wide, and as high as its shape has it.
    Width(usize),
    /// So many pixels high, and as wide as its shape has it.
    Height(usize),
    /// The largest in its shape that is no wider and no higher than this.
    Within(usize, usize),
    /// A width and a height, whatever its shape.
    Exact(usize, usize),
    /// So many millions of pixels, in its shape.
    Megapixels(f64),
}

/// The most pixels of an enlarged picture: 3 GB in memory, at 8 bits a sample.
const MOST_PIXELS: usize = 1_000_000_000;

/// How many times shorter a side becomes at most: each sample of the result reads four times as many.
const MOST_SHORTER: usize = 1000;

impl Size {
    /// Width and height of a picture that a network makes `scale` times larger.
    ///
    /// # Errors
    /// [`Error::Size`] where it is no size, or a side would become more than a thousand times shorter; [`Error::TooLarge`] beyond
    /// a thousand million pixels.
    pub fn of(self, from: (usize, usize), scale: usize) -> Result<(usize, usize), Error> {
        let (width, height) = from;
        let nearest = |length: usize, factor: f64| ((length as f64 * factor).round() as usize).max(1);
        let by = |factor: f64| (nearest(width, factor), nearest(height, factor));
        let positive = |number: f64| match number.is_finite() && number > 0.0 {
            true => Ok(number),
            false => Err(Error::Size(format!("{number}: expected a number above 0"))),
        };
        let (width, height) = match self {
            Self::Model => (width.saturating_mul(scale), height.saturating_mul(scale)),
            Self::Factor(factor) => by(positive(factor)?),
            Self::Width(to) => (to, by(to as f64 / width as f64).1),
            Self::Height(to) => (by(to as f64 / height as f64).0, to),
            Self::Within(most_wide, most_high) => {
                let factor = (most_wide as f64 / width as f64).min(most_high as f64 / height as f64);
                let (wide, high) = by(factor);
                // A limit of nothing is said below, and not raised to a pixel.
                (wide.min(most_wide), high.min(most_high))
            }
            Self::Exact(width, height) => (width, height),
            Self::Megapixels(millions) => by((positive(millions)? * 1e6 / (width as f64 * height as f64)).sqrt()),
        };
        match width.checked_mul(height) {
            Some(0) => Err(Error::Size(format!("{width}x{height}: expected at least one pixel"))),
            Some(_) if from.0 / MOST_SHORTER > width || from.1 / MOST_SHORTER > height => Err(Error::Size(format!(
                "{width}x{height} from {}x{}: expected sides at most {MOST_SHORTER} times shorter",
                from.0, from.1
            ))),
            Some(pixels) if pixels <= MOST_PIXELS => Ok((width, height)),
            _ => Err(Error::TooLarge { width, height, limit: MOST_PIXELS }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_the_shape_and_absurd_ones_are_said() {
        for (size, expected) in [
            (Size::Model, (400, 200)),
            (Size::Factor(2.5), (250, 125)),
            (Size::Factor(0.001), (1, 1)),
            (Size::Width(333), (333, 167)),
            (Size::Height(75), (150, 75)),
            (Size::Within(300, 300), (300, 150)),
            (Size::Within(300, 30), (60, 30)),
            (Size::Within(100, 50), (100, 50)),
            (Size::Exact(7, 900), (7, 900)),
            (Size::Megapixels(2.0), (2000, 1000)),
        ] {
            assert_eq!(size.of((100, 50), 4).unwrap(), expected, "{size:?}");
        }
        for absurd in [
            Size::Factor(0.0),
            Size::Factor(-2.0),
            Size::Factor(f64::NAN),
            Size::Width(0),
            Size::Exact(4, 0),
            Size::Within(0, 4),
        ] {
            assert!(matches!(absurd.of((100, 50), 4), Err(Error::Size(_))), "{absurd:?}");
        }
        for (from, size) in [((1, 50_000_000), Size::Exact(2, 1)), ((50_000_000, 1), Size::Exact(49_000, 4))] {
            assert!(matches!(size.of(from, 4), Err(Error::Size(_))), "{size:?} of {from:?}");
        }
        assert_eq!(Size::Exact(50_000, 4).of((50_000_000, 1), 4).unwrap(), (50_000, 4));
        for large in [Size::Width(usize::MAX), Size::Height(1 << 40), Size::Megapixels(1e300), Size::Factor(1e9)] {
            assert!(matches!(large.of((100, 50), 4), Err(Error::TooLarge { .. })), "{large:?}");
        }
    }
}
