//! The matrices of F(4x4, 3x3), along one side at a time; each is applied to columns and then to rows.
//!
//! They follow from the points at which the polynomials are evaluated (Toom and Cook): 0, infinity, and two pairs of
//! opposite points. Lavin and Gray's pairs are 1 and 2; with 3/4 and 3/2 a quarter of their largest error is left, a
//! fifth more than the best found, and every constant of B and A is exact in binary.

use super::operands::{Channels, Number, Operands};
use super::tile::{PLACES, SIDE, STEP, STRIP, load, store};
use crate::lanes::Lanes;
use crate::{Aligned, LANES};
use std::mem::MaybeUninit;

/// The nearer pair of points.
const NEAR: f32 = 0.75;
/// The farther pair of points.
const FAR: f32 = 1.5;
/// G at 0.
const G_ZERO: f32 = 64.0 / 81.0;
/// G's row at [`NEAR`]; at its opposite the middle number is negative.
const G_NEAR: [f32; 3] = [-128.0 / 243.0, -96.0 / 243.0, -72.0 / 243.0];
/// G's row at [`FAR`].
const G_FAR: [f32; 3] = [32.0 / 243.0, 48.0 / 243.0, 72.0 / 243.0];

/// A transformed kernel: `[place][input][output]`, with the outputs rounded up to lanes. The inputs that are multiplied
/// at once are adjacent for each output, with zeros for a missing one.
#[derive(Clone, Debug)]
pub(crate) struct WinogradKernel<N = f32> {
    /// The number of multiplications over the inputs.
    pub(crate) steps: usize,
    pub(crate) lanes: usize,
    pub(crate) numbers: Aligned<N>,
}

impl WinogradKernel {
    /// Returns whether the transform makes the convolution faster: below a vector of channels, direct convolution is as
    /// fast.
    pub(crate) fn pays(outputs: usize, inputs: usize, side: usize) -> bool {
        side == 3 && outputs >= LANES && inputs >= LANES
    }
}

impl<N: Number> WinogradKernel<N> {
    /// Transforms a kernel of 3x3 taps; `at(output, input, tap)` is the index of a number in `kernel`.
    pub(crate) fn new(
        kernel: &[f32],
        outputs: usize,
        inputs: usize,
        at: impl Fn(usize, usize, usize) -> usize,
    ) -> Self {
        let lanes = outputs.next_multiple_of(LANES);
        Self::of_lanes(
            lanes,
            inputs,
            |lane, input, tap| if lane < outputs { kernel[at(lane, input, tap)] } else { 0.0 },
        )
    }

    /// Transforms a kernel given element by element, for `lanes` outputs, a multiple of [`LANES`].
    pub(crate) fn of_lanes(lanes: usize, inputs: usize, number: impl Fn(usize, usize, usize) -> f32) -> Self {
        let steps = inputs.div_ceil(N::AT_ONCE);
        let mut numbers = Aligned::new(N::ZERO, PLACES * steps * lanes * N::AT_ONCE);
        let laid = &mut numbers[..];
        let mut at_once = [[[0.0; LANES]; PLACES]; 2];
        for (step, block) in (0..steps).flat_map(|step| (0..lanes).step_by(LANES).map(move |block| (step, block))) {
            for (of, places) in at_once.iter_mut().enumerate().take(N::AT_ONCE) {
                let input = step * N::AT_ONCE + of;
                *places = match input < inputs {
                    true => kernel_places(|lane, tap| number(block + lane, input, tap)),
                    false => [[0.0; LANES]; PLACES],
                };
            }
            let [first, second] = &at_once;
            for (place, inputs) in first.iter().zip(second).enumerate() {
                let at = ((place * steps + step) * lanes + block) * N::AT_ONCE;
                N::beside(inputs.into(), &mut laid[at..][..LANES * N::AT_ONCE]);
            }
        }
        Self { steps, lanes, numbers }
    }
}

/// Columns that a strip of tiles reads: neighbours share two.
const COLUMNS: usize = STEP * STRIP + SIDE - STEP;

