//! The matrix product at each place of the transformed tiles: by vectors, or by AMX if possible.

use super::operands::{Number, Operands};
use super::product::{Product, Sums};
use super::tile::{load, store};
use crate::LANES;
use crate::lanes::Lanes;

impl<N: Number> Product<N> {
    /// Computes the product.
    ///
    /// # Safety
    /// Same as for [`Lanes`]; the matrices have the extents that the fields say.
    #[inline(always)]
    pub(crate) unsafe fn run<V: Lanes, O: Operands<V, Number = N>>(&self) {
        // SAFETY: this function's contract.
        unsafe {
            if !O::multiply_by_tiles(self) {
                self.by_vectors::<V, O>();
            }
        }
    }

    /// Computes the product by vectors.
    ///
    /// # Safety
    /// Same as [`Self::run`].
    #[inline(always)]
    unsafe fn by_vectors<V: Lanes, O: Operands<V, Number = N>>(&self) {
        // SAFETY: this function's contract; each call's columns are below their count.
        unsafe {
            let mut column = 0;
            while column + 2 * LANES <= self.columns && V::PIXELS == 14 {
                self.rows::<V, O, 2>(column);
                column += 2 * LANES;
            }
            while column < self.columns {
                self.rows::<V, O, 1>(column);
                column += LANES;
            }
        }
    }

    /// Computes all rows of `C` vectors of columns, as many rows at a time as registers hold.
    ///
    /// # Safety
    /// Same as [`Self::run`].
    #[inline(always)]
    unsafe fn rows<V: Lanes, O: Operands<V, Number = N>, const C: usize>(&self, column: usize) {
        let mut row = 0;
        // SAFETY: each call's rows are below their count.
        unsafe {
            match V::PIXELS {
                14 => self.many::<V, O, 14, C>(&mut row, column),
                6 => self.many::<V, O, 6, C>(&mut row, column),
                _ => {}
            }
            self.many::<V, O, 4, C>(&mut row, column);
            self.many::<V, O, 2, C>(&mut row, column);
            self.many::<V, O, 1, C>(&mut row, column);
        }
    }

    /// Computes tiles of `M` rows as long as they fit.
    ///
    /// # Safety
    /// Same as [`Self::run`].
    #[inline(always)]
    unsafe fn many<V: Lanes, O: Operands<V, Number = N>, const M: usize, const C: usize>(
        &self,
        row: &mut usize,
        column: usize,
    ) {
        while *row + M <= self.rows {
            // SAFETY: the rows are below their count.
            unsafe { self.tile::<V, O, M, C>(*row, column) };
            *row += M;
        }
    }

    /// Computes a tile.
    ///
    /// # Safety
    /// Same as [`Self::run`].
    #[inline(always)]
    unsafe fn tile<V: Lanes, O: Operands<V, Number = N>, const M: usize, const C: usize>(
        &self,
        row: usize,
        column: usize,
    ) {
        // SAFETY: this function's contract.
        unsafe {
            let c = self.c.add(row * self.columns + column);
            let mut sums = [[V::splat(0.0); C]; M];
            if self.sums == Sums::Onto {
                for (m, sums) in sums.iter_mut().enumerate() {
                    *sums = load(c.add(m * self.columns), LANES);
                }
            }
            let (mut a, mut b) = (self.a.add(row * self.a_row), self.b.add(column * N::AT_ONCE));
            for _ in 0..self.depth {
                let mut numbers = [O::splat(a); C];
                for (i, number) in numbers.iter_mut().enumerate() {
                    *number = O::load(b.add(i * LANES * N::AT_ONCE));
                }
                for (m, sums) in sums.iter_mut().enumerate() {
                    let factor = O::splat(a.add(m * self.a_row));
                    for (sum, number) in sums.iter_mut().zip(numbers) {
                        *sum = O::mul_add(factor, number, *sum);
                    }
                }
                a = a.add(self.a_depth);
                b = b.add(self.columns * N::AT_ONCE);
            }
            for (m, sums) in sums.iter().enumerate() {
                store(*sums, c.add(m * self.columns), LANES);
            }
        }
    }
}
