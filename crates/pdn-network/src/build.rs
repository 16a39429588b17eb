//! The builder that architectures are written with.
//!
//! It keeps the shape of every node, so that a convolution knows its input channels, and the first error, so that an
//! architecture reads as a list of layers: the error comes out of [`Builder::finish`].

use crate::dcm::{Dcm, DcmOptions};
use crate::network::Node;
use crate::op::{Act, Binary, Op, Pool};
use crate::param::{Param, ParamId, conv_params};
use crate::{Network, NetworkError, NodeId, PictureFormat, Shape, Tap};

/// Writes a [`Network`] node by node.
#[derive(Debug, Default)]
pub struct Builder {
    params: Vec<Param>,
    nodes: Vec<Node>,
    taps: Vec<Tap>,
    error: Option<NetworkError>,
}

impl Builder {
    /// An empty network.
    pub fn new() -> Self {
        Self::default()
    }

    /// The RGB picture to enlarge.
    pub fn picture(&mut self) -> NodeId {
        self.push("picture", Op::Picture { channels: 3 }, &[])
    }

    /// The prompt's embedding.
    pub fn prompt(&mut self, dim: usize) -> NodeId {
        self.push("prompt", Op::Prompt { dim }, &[])
    }

    /// A `k`x`k` convolution to `out` channels, with `name.weight` and `name.bias`.
    pub fn conv(&mut self, name: &str, x: NodeId, out: usize, k: usize) -> NodeId {
        let channels = self.shape(x).channels;
        let (weight, bias) = self.kernel(name, &[out, channels, k, k]);
        self.push(name, Op::Conv { weight, bias: Some(bias) }, &[x])
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, x: NodeId) -> NodeId {
        self.act(Act::Relu, x)
    }

    /// A function of each number.
    pub fn act(&mut self, act: Act, x: NodeId) -> NodeId {
        self.push("activation", Op::Act(act), &[x])
    }

    /// `x * factor`; nothing where the factor is 1.
    pub fn scale(&mut self, x: NodeId, factor: f64) -> NodeId {
        if factor == 1.0 { x } else { self.push("scale", Op::Scale(factor), &[x]) }
    }

    /// The sum of two maps.
    pub fn add(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.push("sum", Op::Binary(Binary::Add), &[x, y])
    }

    /// The product of two maps, the second spread over the first.
    pub fn mul(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.push("product", Op::Binary(Binary::Mul), &[x, y])
    }

    /// The channels of several maps, one after the other.
    pub fn concat(&mut self, maps: &[NodeId]) -> NodeId {
        self.push("concatenation", Op::Concat, maps)
    }

    /// Channels `start .. start + len`.
    pub fn slice(&mut self, x: NodeId, start: usize, len: usize) -> NodeId {
        self.push("slice", Op::Slice { start, len }, &[x])
    }

    /// `[c r², h, w]` to `[c, h r, w r]`.
    pub fn pixel_shuffle(&mut self, x: NodeId, r: usize) -> NodeId {
        self.push("pixel shuffle", Op::PixelShuffle(r), &[x])
    }

    /// A statistic of each channel over the picture.
    pub fn global_pool(&mut self, pool: Pool, x: NodeId) -> NodeId {
        self.push("global pool", Op::GlobalPool(pool), &[x])
    }

    /// A Dynamic Correlation Module, its parameters under `name` and its mask tapped as `name.mask`.
    pub fn dcm(&mut self, name: &str, x: NodeId, prompt: NodeId, options: &DcmOptions) -> NodeId {
        if let Err(error) = options.check() {
            self.error.get_or_insert(error);
            return x;
        }
        let dcm = Dcm::trained(name, self.shape(x).channels, *options, &mut self.params);
        let node = self.push(name, Op::Dcm(dcm), &[x, prompt]);
        if options.attention {
            self.taps.push(Tap { name: format!("{name}.mask"), node });
        }
        node
    }

    /// A residual block's usual branch: convolution, ReLU, convolution, all of `x`'s channels.
    pub fn conv_relu_conv(&mut self, [first, second]: [&str; 2], x: NodeId) -> NodeId {
        let channels = self.shape(x).channels;
        let y = self.conv(first, x, channels, 3);
        let y = self.relu(y);
        self.conv(second, y, channels, 3)
    }

    /// EDSR's upsampler, `upsample.0`, `upsample.1`, ...: for each factor a convolution to `r²` times the channels and
    /// a pixel shuffle.
    pub fn upsample(&mut self, x: NodeId, scale: usize) -> NodeId {
        let channels = self.shape(x).channels;
        let mut y = x;
        for (stage, r) in self.upsampling_stages(scale).into_iter().enumerate() {
            y = self.conv(&format!("upsample.{stage}"), y, channels * r * r, 3);
            y = self.pixel_shuffle(y, r);
        }
        y
    }

    fn upsampling_stages(&mut self, scale: usize) -> Vec<usize> {
        match scale {
            2 | 4 | 8 | 16 => vec![2; scale.ilog2() as usize],
            3 => vec![3],
            other => {
                self.fail(format!("scale {other}: expected 2, 3, 4, 8 or 16"));
                Vec::new()
            }
        }
    }

    /// Remembers the first thing that is wrong with the configuration.
    pub fn fail(&mut self, why: String) {
        self.error.get_or_insert(NetworkError::Config(why));
    }

    /// The network, whose output is `output`.
    ///
    /// # Errors
    /// The first error met while building.
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
        let crate::Extent::Picture(scale) = self.nodes[output.0].shape.extent else {
            return Err(NetworkError::Shape("the output is one pixel".into()));
        };
        let Self { params, nodes, taps, .. } = self;
        Ok(Network { architecture, config, scale, picture, params, nodes, output, taps })
    }

    fn shape(&self, x: NodeId) -> Shape {
        self.nodes.get(x.0).map_or(Shape::vector(0), |node| node.shape)
    }

    fn kernel(&mut self, name: &str, shape: &[usize]) -> (ParamId, ParamId) {
        conv_params(&mut self.params, name, shape)
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        let shapes: Vec<Shape> = inputs.iter().map(|i| self.shape(*i)).collect();
        let shape = op.shape(&shapes, &self.params).unwrap_or_else(|error| {
            self.error.get_or_insert(error.at(name));
            Shape::vector(0)
        });
        self.nodes.push(Node { op, inputs: inputs.to_vec(), shape });
        NodeId(self.nodes.len() - 1)
    }
}
