//! Convolution of whole maps: lays out kernels, checks the arguments, and chooses between direct and Winograd
//! convolution.

use super::direct::{self, Direct};
use super::gradient::kernel_gradient;
use super::shape::{Order, PixelConv, PixelMap, PixelStore};
use super::winograd;
use crate::conv::winograd::operands::Number;
use crate::conv::winograd::tile::OUTPUTS;
use crate::conv::winograd::transform::WinogradKernel;
use crate::lanes::has_pairs;
use crate::{Isa, LANES};
use half::bf16;

/// The type of the factors that transformed kernels are multiplied with. Sums are f32, as are the products of direct
/// convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Factors {
    /// Unchanged.
    #[default]
    F32,
    /// Rounded to bf16 after the transform and multiplied in pairs, on processors with AVX-512's bf16 products.
    Bf16,
}

impl Factors {
    /// Returns whether this machine supports these factors.
    pub fn is_available(self) -> bool {
        self == Self::F32 || has_pairs()
    }
}

/// A kernel laid out for [`PixelConv::forward`].
#[derive(Clone, Debug)]
pub struct PixelKernel {
    inputs: usize,
    outputs: usize,
    side: usize,
    laid: Laid,
}

#[derive(Clone, Debug)]
enum Laid {
    Direct(Direct),
    /// One per [`OUTPUTS`] outputs.
    Winograd(Vec<WinogradKernel>),
    /// The same, for factors that are multiplied in pairs.
    Pairs(Vec<WinogradKernel<bf16>>),
}

impl PixelKernel {
    /// Lays out a kernel `[out, in, side, side]` for results stored with this `shuffle` and multiplied as `factors`.
    ///
    /// # Panics
    /// Panics if the kernel has the wrong length, the side is even, or the convolution cannot be shuffled.
    pub fn new(kernel: &[f32], outputs: usize, inputs: usize, side: usize, shuffle: usize, factors: Factors) -> Self {
        assert!(
            PixelConv::shuffles(outputs, inputs, side, shuffle),
            "{inputs} to {outputs} channels, shuffled {shuffle}"
        );
        let channels = Order { channels: outputs, shuffle }.of_lanes();
        let place = |o: usize, i, tap| (channels[o] * inputs + i) * side * side + tap;
        Self::lay_out(kernel, outputs, inputs, side, factors, place)
    }

    /// Lays out the kernel `[out, in, side, side]` of a convolution for its backward pass, from the gradient of its
    /// output to that of its input: inputs and outputs swapped, taps reversed. The gradient is read with this
    /// `shuffle`.
    ///
    /// # Panics
    /// Same as [`Self::new`].
    pub fn transposed(
        kernel: &[f32],
        outputs: usize,
        inputs: usize,
        side: usize,
        shuffle: usize,
        factors: Factors,
    ) -> Self {
        assert!(
            PixelConv::shuffles(outputs, inputs, side, shuffle),
            "{inputs} to {outputs} channels, shuffled {shuffle}"
        );
        let (channels, last) = (Order { channels: outputs, shuffle }.of_lanes(), side * side - 1);
        let place = |i, o: usize, tap| (channels[o] * inputs + i) * side * side + last - tap;
        Self::lay_out(kernel, inputs, outputs, side, factors, place)
    }

    fn lay_out(
        kernel: &[f32],
        outputs: usize,
        inputs: usize,
        side: usize,
        factors: Factors,
        place: impl Fn(usize, usize, usize) -> usize,
    ) -> Self {
        assert!(side % 2 == 1, "a kernel of side {side}");
        assert_eq!(kernel.len(), outputs * inputs * side * side, "a kernel of {outputs}x{inputs}x{side}x{side}");
        let laid = match factors {
            _ if !WinogradKernel::pays(outputs, inputs, side) => {
                Laid::Direct(Direct::new(outputs, inputs, side, |o, i, tap| kernel[place(o, i, tap)]))
            }
            Factors::F32 => Laid::Winograd(transformed(kernel, outputs, inputs, place)),
            Factors::Bf16 => Laid::Pairs(transformed(kernel, outputs, inputs, place)),
        };
        Self { inputs, outputs, side, laid }
    }
}

/// Returns a transformed 3x3 kernel per [`OUTPUTS`] outputs.
fn transformed<N: Number>(
    kernel: &[f32],
    outputs: usize,
    inputs: usize,
    place: impl Fn(usize, usize, usize) -> usize,
) -> Vec<WinogradKernel<N>> {
    let parts = (0..outputs).step_by(OUTPUTS).map(|first| {
        let count = OUTPUTS.min(outputs - first);
        WinogradKernel::new(kernel, count, inputs, |o, i, tap| place(first + o, i, tap))
    });
    parts.collect()
}

