//! This project's convolution as burn's on the CPU, with its own way back.
//!
//! Maps are `[images, channels, height, width]`, kernels `[sets, out, in, side, side]` and biases `[sets, out]`: one set for
//! all images, or one for each, as a prompt mixes them. burn's own convolution took twice as long where it was measured.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape, Tensor};
use burn_flex::FlexTensor;
use pdn_kernels::{Isa, PlanarConv, PlanarKernel, PlanarStore};
use rayon::prelude::*;

/// Zero-padded convolution that keeps the extent: `x` is `[images, in, height, width]`, `kernel` `[sets, out, in, side,
/// side]` with an odd side, `bias` `[sets, out]`, sets being 1 or the images.
pub fn convolve(x: Tensor<4>, kernel: Tensor<5>, bias: Tensor<2>) -> Tensor<4> {
    convolve_then(x, kernel, bias, Then::Nothing)
}

/// What follows a convolution and is done as it is stored, which saves a pass through memory on the way and another back.
#[derive(Clone, Debug)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// `max(y, 0)`.
    Relu,
    /// The sum with a map of the output's shape.
    Add(Box<Tensor<4>>),
}

/// A convolution, and what follows it.
pub fn convolve_then(x: Tensor<4>, kernel: Tensor<5>, bias: Tensor<2>, then: Then) -> Tensor<4> {
    let (relu, add) = match then {
        // A tensor of no numbers stands for none: a backend's operation takes tensors, not options.
        Then::Nothing => (false, Tensor::zeros([0, 0, 0, 0], &bias.device())),
        Then::Relu => (true, Tensor::zeros([0, 0, 0, 0], &bias.device())),
        Then::Add(map) => (false, *map),
    };
    let [x, add] = [x, add].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::convolve(x, kernel.into_dispatch(), bias.into_dispatch(), add, relu))
}

