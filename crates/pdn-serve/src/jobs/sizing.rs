//! The size that a request asks for: given in one way, or not at all.

use crate::problem::{Kind, Problem};
use pdn::Size;

/// The ways to give a size, as they appear in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sizing {
    /// The scale factor.
    pub(crate) scale: Option<f64>,
    /// The width in pixels.
    pub(crate) width: Option<usize>,
    /// The height in pixels.
    pub(crate) height: Option<usize>,
    /// Whether to stretch to the width and height exactly.
    pub(crate) exact: bool,
    /// The size in megapixels.
    pub(crate) megapixels: Option<f64>,
}

impl Sizing {
    /// Returns the size that the request means.
    pub(crate) fn size(self) -> Result<Size, Problem> {
        let Self { scale, width, height, exact, megapixels } = self;
        let ways = [scale.is_some(), width.is_some() || height.is_some(), megapixels.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            let why = "scale, width and height, and megapixels exclude each other; use one of them";
            return Err(Kind::Option.because(why));
        }
        if exact && (width.is_none() || height.is_none()) {
            return Err(Kind::Option.because("`exact` needs both a width and a height"));
        }
        Ok(match (scale, width, height, megapixels) {
            (Some(scale), ..) => Size::Factor(scale),
            (_, Some(width), Some(height), _) if exact => Size::Exact(width, height),
            (_, Some(width), Some(height), _) => Size::Within(width, height),
            (_, Some(width), ..) => Size::Width(width),
            (_, _, Some(height), _) => Size::Height(height),
            (.., Some(millions)) => Size::Megapixels(millions),
            _ => Size::Model,
        })
    }
}

/// Returns a size as a word, for file names: `x2.5`, or `1920x1080` if a width and height were requested.
pub(crate) fn word(size: Size, scale: usize, (width, height): (usize, usize)) -> String {
    match size {
        Size::Model => format!("x{scale}"),
        Size::Factor(factor) => format!("x{factor}"),
        _ => format!("{width}x{height}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_said_in_one_way() {
        let none = Sizing::default();
        for (sizing, expected) in [
            (none, Some(Size::Model)),
            (Sizing { scale: Some(2.5), ..none }, Some(Size::Factor(2.5))),
            (Sizing { width: Some(7), ..none }, Some(Size::Width(7))),
            (Sizing { height: Some(7), ..none }, Some(Size::Height(7))),
            (Sizing { width: Some(7), height: Some(9), ..none }, Some(Size::Within(7, 9))),
            (Sizing { width: Some(7), height: Some(9), exact: true, ..none }, Some(Size::Exact(7, 9))),
            (Sizing { megapixels: Some(1.5), ..none }, Some(Size::Megapixels(1.5))),
            (Sizing { scale: Some(2.0), width: Some(7), ..none }, None),
            (Sizing { scale: Some(2.0), megapixels: Some(1.0), ..none }, None),
            (Sizing { height: Some(7), megapixels: Some(1.0), ..none }, None),
            (Sizing { exact: true, ..none }, None),
            (Sizing { exact: true, width: Some(7), ..none }, None),
        ] {
            assert_eq!(sizing.size().ok(), expected, "{sizing:?}");
        }
    }

    #[test]
    fn names_say_what_was_asked_for() {
        for (size, expected) in
            [(Size::Model, "x4"), (Size::Factor(2.0), "x2"), (Size::Factor(2.5), "x2.5"), (Size::Width(300), "300x200")]
        {
            assert_eq!(word(size, 4, (300, 200)), expected);
        }
    }
}
