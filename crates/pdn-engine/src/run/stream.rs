//! Runs a whole picture in bands of rows that stream through all layers, and in columns if it is too wide for its
//! memory.
//!
//! Every row of every map is computed once, and no map is in memory as a whole, so memory grows with the picture's
//! width and not with its height (`schedule.rs`). A network that needs the whole picture at once runs layer by layer.
//!
//! The halo of a column is exactly the pixels around it that can change any bit of its result, clipped at the picture's
//! edge, where every layer pads with zeros. So the result is bit-identical for any columns, any height of bands and any
//! number of threads.
//!
//! A network that works on a reduced picture reads whole blocks of pixels: halos consist of whole blocks, and a picture
//! that does not end with one is padded by reflection, as in Real-ESRGAN.

use crate::RunError;
use crate::compile::program::{Output, Program};
use crate::compile::schedule::Bands;
use crate::error::check_inputs;
use crate::map::Map;
use crate::pixels::Pixels;
use crate::plan::Plan;
use crate::run::band::{Run, Stop, Watch};
use crate::run::columns::{Cut, RunOptions, Span, part};
use crate::run::piece::Piece;
use crate::run::prompted::Prompted;
use crate::run::regions::PromptedRegion;
use crate::run::rows::Rows;
use crate::run::workspace::Workspace;
use crate::session::Session;
use pdn_kernels::LANES;
use pdn_network::{Extent, Node, Op};
use rayon::prelude::*;
use std::time::Duration;

