//! Runs a plan on a band of rows: step by step, each parallel over groups of rows.

use crate::compile::program::Program;
use crate::compile::schedule::Bands;
use crate::compile::step::{Fused, MAX_INPUTS, Place, Reach, Source, Step, Work};
use crate::dense;
use crate::map::Map;
use crate::pixels::{Pixels, Reflected};
use crate::plan::Plan;
use crate::run::dcm::Enhance;
use crate::run::prompted::Prompted;
use crate::run::rows::Rows;
use crate::run::workspace::Workspace;
use pdn_kernels::{
    Conv, Format, Input, LANES, Row, RowShape, RowsMut, Store, add_scaled, gradient_channels, multiply_channels,
    prelu_channels, scale_and_add, sum_channels,
};
use pdn_network::{Interpolation, NodeId, Op, Pool};
use rayon::prelude::*;
use std::ops::Range;
use std::time::{Duration, Instant};

/// The most rows that a group reads.
const MOST_ROWS: usize = Conv::MOST_READ;

/// The shortest interval between two progress reports, at which a run can be cancelled.
const TELLING: Duration = Duration::from_millis(20);

/// The run of some columns of a picture through a plan, band by band.
pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) program: &'a Program,
    pub(crate) prompted: &'a Prompted,
    picture: Reflected<'a>,
    /// The columns of the picture.
    pub(crate) columns: Range<usize>,
    bands: Bands,
    space: &'a mut Workspace,
    /// The vectors computed so far, by node.
    vectors: Vec<Option<Map<f32>>>,
    /// Whether every number is checked for being finite.
    suspicious: bool,
}

/// What a run reports and records on its way.
pub(crate) struct Watch<'a> {
    /// Receives the cost of completed steps; returns whether to go on.
    pub(crate) progress: &'a mut dyn FnMut(usize) -> bool,
    /// The mask of each module that has one, over the columns, if masks are requested.
    pub(crate) masks: Option<&'a mut Vec<Map<f32>>>,
    /// The time of each step so far, if times are requested.
    pub(crate) times: Option<&'a mut Vec<Duration>>,
}

/// Why a band was not completed.
pub(crate) enum Stop {
    /// The caller cancelled.
    Cancelled,
    /// The named step computed a number that is not finite.
    NotFinite(String),
}

impl<'a> Run<'a> {
    /// Creates a run at the first band; the columns are as wide as the workspace.
    pub(crate) fn new(
        (plan, prompted): (&'a Plan, &'a Prompted),
        picture: &'a dyn Pixels,
        columns: Range<usize>,
        bands: Bands,
        space: &'a mut Workspace,
    ) -> Self {
        space.maps.iter_mut().for_each(Rows::restart);
        let vector = |node: &pdn_network::Node| match (&node.op, &prompted.embedding) {
            (Op::Prompt { .. }, Some(prompt)) => Some(Map::vector(prompt.clone())),
            _ => None,
        };
        let vectors = plan.network.nodes.iter().map(vector).collect();
        let program = plan.program_for(prompted.is_regional());
        Self { plan, program, prompted, picture: Reflected(picture), columns, bands, space, vectors, suspicious: false }
    }

    /// Checks every number from now on.
    pub(crate) fn suspect(mut self) -> Self {
        self.suspicious = true;
        self
    }

    /// Runs every step on a band and returns the map that holds the output's rows.
    pub(crate) fn band(&mut self, band: usize, watch: &mut Watch) -> Result<&Rows, Stop> {
        let program = self.program;
        let Watch { progress, masks, times } = watch;
        let mut at = 0;
        while at < program.steps.len() {
            // Stay inside the thread pool: entering it for each step takes as long as a small step, and may move the
            // work to a thread whose cache lacks the rows.
            let before = at;
            at = rayon::scope(|_| self.some_steps(before, band, masks, times))?;
            if !progress(program.steps[before..at].iter().map(|step| step.cost).sum()) {
                return Err(Stop::Cancelled);
            }
        }
        Ok(&self.space.maps[program.output.source.value])
    }

    /// Runs steps from `first` on until progress is due, and returns the index of the next step.
    fn some_steps(
        &mut self,
        first: usize,
        band: usize,
        masks: &mut Option<&mut Vec<Map<f32>>>,
        times: &mut Option<&mut Vec<Duration>>,
    ) -> Result<usize, Stop> {
        let (program, begun) = (self.program, Instant::now());
        let mut at = first;
        while at < program.steps.len() && begun.elapsed() < TELLING {
            let start = times.is_some().then(Instant::now);
            self.step(&program.steps[at], band, masks)?;
            if let (Some(start), Some(times)) = (start, times.as_mut()) {
                times[at] += start.elapsed();
            }
            at += 1;
        }
        Ok(at)
    }

