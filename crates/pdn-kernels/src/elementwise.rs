//! Elementwise passes over rows, in plain Rust, as they take little of the time.

use crate::{LANES, RowShape};

/// Multiplies each channel of a row by its factor.
///
/// # Panics
/// Panics if a slice does not have the shape's length or there are fewer factors than lanes.
pub fn multiply_channels(row: &[f32], shape: RowShape, factors: &[f32], out: &mut [f32]) {
    each_with_its_channel(row, shape, factors, out, |v, factor| v * factor);
}

/// Multiplies negative numbers by their channel's slope.
///
/// # Panics
/// Panics if a slice does not have the shape's length or there are fewer slopes than lanes.
pub fn prelu_channels(row: &[f32], shape: RowShape, slopes: &[f32], out: &mut [f32]) {
    each_with_its_channel(row, shape, slopes, out, |v, slope| if v < 0.0 { v * slope } else { v });
}

/// Computes the length of each channel's gradient in the middle one of three rows: `sqrt(v² + h² + eps²)` of the
/// differences between the rows after and before, and the pixels right and left.
///
/// # Panics
/// Panics if a slice does not have the shape's length, or the shape has no zero pixels on either side.
pub fn gradient_channels([above, middle, below]: [&[f32]; 3], shape: RowShape, eps: f32, out: &mut [f32]) {
    [above, middle, below, &*out].into_iter().for_each(|row| shape.check(row));
    assert!(shape.pad > 0, "zero pixels on either side");
    out.fill(0.0);
    for (block, x) in (0..shape.blocks).flat_map(|block| (0..shape.width).map(move |x| (block, x))) {
        let at = shape.at(block, x);
        for lane in at..at + LANES {
            let (down, across) = (below[lane] - above[lane], middle[lane + LANES] - middle[lane - LANES]);
            out[lane] = (down * down + across * across + eps * eps).sqrt();
        }
    }
}

/// Computes `out = row * scale + add`.
///
/// # Panics
/// Panics if the slices differ in length.
pub fn scale_and_add(row: &[f32], scale: f32, add: &[f32], out: &mut [f32]) {
    assert!(row.len() == out.len() && add.len() == out.len(), "rows of one length");
    for ((out, v), add) in out.iter_mut().zip(row).zip(add) {
        *out = v * scale + add;
    }
}

/// Computes `out += row * scale`.
///
/// # Panics
/// Panics if the slices differ in length.
pub fn add_scaled(row: &[f32], scale: f32, out: &mut [f32]) {
    assert_eq!(row.len(), out.len(), "rows of one length");
    out.iter_mut().zip(row).for_each(|(out, v)| *out += v * scale);
}

/// Applies a function to each number of a row and its channel's parameter.
fn each_with_its_channel(row: &[f32], shape: RowShape, channels: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    assert!(row.len() == shape.len() && out.len() == shape.len(), "rows of {shape:?}");
    assert_eq!(channels.len(), shape.blocks * LANES, "a number for each lane");
    let blocks = row.chunks_exact(shape.block_len()).zip(out.chunks_exact_mut(shape.block_len()));
    for ((block, out), channels) in blocks.zip(channels.chunks_exact(LANES)) {
        for (pixel, out) in block.chunks_exact(LANES).zip(out.chunks_exact_mut(LANES)) {
            for ((out, v), channel) in out.iter_mut().zip(pixel).zip(channels) {
                *out = f(*v, *channel);
            }
        }
    }
}
