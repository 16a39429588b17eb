//! The attention mask of a DCM, a row at a time (`pdn_network`'s `op/dcm.rs`, equation 2).
//!
//! In the folded form, the squared norm is `|R x + r|²` plus a constant. R is triangular, so its zero blocks are
//! skipped. The sums of a few pixels by two blocks of R's rows stay in registers, and are squared and accumulated; then
//! a 16x16 transpose adds up the lanes of 16 sums at once.

use crate::lanes::{self, Kernel, Lanes};
use crate::{Isa, LANES, Row, RowShape, RowsMut};

/// The constants of a mask.
#[derive(Clone, Copy, Debug)]
pub struct MaskScale {
    /// ζ.
    pub zeta: f32,
    /// The constant to add to the squared norm: the constant last row of R, squared, and ε².
    pub square: f32,
}

impl MaskScale {
    fn mask(self, numerator: f32, square: f32) -> f32 {
        1.0 / (1.0 + (-self.zeta * numerator / (square + self.square).sqrt()).exp())
    }
}

/// The mask of a folded DCM for one prompt.
#[derive(Clone, Debug)]
pub struct FoldedMask {
    channels: usize,
    /// For every pair of blocks of R's rows, the first block of inputs that is not zero.
    first: Vec<usize>,
    /// `[pair][input from the first block on][2][16]`.
    rows: Vec<f32>,
    /// `[block][16]`, in whole pairs: added to `R x`.
    shift: Vec<f32>,
    /// `[block][16]`: the numerator is its inner product with x, plus the constant.
    numerator: Vec<f32>,
    constant: f32,
    scale: MaskScale,
}

/// Rows of R that are computed together: two blocks.
const PAIR: usize = 2 * LANES;

impl FoldedMask {
    /// Lays out R `[channels, channels]`, the shift to add to `R x`, and the numerator's vector and constant.
    ///
    /// # Panics
    /// Panics if the lengths do not match.
    pub fn new(r: &[f32], shift: &[f32], (numerator, constant): (&[f32], f32), scale: MaskScale) -> Self {
        let channels = shift.len();
        assert!(r.len() == channels * channels && numerator.len() == channels, "R of {channels} channels");
        let number = |row: usize, input: usize| if row < channels { r[row * channels + input] } else { 0.0 };
        let (mut first, mut rows) = (Vec::new(), Vec::new());
        for pair in (0..channels).step_by(PAIR) {
            let zero = |input: &usize| (pair..pair + PAIR).all(|row| number(row, *input) == 0.0);
            let block = (0..channels).take_while(zero).count() / LANES;
            first.push(block);
            for input in block * LANES..channels {
                rows.extend((pair..pair + PAIR).map(|row| number(row, input)));
            }
        }
        let filled = |numbers: &[f32]| {
            let mut filled = numbers.to_vec();
            filled.resize(channels.next_multiple_of(PAIR), 0.0);
            filled
        };
        Self { channels, first, rows, shift: filled(shift), numerator: filled(numerator), constant, scale }
    }

    /// Writes `[m x; m]` for a row of features x: one channel more than it reads.
    ///
    /// # Panics
    /// Panics if a slice does not have its shape's length, the shapes do not fit, or the machine lacks the instruction
    /// set.
    pub fn row(&self, isa: Isa, x: Row, out: RowsMut) {
        let (Row { data: x, shape }, RowsMut { data: out, shape: out_shape }) = (x, out);
        assert_eq!(shape.blocks, self.channels.div_ceil(LANES), "blocks of features");
        assert_eq!(out_shape.blocks, (self.channels + 1).div_ceil(LANES), "blocks of output");
        shape.check(x);
        out_shape.check(out);
        assert_eq!(shape.width, out_shape.width, "rows of one width");
        out_shape.clear_pads(out);
        // SAFETY: the slices have their shapes' lengths, and the shapes fit the mask: checked above.
        unsafe { lanes::run(isa, FoldedRow { mask: self, x, shape, out, out_shape }) }
    }
}