impl PixelConv {
    /// Returns whether a convolution's results can be shuffled as they are stored: the channels of each pixel must fill
    /// lanes.
    pub fn shuffles(outputs: usize, inputs: usize, side: usize, shuffle: usize) -> bool {
        shuffle == 1 || outputs.is_multiple_of(shuffle * shuffle * LANES) && WinogradKernel::pays(outputs, inputs, side)
    }

    /// Convolves the group.
    ///
    /// # Panics
    /// Panics if a slice has the wrong length, the kernel belongs to another convolution, or the machine lacks the
    /// instruction set or the factors.
    pub fn forward(&self, isa: Isa, x: PixelMap, kernel: &PixelKernel, store: PixelStore, y: &mut [f32]) {
        assert_eq!((kernel.inputs, kernel.outputs, kernel.side), (self.inputs, self.outputs, self.side));
        self.check(x, self.inputs);
        assert_eq!(Some(y.len()), self.numbers(self.outputs), "an output of {self:?}");
        assert!(store.bias.is_none_or(|bias| bias.len() == self.outputs), "a bias of {self:?}");
        assert!(store.add.is_none_or(|add| add.len() == y.len()), "what is added to {self:?}");
        assert!(Self::shuffles(self.outputs, self.inputs, self.side, store.shuffle), "{self:?} shuffled");
        match &kernel.laid {
            Laid::Direct(direct) => direct.forward(self, isa, x, store, y),
            Laid::Winograd(kernels) => winograd::forward(self, isa, x, kernels, store, y),
            Laid::Pairs(kernels) => winograd::forward(self, isa, x, kernels, store, y),
        }
    }

    /// Returns how many numbers [`Self::gradients`] writes.
    ///
    /// # Panics
    /// Panics on overflow.
    pub fn gradients_len(&self) -> usize {
        let taps = self.side.checked_pow(2).and_then(|taps| taps.checked_mul(self.inputs)?.checked_add(1));
        let of = self.outputs.checked_next_multiple_of(LANES);
        taps.zip(of).and_then(|(taps, of)| taps.checked_mul(of)).expect("gradients that can be counted")
    }

    /// Computes the gradients of the kernel and the bias, summed over the group, from the input `x` and the gradient of
    /// the output `dy`, multiplied as `factors`. They overwrite `lanes`, in a lane layout that can be summed over
    /// groups and then [converted](Self::kernel_and_bias).
    ///
    /// # Panics
    /// Panics if a slice has the wrong length or the machine lacks the instruction set or the factors.
    pub fn gradients(&self, isa: Isa, factors: Factors, x: PixelMap, dy: PixelMap, lanes: &mut [f32]) {
        self.check(x, self.inputs);
        self.check(dy, self.outputs);
        assert_eq!(lanes.len(), self.gradients_len(), "gradients of {self:?}");
        let (kernel, bias) = lanes.split_at_mut(lanes.len() - self.outputs.next_multiple_of(LANES));
        match factors {
            _ if !WinogradKernel::pays(self.outputs, self.inputs, self.side) => {
                direct::kernel_gradient(self, isa, x, dy, kernel, bias);
            }
            Factors::F32 => kernel_gradient::<f32>(self, isa, x, dy, kernel, bias),
            Factors::Bf16 => kernel_gradient::<bf16>(self, isa, x, dy, kernel, bias),
        }
    }

    /// Extracts the gradients of the kernel, `[out, in, side, side]`, and the bias from the lanes that
    /// [`Self::gradients`] wrote, for a `dy` with this `shuffle`.
    ///
    /// # Panics
    /// Panics if a slice has the wrong length.
    pub fn kernel_and_bias(&self, lanes: &[f32], shuffle: usize, kernel: &mut [f32], bias: &mut [f32]) {
        assert_eq!(lanes.len(), self.gradients_len(), "gradients of {self:?}");
        let taps = self.side * self.side;
        assert_eq!(kernel.len(), self.outputs * self.inputs * taps, "a kernel of {self:?}");
        assert_eq!(bias.len(), self.outputs, "a bias of {self:?}");
        let (order, of) = (Order { channels: self.outputs, shuffle }, self.outputs.next_multiple_of(LANES));
        for lane in 0..self.outputs {
            let output = order.channel(lane);
            for (input, taps) in
                kernel[output * self.inputs * taps..].chunks_exact_mut(taps).take(self.inputs).enumerate()
            {
                for (tap, number) in taps.iter_mut().enumerate() {
                    *number = lanes[(tap * self.inputs + input) * of + lane];
                }
            }
            bias[output] = lanes[lanes.len() - of + lane];
        }
    }

