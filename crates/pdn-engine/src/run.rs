//! Running a plan on one tile: its steps in order, each spread over the threads by rows.

use crate::dcm::Enhance;
use crate::place::Workspace;
use crate::plan::Plan;
use crate::reference::{self, Map};
use crate::rows::Rows;
use crate::step::{Fused, Place, Source, Step, Work};
use pdn_kernels::{
    Conv, LANES, RowShape, Store, add_scaled, multiply_channels, prelu_channels, scale_and_add, sum_channels,
};
use pdn_network::{Interpolation, NodeId, Op, Pool};
use rayon::prelude::*;

/// One tile on its way through a plan.
pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    picture: &'a Map<f32>,
    /// Row and column of the picture at which the tile begins.
    pub(crate) origin: (usize, usize),
    /// The mask of each module that has one, where masks are asked for.
    masks: Option<&'a mut Vec<Map<f32>>>,
    /// The maps that are alive, by value.
    values: Vec<Option<Rows>>,
    /// The vectors so far, by node.
    vectors: Vec<Option<Map<f32>>>,
}

impl Plan {
    /// Runs every step on a tile in the network's value range, which begins at `origin` of the picture, and gives the map that holds the output; its memory goes
    /// back to the workspace when it has been read. Masks, where asked for, are added to a list. `progress` is told the cost of each step as it is done, and says whether
    /// to go on.
    pub(crate) fn run_tile(
        &self,
        (picture, origin): (&Map<f32>, (usize, usize)),
        space: &mut Workspace,
        masks: Option<&mut Vec<Map<f32>>>,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Option<Rows> {
        let mut run = Run {
            plan: self,
            picture,
            origin,
            masks,
            values: self.program.values.iter().map(|_| None).collect(),
            vectors: self.network.nodes.iter().map(|_| None).collect(),
        };
        for (id, node) in self.network.ids().zip(&self.network.nodes) {
            if let (Op::Prompt { .. }, Some(prompt)) = (&node.op, &self.prompt) {
                run.vectors[id.index()] = Some(Map::vector(prompt.clone()));
            }
        }
        for step in &self.program.steps {
            run.step(step, space);
            if !progress(step.cost) {
                return None;
            }
        }
        run.values[self.program.output.value].take()
    }
}

impl Run<'_> {
    fn step(&mut self, step: &Step, space: &mut Workspace) {
        match step.out {
            Some(value) => {
                let (shape, height) = self.plan.program.rows_of(value, space.height, space.width);
                let channels = self.plan.program.values[value].channels;
                let mut rows = Rows { shape, channels, height, data: space.take(value) };
                self.map_work(&step.work, &mut rows);
                if let (Work::Mask { dcm, .. }, Some(masks)) = (&step.work, &mut self.masks)
                    && self.plan.dcms[*dcm].enhance.has_mask()
                {
                    masks.push(rows.to_map(channels - 1, 1));
                }
                self.values[value] = Some(rows);
            }
            None => self.vector_work(&step.work),
        }
        for value in &step.frees {
            self.give_back(*value, space);
        }
    }

    fn give_back(&mut self, value: usize, space: &mut Workspace) {
        if let Some(rows) = self.values[value].take() {
            space.put(value, rows.data);
        }
    }

    fn map_work(&self, work: &Work, out: &mut Rows) {
        match work {
            Work::Picture => out.fill_from(self.picture),
            Work::Conv { conv, input, fused } => self.convolve(conv, *input, fused, out),
            Work::Mask { dcm, input } => self.enhance(&self.plan.dcms[*dcm].enhance, *input, out),
            Work::MixedConv { dcm, input, fused } => self.convolve(&self.plan.dcms[*dcm].kernel, *input, fused, out),
            Work::Regional { dcm, input } => self.regional(*dcm, *input, out),
            Work::Multiply { input, factors } => {
                let mut factors = self.vector(*factors).data.clone();
                factors.resize(out.shape.blocks * LANES, 0.0);
                let shape = out.shape;
                out.par_rows(1).for_each(|(y, row)| multiply_channels(self.blocks(*input, y), shape, &factors, row));
            }
            Work::Concat { inputs } => out.par_rows(1).for_each(|(y, row)| {
                let mut rest = row;
                for input in inputs {
                    let source = self.blocks(*input, y);
                    let (part, after) = rest.split_at_mut(source.len());
                    part.copy_from_slice(source);
                    rest = after;
                }
            }),
            Work::Shuffle { input, r } => self.shuffle(*input, *r, out),
            Work::PRelu { input, slopes } => {
                let mut slopes = slopes.clone();
                slopes.resize(out.shape.blocks * LANES, 0.0);
                let shape = out.shape;
                out.par_rows(1).for_each(|(y, row)| prelu_channels(self.blocks(*input, y), shape, &slopes, row));
            }
            Work::Sum { input, scale, add } => out.par_rows(1).for_each(|(y, row)| match add {
                Some(add) => scale_and_add(self.blocks(*input, y), *scale, self.blocks(*add, y), row),
                None => row.iter_mut().zip(self.blocks(*input, y)).for_each(|(out, v)| *out = v * scale),
            }),
            Work::Enlarge { input, interpolation, r } => self.enlarge(*input, *interpolation, *r, out),
            Work::Reference { node, inputs } => out.fill_from(&self.reference(*node, inputs)),
            Work::Pool { .. } | Work::Vector { .. } => unreachable!("vectors are not maps"),
        }
    }

