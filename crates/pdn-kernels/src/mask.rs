//! The attention mask of a folded DCM, a row at a time (`pdn_network`'s `dcm.rs`, equation 2 in its deploy form).

use crate::lanes::{self, Kernel, Lanes};
use crate::{Isa, LANES, RowShape};

/// The constants of a mask.
#[derive(Clone, Copy, Debug)]
pub struct MaskScale {
    /// ζ.
    pub zeta: f32,
    /// What is added to the squared norm: the constant last row of R, squared, and ε².
    pub square: f32,
}

/// Writes `[m x; m]` for a row of features x of `channels` channels.
///
/// `projected` has one block more than the features: R's linear part applied to x, then in the last block's first lane
/// the numerator; `m = sigmoid(ζ numerator / sqrt(|R x|² + square))`. The output holds `channels + 1` channels.
///
/// # Panics
/// When a slice is not of its shape's length, the shapes do not fit, or the machine lacks the instruction set.
pub fn mask_row(
    isa: Isa,
    channels: usize,
    features: (&[f32], RowShape),
    projected: (&[f32], RowShape),
    scale: MaskScale,
    out: (&mut [f32], RowShape),
) {
    let (x, shape) = features;
    let (projected, projected_shape) = projected;
    let (out, out_shape) = out;
    let width = shape.width;
    assert!(projected_shape.width == width && out_shape.width == width, "rows of one width");
    assert_eq!(shape.blocks, channels.div_ceil(LANES), "blocks of features");
    assert_eq!(projected_shape.blocks, shape.blocks + 1, "blocks of the projection");
    assert_eq!(out_shape.blocks, (channels + 1).div_ceil(LANES), "blocks of output");
    assert!(x.len() == shape.len() && projected.len() == projected_shape.len(), "rows of their shapes");
    assert_eq!(out.len(), out_shape.len(), "a row of output");
    out_shape.clear_pads(out);
    let job = Job { channels, x, shape, projected, projected_shape, scale, out, out_shape };
    // SAFETY: every slice has its shape's length and the shapes fit each other, checked above.
    unsafe { lanes::run(isa, job) }
}

/// One row to mask: reads and writes pixels `0..width` of the blocks that the shapes have.
struct Job<'a> {
    channels: usize,
    x: &'a [f32],
    shape: RowShape,
    projected: &'a [f32],
    projected_shape: RowShape,
    scale: MaskScale,
    out: &'a mut [f32],
    out_shape: RowShape,
}

impl Kernel for Job<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let last = self.shape.blocks;
        for x in 0..self.shape.width {
            // SAFETY: `at` gives the first of 16 numbers of a pixel inside the row, and the slices are whole rows.
            unsafe {
                let mut squares = V::splat(0.0);
                for block in 0..last {
                    let v = V::load(self.projected.as_ptr().add(self.projected_shape.at(block, x)));
                    squares = squares.plus_product(v, v);
                }
                let numerator = self.projected[self.projected_shape.at(last, x)];
                let m = mask(numerator, sum(squares) + self.scale.square, self.scale.zeta);
                for block in 0..last {
                    let v = V::load(self.x.as_ptr().add(self.shape.at(block, x)));
                    v.times(V::splat(m)).store(self.out.as_mut_ptr().add(self.out_shape.at(block, x)));
                }
                let lane = self.channels % LANES;
                let at = self.out_shape.at(self.channels / LANES, x);
                if lane == 0 {
                    V::splat(0.0).store(self.out.as_mut_ptr().add(at));
                }
                self.out[at + lane] = m;
            }
        }
    }
}

fn mask(numerator: f32, square: f32, zeta: f32) -> f32 {
    1.0 / (1.0 + (-zeta * numerator / square.sqrt()).exp())
}

/// The sum of 16 numbers, in an order that is the same for every instruction set.
///
/// # Safety
/// The machine has the instruction set.
#[inline(always)]
unsafe fn sum<V: Lanes>(v: V) -> f32 {
    let mut numbers = [0.0_f32; LANES];
    // SAFETY: 16 numbers fit.
    unsafe { v.store(numbers.as_mut_ptr()) };
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            numbers[i] += numbers[i + half];
        }
    }
    numbers[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_masks_odd_shapes() {
        for channels in [1, 15, 16, 17, 40, 64] {
            for width in [1, 5, 33] {
                let shape = RowShape::new(channels, width, 1);
                let projected_shape = RowShape::new(shape.blocks * LANES + 1, width, 0);
                let out_shape = RowShape::new(channels + 1, width, 2);
                let number = |i: usize| ((i * 7919 % 1009) as f32 / 1009.0) - 0.5;
                let x: Vec<f32> = (0..shape.len()).map(number).collect();
                let projected: Vec<f32> = (0..projected_shape.len()).map(|i| number(i + 5)).collect();
                let scale = MaskScale { zeta: 5.0, square: 0.3 };
                for isa in Isa::available() {
                    let mut out = vec![f32::NAN; out_shape.len()];
                    let given = (out.as_mut_slice(), out_shape);
                    mask_row(isa, channels, (&x, shape), (&projected, projected_shape), scale, given);
                    for col in 0..width {
                        let squares = (0..shape.blocks * LANES)
                            .map(|c| f64::from(projected[projected_shape.at(c / LANES, col) + c % LANES]).powi(2));
                        let norm = (squares.sum::<f64>() + f64::from(scale.square)).sqrt();
                        let numerator = f64::from(projected[projected_shape.at(shape.blocks, col)]);
                        let m = 1.0 / (1.0 + (-5.0 * numerator / norm).exp());
                        for c in 0..=channels {
                            let found = f64::from(out[out_shape.at(c / LANES, col) + c % LANES]);
                            let feature = || f64::from(x[shape.at(c / LANES, col) + c % LANES]);
                            let expected = if c == channels { m } else { m * feature() };
                            assert!((found - expected).abs() < 1e-6, "{isa} {channels} {width}: {found} {expected}");
                        }
                    }
                }
            }
        }
    }
}