/// One row to mask: reads and writes pixels `0..width` of the blocks that the shapes have.
struct FoldedRow<'a> {
    mask: &'a FoldedMask,
    x: &'a [f32],
    shape: RowShape,
    out: &'a mut [f32],
    out_shape: RowShape,
}

impl Kernel for FoldedRow<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let mut at = 0;
        // SAFETY: the tiles end within the row.
        unsafe {
            match V::PIXELS {
                14 => self.tiles::<V, 14>(&mut at),
                _ => self.tiles::<V, 3>(&mut at),
            }
            self.tiles::<V, 1>(&mut at);
        }
    }
}

impl FoldedRow<'_> {
    /// Computes as many tiles of `P` pixels as fit.
    ///
    /// # Safety
    /// Same as [`Kernel::run`].
    #[inline(always)]
    unsafe fn tiles<V: Lanes, const P: usize>(&mut self, at: &mut usize) {
        while *at + P <= self.shape.width {
            // SAFETY: the tile ends within the row.
            unsafe {
                let [squares, numerators] = self.sums::<V, P>(*at);
                for p in 0..P {
                    let m = self.mask.scale.mask(numerators[p] + self.mask.constant, squares[p]);
                    let from = |block| self.shape.at(block, *at + p);
                    let to = |block| self.out_shape.at(block, *at + p);
                    put_masked::<V>(self.x, from, m, self.mask.channels, self.out, to);
                }
            }
            *at += P;
        }
    }

    /// Returns the squared norm and the numerator of each of `P` pixels, both without their constants.
    ///
    /// # Safety
    /// Same as [`Kernel::run`]; `at + P` is at most the width.
    #[inline(always)]
    unsafe fn sums<V: Lanes, const P: usize>(&self, at: usize) -> [[f32; LANES]; 2] {
        let Self { mask, x, shape, .. } = self;
        // SAFETY: the rows of a pair are laid out from its first block on, and the pixels are inside the row.
        unsafe {
            let mut squares = [V::splat(0.0); LANES];
            let mut numerators = [V::splat(0.0); LANES];
            let mut rows = mask.rows.as_ptr();
            for (pair, first) in mask.first.iter().enumerate() {
                let shift = mask.shift.as_ptr().add(pair * PAIR);
                let (mut upper, mut lower) = ([V::load(shift); P], [V::load(shift.add(LANES)); P]);
                for block in *first..shape.blocks {
                    let mut pixel = x.as_ptr().add(shape.at(block, at));
                    for _ in 0..LANES.min(mask.channels - block * LANES) {
                        let (a, b) = (V::load(rows), V::load(rows.add(LANES)));
                        for (p, (upper, lower)) in upper.iter_mut().zip(&mut lower).enumerate() {
                            let value = V::splat(*pixel.add(p * LANES));
                            *upper = a.mul_add(value, *upper);
                            *lower = b.mul_add(value, *lower);
                        }
                        rows = rows.add(PAIR);
                        pixel = pixel.add(1);
                    }
                }
                for (square, (upper, lower)) in squares.iter_mut().zip(upper.iter().zip(&lower)) {
                    *square = lower.mul_add(*lower, upper.mul_add(*upper, *square));
                }
            }
            for block in 0..shape.blocks {
                let factor = V::load(mask.numerator.as_ptr().add(block * LANES));
                for (p, numerator) in numerators.iter_mut().enumerate().take(P) {
                    let v = V::load(x.as_ptr().add(shape.at(block, at + p)));
                    *numerator = factor.mul_add(v, *numerator);
                }
            }
            [across(squares), across(numerators)]
        }
    }
}