    /// Frees the memory of the output's rows once they have been read.
    pub(crate) fn release_output(&mut self) {
        self.release(self.program.output.source.value);
    }

    fn step(&mut self, step: &Step, band: usize, masks: &mut Option<&mut Vec<Map<f32>>>) -> Result<(), Stop> {
        match step.out {
            Some(value) => {
                let mut rows = self.advance(step, value, band);
                if !rows.band.is_empty() {
                    self.map_work(&step.work, &mut rows);
                    if let (Work::Mask { dcm, .. }, Some(masks)) = (&step.work, masks.as_mut()) {
                        self.put_mask(*dcm, &rows, masks);
                    }
                }
                let finite = !self.suspicious || rows.is_finite();
                self.space.maps[value] = rows;
                if !finite {
                    return Err(Stop::NotFinite(step.name.clone()));
                }
            }
            // Vectors belong to the whole picture.
            None if band == 0 => self.vector_work(&step.work),
            None => {}
        }
        step.frees.iter().for_each(|value| self.release(*value));
        Ok(())
    }

    /// Returns a step's map with room for the rows of a band.
    fn advance(&mut self, step: &Step, value: usize, band: usize) -> Rows {
        let program = self.program;
        let slot = self.space.take(value);
        let mut rows = std::mem::take(&mut self.space.maps[value]);
        let lag = program.lags.of(value);
        let end = self.bands.end(band, program.values[value].extent, lag, rows.height);
        let group = match &step.work {
            Work::MixedConv { dcm, .. } => self.prompted.dcms[*dcm].kernel.group(),
            _ => step.group(program.precision),
        };
        // Groups begin at multiples of their rows once the lag is subtracted: the first may begin above the picture.
        let lead = if rows.band.end == 0 { lag % group } else { 0 };
        rows.advance(end, lead, slot);
        rows
    }

    fn release(&mut self, value: usize) {
        let kept = self.program.kept(value, self.bands);
        let rows = &mut self.space.maps[value];
        let slot = rows.release(rows.band.end.saturating_sub(kept));
        self.space.put(value, slot);
    }

    /// Copies a band of a module's mask into the masks of the columns.
    fn put_mask(&self, dcm: usize, rows: &Rows, masks: &mut [Map<f32>]) {
        let has_mask = |dcm: &usize| self.prompted.dcms[*dcm].enhance.has_mask();
        if has_mask(&dcm) {
            let mask = rows.to_map(rows.channels - 1, 1, rows.band.clone());
            let whole = &mut masks[(0..dcm).filter(has_mask).count()];
            whole.data[rows.band.start * mask.width..][..mask.data.len()].copy_from_slice(&mask.data);
        }
    }

    fn map_work(&self, work: &Work, out: &mut Rows) {
        match work {
            Work::Picture => self.bring_in(out),
            Work::Conv { conv, inputs, fused, .. } => self.convolve(conv, inputs, fused, out),
            Work::Mask { dcm, input } => self.enhance(&self.prompted.dcms[*dcm].enhance, *input, out),
            Work::MixedConv { dcm, input, fused, .. } => {
                self.convolve(&self.prompted.dcms[*dcm].kernel, &[*input], fused, out)
            }
            Work::Regional { dcm, input, .. } => self.regional(*dcm, *input, out),
            Work::Multiply { input, factors } => {
                let mut factors = self.vector(*factors).data.clone();
                factors.resize(out.shape.blocks * LANES, 0.0);
                let shape = out.shape;
                out.par_rows().for_each(|(y, row)| multiply_channels(self.blocks(*input, y), shape, &factors, row));
            }
            Work::Concat { inputs } => out.par_rows().for_each(|(y, row)| {
                let mut rest = row;
                for input in inputs {
                    let source = self.blocks(*input, y);
                    let (part, after) = rest.split_at_mut(source.len());
                    part.copy_from_slice(source);
                    rest = after;
                }
            }),
            Work::Repeat { input, times } => self.repeat(*input, *times, out),
            Work::Shuffle { input, r } => self.shuffle(*input, *r, out),
            Work::PRelu { input, slopes } => {
                let shape = out.shape;
                out.par_rows().for_each(|(y, row)| prelu_channels(self.blocks(*input, y), shape, slopes, row));
            }
            Work::Sum { input, scale, add } => out.par_rows().for_each(|(y, row)| match add {
                Some(add) => scale_and_add(self.blocks(*input, y), *scale, self.blocks(*add, y), row),
                None => row.iter_mut().zip(self.blocks(*input, y)).for_each(|(out, v)| *out = v * scale),
            }),
            Work::Enlarge { input, interpolation, r } => self.enlarge(*input, *interpolation, *r, out),
            Work::Gradient { input, eps } => self.gradient(*input, *eps, out),
            Work::Dense { node, inputs, reach } => {
                out.fill_from(&self.dense(*node, inputs, *reach, out.band.clone()));
            }
            Work::Pool { .. } | Work::Vector { .. } => unreachable!("vectors are not maps"),
        }
    }