    /// Returns the length of a map with this many channels, or `None` on overflow.
    fn numbers(&self, channels: usize) -> Option<usize> {
        [self.height, self.width, channels].into_iter().try_fold(self.images, usize::checked_mul)
    }

    fn check(&self, map: PixelMap, channels: usize) {
        assert_eq!(Some(map.numbers.len()), self.numbers(channels), "a map of {self:?}");
        assert!(map.positive.is_none_or(|p| p.len() == map.numbers.len()), "a ReLU's results of {self:?}");
        let fits = map.shuffle == 1 || channels.is_multiple_of(map.shuffle * map.shuffle * LANES);
        assert!(fits && map.shuffle > 0, "a map of {channels} channels, shuffled {}", map.shuffle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(seed: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// Calls `visit` with the indices in `y`, `x` and the kernel of every product that the definition sums.
    fn products(conv: PixelConv, mut visit: impl FnMut(usize, usize, usize)) {
        let PixelConv { inputs, outputs, side, images, height, width } = conv;
        let radius = side / 2;
        for (image, o, i) in triples(images, outputs, inputs) {
            for (y, x, tap) in triples(height, width, side * side) {
                let (sy, sx) = (y + tap / side, x + tap % side);
                if (radius..height + radius).contains(&sy) && (radius..width + radius).contains(&sx) {
                    visit(
                        ((image * height + y) * width + x) * outputs + o,
                        ((image * height + sy - radius) * width + sx - radius) * inputs + i,
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

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        // Channels that fill registers, and fewer and more tiles than a strip has.
        #[test]
        fn what_tiles_multiply_is_the_definition_s(
            inputs in prop::sample::select(vec![32_usize, 64, 96]), outputs in prop::sample::select(vec![16_usize, 32, 48, 64, 80]),
            images in 1_usize..4, height in 1_usize..21, width in 1_usize..37,
        ) {
            if crate::conv::amx::tests::available() {
                check(inputs, outputs, 1, images, height, width, 4e-5)?;
            }
        }
    }

    /// Iterates over everything that this machine computes with, and its tolerance, where `bound` is that of f32.
    fn machines(bound: f64) -> impl Iterator<Item = (Isa, Factors, f64)> {
        let rounded = Factors::Bf16.is_available().then_some((Isa::best(), Factors::Bf16, 1e-1));
        Isa::available().map(move |isa| (isa, Factors::F32, bound)).chain(rounded)
    }

    /// Checks forward and all gradients against the definition, with every instruction set and all factors.
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
        let conv = PixelConv { inputs, outputs, side, images, height, width };
        let x = numbers(1, images * inputs * height * width);
        let dy = numbers(2, images * outputs * height * width);
        let kernel = numbers(3, outputs * inputs * side * side);
        let bias = numbers(4, outputs);
        let (mut y, mut dx, mut dk) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; kernel.len()]);
        let mut db = vec![0.0; outputs];
        for (i, v) in y.iter_mut().enumerate() {
            *v = f64::from(bias[i % outputs]);
        }
        products(conv, |to, from, weight| y[to] += f64::from(x[from]) * f64::from(kernel[weight]));
        // The backward pass goes through the ReLU that wrote `y`.
        let relu: Vec<f32> = y.iter().map(|v| v.max(0.0) as f32).collect();
        let through = |at: usize| if relu[at] > 0.0 { f64::from(dy[at]) } else { 0.0 };
        products(conv, |to, from, weight| {
            dx[from] += through(to) * f64::from(kernel[weight]);
            dk[weight] += through(to) * f64::from(x[from]);
        });
        (0..dy.len()).for_each(|at| db[at % outputs] += through(at));
        let dy_map = PixelMap { positive: Some(&relu), ..PixelMap::new(&dy) };
        for (isa, factors, bound) in machines(bound) {
            let mut found = vec![0.0; dy.len()];
            let laid = PixelKernel::new(&kernel, outputs, inputs, side, 1, factors);
            let store = PixelStore { bias: Some(&bias), ..PixelStore::default() };
            conv.forward(isa, PixelMap::new(&x), &laid, store, &mut found);
            close("forward", isa, &found, &y, bound)?;
            let store = PixelStore { relu: true, add: Some(&dy), ..store };
            conv.forward(isa, PixelMap::new(&x), &laid, store, &mut found);
            let stored: Vec<f64> = y.iter().zip(&dy).map(|(y, add)| y.max(0.0) + f64::from(*add)).collect();
            close("stored", isa, &found, &stored, bound)?;
            let mut found = vec![0.0; x.len()];
            let back = PixelConv { inputs: outputs, outputs: inputs, ..conv };
            let laid = PixelKernel::transposed(&kernel, outputs, inputs, side, 1, factors);
            back.forward(isa, dy_map, &laid, PixelStore::default(), &mut found);
            close("input", isa, &found, &dx, bound)?;
            let mut lanes = vec![f32::NAN; conv.gradients_len()];
            conv.gradients(isa, factors, PixelMap::new(&x), dy_map, &mut lanes);
            let (mut found, mut found_bias) = (vec![0.0; kernel.len()], vec![0.0; outputs]);
            conv.kernel_and_bias(&lanes, 1, &mut found, &mut found_bias);
            close("kernel", isa, &found, &dk, bound)?;
            close("bias", isa, &found_bias, &db, bound)?;
        }
        Ok(())
    }

    fn close(what: &str, isa: Isa, found: &[f32], expected: &[f64], bound: f64) -> Result<(), TestCaseError> {
        let apart = difference(found, expected);
        prop_assert!(apart < bound, "{what}, {isa}, at most {bound:e}: {apart:e}");
        Ok(())
    }

    /// Returns `[images, height, width, channels]` after PyTorch's pixel shuffle.
    fn shuffled(map: &[f32], conv: PixelConv, r: usize) -> Vec<f32> {
        let PixelConv { outputs, height, width, .. } = conv;
        let (mut out, channels) = (vec![0.0; map.len()], outputs / (r * r));
        for (at, v) in map.iter().enumerate() {
            let (pixel, channel) = (at / outputs, at % outputs);
            let (image, y, x) = (pixel / (height * width), pixel / width % height, pixel % width);
            let (c, i, j) = (channel / (r * r), channel / r % r, channel % r);
            out[((image * height * r + y * r + i) * width * r + x * r + j) * channels + c] = *v;
        }
        out
    }

    #[test]
    fn a_kernel_may_be_wider_than_the_map() {
        for (inputs, outputs) in [(1, 16), (16, 1)] {
            check(inputs, outputs, 2, 1, 1, 1, 1e-5).unwrap();
        }
    }

    #[test]
    fn a_shuffle_is_the_convolution_s_with_its_pixels_exchanged() {
        for r in [2, 3] {
            let conv = PixelConv { inputs: 20, outputs: 16 * r * r, side: 3, images: 2, height: 5, width: 7 };
            let x = numbers(1, 2 * 35 * 20);
            let dy = numbers(2, 2 * 35 * conv.outputs);
            let (kernel, bias) = (numbers(3, conv.outputs * 180), numbers(4, conv.outputs));
            let relu = numbers(5, dy.len());
            let back = PixelConv { inputs: conv.outputs, outputs: conv.inputs, ..conv };
            for (isa, factors, bound) in machines(1e-5) {
                let run = |shuffle: usize, dy: &[f32], relu: &[f32]| {
                    let store = PixelStore { bias: Some(&bias), shuffle, add: Some(dy), ..PixelStore::default() };
                    let mut y = vec![0.0; dy.len()];
                    let laid = PixelKernel::new(&kernel, conv.outputs, conv.inputs, 3, shuffle, factors);
                    conv.forward(isa, PixelMap::new(&x), &laid, store, &mut y);
                    let dy = PixelMap { numbers: dy, positive: Some(relu), shuffle };
                    let mut dx = vec![0.0; x.len()];
                    let laid = PixelKernel::transposed(&kernel, conv.outputs, conv.inputs, 3, shuffle, factors);
                    back.forward(isa, dy, &laid, PixelStore::default(), &mut dx);
                    let mut lanes = vec![0.0; conv.gradients_len()];
                    conv.gradients(isa, factors, PixelMap::new(&x), dy, &mut lanes);
                    let (mut dk, mut db) = (vec![0.0; kernel.len()], vec![0.0; conv.outputs]);
                    conv.kernel_and_bias(&lanes, shuffle, &mut dk, &mut db);
                    (y, dx, dk, db)
                };
                let (y, dx, dk, db) = run(1, &dy, &relu);
                let found = run(r, &shuffled(&dy, conv, r), &shuffled(&relu, conv, r));
                let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
                assert_eq!(found.0, shuffled(&y, conv, r), "{isa}");
                // The channels are summed in another order.
                assert!(difference(&found.1, &wide(&dx)) < bound, "{isa}");
                assert_eq!(found.2, dk, "{isa}");
                assert_eq!(found.3, db, "{isa}");
            }
        }
    }
}
