//! Direct convolution, a row at a time.
//!
//! A tile of a few pixels by one or two blocks of 16 output channels stays in registers while the kernel and the input
//! channels go by: each input number is broadcast once for every block, each kernel number loaded once for every pixel.
//! Bias, activation, scale, sum and pixel shuffle happen as a tile is stored.
//!
//! A 3x3 convolution to five outputs or fewer, such as every network's last, would leave most lanes empty. Its three columns
//! share the lanes instead: a tile sums over inputs and rows only, then each output adds three neighbouring pixels' lanes.

use crate::lanes::{self, Kernel, Lanes};
use crate::{Activation, Isa, LANES, RowShape};

/// The largest side of a kernel.
const MAX_SIDE: usize = 15;

/// A convolution's kernel and bias, laid out for the row kernels.
#[derive(Clone, Debug)]
pub struct Conv {
    inputs: usize,
    outputs: usize,
    side: usize,
    shuffle: usize,
    /// `[block][input block][ky][kx][input lane][16]`: the order in which a tile reads it. Where columns share the
    /// lanes there is one block and no kx, and lane `kx * outputs + output` holds each.
    kernel: Vec<f32>,
    /// `[block][16]`.
    bias: Vec<f32>,
}

/// What happens to a row's numbers as they are stored: `activation(x) * scale + add`.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// Applied first.
    pub activation: Activation,
    /// Then multiplied.
    pub scale: f32,
    /// Then added: a row of the output's shape.
    pub add: Option<&'a [f32]>,
}

impl Default for Store<'_> {
    fn default() -> Self {
        Self { activation: Activation::Identity, scale: 1.0, add: None }
    }
}

impl Conv {
    /// Lays out a kernel `[out, in, side, side]` and bias `[out]`.
    ///
    /// With `shuffle` r above 1 the row kernel writes r rows at once, pixel-shuffled; the outputs must then be r² times
    /// a multiple of 16, so that each block of outputs lands on one phase of the r x r.
    ///
    /// # Panics
    /// When the lengths do not agree, the side is even or above 15, or `shuffle` does not divide as said.
    pub fn new(kernel: &[f32], bias: &[f32], inputs: usize, side: usize, shuffle: usize) -> Self {
        let outputs = bias.len();
        assert!(side % 2 == 1 && side <= MAX_SIDE, "a kernel of side {side}");
        assert_eq!(kernel.len(), outputs * inputs * side * side, "a kernel of {outputs}x{inputs}x{side}x{side}");
        assert!(
            shuffle == 1 || (shuffle > 1 && outputs.is_multiple_of(shuffle * shuffle * LANES)),
            "a shuffle by {shuffle}"
        );
        let blocks = outputs.div_ceil(LANES);
        let mut laid = Self { inputs, outputs, side, shuffle, kernel: Vec::new(), bias: vec![0.0; blocks * LANES] };
        for block in 0..blocks {
            for lane in 0..LANES {
                if let Some(output) = laid.output(block, lane) {
                    laid.bias[block * LANES + lane] = bias[output];
                }
            }
        }
        laid.kernel = laid.lay_out(kernel);
        laid
    }

    /// The kernel in the order in which a tile reads it.
    fn lay_out(&self, kernel: &[f32]) -> Vec<f32> {
        let (side, inputs) = (self.side, self.inputs);
        let columns = if self.shares_lanes() { 1 } else { side };
        let mut laid = Vec::with_capacity(self.bias.len() * inputs * side * columns);
        for block in 0..self.bias.len() / LANES {
            for first in (0..inputs).step_by(LANES) {
                for tap in 0..side * columns {
                    for input in first..inputs.min(first + LANES) {
                        let number = |output: usize, tap: usize| kernel[(output * inputs + input) * side * side + tap];
                        let lanes: [f32; LANES] = std::array::from_fn(|lane| match self.shares_lanes() {
                            false => self.output(block, lane).map_or(0.0, |output| number(output, tap)),
                            true if lane < self.outputs * side => {
                                number(lane % self.outputs, tap * side + lane / self.outputs)
                            }
                            true => 0.0,
                        });
                        laid.extend(lanes);
                    }
                }
            }
        }
        laid
    }

    /// Whether the columns of the kernel share the lanes.
    fn shares_lanes(&self) -> bool {
        self.side == 3 && self.shuffle == 1 && self.outputs * self.side <= LANES
    }

