//! This project's convolution as a burn operation on the CPU, with its own backward pass; other devices use burn's
//! (`burn_ops.rs`).
//!
//! Convolutions read and write [`Pixels`]. Kernels are `[sets, out, in, side, side]` and biases `[sets, out]`: one set
//! for all images, or one per image, as mixed by a prompt. Operations that follow a convolution are fused into its
//! store, and in the backward pass into the reading of gradients, as separate passes over memory would take as long as
//! the work.

use crate::executor::burn_ops;
use crate::executor::memory;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{FloatDType, Tensor, activation};
use burn_flex::FlexTensor;
use pdn_kernels::{Factors, Isa, PixelConv, PixelKernel, PixelMap, PixelStore, transpose};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Channels-last maps, `[images, height, width, channels]`.
#[derive(Clone, Debug)]
pub struct Pixels {
    map: Tensor<4>,
    registered: Registered,
}

/// Whether a gradient of a map is already registered in the backward pass; the next one is then added to it at the
/// store.
#[derive(Clone, Debug, Default)]
struct Registered(Arc<AtomicBool>);

impl Registered {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Pixels {
    /// Wraps maps that have this layout.
    pub fn new(map: Tensor<4>) -> Self {
        Self { map, registered: Registered::default() }
    }

    /// Converts from planes, `[images, channels, height, width]`.
    pub fn of_planes(planes: Tensor<4>) -> Self {
        let [images, channels, height, width] = planes.dims();
        let pixels = exchange(planes.reshape([images, channels, height * width]));
        Self::new(pixels.reshape([images, height, width, channels]))
    }

    /// Converts to planes, `[images, channels, height, width]`.
    pub fn planes(self) -> Tensor<4> {
        let [images, height, width, channels] = self.map.dims();
        exchange(self.map.reshape([images, height * width, channels])).reshape([images, channels, height, width])
    }

    /// Returns `[images, height, width, channels]`.
    pub fn dims(&self) -> [usize; 4] {
        self.map.dims()
    }

    /// Returns the maps in this layout.
    pub fn map(self) -> Tensor<4> {
        self.map
    }
}

/// Swaps rows and columns of `[images, rows, columns]`.
fn exchange(x: Tensor<3>) -> Tensor<3> {
    let [images, rows, columns] = x.dims();
    if rows == 1 || columns == 1 {
        return x.reshape([images, columns, rows]);
    }
    if !burn_ops::ours(&x) {
        return x.swap_dims(1, 2);
    }
    Tensor::from_dispatch(Dispatch::exchange(x.into_dispatch()))
}

/// Operations fused into a convolution: `shuffle(max(y, 0) + add)`, each part if requested.
#[derive(Clone, Debug)]
pub struct Then {
    /// Whether to apply a ReLU.
    pub relu: bool,
    /// A map to add to the result.
    pub add: Option<Pixels>,
    /// The factor of a pixel shuffle, which [`PixelConv::shuffles`] must allow; 1 for none.
    pub shuffle: usize,
}

impl Then {
    /// No operation.
    pub const NOTHING: Self = Self { relu: false, add: None, shuffle: 1 };
    /// `max(y, 0)`.
    pub const RELU: Self = Self { relu: true, ..Self::NOTHING };