/// Computes Bᵀ d B for adjacent tiles of one block. Reads their pixels from six rows, and writes each tile's 36 places
/// as operands, `tile` numbers apart for tiles and `place` numbers apart for places. Only the lanes that are channels
/// are multiplied.
///
/// # Safety
/// Same as for [`Lanes`]; there are at most [`STRIP`] tiles, whose pixels may be read, one after the other, and places
/// written.
#[inline(always)]
pub(crate) unsafe fn transform_tiles<V: Lanes, O: Operands<V>>(
    rows: [*const f32; SIDE],
    count: usize,
    channels: usize,
    to: *mut O::Number,
    (tile, place): (usize, usize),
) {
    debug_assert!(count <= STRIP);
    let channels = Channels::new::<O::Number>(channels);
    let mut half = MaybeUninit::<[[[f32; LANES]; SIDE]; COLUMNS]>::uninit();
    let half = half.as_mut_ptr().cast::<f32>();
    // SAFETY: this function's contract; every column of the half that is read was written.
    unsafe {
        for column in 0..STEP * count + SIDE - STEP {
            let mut pixels = [V::splat(0.0); SIDE];
            for (pixel, row) in pixels.iter_mut().zip(rows) {
                *pixel = V::load(row.add(column * LANES));
            }
            store(input(pixels), half.add(column * SIDE * LANES), LANES);
        }
        for at in 0..count {
            let (from, to) = (half.add(at * STEP * SIDE * LANES), to.add(at * tile));
            for i in 0..SIDE {
                let places = input(load::<V, SIDE>(from.add(i * LANES), SIDE * LANES));
                for (j, v) in places.iter().enumerate() {
                    channels.store::<V, O>(*v, to.add((SIDE * i + j) * place));
                }
            }
        }
    }
}

/// A tile and block transformed along its rows.
pub(crate) struct HalfTile(MaybeUninit<[[f32; LANES]; SIDE * SIDE]>);

impl HalfTile {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Transforms one of six rows.
    ///
    /// # Safety
    /// Same as for [`Lanes`]; the row is below six.
    #[inline(always)]
    pub(crate) unsafe fn put<V: Lanes>(&mut self, row: usize, pixels: [V; SIDE]) {
        // SAFETY: this function's contract; the half has its 36 vectors.
        unsafe { store(input(pixels), self.0.as_mut_ptr().cast::<f32>().add(row * LANES), SIDE * LANES) }
    }

    /// Transforms the columns, and writes the 36 places as operands.
    ///
    /// # Safety
    /// Same as for [`Lanes`]; every row was put, and the places may be written.
    #[inline(always)]
    pub(crate) unsafe fn finish<V: Lanes, O: Operands<V>>(&self, to: *mut O::Number, place: usize) {
        let half = self.0.as_ptr().cast::<f32>();
        for j in 0..SIDE {
            // SAFETY: this function's contract.
            unsafe {
                let places = input(load::<V, SIDE>(half.add(j * SIDE * LANES), LANES));
                for (i, v) in places.iter().enumerate() {
                    O::store(*v, to.add((SIDE * i + j) * place));
                }
            }
        }
    }
}

/// A tile and block whose products are transformed back along one side.
pub(crate) struct HalfBack(MaybeUninit<[[f32; LANES]; SIDE * STEP]>);

/// Computes Aᵀ m along columns; the 36 places of m are `place` numbers apart.
///
/// # Safety
/// Same as for [`Lanes`]; the places may be read.
#[inline(always)]
pub(crate) unsafe fn transform_back<V: Lanes>(m: *const f32, place: usize) -> HalfBack {
    let mut half = HalfBack(MaybeUninit::uninit());
    let to = half.0.as_mut_ptr().cast::<f32>();
    for j in 0..SIDE {
        // SAFETY: this function's contract; the half has its 24 vectors.
        unsafe { store(output(load::<V, SIDE>(m.add(j * place), SIDE * place)), to.add(j * LANES), SIDE * LANES) }
    }
    half
}

impl HalfBack {
    /// Returns the four results of a row.
    ///
    /// # Safety
    /// Same as for [`Lanes`]; the row is below four.
    #[inline(always)]
    pub(crate) unsafe fn row<V: Lanes>(&self, row: usize) -> [V; STEP] {
        debug_assert!(row < STEP);
        // SAFETY: all of it was written at construction, and the row is one of its four.
        unsafe { output(load::<V, SIDE>(self.0.as_ptr().cast::<f32>().add(row * SIDE * LANES), LANES)) }
    }
}

/// Computes G g Gᵀ for every lane, given its taps.
fn kernel_places(number: impl Fn(usize, usize) -> f32) -> [[f32; LANES]; PLACES] {
    let mut taps = [[0.0; LANES]; 9];
    for (tap, taps) in taps.iter_mut().enumerate() {
        for (lane, to) in taps.iter_mut().enumerate() {
            *to = number(lane, tap);
        }
    }
    // Rows, then columns, for every lane at once.
    let row = |row: usize| kernel_side([taps[3 * row], taps[3 * row + 1], taps[3 * row + 2]]);
    let [top, middle, bottom] = [row(0), row(1), row(2)];
    let mut places = [[0.0; LANES]; PLACES];
    for (column, top) in top.into_iter().enumerate() {
        for (row, place) in kernel_side([top, middle[column], bottom[column]]).into_iter().enumerate() {
            places[row * SIDE + column] = place;
        }
    }
    places
}