/// Returns the sum of the lanes of each of sixteen vectors.
///
/// # Safety
/// Same as for [`Lanes`].
#[inline(always)]
unsafe fn across<V: Lanes>(vectors: [V; LANES]) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    // SAFETY: this function's contract; 16 numbers fit.
    unsafe {
        let columns = V::transpose(vectors);
        let mut sum = columns[0];
        for column in &columns[1..] {
            sum = sum.plus(*column);
        }
        sum.store(out.as_mut_ptr());
    }
    out
}

/// Writes a pixel's `m x`, and m as one more channel.
///
/// # Safety
/// Same as for [`Lanes`]; `from` and `to` return places for 16 numbers for each block of the channels, and `to` for one
/// more if the channels fill their blocks.
#[inline(always)]
unsafe fn put_masked<V: Lanes>(
    x: &[f32],
    from: impl Fn(usize) -> usize,
    m: f32,
    channels: usize,
    out: &mut [f32],
    to: impl Fn(usize) -> usize,
) {
    let (last, lane) = (channels / LANES, channels % LANES);
    // SAFETY: this function's contract.
    unsafe {
        for block in 0..channels.div_ceil(LANES) {
            V::load(x.as_ptr().add(from(block))).times(V::splat(m)).store(out.as_mut_ptr().add(to(block)));
        }
        if lane == 0 {
            V::splat(0.0).store(out.as_mut_ptr().add(to(last)));
        }
        *out.as_mut_ptr().add(to(last) + lane) = m;
    }
}

/// Writes `[m x; m]` for a row of features x of `channels` channels, from a projection that is not folded.
///
/// `projected` has one block more than the features, whose first lane is the numerator;
/// `m = sigmoid(ζ numerator / sqrt(|x|² + square))`. The output has `channels + 1` channels.
///
/// # Panics
/// Panics if a slice does not have its shape's length, the shapes do not fit, or the machine lacks the instruction set.
pub fn mask_row(isa: Isa, channels: usize, projected: Row, scale: MaskScale, out: RowsMut) {
    let (Row { data: projected, shape }, RowsMut { data: out, shape: out_shape }) = (projected, out);
    assert_eq!(shape.width, out_shape.width, "rows of one width");
    assert_eq!(shape.blocks, channels.div_ceil(LANES) + 1, "blocks of the projection");
    assert_eq!(out_shape.blocks, (channels + 1).div_ceil(LANES), "blocks of output");
    shape.check(projected);
    out_shape.check(out);
    out_shape.clear_pads(out);
    // SAFETY: every slice has its shape's length and the shapes fit each other, checked above.
    unsafe { lanes::run(isa, ProjectedRow { channels, projected, shape, scale, out, out_shape }) }
}

/// One row to mask: reads and writes pixels `0..width` of the blocks that the shapes have.
struct ProjectedRow<'a> {
    channels: usize,
    projected: &'a [f32],
    shape: RowShape,
    scale: MaskScale,
    out: &'a mut [f32],
    out_shape: RowShape,
}

