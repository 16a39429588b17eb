//! A whole picture, in bands of rows that flow through all layers; in columns where it is too wide for its memory.
//!
//! Every row of every map is computed once, and no map is there as a whole, so memory grows with the picture's width and not
//! with its height (`schedule.rs`). A network that reads the whole picture at once runs layer by layer.
//!
//! Columns see exactly the pixels around them that can change what they give by a bit, cut off at the picture's edge, where
//! every layer pads with zeros. So the pixels depend neither on columns nor on the height of bands nor on threads: they are
//! equal to the last bit.
//!
//! A network that works on a reduced picture reads whole blocks of pixels: columns see whole blocks, and a picture that does
//! not end with one is continued by its reflection, as Real-ESRGAN does.

use crate::RunError;
use crate::error::check_inputs;
use crate::pixels::Pixels;
use crate::place::{Placement, Workspace};
use crate::plan::Plan;
use crate::reference::Map;
use crate::regions::PromptedRegion;
use crate::rows::Rows;
use crate::run::{Run, Stop, Watch};
use crate::schedule::Bands;
use crate::step::Output;
use pdn_kernels::LANES;
use pdn_network::{Extent, Node, Op};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// How a picture is run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Bytes that maps may take while running. A picture that needs more is run in columns. What a thread copies beside the maps,
    /// a few rows under regions and a band for operations without a kernel of their own, is not counted.
    pub memory: usize,
    /// The width of columns in pixels of the input, whatever the memory.
    pub tile: Option<usize>,
}

impl Default for RunOptions {
    /// 2 GiB, columns as wide as that allows.
    fn default() -> Self {
        Self { memory: 2 << 30, tile: None }
    }
}

/// The narrowest columns worth running: below this nearly everything is computed for its surroundings.
const NARROWEST: usize = 16;

/// Pixels of a band for each thread: enough for a kernel to be read once and used often.
const THREAD_PIXELS: usize = 2048;

/// Rows of a band for each thread at most.
const THREAD_ROWS: usize = 16;

