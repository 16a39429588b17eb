//! The number of tile products per product of numbers.

/// Products of tiles for each product of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Products {
    /// Operands are rounded to bf16: 8 bits of the significand.
    One,
    /// Operands are a high and a low bf16 part: about 16 bits.
    Three,
}

impl Products {
    /// Returns the number of parts of an operand.
    pub(super) fn parts(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 2,
        }
    }

    /// Returns the first and the count of each group of output tiles that are summed together: one by one, or pairs and
    /// one left over.
    pub(super) fn tiles_of(self, tiles: usize) -> impl Iterator<Item = (usize, usize)> {
        let most = match self {
            Self::One => 1,
            Self::Three => 2,
        };
        (0..tiles).step_by(most).map(move |first| (first, most.min(tiles - first)))
    }

    /// Returns the number of pixel tiles that are summed together with `outputs` output tiles.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn pixel_tiles(self, outputs: usize) -> usize {
        match (self, outputs) {
            (Self::One, _) => 4,
            (Self::Three, 1) => 3,
            (Self::Three, _) => 2,
        }
    }
}