impl Kernel for ProjectedRow<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let last = self.shape.blocks - 1;
        for x in 0..self.shape.width {
            // SAFETY: `at` returns the first of 16 numbers of a pixel inside the row, and the slices are whole rows.
            unsafe {
                let mut squares = [V::splat(0.0); LANES];
                for block in 0..last {
                    let v = V::load(self.projected.as_ptr().add(self.shape.at(block, x)));
                    squares[0] = v.mul_add(v, squares[0]);
                }
                let numerator = self.projected[self.shape.at(last, x)];
                let m = self.scale.mask(numerator, across(squares)[0]);
                let (from, to) = (|block| self.shape.at(block, x), |block| self.out_shape.at(block, x));
                put_masked::<V>(self.projected, from, m, self.channels, self.out, to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(i: usize) -> f32 {
        ((i * 7919 % 1009) as f32 / 1009.0) - 0.5
    }

    /// Checks a masked row of features against the mask of each pixel.
    fn check(
        isa: Isa,
        channels: usize,
        width: usize,
        out: &[f32],
        x: impl Fn(usize, usize) -> f64,
        m: impl Fn(usize) -> f64,
    ) {
        let shape = RowShape::new(channels + 1, width, 2);
        for col in 0..width {
            for c in 0..shape.blocks * LANES {
                let found = f64::from(out[shape.at(c / LANES, col) + c % LANES]);
                let expected = match c {
                    c if c < channels => m(col) * x(c, col),
                    c if c == channels => m(col),
                    _ => 0.0,
                };
                assert!((found - expected).abs() < 1e-6, "{isa} {channels} {width}: {found} {expected}");
            }
        }
    }

    const SCALE: MaskScale = MaskScale { zeta: 5.0, square: 0.3 };

    fn sigmoid(numerator: f64, square: f64) -> f64 {
        1.0 / (1.0 + (-5.0 * numerator / (square + f64::from(SCALE.square)).sqrt()).exp())
    }

    #[test]
    fn every_instruction_set_masks_folded_features() {
        for channels in [1, 15, 16, 17, 40, 64] {
            for (width, triangular) in [(1, true), (5, false), (33, true), (33, false)] {
                let shape = RowShape::new(channels, width, 1);
                let mut x = vec![0.0; shape.len()];
                for (c, col) in (0..channels).flat_map(|c| (0..width).map(move |col| (c, col))) {
                    x[shape.at(c / LANES, col) + c % LANES] = number(c * 31 + col);
                }
                let feature = |c: usize, col: usize| f64::from(x[shape.at(c / LANES, col) + c % LANES]);
                let r: Vec<f32> = (0..channels * channels)
                    .map(|i| if triangular && i % channels < i / channels { 0.0 } else { number(i + 7) })
                    .collect();
                let shift: Vec<f32> = (0..channels).map(|i| number(i + 3)).collect();
                let vector: Vec<f32> = (0..channels).map(|i| number(i + 11)).collect();
                let mask = FoldedMask::new(&r, &shift, (&vector, 0.25), SCALE);
                let m = |col: usize| {
                    let row =
                        |i: usize| (0..channels).map(|j| f64::from(r[i * channels + j]) * feature(j, col)).sum::<f64>();
                    let square = (0..channels).map(|i| (row(i) + f64::from(shift[i])).powi(2)).sum();
                    let numerator: f64 = (0..channels).map(|j| f64::from(vector[j]) * feature(j, col)).sum();
                    sigmoid(numerator + 0.25, square)
                };
                for isa in Isa::available() {
                    let out_shape = RowShape::new(channels + 1, width, 2);
                    let mut out = vec![f32::NAN; out_shape.len()];
                    mask.row(isa, Row::new(&x, shape), RowsMut::new(&mut out, out_shape));
                    check(isa, channels, width, &out, feature, m);
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_masks_projected_features() {
        for channels in [1_usize, 15, 16, 17, 40, 64] {
            for width in [1, 5, 33] {
                let shape = RowShape::new(channels.next_multiple_of(LANES) + 1, width, 0);
                let mut x: Vec<f32> = (0..shape.len()).map(number).collect();
                for (c, col) in
                    (channels..channels.next_multiple_of(LANES)).flat_map(|c| (0..width).map(move |col| (c, col)))
                {
                    x[shape.at(c / LANES, col) + c % LANES] = 0.0;
                }
                let feature = |c: usize, col: usize| f64::from(x[shape.at(c / LANES, col) + c % LANES]);
                let m = |col: usize| {
                    let square = (0..channels).map(|c| feature(c, col).powi(2)).sum();
                    sigmoid(feature(channels.next_multiple_of(LANES), col), square)
                };
                for isa in Isa::available() {
                    let out_shape = RowShape::new(channels + 1, width, 2);
                    let mut out = vec![f32::NAN; out_shape.len()];
                    mask_row(isa, channels, Row::new(&x, shape), SCALE, RowsMut::new(&mut out, out_shape));
                    check(isa, channels, width, &out, feature, m);
                }
            }
        }
    }
}
