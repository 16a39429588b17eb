//! The product of matrices at each place of the transformed tiles.

use super::{load, store};
use crate::LANES;
use crate::lanes::Lanes;

/// `c[row][column] (+)= Σ a[row, k] b[k][column]`: `b` is `[depth][columns]`, `c` `[rows][columns]`, columns being a multiple
/// of [`LANES`]; `a` has its own strides.
pub(crate) struct Product {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(crate) a: *const f32,
    pub(crate) a_row: usize,
    pub(crate) a_depth: usize,
    pub(crate) b: *const f32,
    pub(crate) c: *mut f32,
    pub(crate) sums: Sums,
}

/// What is done with what is in `c`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sums {
    /// It is written over.
    New,
    /// The sums are added to it.
    Onto,
}

impl Product {
    /// # Safety
    /// As for [`Lanes`]; the matrices have the extents that the fields say.
    #[inline(always)]
    pub(crate) unsafe fn run<V: Lanes>(&self) {
        // SAFETY: this function's contract; each call's columns are below their count.
        unsafe {
            let mut column = 0;
            while column + 2 * LANES <= self.columns && V::PIXELS == 14 {
                self.rows::<V, 2>(column);
                column += 2 * LANES;
            }
            while column < self.columns {
                self.rows::<V, 1>(column);
                column += LANES;
            }
        }
    }

    /// All rows of `N` vectors of columns, as many rows at a time as registers hold.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn rows<V: Lanes, const N: usize>(&self, column: usize) {
        let mut row = 0;
        // SAFETY: each call's rows are below their count.
        unsafe {
            match V::PIXELS {
                14 => self.many::<V, 14, N>(&mut row, column),
                6 => self.many::<V, 6, N>(&mut row, column),
                _ => {}
            }
            self.many::<V, 4, N>(&mut row, column);
            self.many::<V, 2, N>(&mut row, column);
            self.many::<V, 1, N>(&mut row, column);
        }
    }

    /// Tiles of `M` rows while there are as many.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn many<V: Lanes, const M: usize, const N: usize>(&self, row: &mut usize, column: usize) {
        while *row + M <= self.rows {
            // SAFETY: the rows are below their count.
            unsafe { self.tile::<V, M, N>(*row, column) };
            *row += M;
        }
    }

    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn tile<V: Lanes, const M: usize, const N: usize>(&self, row: usize, column: usize) {
        // SAFETY: this function's contract.
        unsafe {
            let c = self.c.add(row * self.columns + column);
            let mut sums = [[V::splat(0.0); N]; M];
            if self.sums == Sums::Onto {
                for (m, sums) in sums.iter_mut().enumerate() {
                    *sums = load(c.add(m * self.columns), LANES);
                }
            }
            let (mut a, mut b) = (self.a.add(row * self.a_row), self.b.add(column));
            for _ in 0..self.depth {
                let numbers: [V; N] = load(b, LANES);
                for (m, sums) in sums.iter_mut().enumerate() {
                    let factor = V::splat(*a.add(m * self.a_row));
                    for (sum, number) in sums.iter_mut().zip(numbers) {
                        *sum = sum.plus_product(factor, number);
                    }
                }
                a = a.add(self.a_depth);
                b = b.add(self.columns);
            }
            for (m, sums) in sums.iter().enumerate() {
                store(*sums, c.add(m * self.columns), LANES);
            }
        }
    }
}