/// Applies G along one side, for every lane.
pub(crate) fn kernel_side([a, b, c]: [[f32; LANES]; 3]) -> [[f32; LANES]; SIDE] {
    let mut out = [[0.0; LANES]; SIDE];
    // A loop, which the compiler vectorises; it does not vectorise closures.
    for i in 0..LANES {
        let (near, near_odd) = (a[i] * G_NEAR[0] + c[i] * G_NEAR[2], b[i] * G_NEAR[1]);
        let (far, far_odd) = (a[i] * G_FAR[0] + c[i] * G_FAR[2], b[i] * G_FAR[1]);
        out[0][i] = a[i] * G_ZERO;
        out[1][i] = near + near_odd;
        out[2][i] = near - near_odd;
        out[3][i] = far + far_odd;
        out[4][i] = far - far_odd;
        out[5][i] = c[i];
    }
    out
}

/// Applies Bᵀ along one side.
///
/// # Safety
/// Same as for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn input<V: Lanes>(d: [V; SIDE]) -> [V; SIDE] {
    // SAFETY: this function's contract.
    unsafe {
        let (near, far) = (V::splat(NEAR), V::splat(FAR));
        let (near_square, far_square) = (V::splat(-NEAR * NEAR), V::splat(-FAR * FAR));
        let (product, sum) = (V::splat(NEAR * NEAR * FAR * FAR), V::splat(-NEAR * NEAR - FAR * FAR));
        let (near_even, near_odd) = (d[2].mul_add(far_square, d[4]), d[1].mul_add(far_square, d[3]).times(near));
        let (far_even, far_odd) = (d[2].mul_add(near_square, d[4]), d[1].mul_add(near_square, d[3]).times(far));
        [
            d[2].mul_add(sum, d[0].mul_add(product, d[4])),
            near_even.plus(near_odd),
            near_even.minus(near_odd),
            far_even.plus(far_odd),
            far_even.minus(far_odd),
            d[3].mul_add(sum, d[1].mul_add(product, d[5])),
        ]
    }
}

/// Applies Aᵀ along one side.
///
/// # Safety
/// Same as for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn output<V: Lanes>(m: [V; SIDE]) -> [V; STEP] {
    // SAFETY: this function's contract.
    unsafe {
        let (a, b) = (m[1].plus(m[2]), m[1].minus(m[2]));
        let (c, d) = (m[3].plus(m[4]), m[3].minus(m[4]));
        [
            m[0].plus(a).plus(c),
            d.mul_add(V::splat(FAR), b.times(V::splat(NEAR))),
            c.mul_add(V::splat(FAR * FAR), a.times(V::splat(NEAR * NEAR))),
            d.mul_add(V::splat(FAR * FAR * FAR), b.mul_add(V::splat(NEAR * NEAR * NEAR), m[5])),
        ]
    }
}

/// Applies A along one side: the backward pass of [`output`].
///
/// # Safety
/// Same as for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn output_back<V: Lanes>(y: [V; STEP]) -> [V; SIDE] {
    // SAFETY: this function's contract.
    unsafe {
        let even = y[2].mul_add(V::splat(NEAR * NEAR), y[0]);
        let odd = y[3].mul_add(V::splat(NEAR * NEAR * NEAR), y[1].times(V::splat(NEAR)));
        let even_far = y[2].mul_add(V::splat(FAR * FAR), y[0]);
        let odd_far = y[3].mul_add(V::splat(FAR * FAR * FAR), y[1].times(V::splat(FAR)));
        [y[0], even.plus(odd), even.minus(odd), even_far.plus(odd_far), even_far.minus(odd_far), y[3]]
    }
}

/// Applies Gᵀ along one side.
///
/// # Safety
/// Same as for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn kernel_back<V: Lanes>(u: [V; SIDE]) -> [V; 3] {
    // SAFETY: this function's contract.
    unsafe {
        let (a, b) = (u[1].plus(u[2]), u[1].minus(u[2]));
        let (c, d) = (u[3].plus(u[4]), u[3].minus(u[4]));
        [
            c.mul_add(V::splat(G_FAR[0]), a.mul_add(V::splat(G_NEAR[0]), u[0].times(V::splat(G_ZERO)))),
            d.mul_add(V::splat(G_FAR[1]), b.times(V::splat(G_NEAR[1]))),
            c.mul_add(V::splat(G_FAR[2]), a.mul_add(V::splat(G_NEAR[2]), u[5])),
        ]
    }
}