    /// The output channel in a lane of a block, where there is one. A block of a shuffled convolution holds one phase.
    fn output(&self, block: usize, lane: usize) -> Option<usize> {
        let phases = self.shuffle * self.shuffle;
        let blocks_of_phase = self.outputs.div_ceil(LANES) / phases;
        let (phase, block) = match phases {
            1 => (0, block),
            _ => (block / blocks_of_phase, block % blocks_of_phase),
        };
        let output = (block * LANES + lane) * phases + phase;
        (output < self.outputs).then_some(output)
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Output channels, before the pixel shuffle.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Side of the kernel.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Factor of the pixel shuffle, 1 without.
    pub fn shuffle(&self) -> usize {
        self.shuffle
    }

    /// Bytes that the laid out kernel takes.
    pub fn bytes(&self) -> usize {
        (self.kernel.len() + self.bias.len()) * size_of::<f32>()
    }

    /// Convolves one row: `input` is `side` rows around it, those outside the picture being zeros. Writes `shuffle`
    /// rows, one after the other, with their zero pixels.
    ///
    /// # Panics
    /// When a slice is not of its shape's length, the shapes do not fit the convolution, the input is not padded by
    /// half a kernel, `add` comes with a shuffle, or the machine lacks the instruction set.
    pub fn row(
        &self,
        isa: Isa,
        input: &[&[f32]],
        input_shape: RowShape,
        store: &Store,
        out: &mut [f32],
        out_shape: RowShape,
    ) {
        let r = self.shuffle;
        assert_eq!(input.len(), self.side, "rows of input");
        assert!(input.iter().all(|row| row.len() == input_shape.len()), "rows of {input_shape:?}");
        assert_eq!(input_shape.blocks, self.inputs.div_ceil(LANES), "blocks of input");
        assert!(input_shape.pad >= self.side / 2, "a pad of {} for a kernel of {}", input_shape.pad, self.side);
        assert_eq!(out_shape.blocks, self.outputs.div_ceil(LANES) / (r * r), "blocks of output");
        assert_eq!(out_shape.width, input_shape.width * r, "width of output");
        assert_eq!(out.len(), out_shape.len() * r, "rows of output");
        assert!(store.add.is_none_or(|add| r == 1 && add.len() == out.len()), "a row to add");
        for row in out.chunks_exact_mut(out_shape.len()) {
            out_shape.clear_pads(row);
        }
        let mut rows = [std::ptr::null(); MAX_SIDE];
        for (pointer, row) in rows.iter_mut().zip(input) {
            // Checked above: the pad holds the pixels left of the first.
            *pointer = row[(input_shape.pad - self.side / 2) * LANES..].as_ptr();
        }
        let job = Job { conv: self, rows, input_shape, store, out: out.as_mut_ptr(), out_shape };
        // SAFETY: the slices have the lengths that the shapes and the convolution say, so every pointer that the
        // kernel forms lies inside them: see `Job`.
        unsafe { lanes::run(isa, job) }
    }
}

/// One row to convolve.
///
/// Reads, for every tap, pixels `0..width` of each input block shifted by `0..side` from `rows`, which point half a
/// kernel left of the first pixel: inside the row, as the pad is at least half a kernel. Writes pixels `0..width` of
/// each block of output, and reads the same places of `add`.
struct Job<'a> {
    conv: &'a Conv,
    rows: [*const f32; MAX_SIDE],
    input_shape: RowShape,
    store: &'a Store<'a>,
    out: *mut f32,
    out_shape: RowShape,
}

impl Kernel for Job<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        if self.conv.shares_lanes() {
            // SAFETY: as below.
            return unsafe { self.shared_row::<V>() };
        }
        let blocks = self.conv.outputs.div_ceil(LANES);
        // Two blocks share each broadcast where the registers allow it.
        let pairs = if V::PIXELS >= 14 { blocks / 2 } else { 0 };
        // SAFETY: blocks and pixels stay within the shapes, which is this function's contract.
        unsafe {
            for pair in 0..pairs {
                self.block_row::<V, 2>(2 * pair);
            }
            for block in 2 * pairs..blocks {
                self.block_row::<V, 1>(block);
            }
        }
    }
}

