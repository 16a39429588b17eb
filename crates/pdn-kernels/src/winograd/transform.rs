//! The matrices of F(4x4, 3x3), along one side at a time; each is applied to columns and then to rows.

use super::{PLACES, SIDE, STEP};
use crate::LANES;
use crate::lanes::Lanes;

/// A kernel transformed: `[place][input][output]`, the outputs rounded up to lanes.
#[derive(Clone, Debug)]
pub(crate) struct WinogradKernel {
    pub(super) inputs: usize,
    pub(super) lanes: usize,
    pub(super) numbers: Vec<f32>,
}

impl WinogradKernel {
    /// Whether it pays to transform: below a vector of channels the direct sum is as fast.
    pub(crate) fn pays(outputs: usize, inputs: usize, side: usize) -> bool {
        side == 3 && outputs >= LANES && inputs >= LANES
    }

    /// Transforms a kernel of 3x3 taps, `at(output, input, tap)` being the place of a number in `kernel`.
    pub(crate) fn new(
        kernel: &[f32],
        outputs: usize,
        inputs: usize,
        at: impl Fn(usize, usize, usize) -> usize,
    ) -> Self {
        let lanes = outputs.next_multiple_of(LANES);
        let mut numbers = vec![0.0; PLACES * inputs * lanes];
        for input in 0..inputs {
            for block in (0..outputs).step_by(LANES) {
                let mut taps = [[0.0; LANES]; 9];
                for (tap, taps) in taps.iter_mut().enumerate() {
                    for (lane, number) in taps.iter_mut().enumerate().take(outputs - block) {
                        *number = kernel[at(block + lane, input, tap)];
                    }
                }
                // Rows, then columns, of every lane at once.
                let row = |row: usize| kernel_side([taps[3 * row], taps[3 * row + 1], taps[3 * row + 2]]);
                let [top, middle, bottom] = [row(0), row(1), row(2)];
                for (column, top) in top.into_iter().enumerate() {
                    let places = kernel_side([top, middle[column], bottom[column]]);
                    for (row, place) in places.iter().enumerate() {
                        let to = ((row * SIDE + column) * inputs + input) * lanes + block;
                        numbers[to..to + LANES].copy_from_slice(place);
                    }
                }
            }
        }
        Self { inputs, lanes, numbers }
    }
}

/// G along one side, of every lane.
fn kernel_side([a, b, c]: [[f32; LANES]; 3]) -> [[f32; LANES]; SIDE] {
    let mut out = [[0.0; LANES]; SIDE];
    // A loop that the compiler makes vectors of; it does not of closures.
    for i in 0..LANES {
        let (near, far) = ((a[i] + c[i]) * (-1.0 / 6.0), a[i] * (1.0 / 24.0) + c[i] * (1.0 / 6.0));
        out[0][i] = a[i] * 0.25;
        out[1][i] = near - b[i] * (1.0 / 6.0);
        out[2][i] = near + b[i] * (1.0 / 6.0);
        out[3][i] = far + b[i] * (1.0 / 12.0);
        out[4][i] = far - b[i] * (1.0 / 12.0);
        out[5][i] = c[i];
    }
    out
}

/// Bᵀ along one side.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(super) unsafe fn input<V: Lanes>(d: [V; SIDE]) -> [V; SIDE] {
    // SAFETY: this function's contract.
    unsafe {
        let (two, four) = (V::splat(2.0), V::splat(4.0));
        let (minus_four, minus_five) = (V::splat(-4.0), V::splat(-5.0));
        let (even, odd) = (d[4].plus_product(d[2], minus_four), d[3].plus_product(d[1], minus_four));
        let (near, far) = (d[4].minus(d[2]), d[3].minus(d[1]).times(two));
        [
            d[4].plus_product(d[0], four).plus_product(d[2], minus_five),
            even.plus(odd),
            even.minus(odd),
            near.plus(far),
            near.minus(far),
            d[5].plus_product(d[1], four).plus_product(d[3], minus_five),
        ]
    }
}

/// Aᵀ along one side.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(super) unsafe fn output<V: Lanes>(m: [V; SIDE]) -> [V; STEP] {
    // SAFETY: this function's contract.
    unsafe {
        let (a, b) = (m[1].plus(m[2]), m[1].minus(m[2]));
        let (c, d) = (m[3].plus(m[4]), m[3].minus(m[4]));
        [
            m[0].plus(a).plus(c),
            b.plus_product(d, V::splat(2.0)),
            a.plus_product(c, V::splat(4.0)),
            m[5].plus(b).plus_product(d, V::splat(8.0)),
        ]
    }
}

/// A along one side: the way back of [`output`].
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(super) unsafe fn output_back<V: Lanes>(y: [V; STEP]) -> [V; SIDE] {
    // SAFETY: this function's contract.
    unsafe {
        let (even, odd) = (y[0].plus(y[2]), y[1].plus(y[3]));
        let even_far = y[0].plus_product(y[2], V::splat(4.0));
        let odd_far = y[1].times(V::splat(2.0)).plus_product(y[3], V::splat(8.0));
        [y[0], even.plus(odd), even.minus(odd), even_far.plus(odd_far), even_far.minus(odd_far), y[3]]
    }
}

/// Gᵀ along one side.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(super) unsafe fn kernel_back<V: Lanes>(u: [V; SIDE]) -> [V; 3] {
    // SAFETY: this function's contract.
    unsafe {
        let (a, b) = (u[1].plus(u[2]), u[2].minus(u[1]));
        let (c, d) = (u[3].plus(u[4]), u[3].minus(u[4]));
        let zero = V::splat(0.0);
        [
            zero.plus_product(u[0], V::splat(1.0 / 4.0))
                .plus_product(a, V::splat(-1.0 / 6.0))
                .plus_product(c, V::splat(1.0 / 24.0)),
            zero.plus_product(b, V::splat(1.0 / 6.0)).plus_product(d, V::splat(1.0 / 12.0)),
            u[5].plus_product(c.minus(a), V::splat(1.0 / 6.0)),
        ]
    }
}
