//! Winograd's convolution F(4x4, 3x3) (Lavin and Gray, CVPR 2016), forward and to the kernel's gradient.
//!
//! A square of 4x4 results needs 144 products for each pair of channels; over squares of 6x6 numbers that are transformed
//! first, 36: `y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. The 36 places are independent, so each is a product of matrices over
//! channels, which is nearly all of the work. The price is rounding: about ten times that of the direct sum, still 1e-6
//! of the largest result.
//!
//! Lanes are channels. Planes are exchanged for pixels with their channels side by side, then a strip of tiles at a time is
//! transformed, multiplied and transformed back, so that it stays in the second cache; the kernel passes through it once
//! for each strip. The gradient of the kernel is the gradient of the same formula: `Gᵀ [Σ (A dy Aᵀ) ⊙ (Bᵀ d B)] G`.

use crate::lanes::{self, Kernel, Lanes};
use crate::planar::{PlanarConv, PlanarStore};
use crate::{Isa, LANES};
use std::cell::RefCell;
use std::mem::MaybeUninit;

/// Side of a tile's results.
const STEP: usize = 4;
/// Side of what a tile reads.
const SIDE: usize = 6;
/// Places of a transformed tile.
const PLACES: usize = SIDE * SIDE;
/// Tiles of a strip: twice the rows of the widest product, as much as the second cache holds beside 64 channels' kernel.
const STRIP: usize = 28;

/// A kernel transformed: `[place][input][output]`, the outputs rounded up to lanes.
#[derive(Clone, Debug)]
pub(crate) struct WinogradKernel {
    inputs: usize,
    lanes: usize,
    numbers: Vec<f32>,
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
                let rows: [[[f32; LANES]; SIDE]; 3] =
                    std::array::from_fn(|row| spread([taps[3 * row], taps[3 * row + 1], taps[3 * row + 2]]));
                for column in 0..SIDE {
                    let places = spread([rows[0][column], rows[1][column], rows[2][column]]);
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

/// G along one side.
fn spread([a, b, c]: [[f32; LANES]; 3]) -> [[f32; LANES]; SIDE] {
    let each = |f: &dyn Fn(f32, f32, f32) -> f32| std::array::from_fn(|i| f(a[i], b[i], c[i]));
    [
        each(&|a, _, _| a / 4.0),
        each(&|a, b, c| (a + b + c) / -6.0),
        each(&|a, b, c| (a - b + c) / -6.0),
        each(&|a, b, c| a / 24.0 + b / 12.0 + c / 6.0),
        each(&|a, b, c| a / 24.0 - b / 12.0 + c / 6.0),
        each(&|_, _, c| c),
    ]
}

/// A group's tiles.
#[derive(Clone, Copy, Debug)]
struct Tiles {
    images: usize,
    rows: usize,
    columns: usize,
}

impl Tiles {
    fn of(conv: &PlanarConv) -> Self {
        let PlanarConv { images, height, width, .. } = *conv;
        Self { images, rows: height.div_ceil(STEP), columns: width.div_ceil(STEP) }
    }

    fn count(&self) -> usize {
        self.images * self.rows * self.columns
    }

    /// Numbers of [`Pixels`].
    fn room(&self, lanes: usize, edge: usize) -> usize {
        self.images * (self.rows * STEP + 2 * edge) * (self.columns * STEP + 2 * edge) * lanes
    }

    /// The image, row and column of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        (tile / (self.rows * self.columns), tile / self.columns % self.rows, tile % self.columns)
    }
}

/// A group's maps with their channels side by side: `[image][row][pixel][channel]`, whole tiles and `edge` zero pixels
/// around each image, the channels rounded up to lanes.
struct Pixels<'a> {
    edge: usize,
    rows: usize,
    columns: usize,
    channels: usize,
    lanes: usize,
    numbers: &'a mut [f32],
}

impl<'a> Pixels<'a> {
    /// In memory cut from `scratch`, whatever is there.
    fn new(tiles: Tiles, channels: usize, edge: usize, scratch: &mut &'a mut [f32]) -> Self {
        let (rows, columns) = (tiles.rows * STEP + 2 * edge, tiles.columns * STEP + 2 * edge);
        let lanes = channels.next_multiple_of(LANES);
        let numbers = cut(scratch, tiles.images * rows * columns * lanes);
        Self { edge, rows, columns, channels, lanes, numbers }
    }