/// What the trainer asks of a backend beyond burn's own operations.
#[backend_extension(Flex, Autodiff)]
pub trait Convolve: Backend {
    /// The convolution, where `relu` without its negative numbers, and with `add` added where it has any numbers.
    fn convolve(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        add: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self>;
    /// The gradient before a ReLU, from its output and the gradient after it.
    fn relu_gradient(y: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The gradient of the input, from that of the output.
    fn input_gradient(kernel: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The gradient of the kernel, of the kernel's shape.
    fn kernel_gradient(x: FloatTensor<Self>, kernel: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The gradient of the bias, of the bias's shape.
    fn bias_gradient(bias: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Positions that one task should cover, so that small maps fill the lanes.
const POSITIONS: usize = 2048;

/// The shapes of one convolution over a batch.
struct Batch {
    conv: PlanarConv,
    sets: usize,
    images: usize,
}

impl Batch {
    fn new(x: &Shape, kernel: &Shape) -> Self {
        let [images, inputs, height, width] = x.dims();
        let [sets, outputs, kernel_inputs, side, _] = kernel.dims();
        assert_eq!(kernel_inputs, inputs, "channels of a convolution");
        assert!(sets == 1 || sets == images, "{sets} kernels for {images} images");
        // At least eight tasks where there are as many images, so that threads end together.
        let together = if sets == 1 { (POSITIONS / (height * width)).clamp(1, images.div_ceil(8)) } else { 1 };
        Self { conv: PlanarConv { inputs, outputs, side, images: together, height, width }, sets, images }
    }

    fn pixels(&self) -> usize {
        self.conv.height * self.conv.width
    }

    /// Convolves `x` into `y` with the kernel of each set; what is stored is for the whole batch.
    fn forward(&self, x: &[f32], kernels: &[PlanarKernel], store: PlanarStore, y: &mut [f32]) {
        let conv = self.conv;
        let (size_in, size_out) = (conv.inputs * self.pixels(), conv.outputs * self.pixels());
        let xs = x.par_chunks(conv.images * size_in);
        let ys = y.par_chunks_mut(conv.images * size_out);
        ys.zip(xs).enumerate().for_each(|(at, (y, x))| {
            let images = x.len() / size_in;
            let set = if self.sets == 1 { 0 } else { at };
            let bias = store.bias.map(|bias| &bias[set * conv.outputs..][..conv.outputs]);
            let add = store.add.map(|add| &add[at * conv.images * size_out..][..y.len()]);
            let store = PlanarStore { bias, add, ..store };
            PlanarConv { images, ..conv }.forward(isa(), x, &kernels[set], store, y);
        });
    }
}

/// Numbers that a pass over memory takes at a time.
const PASS: usize = 1 << 14;

/// A sum in sixteen parts, which the compiler makes lanes of.
fn sum(numbers: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (whole, rest) = numbers.as_chunks::<16>();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += v);
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

fn isa() -> Isa {
    static BEST: std::sync::LazyLock<Isa> = std::sync::LazyLock::new(Isa::best);
    *BEST
}

/// The numbers of a contiguous tensor.
fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.storage()
}

impl Convolve for Flex {
    fn convolve(x: FlexTensor, kernel: FlexTensor, bias: FlexTensor, add: FlexTensor, relu: bool) -> FlexTensor {
        let (x, kernel, bias) = (x.to_contiguous(), kernel.to_contiguous(), bias.to_contiguous());
        let add = add.to_contiguous();
        let batch = Batch::new(&x.shape(), &kernel.shape());
        let PlanarConv { inputs, outputs, side, height, width, .. } = batch.conv;
        let kernels: Vec<PlanarKernel> = numbers(&kernel)
            .par_chunks(outputs * inputs * side * side)
            .map(|kernel| PlanarKernel::new(kernel, outputs, inputs, side))
            .collect();
        let mut y = FlexTensor::empty(Shape::new([batch.images, outputs, height, width]), DType::F32);
        let add = Some(numbers(&add)).filter(|add| !add.is_empty());
        let store = PlanarStore { bias: Some(numbers(&bias)), relu, add };
        batch.forward(numbers(&x), &kernels, store, y.storage_mut());
        y
    }

    fn relu_gradient(y: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let (y, dy) = (y.to_contiguous(), dy.to_contiguous());
        let mut gradient = FlexTensor::empty(dy.shape(), DType::F32);
        let out: &mut [f32] = gradient.storage_mut();
        let parts = out.par_chunks_mut(PASS).zip(numbers(&y).par_chunks(PASS)).zip(numbers(&dy).par_chunks(PASS));
        parts.for_each(|((out, y), dy)| {
            for ((out, y), dy) in out.iter_mut().zip(y).zip(dy) {
                *out = if *y > 0.0 { *dy } else { 0.0 };
            }
        });
        gradient
    }

    fn input_gradient(kernel: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let (kernel, dy) = (kernel.to_contiguous(), dy.to_contiguous());
        let [sets, outputs, inputs, side, _] = kernel.shape().dims();
        let kernels: Vec<PlanarKernel> = numbers(&kernel)
            .par_chunks(outputs * inputs * side * side)
            .map(|kernel| PlanarKernel::transposed(kernel, outputs, inputs, side))
            .collect();
        let back = Batch::new(&dy.shape(), &Shape::new([sets, inputs, outputs, side, side]));
        let PlanarConv { height, width, .. } = back.conv;
        let mut dx = FlexTensor::empty(Shape::new([back.images, inputs, height, width]), DType::F32);
        back.forward(numbers(&dy), &kernels, PlanarStore::default(), dx.storage_mut());
        dx
    }

    fn kernel_gradient(x: FlexTensor, kernel: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let (x, dy) = (x.to_contiguous(), dy.to_contiguous());
        let batch = Batch::new(&x.shape(), &kernel.shape());
        let conv = batch.conv;
        let size = conv.outputs * conv.inputs * conv.side * conv.side;
        let xs = numbers(&x).par_chunks(conv.images * conv.inputs * batch.pixels());
        let dys = numbers(&dy).par_chunks(conv.images * conv.outputs * batch.pixels());
        // Each task has its own sum, and they are added in their order: the same whatever the threads.
        let parts: Vec<Vec<f32>> = xs
            .zip(dys)
            .map(|(x, dy)| {
                let mut part = vec![0.0; size];
                let images = x.len() / (conv.inputs * batch.pixels());
                PlanarConv { images, ..conv }.kernel_gradient(isa(), x, dy, &mut part);
                part
            })
            .collect();
        let mut gradient = FlexTensor::zeros(kernel.shape(), DType::F32);
        let sums: &mut [f32] = gradient.storage_mut();
        for (at, part) in parts.iter().enumerate() {
            let set = if batch.sets == 1 { 0 } else { at };
            for (sum, v) in sums[set * size..][..size].iter_mut().zip(part) {
                *sum += v;
            }
        }
        gradient
    }

    fn bias_gradient(bias: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let dy = dy.to_contiguous();
        let [_, outputs, height, width] = dy.shape().dims();
        let [sets, _] = bias.shape().dims();
        let planes: Vec<f32> = numbers(&dy).par_chunks(height * width).map(sum).collect();
        let mut gradient = FlexTensor::zeros(bias.shape(), DType::F32);
        let sums: &mut [f32] = gradient.storage_mut();
        for (at, sum) in planes.iter().enumerate() {
            let set = if sets == 1 { 0 } else { at / outputs };
            sums[set * outputs + at % outputs] += sum;
        }
        gradient
    }
}

impl<B: Convolve, C: CheckpointStrategy> Convolve for Autodiff<B, C> {
    fn convolve(
        x: FloatTensor<Self>,
        kernel: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        add: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ConvolveBackward;
        impl<B: Convolve> Backward<B, 4> for ConvolveBackward {
            /// The inputs, and the output of a ReLU.
            type State = ([NodeId; 3], Option<FloatTensor<B>>);

            fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, kept: &mut Checkpointer) {
                let [to_x, to_kernel, to_bias, to_add] = ops.parents;
                let mut dy = gradients.consume::<B>(&ops.node);
                let (inputs, output) = ops.state;
                let [x, kernel, bias]: [FloatTensor<B>; 3] = inputs.map(|input| kept.retrieve_node_output(input));
                if let Some(node) = to_add {
                    gradients.register::<B>(node.id, dy.clone());
                }
                if let Some(y) = output {
                    dy = B::relu_gradient(y, dy);
                }
                if let Some(node) = to_x {
                    gradients.register::<B>(node.id, B::input_gradient(kernel.clone(), dy.clone()));
                }
                if let Some(node) = to_kernel {
                    gradients.register::<B>(node.id, B::kernel_gradient(x, kernel, dy.clone()));
                }
                if let Some(node) = to_bias {
                    gradients.register::<B>(node.id, B::bias_gradient(bias, dy));
                }
            }
        }
        let nodes = [x.node(), kernel.node(), bias.node(), add.node()];
        match ConvolveBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let inputs = [prep.checkpoint(&x), prep.checkpoint(&kernel), prep.checkpoint(&bias)];
                let [x, kernel, bias, add] = [x, kernel, bias, add].map(|t| t.into_primitive());
                let y = B::convolve(x, kernel, bias, add, relu);
                prep.finish((inputs, relu.then(|| y.clone())), y)
            }
            OpsKind::UnTracked(prep) => {
                let [x, kernel, bias, add] = [x, kernel, bias, add].map(|t| t.into_primitive());
                prep.finish(B::convolve(x, kernel, bias, add, relu))
            }
        }
    }

    fn relu_gradient(_: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated again")
    }

    fn input_gradient(_: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated again")
    }

    fn kernel_gradient(_: FloatTensor<Self>, _: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated again")
    }

    fn bias_gradient(_: FloatTensor<Self>, _: FloatTensor<Self>) -> FloatTensor<Self> {
        unreachable!("gradients are not differentiated again")
    }
}
