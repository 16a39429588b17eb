//! Sums of each channel over a row, for statistics over a picture.

use crate::lanes::{self, Kernel, Lanes};
use crate::{Isa, LANES, RowShape};

/// Pixels to sum in 32 bits before adding them to a sum in 64.
const RUN: usize = 32;

/// Returns the sum over a row's pixels for each lane: of the numbers, or of their squared differences from `means`,
/// which has one per lane. The order is that of the pixels, so the result depends on nothing else.
///
/// # Panics
/// Panics if the row does not have its shape's length, there is not one mean per lane, or the machine lacks the
/// instruction set.
pub fn sum_channels(isa: Isa, row: &[f32], shape: RowShape, means: Option<&[f32]>) -> Vec<f64> {
    let lanes = shape.blocks * LANES;
    shape.check(row);
    assert!(means.is_none_or(|means| means.len() == lanes), "a mean for each of {lanes} lanes");
    let mut sums = vec![0.0; lanes];
    // SAFETY: the row has its shape's length, and there is a sum, and a mean, for each of its lanes.
    unsafe { lanes::run(isa, Sum { row, shape, means, sums: &mut sums }) };
    sums
}

/// Reads pixels `0..width` of every block of the row, and a mean for each lane if there are means.
struct Sum<'a> {
    row: &'a [f32],
    shape: RowShape,
    means: Option<&'a [f32]>,
    sums: &'a mut [f64],
}

impl Kernel for Sum<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        for (block, sums) in self.sums.chunks_exact_mut(LANES).enumerate() {
            for first in (0..self.shape.width).step_by(RUN) {
                let mut run = [0.0_f32; LANES];
                // SAFETY: the pixels are inside the row, there is a mean for each lane, and 16 numbers fit.
                unsafe {
                    let mut sum = V::splat(0.0);
                    for x in first..self.shape.width.min(first + RUN) {
                        let v = V::load(self.row.as_ptr().add(self.shape.at(block, x)));
                        sum = match self.means {
                            None => sum.plus(v),
                            Some(means) => {
                                let difference = v.minus(V::load(means.as_ptr().add(block * LANES)));
                                difference.mul_add(difference, sum)
                            }
                        };
                    }
                    sum.store(run.as_mut_ptr());
                }
                for (sum, v) in sums.iter_mut().zip(run) {
                    *sum += f64::from(v);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_sums_odd_widths() {
        for width in [1, 31, 32, 33, 100] {
            let shape = RowShape::new(20, width, 2);
            let row: Vec<f32> = (0..shape.len()).map(|i| (i * 37 % 101) as f32 / 16.0).collect();
            let means: Vec<f32> = (0..32).map(|lane| lane as f32 / 8.0).collect();
            for (lane, mean) in means.iter().enumerate() {
                let numbers = || (0..width).map(|x| f64::from(row[shape.at(lane / LANES, x) + lane % LANES]));
                let squares: f64 = numbers().map(|v| (v - f64::from(*mean)).powi(2)).sum();
                for isa in Isa::available() {
                    // Sixteenths and their sums are exact in 32 bits.
                    assert_eq!(sum_channels(isa, &row, shape, None)[lane], numbers().sum::<f64>(), "{isa} {width}");
                    let found = sum_channels(isa, &row, shape, Some(&means))[lane];
                    assert!((found - squares).abs() < 1e-6 * squares.max(1.0), "{isa} {width}: {found} {squares}");
                }
            }
        }
    }
}