    fn vector_work(&mut self, work: &Work) {
        let (node, vector) = match work {
            Work::Pool { pool, input, node } => (*node, Map::vector(self.pool(*pool, *input))),
            Work::Vector { node } => {
                let places: Vec<Place> =
                    self.plan.network.node(*node).inputs.iter().map(|input| Place::Vector(*input)).collect();
                (*node, self.dense(*node, &places, Reach::ROW, 0..1))
            }
            _ => unreachable!("maps are not vectors"),
        };
        self.vectors[node.index()] = Some(vector);
    }

    fn bring_in(&self, out: &mut Rows) {
        let left = self.columns.start;
        out.fill(|channel, y, x| self.picture.number(channel, y, left + x));
    }

    fn convolve(&self, conv: &Conv, inputs: &[Source], fused: &Fused, out: &mut Rows) {
        let (isa, r) = (self.plan.isa, conv.shuffle());
        let blocks = inputs.iter().map(|input| input.channels.div_ceil(LANES)).sum();
        let format = |source: &Source| self.rows(*source).format;
        let mut formats = [Format::Singles; MAX_INPUTS];
        formats.iter_mut().zip(inputs).for_each(|(to, input)| *to = format(input));
        let (add_format, format) = (fused.add.as_ref().map(format).unwrap_or_default(), out.format);
        let (shape, out_shape) = (RowShape { blocks, ..self.shape(inputs[0]) }, out.shape);
        let read = conv.group() + conv.side() - 1;
        out.par_groups(conv.group() * r).for_each(|(first, skip, rows)| {
            let mut around: [[&[f32]; MOST_ROWS]; MAX_INPUTS] = [[&[]; MOST_ROWS]; MAX_INPUTS];
            let mut maps: [&[&[f32]]; MAX_INPUTS] = [&[]; MAX_INPUTS];
            for ((input, around), map) in inputs.iter().zip(&mut around).zip(&mut maps) {
                self.rows_around(*input, first / r, skip / r + conv.side() / 2, &mut around[..read]);
                *map = &around[..read];
            }
            let mut add: [&[f32]; MOST_ROWS] = [&[]; MOST_ROWS];
            let add = match fused.add {
                Some(source) => {
                    let add = &mut add[..rows.len() / out_shape.len()];
                    add.iter_mut().enumerate().for_each(|(i, row)| *row = self.blocks(source, first + i));
                    &*add
                }
                None => &[],
            };
            let skip = skip / r;
            let store = Store { slopes: &fused.slopes, scale: fused.scale, add, add_format, format, skip };
            let input = Input { maps: &maps[..inputs.len()], formats: &formats[..inputs.len()], shape };
            conv.rows(isa, input, &store, RowsMut::new(rows, out_shape));
        });
    }

    /// Fills `around` with a source's rows, starting `before` rows above row `first`; rows outside the map are zeros.
    fn rows_around<'b>(&'b self, source: Source, first: usize, before: usize, around: &mut [&'b [f32]]) {
        for (i, row) in around.iter_mut().enumerate() {
            *row = match (first + i).checked_sub(before) {
                Some(y) if y < self.rows(source).height => self.blocks(source, y),
                _ => &self.space.nothing[..self.shape(source).len()],
            }
        }
    }

    fn enhance(&self, enhance: &Enhance, input: Source, out: &mut Rows) {
        let (shape, out_shape, channels) = (self.shape(input), out.shape, out.channels);
        out.par_rows().for_each_init(Vec::new, |scratch, (y, row)| {
            let row = RowsMut::new(row, out_shape);
            enhance.row(self.plan.isa, Row::new(self.blocks(input, y), shape), scratch, (row, channels));
        });
    }