    /// Where a pixel's channels begin; rows and columns count from the edge's.
    fn at(&self, image: usize, row: usize, column: usize) -> usize {
        ((image * self.rows + row) * self.columns + column) * self.lanes
    }

    /// Fills it from planes, with zeros around them.
    fn fill(&mut self, isa: Isa, conv: &PlanarConv, planes: &[f32]) {
        self.numbers.fill(0.0);
        // SAFETY: `planes` and the numbers are as long as `Exchange` says.
        unsafe { lanes::run(isa, Exchange { conv, pixels: self, planes: Planes::From(planes) }) }
    }

    /// Writes its planes, with `add` added to them where it is given.
    fn write(&mut self, isa: Isa, conv: &PlanarConv, planes: &mut [f32], add: Option<&[f32]>) {
        // SAFETY: as above; `add` is as long as `planes`.
        unsafe { lanes::run(isa, Exchange { conv, pixels: self, planes: Planes::To(planes, add) }) }
    }
}

/// Planes `[image][channel][row][pixel]` that are read or written.
enum Planes<'a> {
    From(&'a [f32]),
    To(&'a mut [f32], Option<&'a [f32]>),
}

/// Planes to pixels or back, squares of 16 pixels by 16 channels at a time.
///
/// The planes are the convolution's images of the pixels' channels; the pixels have room for its tiles.
struct Exchange<'a, 'b> {
    conv: &'a PlanarConv,
    pixels: &'a mut Pixels<'b>,
    planes: Planes<'a>,
}

impl Kernel for Exchange<'_, '_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(mut self) {
        let PlanarConv { images, height, width, .. } = *self.conv;
        let channels = self.pixels.channels;
        for image in 0..images {
            for row in 0..height {
                for block in (0..channels).step_by(LANES) {
                    let count = LANES.min(channels - block);
                    let plane = |channel: usize| ((image * channels + block + channel) * height + row) * width;
                    let to = self.pixels.at(image, row + self.pixels.edge, self.pixels.edge) + block;
                    // Squares of the row, the last one over the one before it.
                    let squares = (0..width / LANES * LANES).step_by(LANES);
                    let last = (width >= LANES && width % LANES > 0).then(|| width - LANES);
                    for x in squares.chain(last) {
                        // SAFETY: 16 pixels from x on are inside the row; their channels inside the pixel's lanes.
                        unsafe { self.square::<V>(count, |channel| plane(channel) + x, to + x * self.pixels.lanes) }
                    }
                    if width < LANES {
                        self.narrow(count, width, plane, to);
                    }
                }
            }
        }
    }
}

impl Exchange<'_, '_> {
    /// # Safety
    /// As [`Kernel::run`]: 16 numbers at `plane(channel)` for each of `count` channels, 16 pixels' lanes at `to`.
    #[inline(always)]
    unsafe fn square<V: Lanes>(&mut self, count: usize, plane: impl Fn(usize) -> usize, to: usize) {
        let lanes = self.pixels.lanes;
        // SAFETY: this function's contract.
        unsafe {
            let pixels = self.pixels.numbers.as_mut_ptr().add(to);
            match &mut self.planes {
                Planes::From(planes) => {
                    let mut rows = [V::splat(0.0); LANES];
                    for (channel, row) in rows.iter_mut().enumerate().take(count) {
                        *row = V::load(planes.as_ptr().add(plane(channel)));
                    }
                    store(V::transpose(rows), pixels, lanes);
                }
                Planes::To(planes, add) => {
                    let rows: [V; LANES] = load(pixels, lanes);
                    for (channel, row) in V::transpose(rows).iter().enumerate().take(count) {
                        let row = match add {
                            Some(add) => row.plus(V::load(add.as_ptr().add(plane(channel)))),
                            None => *row,
                        };
                        row.store(planes.as_mut_ptr().add(plane(channel)));
                    }
                }
            }
        }
    }

