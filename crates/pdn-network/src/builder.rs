//! The builder for architectures.
//!
//! It tracks the shape of every node, so a convolution knows its input channels. It remembers the first error, which
//! [`Builder::finish`] returns, so an architecture reads as a list of layers.

use crate::network::Node;
use crate::op::{Act, Binary, Dcm, DcmOptions, End, Interpolation, Op, Pool};
use crate::param::{Init, Param, ParamId, add_param, conv_params};
use crate::{Extent, Network, NetworkError, NodeId, PictureFormat, Shape, Tap};

/// The most nodes in a network: fifteen times those of RCAN+. Groups and blocks, each within its own bounds, could
/// otherwise fill memory together.
const MOST_NODES: usize = 1 << 15;

/// Builds a [`Network`] node by node.
#[derive(Debug, Default)]
pub struct Builder {
    params: Vec<Param>,
    nodes: Vec<Node>,
    taps: Vec<Tap>,
    error: Option<NetworkError>,
}

impl Builder {
    /// Creates an empty network.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the RGB picture to upscale.
    pub fn picture(&mut self) -> NodeId {
        self.push("picture", Op::Picture { channels: 3 }, &[])
    }

    /// Adds the prompt's embedding.
    pub fn prompt(&mut self, dim: usize) -> NodeId {
        self.push("prompt", Op::Prompt { dim }, &[])
    }

    /// Adds a `k`x`k` convolution to `out` channels, with `name.weight` and `name.bias`.
    pub fn conv(&mut self, name: &str, x: NodeId, out: usize, k: usize) -> NodeId {
        let channels = self.shape(x).channels;
        let (weight, bias) = self.kernel(name, &[out, channels, k, k]);
        self.push(name, Op::Conv { weight, bias: Some(bias) }, &[x])
    }

    /// Adds a linear layer without bias: a 1x1 convolution with `name.weight` alone.
    pub fn project(&mut self, name: &str, x: NodeId, out: usize) -> NodeId {
        let channels = self.shape(x).channels;
        let weight = self.param(format!("{name}.weight"), &[out, channels, 1, 1], Init::FanIn(channels));
        self.push(name, Op::Conv { weight, bias: None }, &[x])
    }

    /// Adds the last convolution of a residual branch, which training initialises small.
    pub fn branch_end(&mut self, name: &str, x: NodeId, out: usize, k: usize) -> NodeId {
        let y = self.conv(name, x, out, k);
        self.start_kernel(|shape| Init::Branch(shape[1..].iter().product()));
        y
    }

    /// Adds one convolution over `x` and `picture`, before a pixel shuffle by `r`: it upscales `picture` and adds what
    /// `x` contributes. Training initialises it near nearest-neighbour upscaling.
    pub fn added_to(&mut self, name: &str, x: NodeId, picture: NodeId, r: usize, k: usize) -> NodeId {
        let channels = self.shape(picture).channels;
        let both = self.concat(&[x, picture]);
        let y = self.conv(name, both, channels * r * r, k);
        self.start_kernel(|_| Init::Nearest(channels));
        y
    }

    /// Sets the initialisation of the last convolution's kernel.
    fn start_kernel(&mut self, init: impl Fn(&[usize]) -> Init) {
        if let Some(Op::Conv { weight, .. }) = self.nodes.last().map(|node| &node.op) {
            let param = &mut self.params[weight.index()];
            param.init = init(&param.shape);
        }
    }

    /// Adds a token embedding from the table `name.weight` of `vocabulary` rows.
    pub fn words(&mut self, name: &str, vocabulary: usize, channels: usize) -> NodeId {
        let table = self.param(format!("{name}.weight"), &[vocabulary, channels], Init::Spread(0.02));
        self.push(name, Op::Words(table), &[])
    }

    /// Adds row t of the table `name`, of `rows` rows, to pixel t.
    pub fn positions(&mut self, name: &str, x: NodeId, rows: usize) -> NodeId {
        let channels = self.shape(x).channels;
        let table = self.param(name.to_owned(), &[rows, channels], Init::Spread(0.01));
        self.push(name, Op::Positions(table), &[x])
    }

    /// Adds a parameter `name` along the channels of one pixel.
    pub fn constant(&mut self, name: &str, channels: usize) -> NodeId {
        let id = self.param(name.to_owned(), &[channels], Init::Spread(0.02));
        self.push(name, Op::Constant(id), &[])
    }