    fn vector_work(&mut self, work: &Work) {
        let (node, vector) = match work {
            Work::Pool { pool, input, node } => (*node, Map::vector(self.pool(*pool, *input))),
            Work::Vector { node } => {
                let places: Vec<Place> =
                    self.plan.network.node(*node).inputs.iter().map(|input| Place::Vector(*input)).collect();
                (*node, self.reference(*node, &places))
            }
            _ => unreachable!("maps are not vectors"),
        };
        self.vectors[node.index()] = Some(vector);
    }

    fn convolve(&self, conv: &Conv, input: Source, fused: &Fused, out: &mut Rows) {
        let isa = self.plan.isa;
        let (shape, out_shape) = (self.shape(input), out.shape);
        let height = self.rows(input).height;
        let nothing = vec![0.0; shape.len()];
        let radius = conv.side() / 2;
        out.par_rows(conv.shuffle()).for_each(|(y, rows)| {
            let around = (y..y + conv.side()).map(|row| match row.checked_sub(radius) {
                Some(row) if row < height => self.blocks(input, row),
                _ => &nothing,
            });
            let around: Vec<&[f32]> = around.collect();
            let add = fused.add.map(|add| self.blocks(add, y));
            let store = Store { activation: fused.activation, scale: fused.scale, add };
            conv.row(isa, &around, shape, &store, rows, out_shape);
        });
    }

    fn enhance(&self, enhance: &Enhance, input: Source, out: &mut Rows) {
        let (shape, out_shape, channels) = (self.shape(input), out.shape, out.channels);
        out.par_rows(1).for_each_init(Vec::new, |scratch, (y, row)| {
            enhance.row(self.plan.isa, (self.blocks(input, y), shape), scratch, (row, out_shape, channels));
        });
    }

    fn shuffle(&self, input: Source, r: usize, out: &mut Rows) {
        let (shape, out_shape, channels) = (self.shape(input), out.shape, out.channels);
        out.par_rows(1).for_each(|(y, row)| {
            let source = self.blocks(input, y / r);
            row.fill(0.0);
            for (x, dx) in (0..shape.width).flat_map(|x| (0..r).map(move |dx| (x, dx))) {
                for c in 0..channels {
                    let from = (c * r + y % r) * r + dx;
                    row[out_shape.at(c / LANES, x * r + dx) + c % LANES] =
                        source[shape.at(from / LANES, x) + from % LANES];
                }
            }
        });
    }

    fn enlarge(&self, input: Source, interpolation: Interpolation, r: usize, out: &mut Rows) {
        let (shape, out_shape) = (self.shape(input), out.shape);
        let height = self.rows(input).height;
        out.par_rows(1).for_each(|(y, row)| {
            let lines = interpolation.taps(y, r, height).map(|(y, weight)| (self.blocks(input, y), weight as f32));
            row.fill(0.0);
            for (block, x) in (0..shape.blocks).flat_map(|block| (0..out_shape.width).map(move |x| (block, x))) {
                let out = &mut row[out_shape.at(block, x)..][..LANES];
                for (at, weight) in interpolation.taps(x, r, shape.width) {
                    for (line, line_weight) in lines.iter().filter(|(_, line_weight)| *line_weight != 0.0) {
                        add_scaled(&line[shape.at(block, at)..][..LANES], line_weight * weight as f32, out);
                    }
                }
            }
        });
    }

    /// The statistic of each channel. Rows are summed on their own and then in order, in float64, so that the result
    /// depends neither on threads nor on how the rows were shared out.
    fn pool(&self, pool: Pool, input: Source) -> Vec<f32> {
        let shape = self.shape(input);
        let count = (self.rows(input).height * shape.width) as f64;
        let mean = |f: &(dyn Fn(f64, usize) -> f64 + Sync)| {
            let height = self.rows(input).height;
            let sums: Vec<Vec<f64>> =
                (0..height).into_par_iter().map(|y| sum_channels(self.blocks(input, y), shape, f)).collect();
            let mut total = vec![0.0; shape.blocks * LANES];
            sums.iter().for_each(|row| total.iter_mut().zip(row).for_each(|(t, s)| *t += s));
            total.iter_mut().for_each(|t| *t /= count);
            total
        };
        let means = mean(&|v, _| v);
        let values = match pool {
            Pool::Mean => means,
            Pool::Contrast => {
                let variances = mean(&|v, lane| (v - means[lane]).powi(2));
                variances.iter().zip(&means).map(|(variance, mean)| variance.sqrt() + mean).collect()
            }
        };
        values.into_iter().take(input.channels).map(|v| v as f32).collect()
    }

    fn reference(&self, node: NodeId, inputs: &[Place]) -> Map<f32> {
        let maps: Vec<Map<f32>> = inputs
            .iter()
            .map(|place| match place {
                Place::Map(source) => self.rows(*source).to_map(source.first_block * LANES, source.channels),
                Place::Vector(node) => self.vector(*node).clone(),
            })
            .collect();
        reference::operate(self.plan.network.node(node), &maps.iter().collect::<Vec<_>>(), &self.plan.weights)
    }

    fn vector(&self, node: NodeId) -> &Map<f32> {
        self.vectors[node.index()].as_ref().expect("a vector is made before it is read")
    }

    fn rows(&self, source: Source) -> &Rows {
        self.values[source.value].as_ref().expect("a map is made before it is read")
    }

    /// The shape of a source's rows.
    pub(crate) fn shape(&self, source: Source) -> RowShape {
        RowShape { blocks: source.channels.div_ceil(LANES), ..self.rows(source).shape }
    }

    /// A source's blocks in a row.
    pub(crate) fn blocks(&self, source: Source, y: usize) -> &[f32] {
        let shape = self.shape(source);
        &self.rows(source).row(y)[source.first_block * shape.block_len()..][..shape.len()]
    }
}