    fn repeat(&self, input: Source, times: usize, out: &mut Rows) {
        let (shape, out_shape) = (self.shape(input), out.shape);
        let lane_of = |channel: usize| shape.at(channel / LANES, 0) + channel % LANES;
        let from: Vec<usize> = (0..out.channels).map(|channel| lane_of(channel / times)).collect();
        out.par_rows().for_each(|(y, row)| {
            let source = self.blocks(input, y);
            row.fill(0.0);
            for (block, from) in from.chunks(LANES).enumerate() {
                for x in 0..shape.width {
                    let lanes = &mut row[out_shape.at(block, x)..][..from.len()];
                    lanes.iter_mut().zip(from).for_each(|(lane, from)| *lane = source[from + x * LANES]);
                }
            }
        });
    }

    fn shuffle(&self, input: Source, r: usize, out: &mut Rows) {
        let (shape, out_shape, channels) = (self.shape(input), out.shape, out.channels);
        out.par_rows().for_each(|(y, row)| {
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
        out.par_rows().for_each(|(y, row)| {
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

    fn gradient(&self, input: Source, eps: f32, out: &mut Rows) {
        let shape = out.shape;
        out.par_rows().for_each(|(y, row)| {
            let mut around: [&[f32]; 3] = [&[]; 3];
            self.rows_around(input, y, 1, &mut around);
            gradient_channels(around, shape, eps, row);
        });
    }

    /// Computes the statistic of each channel. Rows are summed separately and then in order, so the result does not
    /// depend on threads or on how rows are distributed.
    fn pool(&self, pool: Pool, input: Source) -> Vec<f32> {
        let means = self.means(input, None);
        let values = match pool {
            Pool::Mean => means,
            Pool::Contrast => {
                let variances = self.means(input, Some(&means.iter().map(|mean| *mean as f32).collect::<Vec<_>>()));
                variances.iter().zip(&means).map(|(variance, mean)| variance.sqrt() + mean).collect()
            }
        };
        values.into_iter().take(input.channels).map(|v| v as f32).collect()
    }

    /// Computes the mean of each lane, or of the squared deviation from the given means.
    fn means(&self, input: Source, from: Option<&[f32]>) -> Vec<f64> {
        let (shape, height) = (self.shape(input), self.rows(input).height);
        let sums: Vec<Vec<f64>> = (0..height)
            .into_par_iter()
            .map(|y| sum_channels(self.plan.isa, self.blocks(input, y), shape, from))
            .collect();
        let mut total = vec![0.0; shape.blocks * LANES];
        sums.iter().for_each(|row| total.iter_mut().zip(row).for_each(|(t, s)| *t += s));
        total.iter_mut().for_each(|t| *t /= (height * shape.width) as f64);
        total
    }

    /// Computes some rows of an operation's result with [`dense`](mod@crate::dense).
    fn dense(&self, node: NodeId, inputs: &[Place], reach: Reach, rows: Range<usize>) -> Map<f32> {
        let read = reach.inward(rows.start)..reach.inward(rows.end);
        let maps: Vec<Map<f32>> = inputs
            .iter()
            .map(|place| match place {
                Place::Map(source) => {
                    self.rows(*source).to_map(source.first_block * LANES, source.channels, read.clone())
                }
                Place::Vector(node) => self.vector(*node).clone(),
                Place::Joined(_) => unreachable!("only convolutions read joined maps"),
            })
            .collect();
        dense::operate(self.plan.network.node(node), &maps.iter().collect::<Vec<_>>(), &self.plan.weights)
    }

    fn vector(&self, node: NodeId) -> &Map<f32> {
        self.vectors[node.index()].as_ref().expect("a vector is made before it is read")
    }

    pub(crate) fn rows(&self, source: Source) -> &Rows {
        &self.space.maps[source.value]
    }

    /// Returns the shape of a source's rows.
    pub(crate) fn shape(&self, source: Source) -> RowShape {
        let Rows { shape, format, .. } = self.rows(source);
        match format {
            Format::Singles => RowShape { blocks: source.channels.div_ceil(LANES), ..*shape },
            // Lines are read whole.
            Format::Lines => *shape,
        }
    }

    /// Returns a source's blocks in a row.
    pub(crate) fn blocks(&self, source: Source, y: usize) -> &[f32] {
        let shape = self.shape(source);
        &self.rows(source).row(y)[source.first_block * shape.block_len()..][..shape.len()]
    }
}