    /// Adds layer normalisation over channels, with `name.weight` and `name.bias`.
    pub fn layer_norm(&mut self, name: &str, x: NodeId) -> NodeId {
        let channels = self.shape(x).channels;
        let weight = self.param(format!("{name}.weight"), &[channels], Init::Constant(1.0));
        let bias = self.param(format!("{name}.bias"), &[channels], Init::Zero);
        self.push(name, Op::LayerNorm { weight, bias, eps: 1e-5 }, &[x])
    }

    /// Adds multi-head attention of queries to keys and values.
    pub fn attend(&mut self, [queries, keys, values]: [NodeId; 3], heads: usize, causal: bool) -> NodeId {
        self.push("attention", Op::Attend { heads, causal }, &[queries, keys, values])
    }

    /// Concatenates the pixels of two maps.
    pub fn join(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.push("sequence", Op::Join, &[x, y])
    }

    /// Takes one end of a sequence.
    pub fn take(&mut self, end: End, x: NodeId) -> NodeId {
        self.push("end", Op::Take(end), &[x])
    }

    /// Adds `max(x, 0)`.
    pub fn relu(&mut self, x: NodeId) -> NodeId {
        self.act(Act::Relu, x)
    }

    /// Applies an activation function to each number.
    pub fn act(&mut self, act: Act, x: NodeId) -> NodeId {
        self.push("activation", Op::Act(act), &[x])
    }

    /// Adds a leaky ReLU with a learned slope per channel, `name.weight`.
    pub fn prelu(&mut self, name: &str, x: NodeId) -> NodeId {
        let channels = self.shape(x).channels;
        let slope = self.param(format!("{name}.weight"), &[channels], Init::Slope);
        self.push(name, Op::Act(Act::PRelu(slope)), &[x])
    }

    /// Adds `x * factor`, or nothing if the factor is 1.
    pub fn scale(&mut self, x: NodeId, factor: f64) -> NodeId {
        if factor == 1.0 { x } else { self.push("scale", Op::Scale(factor), &[x]) }
    }

    /// Adds two maps.
    pub fn add(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.push("sum", Op::Binary(Binary::Add), &[x, y])
    }

    /// Multiplies two maps; the second is broadcast to the first.
    pub fn mul(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.push("product", Op::Binary(Binary::Mul), &[x, y])
    }

    /// Concatenates the channels of several maps.
    pub fn concat(&mut self, maps: &[NodeId]) -> NodeId {
        self.push("concatenation", Op::Concat, maps)
    }

    /// Selects the channels `start .. start + len`.
    pub fn slice(&mut self, x: NodeId, start: usize, len: usize) -> NodeId {
        self.push("slice", Op::Slice { start, len }, &[x])
    }

    /// Rearranges `[c r², h, w]` to `[c, h r, w r]`.
    pub fn pixel_shuffle(&mut self, x: NodeId, r: usize) -> NodeId {
        self.push("pixel shuffle", Op::PixelShuffle(r), &[x])
    }

    /// Rearranges `[c, h r, w r]` to `[c r², h, w]`.
    pub fn pixel_unshuffle(&mut self, x: NodeId, r: usize) -> NodeId {
        self.push("pixel unshuffle", Op::PixelUnshuffle(r), &[x])
    }

    /// Upscales by `r` a side, without weights; adds nothing if `r` is 1.
    pub fn enlarge(&mut self, x: NodeId, interpolation: Interpolation, r: usize) -> NodeId {
        if r == 1 { x } else { self.push("enlargement", Op::Enlarge(interpolation, r), &[x]) }
    }

    /// Computes the length of each channel's gradient, of at least `eps`.
    pub fn gradient(&mut self, x: NodeId, eps: f64) -> NodeId {
        self.push("gradient", Op::Gradient { eps }, &[x])
    }

    /// Computes a statistic of each channel over the picture.
    pub fn global_pool(&mut self, pool: Pool, x: NodeId) -> NodeId {
        self.push("global pool", Op::GlobalPool(pool), &[x])
    }

    /// Names a map, so that it can be read along with the output.
    pub fn tap(&mut self, name: &str, node: NodeId) {
        self.taps.push(Tap { name: name.to_owned(), node });
    }

    /// Adds a Dynamic Correlation Module, with its parameters under `name` and its mask tapped as `name.mask`.
    pub fn dcm(&mut self, name: &str, x: NodeId, prompt: NodeId, options: &DcmOptions) -> NodeId {
        if let Err(error) = options.check() {
            self.error.get_or_insert(error);
            return x;
        }
        if self.is_full() {
            return x;
        }
        let dcm = Dcm::trained(name, self.shape(x).channels, *options, &mut self.params);
        let node = self.push(name, Op::Dcm(dcm), &[x, prompt]);
        if options.attention {
            self.taps.push(Tap { name: format!("{name}.mask"), node });
        }
        node
    }