impl Session {
    /// Runs the network on a picture in its value range and returns the upscaled picture in the same range. `progress`
    /// receives the fraction done, 0 to 1, and returns whether to go on.
    ///
    /// # Errors
    /// Same as [`Session::run_rows`].
    pub fn run(
        &mut self,
        picture: &dyn Pixels,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Map<f32>, RunError> {
        let scale = self.plan.network.scale;
        let (_, height, width) = picture.size();
        let (channels, height, width) = (self.program().output.channels(), height * scale, width * scale);
        let mut out = Map::new(channels, height, width, vec![0.0; channels * height * width]);
        self.run_rows(picture, options, progress, &mut |piece| {
            for (c, plane) in out.data.chunks_exact_mut(height * width).enumerate() {
                let lines = plane[piece.rows().start * width..piece.rows().end * width].par_chunks_mut(width);
                lines.zip(piece.rows()).for_each(|(line, y)| piece.read(c, y, &mut line[piece.columns()]));
            }
        })?;
        Ok(out)
    }

    /// Runs the network on a picture in its value range and passes the upscaled picture to `give` piece by piece, so
    /// the whole of it need never be in memory. Pieces are rows of the whole width, top to bottom; or columns one after
    /// the other, each top to bottom. `progress` receives the fraction done, 0 to 1, and returns whether to go on.
    ///
    /// # Errors
    /// [`RunError::Prompt`] if the network takes a prompt and none was set; [`RunError::Picture`] if the picture has no
    /// pixels or not three channels; [`RunError::Memory`] if it cannot be run within the limit; [`RunError::NotFinite`]
    /// if the output contains NaN or an infinity; [`RunError::Cancelled`].
    pub fn run_rows(
        &mut self,
        picture: &dyn Pixels,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
        give: &mut dyn FnMut(Piece),
    ) -> Result<(), RunError> {
        let (output, scale) = (self.program().output, self.plan.network.scale);
        let height = picture.size().1 * scale;
        self.each_band(picture, options, (progress, None), &mut None, &mut |span, rows, _| {
            let Some(map) = rows else { return Ok(()) };
            // Crop the padding of the picture.
            let rows = [map.band.start, map.band.end].map(|row| (row * output.shuffle).min(height));
            let rows = rows[0]..rows[1];
            if !rows.is_empty() {
                let columns = span.given.start * scale..span.given.end * scale;
                give(Piece { rows, columns, skipped: (span.given.start - span.seen.start) * scale, map, output });
            }
            Ok(())
        })
    }

    /// Runs the network on a picture and returns each step's name, its multiply-accumulates per pixel of the picture,
    /// and its time.
    ///
    /// # Errors
    /// Same as [`Session::run_rows`].
    pub fn time_steps(
        &mut self,
        picture: &dyn Pixels,
        options: &RunOptions,
    ) -> Result<Vec<(&str, usize, Duration)>, RunError> {
        let mut times = vec![Duration::ZERO; self.program().steps.len()];
        let watch: (&mut dyn FnMut(f64) -> bool, _) = (&mut |_| true, Some(&mut times));
        self.each_band(picture, options, watch, &mut None, &mut |_, _, _| Ok(()))?;
        let steps = self.program().steps.iter().zip(times);
        Ok(steps.map(|(step, time)| (step.name.as_str(), step.cost, time)).collect())
    }

    /// Returns the attention mask of every DCM that has one, under the prompt: the name of its tap and a map of one
    /// channel, 0 to 1, of the extent at which the module works. Options and progress are as in [`Session::run`].
    ///
    /// # Errors
    /// Same as [`Session::run_rows`], and [`RunError::Regions`] for regional prompts: a mask belongs to a single
    /// prompt.
    pub fn masks(
        &mut self,
        picture: &dyn Pixels,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Vec<(String, Map<f32>)>, RunError> {
        if self.is_regional() {
            return Err(RunError::Regions("a mask is one prompt's: set one prompt".into()));
        }
        let (_, height, width) = picture.size();
        let plan = self.plan.clone();
        let block = plan.program.multiple;
        let names = plan.with_mask().map(|node| match &node.op {
            Op::Dcm(dcm) => format!("{}.mask", dcm.name),
            _ => unreachable!("only modules have masks"),
        });
        let extents: Vec<Extent> = plan.with_mask().map(|node| node.shape.extent).collect();
        // A map with one pixel per block includes the last block, even if the picture ends inside it.
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

    /// Runs the network on each column of a picture, band by band, and calls `read` after each band and after each
    /// column. `masks`, if given, are collected anew for each column.
    fn each_band(
        &mut self,
        picture: &dyn Pixels,
        options: &RunOptions,
        (progress, mut times): (&mut dyn FnMut(f64) -> bool, Option<&mut Vec<Duration>>),
        masks: &mut Masks,
        read: &mut Read,
    ) -> Result<(), RunError> {
        let Self { plan, prompted, workspace } = self;
        check(plan, prompted, picture)?;
        let program = plan.program_for(prompted.is_regional());
        let (_, height, width) = picture.size();
        let height = height.next_multiple_of(program.multiple);
        let Cut { bands, spans } = Cut::new(program, plan.reads_whole_picture(), (height, width), options)?;
        let cost: usize = program.steps.iter().map(|step| step.cost).sum();
        let total: usize = spans.iter().map(|span| cost * span.seen.len() * bands.count).sum();
        // Reuse the memory of the last run: fresh pages cost a tenth of the time of a small picture. A run that fails
        // leaves it incomplete, so it is dropped then.
        let mut space: Option<Workspace> = workspace.take();
        let mut done = 0;
        for span in &spans {
            if !space.as_ref().is_some_and(|space| space.fits(bands, height, span.seen.len())) {
                drop(space.take());
            }
            let space = space.get_or_insert_with(|| Workspace::new(program, bands, height, span.seen.len()));
            if let Some(masks) = masks {
                *masks = blank_masks(plan, height, span.seen.len());
            }
            let mut run = Run::new((plan, prompted), picture, span.seen.clone(), bands, space);
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
                if !is_finite(rows, program.output) {
                    // The search uses the same memory.
                    run.release_output();
                    let run = Run::new((plan, prompted), picture, span.seen.clone(), bands, space).suspect();
                    return Err(RunError::NotFinite { layer: culprit(run, bands, program) });
                }
                read(span, Some(rows), masks)?;
                run.release_output();
            }
            read(span, None, masks)?;
        }
        *workspace = space;
        Ok(())
    }

    fn program(&self) -> &Program {
        self.plan.program_for(self.prompted.is_regional())
    }
}

/// Returns the name of the first step that computes a number that is not finite.
fn culprit(mut run: Run, bands: Bands, program: &Program) -> String {
    for band in 0..bands.count {
        let mut watch = Watch { progress: &mut |_| true, masks: None, times: None };
        match run.band(band, &mut watch) {
            Err(Stop::NotFinite(name)) => return name,
            _ => run.release_output(),
        }
    }
    // Only if the picture returns other numbers when it is read again.
    program.steps.last().map_or_else(String::new, |step| step.name.clone())
}

/// Allocates the mask of each module that has one, over columns of some width.
fn blank_masks(plan: &Plan, height: usize, width: usize) -> Vec<Map<f32>> {
    let blank = |node: &Node| {
        let (height, width) = (node.shape.extent.side(height), node.shape.extent.side(width));
        Map::new(1, height, width, vec![0.0; height * width])
    };
    plan.with_mask().map(blank).collect()
}

/// Checks that a picture and the prompt that was set suit the network.
fn check(plan: &Plan, prompted: &Prompted, picture: &dyn Pixels) -> Result<(), RunError> {
    let (channels, height, width) = picture.size();
    let prompt = match prompted.regions.first() {
        Some(PromptedRegion { share, .. }) if (share.height, share.width) != (height, width) => {
            let (h, w) = (share.height, share.width);
            return Err(RunError::Regions(format!("they are of a picture of {w}x{h}, found one of {width}x{height}")));
        }
        Some(_) => plan.network.prompt_dim(),
        None => prompted.embedding.as_ref().map(Vec::len),
    };
    check_inputs(&plan.network, (channels, height, width), prompt)
}

/// The masks of a column, if requested.
type Masks = Option<Vec<Map<f32>>>;

/// Receives the output of each band, then `None` when its columns are done.
type Read<'a> = dyn FnMut(&Span, Option<&Rows>, &mut Masks) -> Result<(), RunError> + 'a;

/// Returns whether all numbers of a band of the output are finite. The padding of the last block is included; it always
/// is.
fn is_finite(rows: &Rows, Output { source, .. }: Output) -> bool {
    let blocks = source.first_block..source.first_block + source.channels.div_ceil(LANES);
    let len = rows.shape.block_len();
    let finite = |y: usize| {
        // No early exit, so that the check vectorises.
        rows.row(y)[blocks.start * len..blocks.end * len].iter().fold(true, |finite, v| finite & v.is_finite())
    };
    rows.band.clone().into_par_iter().all(finite)
}
