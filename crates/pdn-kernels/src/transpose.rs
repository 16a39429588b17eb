//! Transposes: from planes of a picture to interleaved pixels, and back.

use crate::lanes::{self, Kernel, Lanes};
use crate::{Isa, LANES};

/// Writes `from`, `[rows][columns]`, to `to` as `[columns][rows]`.
///
/// # Panics
/// Panics if a slice has the wrong length or the machine lacks the instruction set.
pub fn transpose(isa: Isa, rows: usize, columns: usize, from: &[f32], to: &mut [f32]) {
    assert_eq!(Some(from.len()), rows.checked_mul(columns), "a matrix of {rows}x{columns}");
    assert_eq!(to.len(), from.len(), "a matrix of {columns}x{rows}");
    // SAFETY: both matrices have their lengths.
    unsafe { lanes::run(isa, Transpose { rows, columns, from, to }) }
}

struct Transpose<'a> {
    rows: usize,
    columns: usize,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Transpose<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { rows, columns, from, to } = self;
        let (whole_rows, whole_columns) = (rows / LANES * LANES, columns / LANES * LANES);
        for row in (0..whole_rows).step_by(LANES) {
            for column in (0..whole_columns).step_by(LANES) {
                // SAFETY: the matrix has sixteen rows and columns from here on.
                unsafe {
                    let mut lines = [V::splat(0.0); LANES];
                    for (i, line) in lines.iter_mut().enumerate() {
                        *line = V::load(from.as_ptr().add((row + i) * columns + column));
                    }
                    for (i, line) in V::transpose(lines).iter().enumerate() {
                        line.store(to.as_mut_ptr().add((column + i) * rows + row));
                    }
                }
            }
        }
        for row in 0..rows {
            let first = if row < whole_rows { whole_columns } else { 0 };
            for column in first..columns {
                to[column * rows + row] = from[row * columns + column];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[should_panic(expected = "a matrix of")]
    fn a_size_that_cannot_be_counted_is_refused() {
        transpose(Isa::Portable, 1 << 32, 1 << 32, &[], &mut []);
    }

    proptest! {
        #[test]
        fn every_number_finds_its_place(rows in 0_usize..40, columns in 0_usize..40) {
            let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            for isa in Isa::available() {
                let mut to = vec![0.0; from.len()];
                transpose(isa, rows, columns, &from, &mut to);
                for (at, v) in from.iter().enumerate() {
                    prop_assert_eq!(to[at % columns * rows + at / columns], *v);
                }
            }
        }
    }
}