    /// Adds a residual block's usual branch: convolution, ReLU, convolution, all with `x`'s channels.
    pub fn conv_relu_conv(&mut self, [first, second]: [&str; 2], x: NodeId) -> NodeId {
        let channels = self.shape(x).channels;
        let y = self.conv(first, x, channels, 3);
        let y = self.relu(y);
        self.branch_end(second, y, channels, 3)
    }

    /// Adds channel attention: a statistic of each channel, squeezed to `squeezed` channels and back by 1x1
    /// convolutions `down` and `up`, then a sigmoid, weights the channels.
    pub fn channel_attention(&mut self, [down, up]: [&str; 2], pool: Pool, x: NodeId, squeezed: usize) -> NodeId {
        let channels = self.shape(x).channels;
        let statistic = self.global_pool(pool, x);
        let y = self.conv(down, statistic, squeezed, 1);
        let y = self.relu(y);
        let y = self.conv(up, y, channels, 1);
        let weight = self.act(Act::Sigmoid, y);
        self.mul(x, weight)
    }

    /// Adds EDSR's upsampler, `upsample.0`, `upsample.1`, ...: for each factor a convolution to `r²` times the channels
    /// and a pixel shuffle.
    pub fn upsample(&mut self, x: NodeId, scale: usize) -> NodeId {
        let channels = self.shape(x).channels;
        let mut y = x;
        for (stage, r) in self.upsampling_stages(scale).into_iter().enumerate() {
            y = self.conv(&format!("upsample.{stage}"), y, channels * r * r, 3);
            y = self.pixel_shuffle(y, r);
        }
        y
    }

    /// Returns the factors of stages that together upscale by `scale`: twos, or a three.
    pub fn upsampling_stages(&mut self, scale: usize) -> Vec<usize> {
        match scale {
            2 | 4 | 8 | 16 => vec![2; scale.ilog2() as usize],
            3 => vec![3],
            other => {
                self.fail(format!("scale {other}: expected 2, 3, 4, 8 or 16"));
                Vec::new()
            }
        }
    }

    /// Remembers the first error in the configuration.
    pub fn fail(&mut self, why: String) {
        self.error.get_or_insert(NetworkError::Config(why));
    }

    /// Returns the network with the output `output`: a map of the picture's extent, or an encoder's vector.
    ///
    /// # Errors
    /// Returns the first error that occurred while building.
    pub fn finish<C: serde::Serialize>(
        self,
        architecture: &'static str,
        config: &C,
        picture: PictureFormat,
        output: NodeId,
    ) -> Result<Network, NetworkError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let config = serde_json::to_value(config).map_err(|e| NetworkError::Config(e.to_string()))?;
        // An encoder returns a vector, which has no scale.
        let scale = match self.nodes[output.0].shape.extent {
            Extent::Picture(scale) => scale,
            _ => 1,
        };
        let Self { params, nodes, taps, .. } = self;
        Ok(Network { architecture, config, scale, picture, params, nodes, output, taps })
    }

    pub(crate) fn shape(&self, x: NodeId) -> Shape {
        self.nodes.get(x.0).map_or(Shape::vector(0), |node| node.shape)
    }

    /// Returns whether the node limit is reached, and records that as the error.
    fn is_full(&mut self) -> bool {
        let full = self.nodes.len() >= MOST_NODES;
        if full {
            self.fail(format!("more than {MOST_NODES} layers: expected fewer groups, or blocks in them"));
        }
        full
    }

    fn param(&mut self, name: String, shape: &[usize], init: Init) -> ParamId {
        if self.is_full() {
            return ParamId(0);
        }
        add_param(&mut self.params, name, shape, init)
    }

    fn kernel(&mut self, name: &str, shape: &[usize]) -> (ParamId, ParamId) {
        if self.is_full() {
            return (ParamId(0), ParamId(0));
        }
        conv_params(&mut self.params, name, shape)
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        if self.is_full() {
            return NodeId(self.nodes.len() - 1);
        }
        let shapes: Vec<Shape> = inputs.iter().map(|i| self.shape(*i)).collect();
        let shape = op.shape(&shapes, &self.params).unwrap_or_else(|error| {
            self.error.get_or_insert(error.at(name));
            Shape::vector(0)
        });
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape });
        NodeId(self.nodes.len() - 1)
    }
}