    /// Applies the operations to a convolution's result with burn.
    pub(crate) fn after(self, y: Tensor<4>) -> Tensor<4> {
        let y = if self.relu { activation::relu(y) } else { y };
        let y = match self.add {
            Some(add) => y + add.map(),
            None => y,
        };
        if self.shuffle == 1 { y } else { burn_ops::pixel_shuffle(y, self.shuffle) }
    }
}

/// Computes a zero-padded convolution that keeps the size: `x` has `in` channels, `kernel` is
/// `[sets, out, in, side, side]` with an odd side, `bias` `[sets, out]`; the sets are 1 or the number of images.
pub fn convolve(x: Pixels, kernel: Tensor<5>, bias: Tensor<2>, then: Then) -> Pixels {
    if burn_ops::ours(&x.map) {
        ours(x, kernel, bias, then, Factors::F32)
    } else {
        Pixels::new(then.after(burn_ops::convolve(x.map, kernel, bias)))
    }
}

/// Computes [`convolve`] with this project's kernels.
fn ours(x: Pixels, kernel: Tensor<5>, bias: Tensor<2>, then: Then, factors: Factors) -> Pixels {
    let Then { relu, add, shuffle } = then;
    // An empty tensor stands for none: operations of a backend take tensors, not options.
    let add = add.unwrap_or_else(|| Pixels::new(Tensor::zeros([0, 0, 0, 0], &bias.device())));
    let stored = Stored { relu, shuffle, factors, x: x.registered, add: add.registered };
    let [x, add] = [x.map, add.map].map(Tensor::into_dispatch);
    let y = Dispatch::convolve(x, kernel.into_dispatch(), bias.into_dispatch(), add, stored);
    Pixels::new(Tensor::from_dispatch(y))
}

/// The precision of the factors in a network's convolutions. Sums are f32, as are all other operations and the weights
/// that the optimizer updates (Micikevicius et al. 2018).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 24 bits of precision.
    #[default]
    F32,
    /// 8 bits of precision, with the range of f32.
    Bf16,
}

impl Precision {
    /// Computes [`convolve`] on maps and kernels rounded to this precision.
    pub fn convolve(self, x: Pixels, kernel: Tensor<5>, bias: Tensor<2>, then: Then) -> Pixels {
        match self {
            Self::F32 => convolve(x, kernel, bias, then),
            Self::Bf16 if burn_ops::ours(&x.map) && Factors::Bf16.is_available() => {
                ours(x, kernel, bias, then, Factors::Bf16)
            }
            // Kernels that multiply in f32 are exact for such numbers.
            Self::Bf16 if burn_ops::ours(&x.map) => convolve(Pixels::new(rounded(x.map)), rounded(kernel), bias, then),
            Self::Bf16 => {
                let (x, kernel) = (x.map.cast(FloatDType::BF16), kernel.cast(FloatDType::BF16));
                Pixels::new(then.after(burn_ops::convolve(x, kernel, bias)))
            }
        }
    }
}

/// Rounds a tensor's numbers, and in the backward pass its gradient's, to bf16.
fn rounded<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.cast(FloatDType::BF16).cast(FloatDType::F32)
}

/// How a convolution stores its result, and what is known of its maps' gradients.
#[derive(Clone, Debug)]
pub struct Stored {
    relu: bool,
    shuffle: usize,
    factors: Factors,
    x: Registered,
    add: Registered,
}

