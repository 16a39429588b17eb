//! The epilogue of a convolution: activation, scale, addition and pixel shuffle as sums are stored.

use crate::lanes::Lanes;
use crate::{Format, LANES, RowShape};

/// What happens to rows of numbers as they are stored: `activation(x) * scale + add`, the activation being `max(x, 0) + slope *
/// min(x, 0)`: ReLU where the slope is 0.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// Of the activation, applied first: the slope of each lane of an output's row, or none at all where there is no
    /// activation.
    pub slopes: &'a [f32],
    /// Then multiplied.
    pub scale: f32,
    /// Then added: for each stored row a row of the output's shape, or none at all.
    pub add: &'a [&'a [f32]],
    /// How those are kept.
    pub add_format: Format,
    /// How the stored rows are to be kept.
    pub format: Format,
    /// Rows of the group that are not stored, before those that are.
    pub skip: usize,
}

impl Default for Store<'_> {
    fn default() -> Self {
        Self { slopes: &[], scale: 1.0, add: &[], add_format: Format::Singles, format: Format::Singles, skip: 0 }
    }
}

/// Where sums are stored: rows of a shape, each row of sums becoming `shuffle` rows.
///
/// Writes 16 numbers at a pixel of a row of `out`, and reads as many of the row of `add`, where there is one.
pub(crate) struct Writer<'a> {
    pub(crate) store: &'a Store<'a>,
    pub(crate) shuffle: usize,
    pub(crate) out: *mut f32,
    pub(crate) shape: RowShape,
}

impl<'a> Writer<'a> {
    /// For as many rows as `out` holds; their zero pixels are set. Gives the writer and the number of rows of sums.
    ///
    /// # Panics
    /// When the slices do not hold whole rows of the shape, there is a slope but not one for each of the lanes, or `add` comes
    /// with a shuffle or rows that are not of `add_shape`.
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
    /// As for [`Lanes`]; row, block and pixel are of the sums.
    #[inline(always)]
    pub(crate) unsafe fn put<V: Lanes>(&self, row: usize, block: usize, x: usize, mut v: V) {
        let r = self.shuffle;
        let (phase, block) = (block / self.shape.blocks, block % self.shape.blocks);
        let at = self.shape.at(block, x * r + phase % r);
        // SAFETY: `at` is a pixel of a row of the output, and of `add`, whose rows have the output's shape; the slopes, where
        // there are any, are as many as its lanes.
        unsafe {
            if !self.store.slopes.is_empty() {
                let (zero, slopes) = (V::splat(0.0), V::load(self.store.slopes.as_ptr().add(block * LANES)));
                // Of a number and what is none, the second is taken: what is not finite must not be hidden.
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
