//! What the upscaled picture should be: its size, its depth, and extra steps beside the network.

use crate::error::Error;
use pdn_image::Depth;

/// What the upscaled picture should be. The default is the network's size and the picture's depth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Target {
    /// The size of the result. Any size but the network's own is reached by an exact resize of the network's output:
    /// MATLAB's bicubic with antialiasing, from 16 bits per sample, rounded once. A picture that grows on no side is
    /// resized without the network.
    pub size: Size,
    /// Bits per sample [default: those of the picture].
    pub depth: Option<Depth>,
    /// Whether to resize in linear light, using the tone curves of the picture's profile, or else sRGB's.
    pub linear_light: bool,
    /// Whether to replace the low frequencies of the network's output by those of the picture, as networks may shift
    /// colours.
    pub color_fix: bool,
    /// Whether to average the network's output over the picture's eight flips and rotations. Takes eight times as long,
    /// and holds the network's whole output, 12 bytes per pixel.
    pub self_ensemble: bool,
}

/// The size of an upscaled picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Size {
    /// The network's own size.
    #[default]
    Model,
    /// A multiple of the width and the height.
    Factor(f64),
    /// A width in pixels; the height keeps the aspect ratio.
    Width(usize),
    /// A height in pixels; the width keeps the aspect ratio.
    Height(usize),
    /// The largest size within this width and height that keeps the aspect ratio.
    Within(usize, usize),
    /// An exact width and height, whatever the aspect ratio.
    Exact(usize, usize),
    /// A number of megapixels, keeping the aspect ratio.
    Megapixels(f64),
}

/// The most pixels of an upscaled picture: 3 GB in memory, at 8 bits per sample.
const MOST_PIXELS: usize = 1_000_000_000;

/// The largest factor by which a side may shrink: each output sample reads four times as many input samples.
const MOST_SHORTER: usize = 1000;

impl Size {
    /// Returns the width and height of the result for a picture of size `from` and a network that upscales by
    /// `scale`.
    ///
    /// # Errors
    /// [`Error::Size`] if the size is invalid or a side would shrink more than a thousand times; [`Error::TooLarge`]
    /// beyond a thousand million pixels.
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
                // A limit of 0 is reported below, not raised to one pixel.
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