/// The operation that the trainer needs from a backend beyond burn's own.
#[backend_extension(Flex, Autodiff)]
pub trait Convolve: Backend {
    /// Computes the convolution, and adds `add` if it is not empty.
    fn convolve(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        add: FloatTensor<Self>,
        stored: Stored,
    ) -> FloatTensor<Self>;
    /// Transposes `[images, rows, columns]` to `[images, columns, rows]`.
    fn exchange(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The backward pass of [`Convolve`], from the gradient `dy` of the stored result: through its `shuffle`, and through
/// the ReLU that wrote `y`, if there was one.
trait ConvolveBack: Backend {
    /// Returns the gradient of the input, with `add` added.
    fn input_gradient(
        kernel: FloatTensor<Self>,
        dy: Back<FloatTensor<Self>>,
        add: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self>;
    /// Returns the gradients of the kernel and the bias.
    fn kernel_gradients(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        dy: Back<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 2];
    /// Recycles the memory of a tensor that has no other owner.
    fn leave(tensor: FloatTensor<Self>);
}

/// The gradient of a convolution's stored result.
#[derive(Clone, Debug)]
struct Back<T> {
    dy: T,
    /// The output of the ReLU, if there was one.
    y: Option<T>,
    shuffle: usize,
    factors: Factors,
}

impl Back<FlexTensor> {
    fn contiguous(&self) -> Self {
        let y = self.y.as_ref().map(FlexTensor::to_contiguous);
        Self { dy: self.dy.to_contiguous(), y, ..*self }
    }

    /// Returns `[images, height, width, channels]` before the shuffle.
    fn dims(&self) -> [usize; 4] {
        let [images, height, width, channels] = self.dy.shape().dims();
        let r = self.shuffle;
        [images, height / r, width / r, channels * r * r]
    }

    fn map(&self) -> PixelMap<'_> {
        PixelMap { numbers: numbers(&self.dy), positive: self.y.as_ref().map(numbers), shuffle: self.shuffle }
    }
}

/// Positions that one task should cover, so that small maps fill a strip of tiles.
const POSITIONS: usize = 2048;

/// The shapes of one convolution over a batch.
struct Batch {
    /// The convolution of one task's group of images.
    conv: PixelConv,
    sets: usize,
    images: usize,
}

impl Batch {
    fn new([images, height, width, inputs]: [usize; 4], [sets, outputs, kernel_inputs, side, _]: [usize; 5]) -> Self {
        assert_eq!(kernel_inputs, inputs, "channels of a convolution");
        assert!(sets == 1 || sets == images, "{sets} kernels for {images} images");
        // At least eight tasks if there are as many images, so that threads finish together.
        let together = if sets == 1 { (POSITIONS / (height * width)).clamp(1, images.div_ceil(8)) } else { 1 };
        Self { conv: PixelConv { inputs, outputs, side, images: together, height, width }, sets, images }
    }

    fn pixels(&self) -> usize {
        self.conv.height * self.conv.width
    }

    fn set(&self, task: usize) -> usize {
        if self.sets == 1 { 0 } else { task }
    }

    /// Returns the convolution of a task, and its part of a map of this many channels.
    fn task<'a>(&self, task: usize, map: PixelMap<'a>, channels: usize) -> (PixelConv, PixelMap<'a>) {
        let first = task * self.conv.images;
        let images = self.conv.images.min(self.images - first);
        let size = self.pixels() * channels;
        let part = |numbers: &'a [f32]| &numbers[first * size..][..images * size];
        let map = PixelMap { numbers: part(map.numbers), positive: map.positive.map(part), ..map };
        (PixelConv { images, ..self.conv }, map)
    }

    /// Convolves `x` with the kernel of each set; the result covers the whole batch.
    fn forward(&self, x: PixelMap, kernels: &[PixelKernel], store: PixelStore) -> Vec<f32> {
        let size = self.pixels() * self.conv.outputs;
        let mut y = memory::take(self.images * size);
        y.par_chunks_mut((self.conv.images * size).max(1)).enumerate().for_each(|(task, y)| {
            let (conv, x) = self.task(task, x, self.conv.inputs);
            let bias = store.bias.map(|bias| &bias[self.set(task) * conv.outputs..][..conv.outputs]);
            let add = store.add.map(|add| &add[task * self.conv.images * size..][..y.len()]);
            conv.forward(isa(), x, &kernels[self.set(task)], PixelStore { bias, add, ..store }, y);
        });
        y
    }

    /// Computes the gradients of each set's kernel and bias, in lanes.
    fn gradients(&self, factors: Factors, x: PixelMap, dy: PixelMap) -> Vec<Vec<f32>> {
        // Each task has its own sum, and the sums are added in order: the result is the same for any number of threads.
        let parts: Vec<Vec<f32>> = (0..self.images.div_ceil(self.conv.images))
            .into_par_iter()
            .map(|task| {
                let (conv, x) = self.task(task, x, self.conv.inputs);
                let (_, dy) = self.task(task, dy, self.conv.outputs);
                let mut part = memory::take(conv.gradients_len());
                conv.gradients(isa(), factors, x, dy, &mut part);
                part
            })
            .collect();
        if self.sets > 1 {
            return parts;
        }
        let mut sum = memory::take(self.conv.gradients_len());
        sum.par_chunks_mut(PASS).enumerate().for_each(|(at, sum)| {
            sum.fill(0.0);
            for part in &parts {
                sum.iter_mut().zip(&part[at * PASS..]).for_each(|(sum, v)| *sum += v);
            }
        });
        parts.into_iter().for_each(memory::leave);
        vec![sum]
    }
}

/// Numbers per chunk of a pass over memory.
const PASS: usize = 1 << 12;

fn isa() -> Isa {
    static BEST: std::sync::LazyLock<Isa> = std::sync::LazyLock::new(Isa::best);
    *BEST
}

/// Returns the numbers of a contiguous tensor.
fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.storage()
}