    /// Rows of fewer pixels than lanes, a number at a time.
    fn narrow(&mut self, count: usize, width: usize, plane: impl Fn(usize) -> usize, to: usize) {
        for channel in 0..count {
            for x in 0..width {
                let (pixel, number) = (to + x * self.pixels.lanes + channel, plane(channel) + x);
                match &mut self.planes {
                    Planes::From(planes) => self.pixels.numbers[pixel] = planes[number],
                    Planes::To(planes, add) => {
                        planes[number] = self.pixels.numbers[pixel] + add.map_or(0.0, |add| add[number]);
                    }
                }
            }
        }
    }
}

/// Convolves a group; lengths were checked by the caller.
pub(crate) fn forward(
    conv: &PlanarConv,
    isa: Isa,
    x: &[f32],
    kernel: &WinogradKernel,
    store: PlanarStore,
    y: &mut [f32],
) {
    let tiles = Tiles::of(conv);
    let (inputs, outputs) = (conv.inputs.next_multiple_of(LANES), kernel.lanes);
    let maps = tiles.room(inputs, 1) + tiles.room(outputs, 0);
    with_scratch(maps + (PLACES * STRIP + 1) * (inputs + outputs), |mut scratch| {
        let scratch = &mut scratch;
        let mut from = Pixels::new(tiles, conv.inputs, 1, scratch);
        from.fill(isa, conv, x);
        let mut to = Pixels::new(tiles, conv.outputs, 0, scratch);
        let bias = cut(scratch, outputs);
        bias.fill(0.0);
        if let Some(given) = store.bias {
            bias[..conv.outputs].copy_from_slice(given);
        }
        let (spread, sums) = (cut(scratch, PLACES * STRIP * inputs), cut(scratch, PLACES * STRIP * outputs));
        let job = Forward { tiles, from: &from, kernel, bias, relu: store.relu, spread, sums, to: &mut to };
        // SAFETY: the maps have room for the tiles, the strips for [`STRIP`] tiles, the bias for the outputs' lanes.
        unsafe { lanes::run(isa, job) };
        to.write(isa, conv, y, store.add);
    });
}

/// The gradient of a group's kernel, `[out, in, 3, 3]`; lengths were checked by the caller.
pub(crate) fn kernel_gradient(conv: &PlanarConv, isa: Isa, x: &[f32], dy: &[f32], gradient: &mut [f32]) {
    let tiles = Tiles::of(conv);
    let (inputs, outputs) = (conv.inputs.next_multiple_of(LANES), conv.outputs.next_multiple_of(LANES));
    let maps = tiles.room(inputs, 1) + tiles.room(outputs, 0);
    let pairs = PLACES * conv.inputs * outputs;
    with_scratch(maps + PLACES * STRIP * (inputs + outputs) + pairs, |mut scratch| {
        let scratch = &mut scratch;
        let mut from = Pixels::new(tiles, conv.inputs, 1, scratch);
        from.fill(isa, conv, x);
        let mut back = Pixels::new(tiles, conv.outputs, 0, scratch);
        back.fill(isa, conv, dy);
        let (spread, backs) = (cut(scratch, PLACES * STRIP * inputs), cut(scratch, PLACES * STRIP * outputs));
        let sums = cut(scratch, pairs);
        sums.fill(0.0);
        let job = Gradient { tiles, inputs: conv.inputs, from: &from, back: &back, spread, backs, sums };
        // SAFETY: the maps have room for the tiles, the strips for [`STRIP`] tiles, the sums for every pair of channels.
        unsafe { lanes::run(isa, job) };
        for (output, gradient) in gradient.chunks_exact_mut(conv.inputs * 9).enumerate() {
            for (input, taps) in gradient.chunks_exact_mut(9).enumerate() {
                for (tap, number) in taps.iter_mut().enumerate() {
                    *number = sums[(tap * conv.inputs + input) * outputs + output];
                }
            }
        }
    });
}

/// Runs with memory for so many numbers, which each thread keeps: fresh pages would cost half as much as the work.
fn with_scratch(len: usize, run: impl FnOnce(&mut [f32])) {
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            *scratch = vec![0.0; len];
        }
        run(&mut scratch[..len]);
    });
}

