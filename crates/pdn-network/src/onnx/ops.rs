//! The operations, in terms of ONNX's operators.
//!
//! A map is `[batch, channels, height, width]`; a vector has one pixel, a sequence one row. What does not depend on the
//! pictures (a prompt, a constant) has a batch of one, which ONNX broadcasts, as it does one pixel.

use super::graph::{Graph, float, int, ints, string};
use crate::{Act, Binary, End, Extent, Interpolation, Node, Op, ParamId, Pool};

/// A map in the graph.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// The value's name.
    pub(super) name: String,
    /// Whether there is one map per picture of the batch instead of one for all.
    pub(super) batched: bool,
    /// The node's channels and extent.
    pub(super) shape: crate::Shape,
}

impl Graph<'_> {
    /// Adds a node of a lowered network that is not an input; returns the name of its map.
    pub(super) fn write(&mut self, node: &Node, inputs: &[Value]) -> String {
        let x = || inputs[0].name.as_str();
        let channels = node.shape.channels as i64;
        match &node.op {
            Op::Constant(id) => self.param(*id, &[1, node.shape.channels, 1, 1]),
            Op::Fill(value) => {
                let number = self.number(*value);
                let batch = self.op("Shape", &[x()], vec![int("start", 0), int("end", 1)]);
                let extent = self.op("Shape", &[x()], vec![int("start", 2)]);
                let one = self.list(&[1]);
                let shape = self.op("Concat", &[&batch, &one, &extent], vec![int("axis", 0)]);
                self.op("Expand", &[&number, &shape], vec![])
            }
            Op::Conv { weight, bias } => {
                let shape = [0, 1, 2, 3].map(|d| self.length(*weight, d));
                let kernel = self.param(*weight, &shape);
                let bias = bias.map(|bias| self.param(bias, &shape[..1]));
                self.conv(x(), &kernel, bias.as_deref(), shape[3])
            }
            Op::MixedConv { bank, bias } => self.mixed_conv(x(), &inputs[1].name, *bank, *bias),
            Op::Act(act) => self.activation(*act, x()),
            Op::Binary(binary) => {
                let kind = match binary {
                    Binary::Add => "Add",
                    Binary::Mul => "Mul",
                    Binary::Div => "Div",
                };
                self.op(kind, &[x(), &inputs[1].name], vec![])
            }
            Op::Scale(factor) => {
                let factor = self.number(*factor);
                self.op("Mul", &[x(), &factor], vec![])
            }
            Op::Concat => {
                let names = self.of_one_batch(inputs);
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.op("Concat", &names, vec![int("axis", 1)])
            }
            Op::Slice { start, len } => self.slice(x(), *start as i64, (start + len) as i64, 1),
            Op::PixelShuffle(r) => {
                self.op("DepthToSpace", &[x()], vec![int("blocksize", *r as i64), string("mode", "CRD")])
            }
            Op::PixelUnshuffle(r) => self.pixel_unshuffle(x(), *r, channels),
            Op::Enlarge(by, r) => self.enlarge(x(), *by, *r),
            Op::GlobalPool(pool) => self.global_pool(*pool, x()),
            Op::Dot => {
                let product = self.op("Mul", &[x(), &inputs[1].name], vec![]);
                self.sum_of_channels(&product)
            }
            Op::Norm { eps } => {
                let square = self.op("Mul", &[x(), x()], vec![]);
                let sum = self.sum_of_channels(&square);
                self.root_with(&sum, eps * eps)
            }
            Op::Gradient { eps } => self.gradient(x(), *eps),
            Op::Softmax => self.op("Softmax", &[x()], vec![int("axis", 1)]),
            Op::LayerNorm { weight, bias, eps } => self.layer_norm(x(), *weight, *bias, *eps),
            Op::Positions(table) => self.positions(&inputs[0], *table),
            Op::Join => {
                let names = self.of_one_batch(inputs);
                let rows = [0, 1].map(|i| self.as_row(&names[i], inputs[i].shape));
                self.op("Concat", &[&rows[0], &rows[1]], vec![int("axis", 3)])
            }
            Op::Attend { heads, causal } => self.attend(inputs, *heads as i64, *causal),
            Op::Take(end) => {
                let row = self.as_row(x(), inputs[0].shape);
                match end {
                    End::First => self.slice(&row, 0, 1, 3),
                    End::Last => self.slice(&row, -1, i64::MAX, 3),
                }
            }
            Op::Picture { .. } | Op::Prompt { .. } | Op::Words(_) | Op::Dcm(_) => {
                unreachable!("inputs are written before, and modules are lowered")
            }
        }
    }

    /// Adds the lookup of the tokens' rows in a table, as a sequence.
    pub(super) fn words(&mut self, tokens: &str, table: ParamId) -> String {
        let shape = [0, 1].map(|d| self.length(table, d));
        let table = self.param(table, &shape);
        let rows = self.op("Gather", &[&table, tokens], vec![int("axis", 0)]);
        let columns = self.op("Transpose", &[&rows], vec![ints("perm", &[0, 2, 1])]);
        let axis = self.list(&[2]);
        self.op("Unsqueeze", &[&columns, &axis], vec![])
    }

    /// Reshapes the map.
    pub(super) fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let shape = self.list(shape);
        self.op("Reshape", &[x, &shape], vec![])
    }

    fn conv(&mut self, x: &str, kernel: &str, bias: Option<&str>, k: usize) -> String {
        let (side, radius) = (k as i64, (k / 2) as i64);
        let attributes = vec![ints("kernel_shape", &[side; 2]), ints("pads", &[radius; 4])];
        let inputs: Vec<&str> = [x, kernel].into_iter().chain(bias).collect();
        self.op("Conv", &inputs, attributes)
    }

    /// Mixes the kernel in the graph: `π [1, n]` times the bank `[n, out in k k]`.
    fn mixed_conv(&mut self, x: &str, mixture: &str, bank: ParamId, bias: ParamId) -> String {
        let [n, out, input, k] = [0, 1, 2, 3].map(|d| self.length(bank, d));
        let mixture = self.reshape(mixture, &[1, n as i64]);
        let bank = self.param(bank, &[n, out * input * k * k]);
        let bias = self.param(bias, &[n, out]);
        let kernel = self.op("MatMul", &[&mixture, &bank], vec![]);
        let kernel = self.reshape(&kernel, &[out as i64, input as i64, k as i64, k as i64]);
        let bias = self.op("MatMul", &[&mixture, &bias], vec![]);
        let bias = self.reshape(&bias, &[out as i64]);
        self.conv(x, &kernel, Some(&bias), k)
    }

    fn activation(&mut self, act: Act, x: &str) -> String {
        match act {
            Act::Relu => self.op("Relu", &[x], vec![]),
            Act::LeakyRelu(slope) => self.op("LeakyRelu", &[x], vec![float("alpha", slope)]),
            Act::PRelu(slopes) => {
                let slopes = self.param(slopes, &[self.length(slopes, 0), 1, 1]);
                self.op("PRelu", &[x, &slopes], vec![])
            }
            Act::Sigmoid => self.op("Sigmoid", &[x], vec![]),
            // ONNX has its own Gelu only from opset 20 on.
            Act::Gelu => {
                let [root, one, half] = [std::f64::consts::SQRT_2, 1.0, 0.5].map(|v| self.number(v));
                let y = self.op("Div", &[x, &root], vec![]);
                let y = self.op("Erf", &[&y], vec![]);
                let y = self.op("Add", &[&y, &one], vec![]);
                let y = self.op("Mul", &[&y, x], vec![]);
                self.op("Mul", &[&y, &half], vec![])
            }
            Act::QuickGelu => {
                let factor = self.number(1.702);
                let y = self.op("Mul", &[x, &factor], vec![]);
                let y = self.op("Sigmoid", &[&y], vec![]);
                self.op("Mul", &[x, &y], vec![])
            }
        }
    }

    fn enlarge(&mut self, x: &str, by: Interpolation, r: usize) -> String {
        let scales = self.floats(&format!("enlarged_{r}"), &[4], &[1.0, 1.0, r as f32, r as f32]);
        let attributes = match by {
            Interpolation::Nearest => vec![
                string("mode", "nearest"),
                string("coordinate_transformation_mode", "asymmetric"),
                string("nearest_mode", "floor"),
            ],
            Interpolation::Bilinear => {
                vec![string("mode", "linear"), string("coordinate_transformation_mode", "half_pixel")]
            }
        };
        self.op("Resize", &[x, "", &scales], attributes)
    }

    /// ONNX puts the pixels of a block before the channels, PyTorch after them. They are transposed and not gathered in
    /// another order: OpenVINO 2026.4 moves a Gather into the kernel of the next convolution, the wrong way around.
    fn pixel_unshuffle(&mut self, x: &str, r: usize, channels: i64) -> String {
        let block = (r * r) as i64;
        let y = self.op("SpaceToDepth", &[x], vec![int("blocksize", r as i64)]);
        let shape = self.op("Shape", &[&y], vec![]);
        let y = self.reshape(&y, &[0, block, channels / block, -1]);
        let y = self.op("Transpose", &[&y], vec![ints("perm", &[0, 2, 1, 3])]);
        self.op("Reshape", &[&y, &shape], vec![])
    }

    fn global_pool(&mut self, pool: Pool, x: &str) -> String {
        let mean = self.op("GlobalAveragePool", &[x], vec![]);
        match pool {
            Pool::Mean => mean,
            Pool::Contrast => {
                let apart = self.op("Sub", &[x, &mean], vec![]);
                let square = self.op("Mul", &[&apart, &apart], vec![]);
                let variance = self.op("GlobalAveragePool", &[&square], vec![]);
                let deviation = self.op("Sqrt", &[&variance], vec![]);
                self.op("Add", &[&deviation, &mean], vec![])
            }
        }
    }

    /// Adds the length of each channel's gradient, from the map between zeros, moved up and down or left and right.
    fn gradient(&mut self, x: &str, eps: f64) -> String {
        let squares = [2, 3].map(|axis| {
            let mut pads = [0; 8];
            (pads[axis], pads[axis + 4]) = (1, 1);
            let pads = self.list(&pads);
            let wide = self.op("Pad", &[x, &pads], vec![]);
            let before = self.slice(&wide, 0, -2, axis as i64);
            let after = self.slice(&wide, 2, i64::MAX, axis as i64);
            let difference = self.op("Sub", &[&after, &before], vec![]);
            self.op("Mul", &[&difference, &difference], vec![])
        });
        let sum = self.op("Add", &[&squares[0], &squares[1]], vec![]);
        self.root_with(&sum, eps * eps)
    }

    fn sum_of_channels(&mut self, x: &str) -> String {
        let axis = self.list(&[1]);
        self.op("ReduceSum", &[x, &axis], vec![int("keepdims", 1)])
    }

    /// Adds `sqrt(x + more)`.
    fn root_with(&mut self, x: &str, more: f64) -> String {
        let more = self.number(more);
        let sum = self.op("Add", &[x, &more], vec![]);
        self.op("Sqrt", &[&sum], vec![])
    }

    /// Adds a layer normalisation. ONNX's own LayerNormalization is over the last dimensions, and channels are not
    /// last.
    fn layer_norm(&mut self, x: &str, weight: ParamId, bias: ParamId, eps: f64) -> String {
        let mean =
            |graph: &mut Self, x: &str| graph.op("ReduceMean", &[x], vec![ints("axes", &[1]), int("keepdims", 1)]);
        let middle = mean(self, x);
        let apart = self.op("Sub", &[x, &middle], vec![]);
        let square = self.op("Mul", &[&apart, &apart], vec![]);
        let variance = mean(self, &square);
        let deviation = self.root_with(&variance, eps);
        let y = self.op("Div", &[&apart, &deviation], vec![]);
        let [weight, bias] = [weight, bias].map(|id| self.param(id, &[1, self.length(id, 0), 1, 1]));
        let y = self.op("Mul", &[&y, &weight], vec![]);
        self.op("Add", &[&y, &bias], vec![])
    }

    fn positions(&mut self, x: &Value, table: ParamId) -> String {
        let [rows, channels] = [0, 1].map(|d| self.length(table, d));
        let table = self.param(table, &[rows, channels, 1]);
        let row = self.as_row(&x.name, x.shape);
        let [start, axis] = [0, 0].map(|v| self.list(&[v]));
        let pixels = self.op("Shape", &[&row], vec![int("start", 3)]);
        let rows = self.op("Slice", &[&table, &start, &pixels, &axis], vec![]);
        let columns = self.op("Transpose", &[&rows], vec![ints("perm", &[1, 2, 0])]);
        let sum = self.op("Add", &[&row, &columns], vec![]);
        self.as_map(&sum, x)
    }

    /// Adds attention, with heads as a dimension of their own: `[batch, heads, channels / heads, pixels]`.
    fn attend(&mut self, inputs: &[Value], heads: i64, causal: bool) -> String {
        let size = inputs[0].shape.channels as i64 / heads;
        let names = self.of_one_batch(inputs);
        let [q, k, v] = [0, 1, 2].map(|i| self.reshape(&names[i], &[0, heads, size, -1]));
        let swap = || vec![ints("perm", &[0, 1, 3, 2])];
        let q = self.op("Transpose", &[&q], swap());
        let scores = self.op("MatMul", &[&q, &k], vec![]);
        let factor = self.number(1.0 / (size as f64).sqrt());
        let mut scores = self.op("Mul", &[&scores, &factor], vec![]);
        if causal {
            scores = self.hide_what_follows(&scores, &k);
        }
        let weights = self.op("Softmax", &[&scores], vec![int("axis", 3)]);
        let weights = self.op("Transpose", &[&weights], swap());
        let sum = self.op("MatMul", &[&v, &weights], vec![]);
        let row = self.reshape(&sum, &[0, heads * size, 1, -1]);
        self.as_map(&row, &Value { name: names[0].clone(), ..inputs[0] })
    }

    /// Masks scores `[.., query, key]` with minus infinity where the key follows the query.
    fn hide_what_follows(&mut self, scores: &str, keys: &str) -> String {
        let pixels = self.op("Shape", &[keys], vec![int("start", 3)]);
        let [first, second] = [0, 1].map(|v| self.list(&[v]));
        let end = self.op("Squeeze", &[&pixels, &first], vec![]);
        let [start, step] = [&first, &second].map(|one| self.op("Squeeze", &[one, &first], vec![]));
        let places = self.op("Range", &[&start, &end, &step], vec![]);
        let queries = self.op("Unsqueeze", &[&places, &second], vec![]);
        let hidden = self.op("Less", &[&queries, &places], vec![]);
        let nothing = self.number(f64::NEG_INFINITY);
        self.op("Where", &[&hidden, &nothing, scores], vec![])
    }

    fn slice(&mut self, x: &str, start: i64, end: i64, axis: i64) -> String {
        let [start, end, axis] = [start, end, axis].map(|v| self.list(&[v]));
        self.op("Slice", &[x, &start, &end, &axis], vec![])
    }

    /// Reshapes a map's pixels to a sequence, in one row.
    fn as_row(&mut self, x: &str, shape: crate::Shape) -> String {
        match shape.extent {
            Extent::One | Extent::Sequence => x.to_owned(),
            Extent::Picture(_) | Extent::Reduced(_) => self.reshape(x, &[0, shape.channels as i64, 1, -1]),
        }
    }

    /// Reshapes a row of pixels to the extent of `like`.
    fn as_map(&mut self, row: &str, like: &Value) -> String {
        match like.shape.extent {
            Extent::One | Extent::Sequence => row.to_owned(),
            Extent::Picture(_) | Extent::Reduced(_) => {
                let shape = self.op("Shape", &[&like.name], vec![]);
                self.op("Reshape", &[row, &shape], vec![])
            }
        }
    }

    /// Expands maps to one batch size if only some have one map per picture: ONNX broadcasts a batch of one in
    /// arithmetic, but not in concatenation.
    fn of_one_batch(&mut self, inputs: &[Value]) -> Vec<String> {
        let Some(like) = inputs.iter().find(|x| x.batched) else {
            return inputs.iter().map(|x| x.name.clone()).collect();
        };
        let mut shape = None;
        let names = inputs.iter().map(|x| match x.batched {
            true => x.name.clone(),
            false => {
                let shape = shape.get_or_insert_with(|| {
                    let batch = self.op("Shape", &[&like.name], vec![int("start", 0), int("end", 1)]);
                    let ones = self.list(&[1, 1, 1]);
                    self.op("Concat", &[&batch, &ones], vec![int("axis", 0)])
                });
                self.op("Expand", &[&x.name, shape], vec![])
            }
        });
        names.collect()
    }
}