/// Lays out the kernel of each set.
fn lay_out(kernel: &FlexTensor, each: impl Fn(&[f32]) -> PixelKernel + Send + Sync) -> Vec<PixelKernel> {
    let sets = kernel.shape()[0];
    let kernel = numbers(kernel);
    kernel.par_chunks((kernel.len() / sets).max(1)).map(each).collect()
}

impl Convolve for Flex {
    fn convolve(x: FlexTensor, kernel: FlexTensor, bias: FlexTensor, add: FlexTensor, stored: Stored) -> FlexTensor {
        let [x, kernel, bias, add] = [x, kernel, bias, add].map(|t| t.to_contiguous());
        let [_, outputs, inputs, side, _]: [usize; 5] = kernel.shape().dims();
        let batch = Batch::new(x.shape().dims(), kernel.shape().dims());
        let Stored { relu, shuffle, factors, .. } = stored;
        let kernels = lay_out(&kernel, |kernel| PixelKernel::new(kernel, outputs, inputs, side, shuffle, factors));
        let add = Some(numbers(&add)).filter(|add| !add.is_empty());
        let store = PixelStore { bias: Some(numbers(&bias)), relu, add, shuffle };
        let y = batch.forward(PixelMap::new(numbers(&x)), &kernels, store);
        let PixelConv { height, width, .. } = batch.conv;
        memory::tensor(y, [batch.images, height * shuffle, width * shuffle, outputs / (shuffle * shuffle)])
    }

    fn exchange(x: FlexTensor) -> FlexTensor {
        let x = if x.is_contiguous() { x } else { x.to_contiguous() };
        let [images, rows, columns] = x.shape().dims();
        let mut y = memory::take(images * rows * columns);
        let size = (rows * columns).max(1);
        y.par_chunks_mut(size)
            .zip(numbers(&x).par_chunks(size))
            .for_each(|(y, x)| transpose(isa(), rows, columns, x, y));
        memory::leave_tensor(x);
        memory::tensor(y, [images, columns, rows])
    }
}

impl ConvolveBack for Flex {
    fn input_gradient(kernel: FlexTensor, dy: Back<FlexTensor>, add: Option<FlexTensor>) -> FlexTensor {
        let (kernel, dy, add) = (kernel.to_contiguous(), dy.contiguous(), add.map(|t| t.to_contiguous()));
        let [sets, outputs, inputs, side, _] = kernel.shape().dims();
        let kernels =
            lay_out(&kernel, |kernel| PixelKernel::transposed(kernel, outputs, inputs, side, dy.shuffle, dy.factors));
        let back = Batch::new(dy.dims(), [sets, inputs, outputs, side, side]);
        let store = PixelStore { add: add.as_ref().map(numbers), ..PixelStore::default() };
        let dx = back.forward(dy.map(), &kernels, store);
        memory::tensor(dx, [back.images, back.conv.height, back.conv.width, inputs])
    }