/// The next `len` numbers of `scratch`.
fn cut<'a>(scratch: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (part, rest) = std::mem::take(scratch).split_at_mut(len);
    *scratch = rest;
    part
}

struct Forward<'a, 'b> {
    tiles: Tiles,
    from: &'a Pixels<'a>,
    kernel: &'a WinogradKernel,
    bias: &'a [f32],
    relu: bool,
    /// `[place][tile][input]`.
    spread: &'a mut [f32],
    /// `[place][tile][output]`.
    sums: &'a mut [f32],
    to: &'a mut Pixels<'b>,
}

impl Kernel for Forward<'_, '_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let (inputs, outputs) = (self.from.lanes, self.to.lanes);
        for first in (0..self.tiles.count()).step_by(STRIP) {
            let count = STRIP.min(self.tiles.count() - first);
            // SAFETY: this function's contract: the strip's tiles are the group's, and the buffers have their lengths.
            unsafe {
                spread_strip::<V>(self.tiles, self.from, first, count, self.spread);
                for place in 0..PLACES {
                    Product {
                        rows: count,
                        depth: self.kernel.inputs,
                        columns: outputs,
                        a: self.spread.as_ptr().add(place * STRIP * inputs),
                        a_row: inputs,
                        a_depth: 1,
                        b: self.kernel.numbers.as_ptr().add(place * self.kernel.inputs * self.kernel.lanes),
                        c: self.sums.as_mut_ptr().add(place * STRIP * outputs),
                        onto: false,
                    }
                    .run::<V>();
                }
                for tile in 0..count {
                    let (image, row, column) = self.tiles.place(first + tile);
                    for block in (0..outputs).step_by(LANES) {
                        let sums = self.sums.as_ptr().add(tile * outputs + block);
                        let bias = V::load(self.bias.as_ptr().add(block));
                        // Columns, then rows.
                        let mut half = MaybeUninit::<[[f32; LANES]; SIDE * STEP]>::uninit();
                        let half = half.as_mut_ptr().cast::<f32>();
                        for j in 0..SIDE {
                            let column: [V; SIDE] = load(sums.add(j * STRIP * outputs), SIDE * STRIP * outputs);
                            store(results(column), half.add(j * LANES), SIDE * LANES);
                        }
                        for i in 0..STEP {
                            let to = self.to.at(image, STEP * row + i, STEP * column) + block;
                            let mut y = results(load::<V, SIDE>(half.add(i * SIDE * LANES), LANES));
                            for y in &mut y {
                                *y = y.plus(bias);
                                if self.relu {
                                    *y = y.max(V::splat(0.0));
                                }
                            }
                            store(y, self.to.numbers.as_mut_ptr().add(to), outputs);
                        }
                    }
                }
            }
        }
    }
}

struct Gradient<'a> {
    tiles: Tiles,
    inputs: usize,
    from: &'a Pixels<'a>,
    back: &'a Pixels<'a>,
    /// `[place][tile][input]`.
    spread: &'a mut [f32],
    /// `[place][tile][output]`.
    backs: &'a mut [f32],
    /// `[place][input][output]`, zeros at first; the first nine places become the kernel's taps.
    sums: &'a mut [f32],
}

