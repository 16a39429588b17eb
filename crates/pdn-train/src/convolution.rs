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
use pdn_kernels::{Isa, PlanarConv, PlanarKernel};
use rayon::prelude::*;

/// Zero-padded convolution that keeps the extent: `x` is `[images, in, height, width]`, `kernel` `[sets, out, in, side,
/// side]` with an odd side, `bias` `[sets, out]`, sets being 1 or the images.
pub fn convolve(x: Tensor<4>, kernel: Tensor<5>, bias: Tensor<2>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::convolve(x.into_dispatch(), kernel.into_dispatch(), bias.into_dispatch()))
}

/// What the trainer asks of a backend beyond burn's own operations.
#[backend_extension(Flex, Autodiff)]
pub trait Convolve: Backend {
    /// The convolution.
    fn convolve(x: FloatTensor<Self>, kernel: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
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

    /// Convolves `x` into `y` with kernels laid out by `lay_out`, one for each set.
    fn forward(&self, x: &[f32], kernels: &[PlanarKernel], bias: Option<&[f32]>, y: &mut [f32]) {
        let conv = self.conv;
        let xs = x.par_chunks(conv.images * conv.inputs * self.pixels());
        let ys = y.par_chunks_mut(conv.images * conv.outputs * self.pixels());
        ys.zip(xs).enumerate().for_each(|(at, (y, x))| {
            let images = x.len() / (conv.inputs * self.pixels());
            let set = if self.sets == 1 { 0 } else { at };
            let bias = bias.map(|bias| &bias[set * conv.outputs..][..conv.outputs]);
            PlanarConv { images, ..conv }.forward(isa(), x, &kernels[set], bias, y);
        });
    }
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
    fn convolve(x: FlexTensor, kernel: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let (x, kernel, bias) = (x.to_contiguous(), kernel.to_contiguous(), bias.to_contiguous());
        let batch = Batch::new(&x.shape(), &kernel.shape());
        let PlanarConv { inputs, outputs, side, height, width, .. } = batch.conv;
        let kernels: Vec<PlanarKernel> = numbers(&kernel)
            .par_chunks(outputs * inputs * side * side)
            .map(|kernel| PlanarKernel::new(kernel, outputs, inputs, side))
            .collect();
        let mut y = FlexTensor::empty(Shape::new([batch.images, outputs, height, width]), DType::F32);
        batch.forward(numbers(&x), &kernels, Some(numbers(&bias)), y.storage_mut());
        y
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
        back.forward(numbers(&dy), &kernels, None, dx.storage_mut());
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
        let planes: Vec<f32> = numbers(&dy).par_chunks(height * width).map(|plane| plane.iter().sum()).collect();
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
    fn convolve(x: FloatTensor<Self>, kernel: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ConvolveBackward;
        impl<B: Convolve> Backward<B, 3> for ConvolveBackward {
            type State = (NodeId, NodeId, NodeId);

            fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, kept: &mut Checkpointer) {
                let [to_x, to_kernel, to_bias] = ops.parents;
                let dy = gradients.consume::<B>(&ops.node);
                let (x, kernel, bias) = ops.state;
                let x: FloatTensor<B> = kept.retrieve_node_output(x);
                let kernel: FloatTensor<B> = kept.retrieve_node_output(kernel);
                let bias: FloatTensor<B> = kept.retrieve_node_output(bias);
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
        match ConvolveBackward.prepare::<C>([x.node(), kernel.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&kernel), prep.checkpoint(&bias));
                prep.finish(state, B::convolve(x.into_primitive(), kernel.into_primitive(), bias.into_primitive()))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::convolve(x.into_primitive(), kernel.into_primitive(), bias.into_primitive()))
            }
        }
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
