//! Matrix products, with the crate `matrixmultiply`: the layers of a transformer.

/// Computes `out += a b`, all row-major: `a` is `[rows, inner]`, `b` `[inner, columns]`, `out` `[rows, columns]`.
///
/// # Panics
/// Panics if a slice does not have its matrix's length.
pub fn add_product(a: &[f32], b: &[f32], out: &mut [f32], [rows, inner, columns]: [usize; 3]) {
    let len = |a: usize, b: usize| a.checked_mul(b).expect("a matrix that fits in memory");
    assert_eq!(a.len(), len(rows, inner), "the left matrix of {rows}x{inner}");
    assert_eq!(b.len(), len(inner, columns), "the right matrix of {inner}x{columns}");
    assert_eq!(out.len(), len(rows, columns), "the product of {rows}x{columns}");
    let stride = |n: usize| isize::try_from(n).expect("a slice is no longer than that");
    let (a_row, row) = (stride(inner), stride(columns));
    // SAFETY: the strides are those of row-major matrices, whose lengths were checked; `out` is borrowed mutably, so it
    // overlaps neither of the others.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            inner,
            columns,
            1.0,
            a.as_ptr(),
            a_row,
            1,
            b.as_ptr(),
            row,
            1,
            1.0,
            out.as_mut_ptr(),
            row,
            1,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_product_is_its_sums(rows in 0_usize..20, inner in 0_usize..40, columns in 0_usize..20) {
            let numbers = |len: usize, step: usize| -> Vec<f32> { (0..len).map(|i| (i * step % 23) as f32 - 11.0).collect() };
            let (a, b) = (numbers(rows * inner, 7), numbers(inner * columns, 5));
            let mut out = numbers(rows * columns, 3);
            // Integers, so sums are exact in any order.
            let expected: Vec<f32> = (0..rows * columns)
                .map(|at| {
                    let (row, column) = (at / columns, at % columns);
                    out[at] + (0..inner).map(|i| a[row * inner + i] * b[i * columns + column]).sum::<f32>()
                })
                .collect();
            add_product(&a, &b, &mut out, [rows, inner, columns]);
            prop_assert_eq!(out, expected);
        }
    }
}
