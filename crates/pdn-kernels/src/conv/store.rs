//! The epilogue of a convolution: activation, scale, addition and pixel shuffle as sums are stored.

use crate::lanes::Lanes;
use crate::{Format, LANES, RowShape};

/// Operations on rows as they are stored: `activation(x) * scale + add`. The activation is
/// `max(x, 0) + slope * min(x, 0)`: ReLU if the slope is 0.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// The activation, applied first: the slope of each lane of an output's row, or empty for no activation.
    pub slopes: &'a [f32],
    /// The factor, applied next.
    pub scale: f32,
    /// The addend, applied last: for each stored row a row of the output's shape, or empty for none.
    pub add: &'a [&'a [f32]],
    /// The format of the rows in `add`.
    pub add_format: Format,
    /// The format of the stored rows.
    pub format: Format,
    /// The rows of the group to skip before the stored ones.
    pub skip: usize,
}

impl Default for Store<'_> {
    fn default() -> Self {
        Self { slopes: &[], scale: 1.0, add: &[], add_format: Format::Singles, format: Format::Singles, skip: 0 }
    }
}

/// The destination of sums: rows of a shape, where each row of sums becomes `shuffle` rows.
///
/// Writes 16 numbers at a pixel of a row of `out`, and reads as many from the row of `add`, if there is one.
pub(crate) struct Writer<'a> {
    pub(crate) store: &'a Store<'a>,
    pub(crate) shuffle: usize,
    pub(crate) out: *mut f32,
    pub(crate) shape: RowShape,
}

impl<'a> Writer<'a> {
    /// Creates a writer for as many rows as `out` holds, and clears their zero pixels. Returns the writer and the
    /// number of rows of sums.
    ///
    /// # Panics
    /// Panics if the slices do not hold whole rows of the shape, there are slopes but not one per lane, or `add` is
    /// combined with a shuffle or has rows that are not of `add_shape`.
    pub(crate) fn new(
        store: &'a Store<'a>,
        (shuffle, lanes): (usize, usize),
        out: &'a mut [f32],
        (shape, add_shape): (RowShape, RowShape),
    ) -> (Self, usize) {
        let row = shape.len() * shuffle;
        assert!(row > 0 && out.len().is_multiple_of(row), "rows of output");
        let rows = out.len() / row;
        if rows > 0 {
            shape.check(&out[..shape.len()]);
        }
        assert!(store.slopes.is_empty() || store.slopes.len() == lanes, "a slope for each lane");
        assert!(
            store.add.is_empty()
                || shuffle == 1 && store.add.len() == rows && store.add.iter().all(|add| add.len() == add_shape.len()),
            "a row to add for each"
        );
        for row in out.chunks_exact_mut(shape.len()) {
            shape.clear_pads(row);
        }
        (Self { store, shuffle, out: out.as_mut_ptr(), shape }, rows)
    }

    /// Finishes and writes the 16 sums of a block at a pixel of a row of sums.
    ///
    /// # Safety
    /// Same as for [`Lanes`]; row, block and pixel are of the sums.
    #[inline(always)]
    pub(crate) unsafe fn put<V: Lanes>(&self, row: usize, block: usize, x: usize, mut v: V) {
        let r = self.shuffle;
        let (phase, block) = (block / self.shape.blocks, block % self.shape.blocks);
        let at = self.shape.at(block, x * r + phase % r);
        // SAFETY: `at` is a pixel of a row of the output, and of `add`, whose rows have the output's shape; if there
        // are slopes, there is one per lane.
        unsafe {
            if !self.store.slopes.is_empty() {
                let (zero, slopes) = (V::splat(0.0), V::load(self.store.slopes.as_ptr().add(block * LANES)));
                // If one operand is NaN, the second is returned: non-finite values must not be hidden.
                v = zero.min(v).mul_add(slopes, zero.max(v));
            }
            v = match self.store.add.get(row) {
                Some(add) => v.mul_add(V::splat(self.store.scale), V::load(add.as_ptr().add(at))),
                None => v.times(V::splat(self.store.scale)),
            };
            v.store(self.out.add((row * r + phase / r) * self.shape.len() + at));
        }
    }
}
