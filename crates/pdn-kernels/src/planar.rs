//! Convolution of whole planes, forward and backward: what training needs.
//!
//! Maps are `[image][channel][row][pixel]`, as autodiff frameworks keep them. A group of images is copied into planes
//! whose rows and images are parted by shared zero pixels, so that one run of positions covers the whole group and a tap
//! is an offset: small maps fill the lanes as well as large ones. Lanes are neighbouring positions. A tile of several
//! outputs by a few vectors of positions stays in registers; what falls on the zero pixels is dropped afterwards.
//!
//! The kernel's gradient is a sum over positions. There lanes are outputs, so that nothing is added across lanes.

use crate::lanes::{self, Kernel, Lanes};
use crate::winograd::{self, WinogradKernel};
use crate::{Isa, LANES};

/// The positions that a tile may read beyond the last one: the widest tile, rounded up.
const SLACK: usize = 4 * LANES;

/// A convolution of stride 1, zero-padded so that the extent is kept, over a group of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanarConv {
    /// Channels read.
    pub inputs: usize,
    /// Channels written.
    pub outputs: usize,
    /// Side of the kernel, odd.
    pub side: usize,
    /// Images in the group, which share the kernel.
    pub images: usize,
    /// Rows of each image.
    pub height: usize,
    /// Pixels in each row.
    pub width: usize,
}

/// A kernel laid out for [`PlanarConv::forward`].
#[derive(Clone, Debug)]
pub struct PlanarKernel {
    inputs: usize,
    outputs: usize,
    side: usize,
    laid: Laid,
}

#[derive(Clone, Debug)]
enum Laid {
    /// `[output block][input][tap][output of the block]`.
    Direct(Vec<f32>),
    /// Transformed.
    Winograd(WinogradKernel),
}

/// Outputs of a tile: those of the widest instruction set.
const OUTPUTS: usize = 8;

impl PlanarKernel {
    /// Lays out a kernel `[out, in, side, side]`.
    ///
    /// # Panics
    /// When the kernel does not hold as many numbers or the side is even.
    pub fn new(kernel: &[f32], outputs: usize, inputs: usize, side: usize) -> Self {
        Self::lay_out(kernel, outputs, inputs, side, |o, i, tap| (o * inputs + i) * side * side + tap)
    }

    /// Lays out the kernel `[out, in, side, side]` of a convolution for its way back, from the gradient of its output
    /// to that of its input: inputs and outputs exchanged, taps reversed.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn transposed(kernel: &[f32], outputs: usize, inputs: usize, side: usize) -> Self {
        let last = side * side - 1;
        Self::lay_out(kernel, inputs, outputs, side, |i, o, tap| (o * inputs + i) * side * side + last - tap)
    }

    fn lay_out(
        kernel: &[f32],
        outputs: usize,
        inputs: usize,
        side: usize,
        place: impl Fn(usize, usize, usize) -> usize,
    ) -> Self {
        assert!(side % 2 == 1, "a kernel of side {side}");
        assert_eq!(kernel.len(), outputs * inputs * side * side, "a kernel of {outputs}x{inputs}x{side}x{side}");
        if WinogradKernel::pays(outputs, inputs, side) {
            let laid = Laid::Winograd(WinogradKernel::new(kernel, outputs, inputs, place));
            return Self { inputs, outputs, side, laid };
        }
        let mut numbers = vec![0.0; outputs.div_ceil(OUTPUTS) * OUTPUTS * inputs * side * side];
        for (block, numbers) in numbers.chunks_exact_mut(OUTPUTS * inputs * side * side).enumerate() {
            for (at, lanes) in numbers.chunks_exact_mut(OUTPUTS).enumerate() {
                let (input, tap) = (at / (side * side), at % (side * side));
                for (lane, number) in lanes.iter_mut().enumerate().take(outputs - block * OUTPUTS) {
                    *number = kernel[place(block * OUTPUTS + lane, input, tap)];
                }
            }
        }
        Self { inputs, outputs, side, laid: Laid::Direct(numbers) }
    }
}

/// What happens to a convolution's sums as they are stored: `max(sum + bias, 0) + add`, each part if it is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanarStore<'a> {
    /// Added first, one number for each output.
    pub bias: Option<&'a [f32]>,
    /// Whether negative numbers become zero.
    pub relu: bool,
    /// Added last: a map of the output's shape.
    pub add: Option<&'a [f32]>,
}

