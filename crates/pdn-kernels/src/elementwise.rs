//! Simple passes over rows, in plain Rust: none of them is where time goes.

use crate::{LANES, RowShape};

/// Multiplies each channel of a row by its factor.
///
/// # Panics
/// When a slice is not of the shape's length or there are fewer factors than lanes.
pub fn multiply_channels(row: &[f32], shape: RowShape, factors: &[f32], out: &mut [f32]) {
    assert!(row.len() == shape.len() && out.len() == shape.len(), "rows of {shape:?}");
    assert_eq!(factors.len(), shape.blocks * LANES, "a factor for each lane");
    let blocks = row.chunks_exact(shape.block_len()).zip(out.chunks_exact_mut(shape.block_len()));
    for ((block, out), factors) in blocks.zip(factors.chunks_exact(LANES)) {
        for (pixel, out) in block.chunks_exact(LANES).zip(out.chunks_exact_mut(LANES)) {
            for ((out, v), factor) in out.iter_mut().zip(pixel).zip(factors) {
                *out = v * factor;
            }
        }
    }
}

/// For each lane the sum over a row's pixels of `f(value, lane)`, in float64 and in the order of the pixels.
///
/// # Panics
/// When the slice is not of the shape's length.
pub fn sum_channels(row: &[f32], shape: RowShape, f: impl Fn(f64, usize) -> f64) -> Vec<f64> {
    assert_eq!(row.len(), shape.len(), "a row of {shape:?}");
    let mut sums = vec![0.0; shape.blocks * LANES];
    for (block, sums) in sums.chunks_exact_mut(LANES).enumerate() {
        for x in 0..shape.width {
            let pixel = &row[shape.at(block, x)..][..LANES];
            for (lane, (sum, v)) in sums.iter_mut().zip(pixel).enumerate() {
                *sum += f(f64::from(*v), block * LANES + lane);
            }
        }
    }
    sums
}