    fn kernel_gradients(x: FlexTensor, kernel: FlexTensor, dy: Back<FlexTensor>) -> [FlexTensor; 2] {
        let (x, dy, shape) = (x.to_contiguous(), dy.contiguous(), kernel.shape().dims());
        let [sets, outputs, inputs, side, _] = shape;
        let batch = Batch::new(x.shape().dims(), shape);
        let mut kernels = vec![0.0; shape.iter().product()];
        let mut biases = vec![0.0; sets * outputs];
        let parts = kernels.par_chunks_mut(outputs * inputs * side * side).zip(biases.par_chunks_mut(outputs));
        let lanes = batch.gradients(dy.factors, PixelMap::new(numbers(&x)), dy.map());
        parts.zip(lanes).for_each(|((kernel, bias), lanes)| {
            batch.conv.kernel_and_bias(&lanes, dy.shuffle, kernel, bias);
            memory::leave(lanes);
        });
        [memory::tensor(kernels, shape), memory::tensor(biases, [sets, outputs])]
    }

    fn leave(tensor: FlexTensor) {
        memory::leave_tensor(tensor);
    }
}

impl<B: Convolve + ConvolveBack, C: CheckpointStrategy> Convolve for Autodiff<B, C> {
    fn convolve(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        add: FloatTensor<Self>,
        stored: Stored,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ConvolveBackward;
        impl<B: Convolve + ConvolveBack> Backward<B, 4> for ConvolveBackward {
            /// The input and the kernel, how the result was stored, and the output of the ReLU.
            type State = ([NodeId; 2], Stored, Option<FloatTensor<B>>);

            fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, kept: &mut Checkpointer) {
                let [to_x, to_kernel, to_bias, to_add] = ops.parents;
                let dy = gradients.consume::<B>(&ops.node);
                let (inputs, stored, y) = ops.state;
                let [x, kernel]: [FloatTensor<B>; 2] = inputs.map(|input| kept.retrieve_node_output(input));
                if let Some(node) = to_add {
                    gradients.register::<B>(node.id, dy.clone());
                    stored.add.set();
                }
                let back = Back { dy, y, shuffle: stored.shuffle, factors: stored.factors };
                let before = to_x.as_ref().filter(|_| stored.x.get()).map(|node| gradients.consume::<B>(node));
                // Run both together, so that one fills the threads that the other leaves idle.
                let (dx, found) = rayon::join(
                    || to_x.is_some().then(|| B::input_gradient(kernel.clone(), back.clone(), before.clone())),
                    || {
                        let wanted = to_kernel.is_some() || to_bias.is_some();
                        wanted.then(|| B::kernel_gradients(x.clone(), kernel.clone(), back.clone()))
                    },
                );
                if let Some((node, dx)) = to_x.zip(dx) {
                    gradients.register::<B>(node.id, dx);
                    stored.x.set();
                }
                for (node, gradient) in [to_kernel, to_bias].into_iter().zip(found.into_iter().flatten()) {
                    if let Some(node) = node {
                        gradients.register::<B>(node.id, gradient);
                    }
                }
                before.into_iter().for_each(B::leave);
                [Some(x), Some(back.dy), back.y].into_iter().flatten().for_each(B::leave);
            }
        }
        let nodes = [x.node(), kernel.node(), bias.node(), add.node()];
        match ConvolveBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let inputs = [prep.checkpoint(&x), prep.checkpoint(&kernel)];
                let [x, kernel, bias, add] = [x, kernel, bias, add].map(|t| t.into_primitive());
                let y = B::convolve(x, kernel, bias, add, stored.clone());
                let kept = stored.relu.then(|| y.clone());
                prep.finish((inputs, stored, kept), y)
            }
            OpsKind::UnTracked(prep) => {
                let [x, kernel, bias, add] = [x, kernel, bias, add].map(|t| t.into_primitive());
                prep.finish(B::convolve(x, kernel, bias, add, stored))
            }
        }
    }

    fn exchange(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ExchangeBackward;
        impl<B: Convolve> Backward<B, 1> for ExchangeBackward {
            type State = ();

            fn backward(self, ops: Ops<(), 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let dy = gradients.consume::<B>(&ops.node);
                if let [Some(node)] = ops.parents {
                    gradients.register::<B>(node.id, B::exchange(dy));
                }
            }
        }
        match ExchangeBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((), B::exchange(x.into_primitive())),
            OpsKind::UnTracked(prep) => prep.finish(B::exchange(x.into_primitive())),
        }
    }
}