impl Kernel for Gradient<'_> {
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let (inputs, outputs) = (self.from.lanes, self.back.lanes);
        for first in (0..self.tiles.count()).step_by(STRIP) {
            let count = STRIP.min(self.tiles.count() - first);
            // SAFETY: as for `Forward`.
            unsafe {
                spread_strip::<V>(self.tiles, self.from, first, count, self.spread);
                for tile in 0..count {
                    let (image, row, column) = self.tiles.place(first + tile);
                    for block in (0..outputs).step_by(LANES) {
                        let mut half = MaybeUninit::<[[f32; LANES]; STEP * SIDE]>::uninit();
                        let half = half.as_mut_ptr().cast::<f32>();
                        for i in 0..STEP {
                            let from = self.back.at(image, STEP * row + i, STEP * column) + block;
                            let numbers: [V; STEP] = load(self.back.numbers.as_ptr().add(from), outputs);
                            store(backward(numbers), half.add(i * LANES), STEP * LANES);
                        }
                        let to = self.backs.as_mut_ptr().add(tile * outputs + block);
                        for j in 0..SIDE {
                            let places = backward(load::<V, STEP>(half.add(j * STEP * LANES), LANES));
                            store(places, to.add(j * STRIP * outputs), SIDE * STRIP * outputs);
                        }
                    }
                }
                for place in 0..PLACES {
                    Product {
                        rows: self.inputs,
                        depth: count,
                        columns: outputs,
                        a: self.spread.as_ptr().add(place * STRIP * inputs),
                        a_row: 1,
                        a_depth: inputs,
                        b: self.backs.as_ptr().add(place * STRIP * outputs),
                        c: self.sums.as_mut_ptr().add(place * self.inputs * outputs),
                        onto: true,
                    }
                    .run::<V>();
                }
            }
        }
        // Gᵀ sums G, where the sums stand.
        let place = self.inputs * outputs;
        for pair in (0..place).step_by(LANES) {
            // SAFETY: every place has the pair's lanes.
            unsafe {
                let sums = self.sums.as_mut_ptr().add(pair);
                let mut half = MaybeUninit::<[[f32; LANES]; SIDE * 3]>::uninit();
                let half = half.as_mut_ptr().cast::<f32>();
                for j in 0..SIDE {
                    let column: [V; SIDE] = load(sums.add(j * place), SIDE * place);
                    store(gather(column), half.add(j * LANES), SIDE * LANES);
                }
                for i in 0..3 {
                    let taps = gather(load::<V, SIDE>(half.add(i * SIDE * LANES), LANES));
                    store(taps, sums.add(3 * i * place), place);
                }
            }
        }
    }
}

/// Bᵀ d B of a strip's tiles, to `[place][tile][channel]`.
///
/// # Safety
/// The tiles are the map's, and `out` has room for [`STRIP`] of them.
#[inline(always)]
unsafe fn spread_strip<V: Lanes>(tiles: Tiles, from: &Pixels, first: usize, count: usize, out: &mut [f32]) {
    let lanes = from.lanes;
    for tile in 0..count {
        let (image, row, column) = tiles.place(first + tile);
        for block in (0..lanes).step_by(LANES) {
            // SAFETY: this function's contract; a tile reads a pixel more on every side, which the edge has.
            unsafe {
                let mut half = MaybeUninit::<[[f32; LANES]; SIDE * SIDE]>::uninit();
                let half = half.as_mut_ptr().cast::<f32>();
                for i in 0..SIDE {
                    let at = from.at(image, STEP * row + i, STEP * column) + block;
                    let numbers: [V; SIDE] = load(from.numbers.as_ptr().add(at), lanes);
                    store(read(numbers), half.add(i * LANES), SIDE * LANES);
                }
                let to = out.as_mut_ptr().add(tile * lanes + block);
                for j in 0..SIDE {
                    let places = read(load::<V, SIDE>(half.add(j * SIDE * LANES), LANES));
                    store(places, to.add(j * STRIP * lanes), SIDE * STRIP * lanes);
                }
            }
        }
    }
}

// Loops instead of closures below and above: what is called from a closure is compiled without the instruction set.

/// Vectors a stride apart.
///
/// # Safety
/// As for [`Lanes`]; `N` vectors may be read.
#[inline(always)]
unsafe fn load<V: Lanes, const N: usize>(from: *const f32, stride: usize) -> [V; N] {
    // SAFETY: this function's contract.
    unsafe {
        let mut vectors = [V::splat(0.0); N];
        for (i, vector) in vectors.iter_mut().enumerate() {
            *vector = V::load(from.add(i * stride));
        }
        vectors
    }
}

/// Writes vectors a stride apart.
///
/// # Safety
/// As for [`Lanes`]; `N` vectors may be written.
#[inline(always)]
unsafe fn store<V: Lanes, const N: usize>(vectors: [V; N], to: *mut f32, stride: usize) {
    for (i, vector) in vectors.iter().enumerate() {
        // SAFETY: this function's contract.
        unsafe { vector.store(to.add(i * stride)) }
    }
}