impl PlanarConv {
    /// Convolves the group: `x` is `[images, inputs, height, width]`, `y` what comes out.
    ///
    /// # Panics
    /// When a slice is not of its length, the kernel is another convolution's, or the machine lacks the instruction set.
    pub fn forward(&self, isa: Isa, x: &[f32], kernel: &PlanarKernel, store: PlanarStore, y: &mut [f32]) {
        let PlanarStore { bias, relu, add } = store;
        let pixels = self.height * self.width;
        assert_eq!((kernel.inputs, kernel.outputs, kernel.side), (self.inputs, self.outputs, self.side));
        assert_eq!(y.len(), self.images * self.outputs * pixels, "an output of {self:?}");
        assert!(bias.is_none_or(|bias| bias.len() == self.outputs), "a bias of {self:?}");
        assert!(add.is_none_or(|add| add.len() == y.len()), "what is added to {self:?}");
        let kernel = match &kernel.laid {
            Laid::Direct(numbers) => numbers,
            Laid::Winograd(kernel) => {
                assert_eq!(x.len(), self.images * self.inputs * pixels, "an input of {self:?}");
                return winograd::forward(self, isa, x, kernel, store, y);
            }
        };
        let planes = self.planes(x, self.inputs);
        let (run, stride) = (self.run(), self.run() + SLACK);
        let mut block = vec![0.0; OUTPUTS * stride];
        for first in (0..self.outputs).step_by(OUTPUTS) {
            let count = OUTPUTS.min(self.outputs - first);
            let start = std::array::from_fn(|o| bias.and_then(|b| b.get(first + o)).copied().unwrap_or(0.0));
            let numbers = &kernel[first * self.inputs * self.side * self.side..];
            let job = Forward { conv: self, planes: &planes, kernel: numbers, start, stride, out: block.as_mut_ptr() };
            // SAFETY: the planes, the kernel's block and the output have the lengths that `Forward` names.
            unsafe { lanes::run(isa, job) };
            for (o, plane) in block.chunks_exact(stride).take(count).enumerate() {
                for image in 0..self.images {
                    let place = (image * self.outputs + first + o) * pixels;
                    let out = &mut y[place..][..pixels];
                    let from = &plane[image * self.image_stride()..run];
                    for (row, (out, from)) in
                        out.chunks_exact_mut(self.width).zip(from.chunks(self.row_stride())).enumerate()
                    {
                        let from = &from[..self.width];
                        match relu {
                            true => out.iter_mut().zip(from).for_each(|(out, v)| *out = v.max(0.0)),
                            false => out.copy_from_slice(from),
                        }
                        if let Some(add) = add {
                            let add = &add[place + row * self.width..][..self.width];
                            out.iter_mut().zip(add).for_each(|(out, v)| *out += v);
                        }
                    }
                }
            }
        }
    }

    /// The gradient of the kernel, `[out, in, side, side]`, summed over the group, from the input `x`
    /// `[images, inputs, height, width]` and the gradient of the output `dy` `[images, outputs, height, width]`. It is
    /// written over what is there.
    ///
    /// # Panics
    /// When a slice is not of its length or the machine lacks the instruction set.
    pub fn kernel_gradient(&self, isa: Isa, x: &[f32], dy: &[f32], gradient: &mut [f32]) {
        let taps = self.inputs * self.side * self.side;
        assert_eq!(gradient.len(), self.outputs * taps, "a kernel of {self:?}");
        assert_eq!(dy.len(), self.images * self.outputs * self.height * self.width, "an output of {self:?}");
        if WinogradKernel::pays(self.outputs, self.inputs, self.side) {
            assert_eq!(x.len(), self.images * self.inputs * self.height * self.width, "an input of {self:?}");
            return winograd::kernel_gradient(self, isa, x, dy, gradient);
        }
        let planes = self.planes(x, self.inputs);
        let lanes = self.outputs.next_multiple_of(LANES);
        // Position by position, the outputs side by side; the zero positions between rows and images stay zero.
        let mut positions = vec![0.0; self.run() * lanes];
        for (at, row) in dy.chunks_exact(self.width).enumerate() {
            let (plane, y) = (at / self.height, at % self.height);
            let (image, output) = (plane / self.outputs, plane % self.outputs);
            let first = image * self.image_stride() + y * self.row_stride();
            for (v, pixel) in row.iter().zip(positions[first * lanes..].chunks_exact_mut(lanes)) {
                pixel[output] = *v;
            }
        }
        let offsets: Vec<usize> = (0..taps).map(|tap| self.offset(tap)).collect();
        let mut sums = vec![0.0; taps * lanes];
        let job = Gradient { offsets: &offsets, planes: &planes, positions: &positions, lanes, sums: &mut sums };
        // SAFETY: every offset plus the run stays inside the planes; the rest has the lengths that `Gradient` names.
        unsafe { lanes::run(isa, job) };
        for (output, gradient) in gradient.chunks_exact_mut(taps).enumerate() {
            for (to, sums) in gradient.iter_mut().zip(sums.chunks_exact(lanes)) {
                *to = sums[output];
            }
        }
    }

