//! The depth (K) of a product: the taps and input channels of a convolution, in steps of 32.

use super::products::Products;
use crate::LANES;
use half::bf16;
use half::slice::HalfFloatSliceExt;

/// Numbers that a step sums over: those of a register's row.
pub(super) const STEP: usize = 32;

/// A right operand: the numbers of 32 terms for 16 outputs, `[pair][output][2]`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Weights([[bf16; STEP]; STEP / 2]);

/// The steps of a convolution: `[ky][block][kx]` over blocks of 32 input channels, then those of the rest.
///
/// Channels that do not fill a block would cost a step for every tap, however few they are. If that at least halves the
/// steps, their taps are gathered next to each other instead, `[ky][kx][channel]`: 3 channels of 3x3 are one step
/// instead of nine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    pub(super) inputs: usize,
    /// Rows of the kernel.
    pub(super) rows: usize,
    /// Columns of the kernel to sum over: one if they share the lanes.
    pub(super) columns: usize,
    /// Blocks of 32 channels, the last possibly padded.
    pub(super) blocks: usize,
    /// Channels to gather.
    pub(super) rest: usize,
    /// Steps of the gathered channels.
    pub(super) gathered: usize,
}

/// The weight that a number of a step is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tap {
    pub(super) input: usize,
    pub(super) ky: usize,
    pub(super) kx: usize,
}

impl Depth {
    pub(super) fn new(inputs: usize, rows: usize, columns: usize) -> Self {
        let taps = rows * columns;
        let rest = inputs % STEP;
        let gathered = (rest * taps).div_ceil(STEP);
        if rest > 0 && 2 * gathered <= taps {
            Self { inputs, rows, columns, blocks: inputs / STEP, rest, gathered }
        } else {
            Self { inputs, rows, columns, blocks: inputs.div_ceil(STEP), rest: 0, gathered: 0 }
        }
    }

    /// Returns how many numbers are gathered per pixel.
    pub(super) fn gathered_len(&self) -> usize {
        self.rest * self.rows * self.columns
    }

    /// Returns the steps of a sum.
    pub(super) fn steps(&self) -> usize {
        self.rows * self.columns * self.blocks + self.gathered
    }

    /// Returns the tap of number `k` of a step, or `None` for padding.
    fn tap(&self, step: usize, k: usize) -> Option<Tap> {
        let whole = self.rows * self.columns * self.blocks;
        if step < whole {
            let (ky, block) = (step / (self.columns * self.blocks), step / self.columns % self.blocks);
            let input = block * STEP + k;
            return (input < self.inputs).then_some(Tap { input, ky, kx: step % self.columns });
        }
        let at = (step - whole) * STEP + k;
        let (tap, channel) = (at / self.rest, at % self.rest);
        let (ky, kx) = (tap / self.columns, tap % self.columns);
        (at < self.gathered_len()).then_some(Tap { input: self.blocks * STEP + channel, ky, kx })
    }

    /// Lays out the kernel in the order in which it is read: `[tiles][step][part][tile]`, with tiles of 16 outputs
    /// grouped as they are summed. For 16 lanes of each tile, `lanes` holds where the numbers of the lane's output
    /// begin in `kernel`.
    pub(super) fn lay_out(&self, kernel: &[f32], lanes: &[Option<usize>], products: Products) -> Vec<Weights> {
        // Kernels are square: `[output][input][ky][kx]`.
        let place = |Tap { input, ky, kx }| (input * self.rows + ky) * self.rows + kx;
        // Places are computed once, not per output: every prompt lays out whole kernels.
        let taps: Vec<[Option<usize>; STEP]> =
            (0..self.steps()).map(|step| std::array::from_fn(|k| self.tap(step, k).map(place))).collect();
        let lanes = lanes.as_chunks::<LANES>().0;
        let mut laid = Vec::with_capacity(lanes.len() * self.tile_len(products.parts()));
        for (first, count) in products.tiles_of(lanes.len()) {
            for taps in &taps {
                let numbers: Vec<Numbers> =
                    lanes[first..first + count].iter().map(|lanes| numbers(kernel, lanes, taps)).collect();
                for part in [high, low].into_iter().take(products.parts()) {
                    laid.extend(numbers.iter().map(part));
                }
            }
        }
        laid
    }

    /// Returns the operands per tile of a laid out kernel.
    pub(super) fn tile_len(&self, parts: usize) -> usize {
        self.steps() * parts
    }
}

/// The content of a [`Weights`], in its order.
pub(super) type Numbers = [[f32; STEP]; STEP / 2];

/// Returns the numbers of a step's taps for 16 lanes, with zeros for padding and for lanes without output.
fn numbers(kernel: &[f32], lanes: &[Option<usize>; LANES], taps: &[Option<usize>; STEP]) -> Numbers {
    let mut numbers = [[0.0; STEP]; STEP / 2];
    for (row, taps) in numbers.iter_mut().zip(taps.as_chunks::<2>().0) {
        for (pair, lane) in row.as_chunks_mut::<2>().0.iter_mut().zip(lanes) {
            let at = |tap: Option<usize>| lane.zip(tap).map_or(0.0, |(lane, tap)| kernel[lane + tap]);
            *pair = taps.map(at);
        }
    }
    numbers
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
/// Returns a step's numbers from a function of a term's index and a lane.
pub(super) fn numbers_of(number: impl Fn(usize, usize) -> f32) -> Numbers {
    let mut numbers = [[0.0; STEP]; STEP / 2];
    for (pair, row) in numbers.iter_mut().enumerate() {
        for (lane, two) in row.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            *two = [number(2 * pair, lane), number(2 * pair + 1, lane)];
        }
    }
    numbers
}

/// Returns the high parts of numbers: 8 bits of their significands.
pub(super) fn high(numbers: &Numbers) -> Weights {
    let mut weights = Weights([[bf16::ZERO; STEP]; STEP / 2]);
    weights.0.as_flattened_mut().convert_from_f32_slice(numbers.as_flattened());
    weights
}

/// Returns the low parts: 8 bits more.
pub(super) fn low(numbers: &Numbers) -> Weights {
    let mut rest = *numbers;
    let high = high(numbers);
    rest.as_flattened_mut().iter_mut().zip(high.0.as_flattened()).for_each(|(v, high)| *v -= high.to_f32());
    self::high(&rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_channels_are_gathered() {
        let steps = |inputs, side| Depth::new(inputs, side, side).steps();
        assert_eq!([steps(3, 3), steps(64, 3), steps(65, 3), steps(3, 1), steps(65, 1)], [1, 18, 19, 1, 3]);
        assert_eq!(steps(64 + 28, 3), 27, "nearly a block");
    }

    #[test]
    fn every_tap_is_summed_once() {
        for (inputs, rows, columns) in [(3, 3, 3), (65, 3, 3), (64, 3, 1), (37, 5, 5), (48, 3, 3), (7, 1, 1)] {
            let depth = Depth::new(inputs, rows, columns);
            let mut taps: Vec<_> = (0..depth.steps() * STEP)
                .filter_map(|at| depth.tap(at / STEP, at % STEP))
                .map(|tap| (tap.input, tap.ky, tap.kx))
                .collect();
            taps.sort_unstable();
            let expected: Vec<_> = (0..inputs * rows * columns)
                .map(|at| (at / (rows * columns), at / columns % rows, at % columns))
                .collect();
            assert_eq!(taps, expected, "{depth:?}");
        }
    }
}