/// Bᵀ along one side.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn read<V: Lanes>(d: [V; SIDE]) -> [V; SIDE] {
    // SAFETY: this function's contract.
    unsafe {
        let (two, four, five) = (V::splat(2.0), V::splat(-4.0), V::splat(-5.0));
        let (even, odd) = (d[4].plus_product(d[2], four), d[3].plus_product(d[1], four));
        let (near, far) = (d[4].minus(d[2]), d[3].minus(d[1]).times(two));
        [
            d[4].plus_product(d[0], V::splat(4.0)).plus_product(d[2], five),
            even.plus(odd),
            even.minus(odd),
            near.plus(far),
            near.minus(far),
            d[5].plus_product(d[1], V::splat(4.0)).plus_product(d[3], five),
        ]
    }
}

/// Aᵀ along one side.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn results<V: Lanes>(m: [V; SIDE]) -> [V; STEP] {
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

/// A along one side: the way back of [`results`].
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn backward<V: Lanes>(y: [V; STEP]) -> [V; SIDE] {
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
unsafe fn gather<V: Lanes>(u: [V; SIDE]) -> [V; 3] {
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

/// `c[row][column] (+)= Σ a[row, k] b[k][column]`: `b` is `[depth][columns]`, `c` `[rows][columns]`, columns being a multiple
/// of [`LANES`]; `a` has its own strides.
struct Product {
    rows: usize,
    depth: usize,
    columns: usize,
    a: *const f32,
    a_row: usize,
    a_depth: usize,
    b: *const f32,
    c: *mut f32,
    /// Whether the sums are added to what is in `c`.
    onto: bool,
}

impl Product {
    /// # Safety
    /// As for [`Lanes`]; the matrices have the extents that the fields say.
    #[inline(always)]
    unsafe fn run<V: Lanes>(&self) {
        // SAFETY: this function's contract; each call's columns are below their count.
        unsafe {
            let mut column = 0;
            while column + 2 * LANES <= self.columns && V::PIXELS == 14 {
                self.rows::<V, 2>(column);
                column += 2 * LANES;
            }
            while column < self.columns {
                self.rows::<V, 1>(column);
                column += LANES;
            }
        }
    }

    /// All rows of `N` vectors of columns, as many rows at a time as registers hold.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn rows<V: Lanes, const N: usize>(&self, column: usize) {
        let mut row = 0;
        // SAFETY: each call's rows are below their count.
        unsafe {
            match V::PIXELS {
                14 => self.many::<V, 14, N>(&mut row, column),
                6 => self.many::<V, 6, N>(&mut row, column),
                _ => {}
            }
            self.many::<V, 4, N>(&mut row, column);
            self.many::<V, 1, N>(&mut row, column);
        }
    }

    /// Tiles of `M` rows while there are as many.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn many<V: Lanes, const M: usize, const N: usize>(&self, row: &mut usize, column: usize) {
        while *row + M <= self.rows {
            // SAFETY: the rows are below their count.
            unsafe { self.tile::<V, M, N>(*row, column) };
            *row += M;
        }
    }

    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn tile<V: Lanes, const M: usize, const N: usize>(&self, row: usize, column: usize) {
        // SAFETY: this function's contract.
        unsafe {
            let c = self.c.add(row * self.columns + column);
            let mut sums = [[V::splat(0.0); N]; M];
            if self.onto {
                for (m, sums) in sums.iter_mut().enumerate() {
                    *sums = load(c.add(m * self.columns), LANES);
                }
            }
            let (mut a, mut b) = (self.a.add(row * self.a_row), self.b.add(column));
            for _ in 0..self.depth {
                let numbers: [V; N] = load(b, LANES);
                for (m, sums) in sums.iter_mut().enumerate() {
                    let factor = V::splat(*a.add(m * self.a_row));
                    for (sum, number) in sums.iter_mut().zip(numbers) {
                        *sum = sum.plus_product(factor, number);
                    }
                }
                a = a.add(self.a_depth);
                b = b.add(self.columns);
            }
            for (m, sums) in sums.iter().enumerate() {
                store(*sums, c.add(m * self.columns), LANES);
            }
        }
    }
}