impl Job<'_> {
    /// All pixels of `B` blocks: tiles as wide as the registers allow, then of 4 and of 1.
    ///
    /// # Safety
    /// As [`Kernel::run`]; `block + B` is at most the blocks of output.
    #[inline(always)]
    unsafe fn block_row<V: Lanes, const B: usize>(&self, block: usize) {
        let width = self.input_shape.width;
        let mut x = 0;
        // SAFETY: x plus the tile's width is at most the width.
        unsafe {
            match V::PIXELS {
                14 => x = self.tiles::<V, B, 14>(block, x),
                6 => x = self.tiles::<V, B, 6>(block, x),
                _ => x = self.tiles::<V, B, 3>(block, x),
            }
            x = self.tiles::<V, B, 4>(block, x);
            x = self.tiles::<V, B, 1>(block, x);
        }
        debug_assert_eq!(x, width);
    }

    /// As many tiles of `P` pixels as fit from `x`; gives where the next begins.
    ///
    /// # Safety
    /// As [`Self::block_row`].
    #[inline(always)]
    unsafe fn tiles<V: Lanes, const B: usize, const P: usize>(&self, block: usize, mut x: usize) -> usize {
        while x + P <= self.input_shape.width {
            // SAFETY: the tile ends within the row.
            unsafe { self.tile::<V, B, P>(block, x) };
            x += P;
        }
        x
    }

    /// All pixels of a convolution whose columns share the lanes.
    ///
    /// # Safety
    /// As [`Kernel::run`]; the convolution shares lanes.
    #[inline(always)]
    unsafe fn shared_row<V: Lanes>(&self) {
        let mut x = 0;
        // SAFETY: x plus the tile's outputs is at most the width.
        unsafe {
            if V::PIXELS >= 14 {
                x = self.shared_tiles::<V, 14>(x);
            }
            x = self.shared_tiles::<V, 6>(x);
            x = self.shared_tiles::<V, 3>(x);
        }
        debug_assert_eq!(x, self.input_shape.width);
    }

    /// As many tiles of `P` pixels as fit from `x`, each giving `P - 2` outputs; gives where the next begins.
    ///
    /// # Safety
    /// As [`Self::shared_row`].
    #[inline(always)]
    unsafe fn shared_tiles<V: Lanes, const P: usize>(&self, mut x: usize) -> usize {
        while x + P - 2 <= self.input_shape.width {
            // SAFETY: the pixels from one left of `x` to one right of the last output are inside the padded row, and
            // the outputs inside the row.
            unsafe {
                let sums = self.sums::<V, 1, P>(self.conv.kernel.as_ptr(), [V::splat(0.0)], x, 1);
                self.store_shared(x, sums[0]);
            }
            x += P - 2;
        }
        x
    }

    /// Adds each output's three columns from the lanes of three neighbouring pixels, finishes and writes them.
    ///
    /// # Safety
    /// As [`Self::shared_row`]; `x + P - 2` is at most the width.
    #[inline(always)]
    unsafe fn store_shared<V: Lanes, const P: usize>(&self, x: usize, sums: [V; P]) {
        let outputs = self.conv.outputs;
        let mut columns = [[0.0_f32; LANES]; P];
        for (column, sum) in columns.iter_mut().zip(sums) {
            // SAFETY: 16 numbers fit.
            unsafe { sum.store(column.as_mut_ptr()) };
        }
        for (i, near) in columns.windows(3).enumerate() {
            let mut pixel = [0.0_f32; LANES];
            for (o, v) in pixel.iter_mut().enumerate().take(outputs) {
                *v = self.conv.bias[o] + near[0][o] + near[1][outputs + o] + near[2][2 * outputs + o];
            }
            // SAFETY: 16 numbers are there, and pixel `x + i` is inside the row.
            unsafe { self.store(0, x + i, [V::load(pixel.as_ptr())]) };
        }
    }

    /// One tile of `P` pixels by `B` blocks.
    ///
    /// # Safety
    /// As [`Self::block_row`]; `x + P` is at most the width.
    #[inline(always)]
    unsafe fn tile<V: Lanes, const B: usize, const P: usize>(&self, block: usize, x: usize) {
        let conv = self.conv;
        let stride = conv.inputs * conv.side * conv.side * LANES;
        // SAFETY: the kernel holds `stride` numbers for each block and the bias 16.
        unsafe {
            let bias = conv.bias.as_ptr().add(block * LANES);
            let start: [V; B] = std::array::from_fn(|b| V::load(bias.add(b * LANES)));
            let sums = self.sums::<V, B, P>(conv.kernel.as_ptr().add(block * stride), start, x, conv.side);
            for (b, sums) in sums.into_iter().enumerate() {
                self.store(block + b, x, sums);
            }
        }
    }

    /// The sums of `P` pixels by `B` blocks over inputs, rows and `columns` columns of the kernel, from `start`. The first
    /// pixel that is read is `x` from where the rows point.
    ///
    /// # Safety
    /// `kernel` points to `B` laid out blocks; the pixels are inside the rows.
    #[inline(always)]
    unsafe fn sums<V: Lanes, const B: usize, const P: usize>(
        &self,
        mut kernel: *const f32,
        start: [V; B],
        x: usize,
        columns: usize,
    ) -> [[V; P]; B] {
        let conv = self.conv;
        let stride = conv.inputs * conv.side * columns * LANES;
        let mut sums: [[V; P]; B] = start.map(|v| [v; P]);
        for (input_block, first) in (0..conv.inputs).step_by(LANES).enumerate() {
            let lanes = LANES.min(conv.inputs - first);
            let offset = input_block * self.input_shape.block_len() + x * LANES;
            for row in &self.rows[..conv.side] {
                for dx in 0..columns {
                    // SAFETY: the caller's: the pixels, and the kernel's numbers in the order they were laid out.
                    unsafe {
                        let mut pixel = row.add(offset + dx * LANES);
                        for _ in 0..lanes {
                            let weights: [V; B] = std::array::from_fn(|b| V::load(kernel.add(b * stride)));
                            for p in 0..P {
                                let value = V::splat(*pixel.add(p * LANES));
                                for (sums, weight) in sums.iter_mut().zip(weights) {
                                    sums[p] = sums[p].plus_product(weight, value);
                                }
                            }
                            kernel = kernel.add(LANES);
                            pixel = pixel.add(1);
                        }
                    }
                }
            }
        }
        sums
    }

    /// Finishes and writes the `P` pixels of one block.
    ///
    /// # Safety
    /// As [`Self::tile`].
    #[inline(always)]
    unsafe fn store<V: Lanes, const P: usize>(&self, block: usize, x: usize, sums: [V; P]) {
        let r = self.conv.shuffle;
        let (phase, block) = (block / self.out_shape.blocks, block % self.out_shape.blocks);
        let first = (phase / r) * self.out_shape.len() + self.out_shape.at(block, x * r + phase % r);
        for (p, mut v) in sums.into_iter().enumerate() {
            let at = first + p * r * LANES;
            // SAFETY: `at` is a pixel of the output, and of `add`, which has the output's length.
            unsafe {
                if let Activation::Relu { slope } = self.store.activation {
                    let zero = V::splat(0.0);
                    v = v.max(zero).plus_product(v.min(zero), V::splat(slope));
                }
                v = match self.store.add {
                    Some(add) => V::load(add.as_ptr().add(at)).plus_product(v, V::splat(self.store.scale)),
                    None => v.times(V::splat(self.store.scale)),
                };
                v.store(self.out.add(at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A picture of `[channels][height][width]` as rows.
    fn rows(picture: &[f32], channels: usize, height: usize, shape: RowShape) -> Vec<Vec<f32>> {
        let row = |y: usize| {
            let mut row = vec![0.0; shape.len()];
            for c in 0..channels {
                for x in 0..shape.width {
                    row[shape.at(c / LANES, x) + c % LANES] = picture[(c * height + y) * shape.width + x];
                }
            }
            row
        };
        (0..height).map(row).collect()
    }

    fn random(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    struct Case {
        inputs: usize,
        outputs: usize,
        side: usize,
        shuffle: usize,
        height: usize,
        width: usize,
        slope: Option<f32>,
        add: bool,
    }

    impl Case {
        /// One output number by definition, in float64.
        fn expect(&self, [x, k, b]: [&[f32]; 3], o: usize, y: usize, col: usize) -> f64 {
            let (r, side) = (self.side as isize / 2, self.side);
            let mut sum = f64::from(b[o]);
            for i in 0..self.inputs {
                for tap in 0..side * side {
                    let sy = y as isize + (tap / side) as isize - r;
                    let sx = col as isize + (tap % side) as isize - r;
                    if (0..self.height as isize).contains(&sy) && (0..self.width as isize).contains(&sx) {
                        let v = x[(i * self.height + sy as usize) * self.width + sx as usize];
                        sum += f64::from(v) * f64::from(k[(o * self.inputs + i) * side * side + tap]);
                    }
                }
            }
            match self.slope {
                Some(slope) if sum < 0.0 => sum * f64::from(slope),
                _ => sum,
            }
        }

        /// The largest difference between a row kernel's output and the definition.
        fn error(&self, isa: Isa, seed: u64) -> f64 {
            let r = self.shuffle;
            let x = random(seed, self.inputs * self.height * self.width);
            let k = random(seed + 1, self.outputs * self.inputs * self.side * self.side);
            let b = random(seed + 2, self.outputs);
            let shape = RowShape::new(self.inputs, self.width, self.side / 2 + 1);
            let out_shape = RowShape::new(self.outputs / (r * r), self.width * r, 2);
            let input = rows(&x, self.inputs, self.height, shape);
            let nothing = vec![0.0; shape.len()];
            let add = random(seed + 3, out_shape.len());
            let conv = Conv::new(&k, &b, self.inputs, self.side, r);
            let activation = self.slope.map_or(Activation::Identity, |slope| Activation::Relu { slope });
            let store = Store { activation, scale: 0.5, add: self.add.then_some(&add) };
            let mut worst = 0.0_f64;
            for y in 0..self.height {
                let around = (y as isize - self.side as isize / 2..).take(self.side);
                let around = around.map(|y| usize::try_from(y).ok().and_then(|y| input.get(y)).unwrap_or(&nothing));
                let around: Vec<&[f32]> = around.map(Vec::as_slice).collect();
                let mut out = vec![f32::NAN; out_shape.len() * r];
                conv.row(isa, &around, shape, &store, &mut out, out_shape);
                assert!(out.iter().all(|v| v.is_finite()), "every number of the row is written");
                for (dy, row) in out.chunks(out_shape.len()).enumerate() {
                    for c in 0..self.outputs / (r * r) {
                        for col in 0..self.width * r {
                            let at = out_shape.at(c / LANES, col) + c % LANES;
                            let o = (c * r + dy) * r + col % r;
                            let mut expected = 0.5 * self.expect([&x, &k, &b], o, y, col / r);
                            if self.add {
                                expected += f64::from(add[at]);
                            }
                            worst = worst.max((f64::from(row[at]) - expected).abs());
                        }
                    }
                }
            }
            worst
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn every_instruction_set_convolves_odd_shapes(
            inputs in 1_usize..40,
            outputs in 1_usize..70,
            side in prop::sample::select(vec![1, 3, 5]),
            height in 1_usize..5,
            width in 1_usize..40,
            slope in prop::option::of(0.0_f32..0.3),
            add: bool,
            seed: u64,
        ) {
            let case = Case { inputs, outputs, side, shuffle: 1, height, width, slope, add };
            for isa in Isa::available() {
                let error = case.error(isa, seed >> 8);
                prop_assert!(error < 4e-5, "{isa}: {error:.1e}");
            }
        }

        #[test]
        fn every_instruction_set_shuffles(
            inputs in 1_usize..20,
            blocks in 1_usize..4,
            shuffle in 2_usize..4,
            width in 1_usize..20,
            seed: u64,
        ) {
            let outputs = blocks * LANES * shuffle * shuffle;
            let case = Case { inputs, outputs, side: 3, shuffle, height: 2, width, slope: None, add: false };
            for isa in Isa::available() {
                let error = case.error(isa, seed >> 8);
                prop_assert!(error < 2e-5, "{isa}: {error:.1e}");
            }
        }
    }

    #[test]
    fn a_pixel_does_not_depend_on_where_it_stands() {
        for outputs in [3, 37] {
            stands_anywhere(19, outputs, 45);
        }
    }

    fn stands_anywhere(inputs: usize, outputs: usize, width: usize) {
        let (k, b) = (random(1, outputs * inputs * 9), random(2, outputs));
        let conv = Conv::new(&k, &b, inputs, 3, 1);
        let wide = RowShape::new(inputs, width, 1);
        let picture = random(3, wide.len());
        for isa in Isa::available() {
            let run = |from: usize, to: usize| {
                let shape = RowShape { width: to - from, ..wide };
                let cut: Vec<f32> = (0..wide.blocks)
                    .flat_map(|block| {
                        let start = wide.at(block, from) - LANES;
                        picture[start..start + shape.block_len()].to_vec()
                    })
                    .collect();
                let out_shape = RowShape::new(outputs, to - from, 0);
                let mut out = vec![0.0; out_shape.len()];
                conv.row(isa, &[&cut, &cut, &cut], shape, &Store::default(), &mut out, out_shape);
                (out, out_shape)
            };
            let (whole, whole_shape) = run(0, width);
            for from in 0..20 {
                let (part, shape) = run(from, width - from / 2);
                for block in 0..shape.blocks {
                    let expected = &whole[whole_shape.at(block, from)..][..shape.width * LANES];
                    assert_eq!(&part[shape.at(block, 0)..][..shape.width * LANES], expected, "{isa} from {from}");
                }
            }
        }
    }
}