impl Plan {
    /// Runs the network on a picture in its value range and gives the enlarged picture in the same range. `progress` is
    /// told the part done, 0 to 1, and says whether to go on.
    ///
    /// # Errors
    /// As [`Plan::run_rows`].
    pub fn run(
        &self,
        picture: &dyn Pixels,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Map<f32>, RunError> {
        let scale = self.network.scale;
        let (_, height, width) = picture.size();
        let (channels, height, width) = (self.program.output.channels(), height * scale, width * scale);
        let mut out = Map::new(channels, height, width, vec![0.0; channels * height * width]);
        self.run_rows(picture, options, progress, &mut |piece| {
            for (c, plane) in out.data.chunks_exact_mut(height * width).enumerate() {
                let lines = plane[piece.rows().start * width..piece.rows().end * width].par_chunks_mut(width);
                lines.zip(piece.rows()).for_each(|(line, y)| piece.read(c, y, &mut line[piece.columns()]));
            }
        })?;
        Ok(out)
    }

    /// Runs the network on a picture in its value range and gives the enlarged picture piece by piece: rows from top to
    /// bottom, of the whole width, so that the whole of it need never be there; or column by column, each from top to bottom.
    /// `progress` is told the part done, 0 to 1, and says whether to go on.
    ///
    /// # Errors
    /// [`RunError::Prompt`] where the network takes a prompt and none was set; [`RunError::Picture`] where the picture
    /// has no pixels or not three channels; [`RunError::Memory`] where it cannot be run within the limit;
    /// [`RunError::NotFinite`] where the output holds NaN or an infinity; [`RunError::Cancelled`].
    pub fn run_rows(
        &self,
        picture: &dyn Pixels,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
        give: &mut dyn FnMut(Piece),
    ) -> Result<(), RunError> {
        let (output, scale) = (self.program.output, self.network.scale);
        let height = picture.size().1 * scale;
        self.each_band(picture, options, (progress, None), &mut None, &mut |span, rows, _| {
            let Some(map) = rows else { return Ok(()) };
            // A picture that was continued is cut off again.
            let rows = [map.band.start, map.band.end].map(|row| (row * output.shuffle).min(height));
            let rows = rows[0]..rows[1];
            if !rows.is_empty() {
                let columns = span.given.start * scale..span.given.end * scale;
                give(Piece { rows, columns, skipped: (span.given.start - span.seen.start) * scale, map, output });
            }
            Ok(())
        })
    }

    /// Runs the network on a picture and gives each step's name, its multiply-accumulates for each pixel of the picture and
    /// the time it took.
    ///
    /// # Errors
    /// As [`Plan::run_rows`].
    pub fn time_steps(
        &self,
        picture: &dyn Pixels,
        options: &RunOptions,
    ) -> Result<Vec<(&str, usize, Duration)>, RunError> {
        let mut times = vec![Duration::ZERO; self.program.steps.len()];
        let watch: (&mut dyn FnMut(f64) -> bool, _) = (&mut |_| true, Some(&mut times));
        self.each_band(picture, options, watch, &mut None, &mut |_, _, _| Ok(()))?;
        let steps = self.program.steps.iter().zip(times);
        Ok(steps.map(|(step, time)| (step.name.as_str(), step.cost, time)).collect())
    }

    /// The attention mask of every DCM that has one, under the prompt: by the name of its tap, one channel of 0 to 1, of the
    /// extent at which the module works. Options and progress are as in [`Plan::run`].
    ///
    /// # Errors
    /// As [`Plan::run_rows`], and [`RunError::Regions`] where regions have prompts of their own: a mask is one prompt's.
    pub fn masks(
        &self,
        picture: &dyn Pixels,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Vec<(String, Map<f32>)>, RunError> {
        if !self.regions.is_empty() {
            return Err(RunError::Regions("a mask is one prompt's: set one prompt".into()));
        }
        let (_, height, width) = picture.size();
        let block = self.program.multiple;
        let names = self.with_mask().map(|node| match &node.op {
            Op::Dcm(dcm) => format!("{}.mask", dcm.name),
            _ => unreachable!("only modules have masks"),
        });
        let extents: Vec<Extent> = self.with_mask().map(|node| node.shape.extent).collect();
        // A map of blocks of pixels has one for the last block too, however little of it is the picture's.
        let blank = |extent: &Extent| {
            let (height, width) = (part(*extent, height, block), part(*extent, width, block));
            Map::new(1, height, width, vec![0.0; height * width])
        };
        let mut whole: Vec<(String, Map<f32>)> = names.zip(extents.iter().map(blank)).collect();
        let progress = (progress, None);
        self.each_band(picture, options, progress, &mut Some(Vec::new()), &mut |span, rows, masks| {
            if rows.is_none() {
                let masks = masks.iter().flatten();
                for ((mask, extent), (_, whole)) in masks.zip(&extents).zip(&mut whole) {
                    span.put(mask, *extent, block, whole);
                }
            }
            Ok(())
        })?;
        Ok(whole)
    }

    /// Runs the network on each column of a picture, band by band; what a band gives is read before the next. `masks`, where
    /// there is a list, are gathered anew for each column and read with its last band.
    fn each_band(
        &self,
        picture: &dyn Pixels,
        options: &RunOptions,
        (progress, mut times): (&mut dyn FnMut(f64) -> bool, Option<&mut Vec<Duration>>),
        masks: &mut Masks,
        read: &mut Read,
    ) -> Result<(), RunError> {
        self.check(picture)?;
        let (_, height, width) = picture.size();
        let height = height.next_multiple_of(self.program.multiple);
        let (bands, side) = self.bands_and_columns(height, width, options)?;
        let spans = self.spans(width, side);
        let cost: usize = self.program.steps.iter().map(|step| step.cost).sum();
        let total: usize = spans.iter().map(|span| cost * span.seen.len() * bands.count).sum();
        // Memory of the last run serves this one: fresh pages cost a tenth of the time of a small picture.
        let mut space: Option<Workspace> = self.spare().take();
        let mut done = 0;
        for span in &spans {
            if !space.as_ref().is_some_and(|space| space.fits(bands, height, span.seen.len())) {
                drop(space.take());
            }
            let space = space.get_or_insert_with(|| Workspace::new(&self.program, bands, height, span.seen.len()));
            if let Some(masks) = masks {
                *masks = self.blank_masks(height, span.seen.len());
            }
            let mut run = Run::new(self, picture, span.seen.clone(), bands, space);
            for band in 0..bands.count {
                let mut watch = Watch {
                    progress: &mut |cost| {
                        done += cost * span.seen.len();
                        progress(done as f64 / total.max(1) as f64)
                    },
                    masks: masks.as_mut(),
                    times: times.as_deref_mut(),
                };
                let rows = run.band(band, &mut watch).map_err(|_| RunError::Cancelled)?;
                if !is_finite(rows, self.program.output) {
                    // The same memory serves to look for it.
                    run.release_output();
                    drop(run);
                    return Err(RunError::NotFinite { layer: self.culprit(picture, span, bands, space) });
                }
                read(span, Some(rows), masks)?;
                run.release_output();
            }
            read(span, None, masks)?;
        }
        *self.spare() = space;
        Ok(())
    }

    /// The first step that gives a number that is not finite.
    fn culprit(&self, picture: &dyn Pixels, span: &Span, bands: Bands, space: &mut Workspace) -> String {
        let mut run = Run::new(self, picture, span.seen.clone(), bands, space).suspect();
        for band in 0..bands.count {
            let mut watch = Watch { progress: &mut |_| true, masks: None, times: None };
            match run.band(band, &mut watch) {
                Err(Stop::NotFinite(name)) => return name,
                _ => run.release_output(),
            }
        }
        // A picture that gives other numbers when it is read again.
        self.program.steps.last().map_or_else(String::new, |step| step.name.clone())
    }

    /// Room for the mask of each module that has one, over columns of some width.
    fn blank_masks(&self, height: usize, width: usize) -> Vec<Map<f32>> {
        let blank = |node: &Node| {
            let (height, width) = (node.shape.extent.side(height), node.shape.extent.side(width));
            Map::new(1, height, width, vec![0.0; height * width])
        };
        self.with_mask().map(blank).collect()
    }

    /// The modules that have a mask.
    fn with_mask(&self) -> impl Iterator<Item = &Node> {
        self.network.nodes.iter().filter(|node| matches!(&node.op, Op::Dcm(dcm) if dcm.zeta.is_some()))
    }

    fn check(&self, picture: &dyn Pixels) -> Result<(), RunError> {
        let (channels, height, width) = picture.size();
        let prompt = match self.regions.first() {
            Some(PromptedRegion { share, .. }) if (share.height, share.width) != (height, width) => {
                let (h, w) = (share.height, share.width);
                return Err(RunError::Regions(format!(
                    "they are of a picture of {w}x{h}, found one of {width}x{height}"
                )));
            }
            Some(_) => self.network.prompt_dim(),
            None => self.prompt.as_ref().map(Vec::len),
        };
        check_inputs(&self.network, (channels, height, width), prompt)
    }

    /// The memory of the last run, where no other run has taken it.
    fn spare(&self) -> MutexGuard<'_, Option<Workspace>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bands, and the width of the columns, that fit in memory: wide columns first, then high bands.
    fn bands_and_columns(&self, height: usize, width: usize, options: &RunOptions) -> Result<(Bands, usize), RunError> {
        let grid = self.program.grid();
        let threads = rayon::current_num_threads().max(1);
        let high = THREAD_PIXELS.div_ceil(width).min(THREAD_ROWS).next_multiple_of(grid) * threads;
        let heights = [high, grid * threads, grid].map(|rows| Bands::new(&self.program, height, rows));
        let needs = |bands: Bands, seen: usize| {
            let seen = seen.min(width.next_multiple_of(self.program.multiple));
            Placement::new(&self.program, bands, height, seen).bytes()
        };
        let too_much = |needed: usize, why| {
            let (needed, limit) = (needed.div_ceil(1 << 20), options.memory >> 20);
            Err(RunError::Memory { needed, limit, why })
        };
        if self.summary.whole_picture > 0 {
            let needed = needs(heights[0], width + grid);
            return match needed <= options.memory {
                true => Ok((heights[0], width)),
                false => too_much(needed, "it reads the whole picture at once, so it cannot be cut"),
            };
        }
        if let Some(side) = options.tile {
            return Ok((heights[0], side.clamp(1, width)));
        }
        let mut side = width;
        loop {
            let seen = side.next_multiple_of(grid) + 2 * (self.halo + grid);
            if let Some(bands) = heights.into_iter().find(|bands| needs(*bands, seen) <= options.memory) {
                return Ok((bands, side));
            }
            if side <= NARROWEST {
                return too_much(needs(heights[2], seen), "columns cannot be narrower");
            }
            side = side.div_ceil(2).max(NARROWEST);
        }
    }

    /// Cuts a width into columns of at most `side` pixels, or a little more, each seeing what it must.
    fn spans(&self, width: usize, side: usize) -> Vec<Span> {
        let (block, grid) = (self.program.multiple, self.program.grid());
        // They begin where tiles of pixels do.
        let side = side.next_multiple_of(grid);
        let span = |start: usize| {
            let end = (start + side).min(width);
            let first = start.saturating_sub(self.halo) / grid * grid;
            Span { given: start..end, seen: first..(end + self.halo).min(width).next_multiple_of(block) }
        };
        (0..width).step_by(side).map(span).collect()
    }

    /// How many masks [`Self::masks`] gives.
    pub fn mask_count(&self) -> usize {
        self.with_mask().count()
    }

    /// Gives back the memory that a run keeps for the next one.
    pub fn release_memory(&self) {
        *self.spare() = None;
    }

    /// Bytes that running on a whole picture takes, beside the weights, the picture and the output, on as many threads as
    /// there are now.
    pub fn memory(&self, height: usize, width: usize) -> usize {
        if height == 0 || width == 0 {
            return 0;
        }
        let height = height.next_multiple_of(self.program.multiple);
        let unbounded = RunOptions { memory: usize::MAX, tile: None };
        let bands = self.bands_and_columns(height, width, &unbounded).map(|(bands, _)| bands);
        let width = width.next_multiple_of(self.program.multiple);
        bands.map_or(0, |bands| Placement::new(&self.program, bands, height, width).bytes())
    }
}

/// The masks of columns, where they are asked for.
type Masks = Option<Vec<Map<f32>>>;

/// Reads what a band gave, and that its columns are done.
type Read<'a> = dyn FnMut(&Span, Option<&Rows>, &mut Masks) -> Result<(), RunError> + 'a;

/// Some columns of a picture: what they give, and what they must see for that.
#[derive(Clone, Debug)]
struct Span {
    given: Range<usize>,
    seen: Range<usize>,
}

/// Whether all numbers of a band of the output are finite, with those that fill its last block up, which are.
fn is_finite(rows: &Rows, Output { source, .. }: Output) -> bool {
    let blocks = source.first_block..source.first_block + source.channels.div_ceil(LANES);
    let len = rows.shape.block_len();
    let finite = |y: usize| {
        // No way out in between, so that many are looked at together.
        rows.row(y)[blocks.start * len..blocks.end * len].iter().fold(true, |finite, v| finite & v.is_finite())
    };
    rows.band.clone().into_par_iter().all(finite)
}

/// Pixels a side of a map for so many of the picture; of one that has a pixel for each block, the last block's included.
fn part(extent: Extent, length: usize, block: usize) -> usize {
    match extent {
        Extent::Reduced(_) => extent.side(length.next_multiple_of(block)),
        _ => extent.side(length),
    }
}

impl Span {
    /// Puts what it gives of a map of one channel and some extent where it belongs in the whole.
    fn put(&self, map: &Map<f32>, extent: Extent, block: usize, whole: &mut Map<f32>) {
        let columns = extent.side(self.given.start)..part(extent, self.given.end, block);
        let skipped = columns.start - extent.side(self.seen.start);
        for (from, to) in map.data.chunks_exact(map.width).zip(whole.data.chunks_exact_mut(whole.width)) {
            to[columns.clone()].copy_from_slice(&from[skipped..][..columns.len()]);
        }
    }
}

/// A part of the enlarged picture, with its place in it: some rows, of the whole width where it is not run in columns.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Pixels of the map before the piece.
    skipped: usize,
    map: &'a Rows,
    output: Output,
}

impl Piece<'_> {
    /// The rows of the picture that it covers.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The pixels of each that it covers.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Copies what it holds of a channel in a row of the picture, which must be one that it covers, into as many numbers as it
    /// has columns.
    pub fn read(&self, channel: usize, y: usize, out: &mut [f32]) {
        let Output { source, shuffle: r } = self.output;
        // Of the channels that are a pixel's neighbours on its right.
        let first = source.first_block * LANES + (channel * r + y % r) * r;
        let (row, shape) = (self.map.row(y / r), self.map.shape);
        // Columns begin and end with a pixel of the map.
        for (dx, channel) in (first..first + r).enumerate() {
            let from = shape.at(channel / LANES, self.skipped / r) + channel % LANES;
            let numbers = row[from..].iter().step_by(LANES);
            out[dx..].iter_mut().step_by(r).zip(numbers).for_each(|(out, v)| *out = *v);
        }
    }
}