    /// Where a tap of an input begins in the planes: `tap` counts inputs, then rows, then columns.
    fn offset(&self, tap: usize) -> usize {
        let (input, tap) = (tap / (self.side * self.side), tap % (self.side * self.side));
        input * self.plane() + tap / self.side * self.row_stride() + tap % self.side
    }

    /// Positions from one row to the next.
    fn row_stride(&self) -> usize {
        self.width + self.side / 2
    }

    /// Positions from one image to the next.
    fn image_stride(&self) -> usize {
        (self.height + self.side / 2) * self.row_stride()
    }

    /// Positions of the whole group.
    fn run(&self) -> usize {
        self.images * self.image_stride()
    }

    /// Numbers of one channel's plane: the run, and what the taps reach above, below, left and right of it.
    fn plane(&self) -> usize {
        self.run() + (self.side - 1) * (self.row_stride() + 1)
    }

    /// Copies the channels of a group into planes with their zero pixels.
    fn planes(&self, x: &[f32], channels: usize) -> Vec<f32> {
        assert_eq!(x.len(), self.images * channels * self.height * self.width, "an input of {self:?}");
        let radius = self.side / 2;
        let mut planes = vec![0.0; channels * self.plane() + SLACK];
        for (at, row) in x.chunks_exact(self.width).enumerate() {
            let (plane, y) = (at / self.height, at % self.height);
            let (image, channel) = (plane / channels, plane % channels);
            let to = channel * self.plane() + image * self.image_stride() + (y + radius) * self.row_stride() + radius;
            planes[to..to + self.width].copy_from_slice(row);
        }
        planes
    }
}

/// One block of outputs over the whole run.
///
/// Reads the planes at every tap's offset plus up to the run rounded to a tile, which the slack covers; the kernel's
/// block of `inputs * side²` times [`OUTPUTS`] numbers; and writes [`OUTPUTS`] rows of `stride`, the run and its slack.
struct Forward<'a> {
    conv: &'a PlanarConv,
    planes: &'a [f32],
    kernel: &'a [f32],
    start: [f32; OUTPUTS],
    stride: usize,
    out: *mut f32,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: this function's contract; the tiles of a block are of its outputs.
        unsafe {
            match V::PIXELS {
                14 => self.tiles::<V, 8, 3>(0),
                6 => {
                    self.tiles::<V, 4, 1>(0);
                    self.tiles::<V, 4, 1>(4);
                }
                _ => (0..OUTPUTS).step_by(2).for_each(|o| self.tiles::<V, 2, 1>(o)),
            }
        }
    }
}

impl Forward<'_> {
    /// Outputs `first .. first + O` of the block, `N` vectors of positions at a time.
    ///
    /// # Safety
    /// As [`Kernel::run`]; `first + O` is at most [`OUTPUTS`] and `N` vectors fit the slack.
    #[inline(always)]
    unsafe fn tiles<V: Lanes, const O: usize, const N: usize>(&self, first: usize) {
        let conv = self.conv;
        for at in (0..conv.run()).step_by(N * LANES) {
            // SAFETY: `at` is inside the run; taps and tiles reach no further than the planes and their slack.
            unsafe {
                let mut sums: [[V; N]; O] = std::array::from_fn(|o| [V::splat(self.start[first + o]); N]);
                let mut kernel = self.kernel.as_ptr().add(first);
                for input in 0..conv.inputs {
                    for row in 0..conv.side {
                        let from = self.planes.as_ptr().add(input * conv.plane() + row * conv.row_stride() + at);
                        for column in 0..conv.side {
                            let x: [V; N] = std::array::from_fn(|n| V::load(from.add(column + n * LANES)));
                            for (o, sums) in sums.iter_mut().enumerate() {
                                let weight = V::splat(*kernel.add(o));
                                for (sum, x) in sums.iter_mut().zip(x) {
                                    *sum = sum.plus_product(x, weight);
                                }
                            }
                            kernel = kernel.add(OUTPUTS);
                        }
                    }
                }
                for (o, sums) in sums.into_iter().enumerate() {
                    for (n, sum) in sums.into_iter().enumerate() {
                        sum.store(self.out.add((first + o) * self.stride + at + n * LANES));
                    }
                }
            }
        }
    }
}

