//! Regions with prompts of their own: rectangles with soft edges; later ones cover earlier ones.

use pdn_engine::Map;
use std::fmt;
use std::str::FromStr;

/// A rectangle of the input picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// Its leftmost column.
    pub left: usize,
    /// Its top row.
    pub top: usize,
    /// Its width, at least 1.
    pub width: usize,
    /// Its height, at least 1.
    pub height: usize,
}

/// Why a rectangle cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// Its text is malformed.
    #[error("`{0}` is not a region: expected left, top, width and height in pixels, such as 0,120,300,80")]
    Malformed(String),
    /// It is not inside the picture.
    #[error("the region {rectangle} is not inside the picture of {width}x{height}")]
    Outside {
        /// The rectangle.
        rectangle: Rectangle,
        /// Width of the picture.
        width: usize,
        /// Height of the picture.
        height: usize,
    },
}

impl FromStr for Rectangle {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        let numbers: Option<Vec<usize>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[left, top, width, height]) if width > 0 && height > 0 => Ok(Self { left, top, width, height }),
            _ => Err(RegionError::Malformed(text.to_owned())),
        }
    }
}

impl fmt::Display for Rectangle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.left, self.top, self.width, self.height)
    }
}

/// Returns the share of each rectangle's prompt in each pixel of a picture, and last that of the prompt for the rest.
/// Shares are 0 to 1 and sum to 1. Across an edge a share rises over `feather` pixels, half of them outside; there is
/// no transition at the picture's own edge.
///
/// # Errors
/// [`RegionError::Outside`] if a rectangle is not wholly inside the picture.
pub(crate) fn shares(
    rectangles: &[Rectangle],
    (width, height): (usize, usize),
    feather: usize,
) -> Result<Vec<Map<f32>>, RegionError> {
    let ends = |start: usize, length: usize, whole: usize| start.checked_add(length).is_some_and(|end| end <= whole);
    if let Some(rectangle) = rectangles.iter().find(|r| !ends(r.left, r.width, width) || !ends(r.top, r.height, height))
    {
        return Err(RegionError::Outside { rectangle: *rectangle, width, height });
    }
    let mut rest = vec![1.0_f32; width * height];
    let mut shares = Vec::with_capacity(rectangles.len() + 1);
    for rectangle in rectangles.iter().rev() {
        let columns = slope(rectangle.left, rectangle.width, width, feather);
        let rows = slope(rectangle.top, rectangle.height, height, feather);
        let cover = rows.iter().flat_map(|row| columns.iter().map(move |column| row * column));
        let share = cover.zip(&mut rest).map(|(cover, rest)| {
            let share = cover * *rest;
            *rest -= share;
            share
        });
        shares.push(Map::new(1, height, width, share.collect()));
    }
    shares.reverse();
    shares.push(Map::new(1, height, width, rest));
    Ok(shares)
}

/// Returns how much each of `whole` pixels belongs to the `length` pixels from `start` on.
fn slope(start: usize, length: usize, whole: usize, feather: usize) -> Vec<f32> {
    let (start, end) = (start as f32, (start + length) as f32);
    let ramp = |inside: f32| match feather {
        0 => f32::from(inside > 0.0),
        _ => (0.5 + inside / feather as f32).clamp(0.0, 1.0),
    };
    let left = |middle: f32| if start == 0.0 { 1.0 } else { ramp(middle - start) };
    let right = |middle: f32| if end == whole as f32 { 1.0 } else { ramp(end - middle) };
    (0..whole).map(|x| x as f32 + 0.5).map(|middle| left(middle) * right(middle)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_are_read_and_written() {
        for (text, expected) in [("0,1,2,3", Some((0, 1, 2, 3))), (" 5, 6,7 ,8", Some((5, 6, 7, 8)))] {
            let found: Option<Rectangle> = text.parse().ok();
            assert_eq!(found.map(|r| (r.left, r.top, r.width, r.height)), expected);
        }
        for text in ["", "1,2,3", "1,2,3,4,5", "1,2,0,4", "1,2,3,-4", "a,b,c,d", "1.5,2,3,4"] {
            assert!(text.parse::<Rectangle>().unwrap_err().to_string().contains("0,120,300,80"), "{text}");
        }
        let rectangle: Rectangle = "1,2,3,4".parse().unwrap();
        assert_eq!(rectangle.to_string(), "1,2,3,4");
    }

    #[test]
    fn shares_are_one_together_and_later_regions_lie_above() {
        let rectangles: Vec<Rectangle> = ["0,0,12,10", "8,4,12,6"].map(|text| text.parse().unwrap()).into();
        for feather in [0, 1, 4, 50] {
            let shares = shares(&rectangles, (20, 10), feather).unwrap();
            for pixel in 0..200 {
                let all: Vec<f32> = shares.iter().map(|share| share.data[pixel]).collect();
                assert!(all.iter().all(|share| (0.0..=1.0).contains(share)), "{all:?}");
                assert!((all.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{all:?}");
            }
        }
        let hard = shares(&rectangles, (20, 10), 0).unwrap();
        let at = |x: usize, y: usize| hard.iter().map(|share| share.data[y * 20 + x]).collect::<Vec<_>>();
        assert_eq!(at(0, 0), [1.0, 0.0, 0.0]);
        assert_eq!(at(9, 5), [0.0, 1.0, 0.0]);
        assert_eq!(at(19, 0), [0.0, 0.0, 1.0]);
        let soft = shares(&rectangles[..1], (20, 10), 4).unwrap();
        assert_eq!(soft[0].data[9..15], [1.0, 0.875, 0.625, 0.375, 0.125, 0.0]);
    }

    #[test]
    fn a_region_over_all_leaves_nothing_to_the_rest() {
        let shares = shares(&["0,0,7,5".parse().unwrap()], (7, 5), 6).unwrap();
        assert!(shares[0].data.iter().all(|share| *share == 1.0) && shares[1].data.iter().all(|share| *share == 0.0));
    }

    #[test]
    fn regions_outside_are_refused() {
        for text in ["0,0,8,5", "0,0,7,6", "7,0,1,1", "18446744073709551615,0,2,2"] {
            let refused = shares(&[text.parse().unwrap()], (7, 5), 2);
            assert!(refused.unwrap_err().to_string().contains("7x5"), "{text}");
        }
    }
}