/// The kernel's gradient over the whole run: lanes are outputs, and every tap of every input is broadcast.
///
/// Reads `positions`, `lanes` outputs for each, and the planes at each offset plus as many positions; adds to `sums`,
/// `lanes` numbers for each offset. `lanes` is a multiple of [`LANES`].
struct Gradient<'a> {
    offsets: &'a [usize],
    planes: &'a [f32],
    positions: &'a [f32],
    lanes: usize,
    sums: &'a mut [f32],
}

/// Positions that are gone through at a time, so that they stay in the nearest cache while the taps go by.
const POSITIONS: usize = 96;

impl Kernel for Gradient<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        // SAFETY: this function's contract.
        unsafe {
            match V::PIXELS {
                14 => self.positions::<V, 4, 6>(),
                6 => self.positions::<V, 1, 4>(),
                _ => self.positions::<V, 1, 2>(),
            }
        }
    }
}

impl Gradient<'_> {
    /// All positions: `N` vectors of outputs by `T` taps at a time.
    ///
    /// # Safety
    /// As [`Kernel::run`].
    #[inline(always)]
    unsafe fn positions<V: Lanes, const N: usize, const T: usize>(&mut self) {
        let vectors = self.lanes / LANES;
        for start in (0..self.positions.len() / self.lanes).step_by(POSITIONS) {
            // SAFETY: vectors are below their count.
            unsafe {
                let mut vector = 0;
                while vector + N <= vectors {
                    self.taps::<V, N, T>(start, vector);
                    vector += N;
                }
                while vector < vectors {
                    self.taps::<V, 1, T>(start, vector);
                    vector += 1;
                }
            }
        }
    }

    /// All taps of `N` vectors, `T` at a time.
    ///
    /// # Safety
    /// As [`Kernel::run`]; `vector + N` is at most the count of vectors and `start` a position.
    #[inline(always)]
    unsafe fn taps<V: Lanes, const N: usize, const T: usize>(&mut self, start: usize, vector: usize) {
        let whole = self.offsets.len() - self.offsets.len() % T;
        // SAFETY: taps are below their count.
        unsafe {
            for tap in (0..whole).step_by(T) {
                self.tile::<V, N, T>(start, vector, tap);
            }
            for tap in whole..self.offsets.len() {
                self.tile::<V, N, 1>(start, vector, tap);
            }
        }
    }

    /// # Safety
    /// As [`Self::taps`]; `tap + T` is at most the count of taps.
    #[inline(always)]
    unsafe fn tile<V: Lanes, const N: usize, const T: usize>(&mut self, start: usize, vector: usize, tap: usize) {
        let end = (start + POSITIONS).min(self.positions.len() / self.lanes);
        // SAFETY: each tap has `lanes` sums, each position `lanes` outputs, and each offset plus a position is inside
        // the planes.
        unsafe {
            let to = self.sums.as_mut_ptr().add(tap * self.lanes + vector * LANES);
            let x: [*const f32; T] = std::array::from_fn(|t| self.planes.as_ptr().add(self.offsets[tap + t]));
            let mut dy = self.positions.as_ptr().add(start * self.lanes + vector * LANES);
            let mut sums: [[V; N]; T] =
                std::array::from_fn(|t| std::array::from_fn(|n| V::load(to.add(t * self.lanes + n * LANES))));
            for at in start..end {
                let outputs: [V; N] = std::array::from_fn(|n| V::load(dy.add(n * LANES)));
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = V::splat(*x.add(at));
                    for (sum, dy) in sums.iter_mut().zip(outputs) {
                        *sum = sum.plus_product(dy, x);
                    }
                }
                dy = dy.add(self.lanes);
            }
            for (t, sums) in sums.into_iter().enumerate() {
                for (n, sum) in sums.into_iter().enumerate() {
                    sum.store(to.add(t * self.lanes + n * LANES));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// Calls `visit` with the places in `y`, `x` and the kernel of every product that the definition sums.
    fn products(conv: PlanarConv, mut visit: impl FnMut(usize, usize, usize)) {
        let PlanarConv { inputs, outputs, side, images, height, width } = conv;
        let radius = side / 2;
        for (image, o, i) in triples(images, outputs, inputs) {
            for (y, x, tap) in triples(height, width, side * side) {
                let (sy, sx) = (y + tap / side, x + tap % side);
                if (radius..height + radius).contains(&sy) && (radius..width + radius).contains(&sx) {
                    visit(
                        ((image * outputs + o) * height + y) * width + x,
                        ((image * inputs + i) * height + sy - radius) * width + sx - radius,
                        (o * inputs + i) * side * side + tap,
                    );
                }
            }
        }
    }

    fn triples(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..a * b * c).map(move |i| (i / (b * c), i / c % b, i % c))
    }

    fn difference(a: &[f32], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        let top = b.iter().fold(1.0_f64, |t, v| t.max(v.abs()));
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / top
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn direct_sums_are_the_definition_s(
            inputs in 1_usize..12, outputs in 1_usize..20, radius in 0_usize..3, images in 1_usize..4,
            height in 1_usize..9, width in 1_usize..37,
        ) {
            check(inputs, outputs, radius, images, height, width, 1e-5)?;
        }

        #[test]
        fn transformed_sums_are_the_definition_s(
            inputs in 16_usize..36, outputs in 16_usize..50, images in 0_usize..4, height in 1_usize..13, width in 1_usize..37,
        ) {
            check(inputs, outputs, 1, images, height, width, 4e-5)?;
        }
    }

    /// Forward and both gradients against the definition, on every instruction set.
    fn check(
        inputs: usize,
        outputs: usize,
        radius: usize,
        images: usize,
        height: usize,
        width: usize,
        bound: f64,
    ) -> Result<(), TestCaseError> {
        let side = 2 * radius + 1;
        let conv = PlanarConv { inputs, outputs, side, images, height, width };
        let x = numbers(1, images * inputs * height * width);
        let dy = numbers(2, images * outputs * height * width);
        let kernel = numbers(3, outputs * inputs * side * side);
        let bias = numbers(4, outputs);
        let (mut y, mut dx, mut dk) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; kernel.len()]);
        for (i, v) in y.iter_mut().enumerate() {
            *v = f64::from(bias[i / (height * width) % outputs]);
        }
        products(conv, |to, from, weight| {
            y[to] += f64::from(x[from]) * f64::from(kernel[weight]);
            dx[from] += f64::from(dy[to]) * f64::from(kernel[weight]);
            dk[weight] += f64::from(dy[to]) * f64::from(x[from]);
        });
        for isa in Isa::available() {
            let mut found = vec![0.0; dy.len()];
            let laid = PlanarKernel::new(&kernel, outputs, inputs, side);
            conv.forward(isa, &x, &laid, PlanarStore { bias: Some(&bias), ..PlanarStore::default() }, &mut found);
            let apart = difference(&found, &y);
            prop_assert!(apart < bound, "forward, {isa}: {apart:e}");
            let store = PlanarStore { bias: Some(&bias), relu: true, add: Some(&dy) };
            conv.forward(isa, &x, &laid, store, &mut found);
            let stored: Vec<f64> = y.iter().zip(&dy).map(|(y, add)| y.max(0.0) + f64::from(*add)).collect();
            let apart = difference(&found, &stored);
            prop_assert!(apart < bound, "stored, {isa}: {apart:e}");
            let mut found = vec![0.0; x.len()];
            let back = PlanarConv { inputs: outputs, outputs: inputs, ..conv };
            let laid = PlanarKernel::transposed(&kernel, outputs, inputs, side);
            back.forward(isa, &dy, &laid, PlanarStore::default(), &mut found);
            let apart = difference(&found, &dx);
            prop_assert!(apart < bound, "input, {isa}: {apart:e}");
            let mut found = vec![0.0; kernel.len()];
            conv.kernel_gradient(isa, &x, &dy, &mut found);
            let apart = difference(&found, &dk);
            prop_assert!(apart < bound, "kernel, {isa}: {apart:e}");
        }
        Ok(())
    }
}
