//! A whole picture, in tiles where it does not fit in memory at once.
//!
//! A tile is run with exactly the pixels around it that can change it (the network's receptive radius), cut off at the
//! picture's edge, where every layer pads with zeros as it does without tiles. So the pixels do not depend on how a
//! picture is tiled: they are equal to the last bit.
//!
//! A network that works on a reduced picture reads whole blocks of pixels: tiles see whole blocks, and a picture that does
//! not end with one is continued by its reflection, as Real-ESRGAN does.

use crate::RunError;
use crate::error::check_inputs;
use crate::place::Workspace;
use crate::plan::Plan;
use crate::reference::Map;
use crate::regions::PromptedRegion;
use crate::rows::Rows;
use crate::step::Source;
use pdn_kernels::LANES;
use pdn_network::{Extent, Op};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::{MutexGuard, PoisonError};

/// How a picture is run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Bytes that maps may take while running. A picture that needs more is run in tiles.
    pub memory: usize,
    /// The side of tiles in pixels of the input, whatever the memory.
    pub tile: Option<usize>,
}

impl Default for RunOptions {
    /// 2 GiB, tiles as large as that allows.
    fn default() -> Self {
        Self { memory: 2 << 30, tile: None }
    }
}

/// The smallest tile worth running: below this nearly everything is computed for its surroundings.
const SMALLEST_TILE: usize = 16;

impl Plan {
    /// Runs the network on a picture in its value range and gives the enlarged picture in the same range. `progress` is
    /// told the part done, 0 to 1, and says whether to go on.
    ///
    /// # Errors
    /// As [`Plan::run_tiles`].
    pub fn run(
        &self,
        picture: &Map<f32>,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Map<f32>, RunError> {
        let scale = self.network.scale;
        let (channels, height, width) = (self.program.output.channels, picture.height * scale, picture.width * scale);
        let mut out = Map::new(channels, height, width, vec![0.0; channels * height * width]);
        self.run_tiles(picture, options, progress, &mut |piece| {
            out.data.par_chunks_mut(width).enumerate().for_each(|(line, out)| {
                let (c, y) = (line / height, line % height);
                if piece.rows().contains(&y) {
                    out[piece.columns()].iter_mut().zip(piece.row(c, y)).for_each(|(out, v)| *out = v);
                }
            });
        })?;
        Ok(out)
    }

    /// Runs the network on a picture in its value range and gives the enlarged picture piece by piece, so that the whole
    /// of it need never be there in 32 bits. `progress` is told the part done, 0 to 1, and says whether to go on.
    ///
    /// # Errors
    /// [`RunError::Prompt`] where the network takes a prompt and none was set; [`RunError::Picture`] where the picture
    /// has no pixels or not three channels; [`RunError::Memory`] where it cannot be run within the limit;
    /// [`RunError::NotFinite`] where the output holds NaN or an infinity; [`RunError::Cancelled`].
    pub fn run_tiles(
        &self,
        picture: &Map<f32>,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
        give: &mut dyn FnMut(Piece),
    ) -> Result<(), RunError> {
        self.each_tile(picture, options, progress, &mut None, &mut |tile, rows, _| {
            let piece = tile.piece(rows, self.program.output, self.network.scale);
            if !piece.is_finite() {
                return Err(RunError::NotFinite);
            }
            give(piece);
            Ok(())
        })
    }

    /// The attention mask of every DCM that has one, under the prompt: by the name of its tap, one channel of 0 to 1, of the
    /// extent at which the module works. Options and progress are as in [`Plan::run`].
    ///
    /// # Errors
    /// As [`Plan::run_tiles`], and [`RunError::Regions`] where regions have prompts of their own: a mask is one prompt's.
    pub fn masks(
        &self,
        picture: &Map<f32>,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Vec<(String, Map<f32>)>, RunError> {
        if !self.regions.is_empty() {
            return Err(RunError::Regions("a mask is one prompt's: set one prompt".into()));
        }
        let with_mask =
            || self.network.nodes.iter().filter(|node| matches!(&node.op, Op::Dcm(dcm) if dcm.zeta.is_some()));
        let mut whole: Vec<(String, Map<f32>)> = with_mask()
            .map(|node| {
                let (extent, Op::Dcm(dcm)) = (node.shape.extent, &node.op) else { unreachable!("filtered above") };
                let (height, width) = (extent.side(picture.height), extent.side(picture.width));
                (format!("{}.mask", dcm.name), Map::new(1, height, width, vec![0.0; height * width]))
            })
            .collect();
        let extents: Vec<Extent> = with_mask().map(|node| node.shape.extent).collect();
        self.each_tile(picture, options, progress, &mut Some(Vec::new()), &mut |tile, _, masks| {
            let masks = masks.iter_mut().flat_map(|masks| masks.drain(..));
            for ((mask, extent), (_, whole)) in masks.zip(&extents).zip(&mut whole) {
                tile.put(&mask, *extent, whole);
            }
            Ok(())
        })?;
        Ok(whole)
    }

    /// Runs the network on each tile of a picture; what it gives is read before the next. `masks`, where there is a list, are
    /// gathered anew for each tile.
    fn each_tile(
        &self,
        picture: &Map<f32>,
        options: &RunOptions,
        progress: &mut dyn FnMut(f64) -> bool,
        masks: &mut Masks,
        read: &mut dyn FnMut(&Tile, &Rows, &mut Masks) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        self.check(picture)?;
        let (height, width) = (picture.height, picture.width);
        let side = self.tile_side(height, width, options)?;
        let block = self.network.multiple();
        let continued = reflected(picture, block);
        let tiles: Vec<Tile> = tiles(height, width, side, self.summary.receptive_radius, block).collect();
        let cost: usize = self.program.steps.iter().map(|step| step.cost).sum();
        let total: usize = tiles.iter().map(|tile| cost * tile.pixels()).sum();
        // Memory of the last run serves this one: fresh pages cost a tenth of the time of a small picture.
        let mut space: Option<Workspace> = self.spare().take();
        let mut done = 0;
        for tile in &tiles {
            let mut watch = |cost: usize| {
                done += cost * tile.pixels();
                progress(done as f64 / total.max(1) as f64)
            };
            let (h, w) = (tile.rows.seen.len(), tile.columns.seen.len());
            if !space.as_ref().is_some_and(|space| space.fits(h, w)) {
                drop(space.take());
            }
            let space = space.get_or_insert_with(|| Workspace::new(&self.program, h, w));
            let rows = self
                .run_tile((&tile.cut(&continued), tile.origin()), space, masks.as_mut(), &mut watch)
                .ok_or(RunError::Cancelled)?;
            read(tile, &rows, masks)?;
            space.put(self.program.output.value, rows.data);
        }
        *self.spare() = space;
        Ok(())
    }

    fn check(&self, picture: &Map<f32>) -> Result<(), RunError> {
        let Map { channels, height, width, .. } = *picture;
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

    /// The side of tiles that fit in memory, halved from the whole picture.
    fn tile_side(&self, height: usize, width: usize, options: &RunOptions) -> Result<usize, RunError> {
        let whole = height.max(width);
        let too_much = |needed: usize, why| {
            let (needed, limit) = (needed >> 20, options.memory >> 20);
            Err(RunError::Memory { needed, limit, why })
        };
        if self.summary.whole_picture > 0 {
            let needed = self.memory(height, width);
            return match needed <= options.memory {
                true => Ok(whole),
                false => too_much(needed, "it reads the whole picture at once, so it cannot be cut into tiles"),
            };
        }
        if let Some(side) = options.tile {
            return Ok(side.max(1));
        }
        let mut side = whole;
        loop {
            let seen = side + 2 * (self.summary.receptive_radius + self.network.multiple() - 1);
            let needed = self.memory(seen.min(height), seen.min(width));
            if needed <= options.memory {
                return Ok(side);
            }
            if side <= SMALLEST_TILE {
                return too_much(needed, "tiles cannot be smaller");
            }
            side = side.div_ceil(2).max(SMALLEST_TILE);
        }
    }
}

/// The masks of a tile, where they are asked for.
type Masks = Option<Vec<Map<f32>>>;

/// A tile along one axis: what it gives, and what it must see for that.
#[derive(Clone, Debug)]
struct Span {
    given: Range<usize>,
    seen: Range<usize>,
}

/// A tile.
#[derive(Clone, Debug)]
struct Tile {
    rows: Span,
    columns: Span,
}

/// Cuts a length into spans of at most `side`, each seeing `halo` further in whole blocks, within the length's blocks.
fn spans(length: usize, side: usize, halo: usize, block: usize) -> impl Iterator<Item = Span> + Clone {
    (0..length).step_by(side).map(move |start| {
        let end = (start + side).min(length);
        let first = start.saturating_sub(halo) / block * block;
        Span { given: start..end, seen: first..(end + halo).min(length).next_multiple_of(block) }
    })
}

/// A picture continued by its reflection, without the edge itself, to whole blocks of pixels.
fn reflected(picture: &Map<f32>, block: usize) -> Cow<'_, Map<f32>> {
    let (height, width) = (picture.height.next_multiple_of(block), picture.width.next_multiple_of(block));
    if (height, width) == (picture.height, picture.width) {
        return Cow::Borrowed(picture);
    }
    let mirror = |at: usize, length: usize| match at.checked_sub(length) {
        None => at,
        Some(beyond) => length.saturating_sub(2 + beyond),
    };
    let mut data = Vec::with_capacity(picture.channels * height * width);
    for (c, y) in (0..picture.channels).flat_map(|c| (0..height).map(move |y| (c, mirror(y, picture.height)))) {
        let row = &picture.plane(c)[y * picture.width..][..picture.width];
        data.extend((0..width).map(|x| row[mirror(x, picture.width)]));
    }
    Cow::Owned(Map::new(picture.channels, height, width, data))
}

fn tiles(height: usize, width: usize, side: usize, halo: usize, block: usize) -> impl Iterator<Item = Tile> {
    let columns = spans(width, side, halo, block);
    spans(height, side, halo, block)
        .flat_map(move |rows| columns.clone().map(move |columns| Tile { rows: rows.clone(), columns }))
}

impl Tile {
    /// Pixels that it runs on.
    fn pixels(&self) -> usize {
        self.rows.seen.len() * self.columns.seen.len()
    }

    /// Row and column of the picture at which what it sees begins.
    fn origin(&self) -> (usize, usize) {
        (self.rows.seen.start, self.columns.seen.start)
    }

    /// What it sees of a picture.
    fn cut(&self, picture: &Map<f32>) -> Map<f32> {
        let (height, width) = (self.rows.seen.len(), self.columns.seen.len());
        let mut data = Vec::with_capacity(picture.channels * height * width);
        for c in 0..picture.channels {
            for y in self.rows.seen.clone() {
                let row = &picture.data[(c * picture.height + y) * picture.width..][..picture.width];
                data.extend_from_slice(&row[self.columns.seen.clone()]);
            }
        }
        Map::new(picture.channels, height, width, data)
    }

    /// Puts what it gives of a map of one channel and some extent where it belongs in the whole.
    fn put(&self, map: &Map<f32>, extent: Extent, whole: &mut Map<f32>) {
        let given = |span: &Span| extent.side(span.given.start)..extent.side(span.given.end);
        let (rows, columns) = (given(&self.rows), given(&self.columns));
        let (top, left) = (extent.side(self.rows.seen.start), extent.side(self.columns.seen.start));
        for y in rows {
            let from = &map.data[(y - top) * map.width + columns.start - left..][..columns.len()];
            whole.data[y * whole.width..][columns.clone()].copy_from_slice(from);
        }
    }

    /// What it gives of what came out of it.
    fn piece<'a>(&self, map: &'a Rows, output: Source, scale: usize) -> Piece<'a> {
        let inner = |span: &Span| (span.given.start - span.seen.start) * scale;
        let given = |span: &Span| span.given.start * scale..span.given.end * scale;
        let skipped = (inner(&self.rows), inner(&self.columns));
        Piece { rows: given(&self.rows), columns: given(&self.columns), skipped, map, output }
    }
}

/// A part of the enlarged picture, with its place in it.
#[derive(Clone, Debug)]
pub struct Piece<'a> {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Rows and pixels of the map before the piece.
    skipped: (usize, usize),
    map: &'a Rows,
    output: Source,
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

    /// What it holds of a channel in a row of the picture, which must be one that it covers.
    pub fn row(&self, channel: usize, y: usize) -> impl Iterator<Item = f32> + '_ {
        let row = self.map.channel(self.output.first_block * LANES + channel, y - self.rows.start + self.skipped.0);
        row.skip(self.skipped.1).take(self.columns.len())
    }

    fn is_finite(&self) -> bool {
        let finite = |y: usize| (0..self.output.channels).all(|c| self.row(c, y).all(f32::is_finite));
        self.rows().into_par_iter().all(finite)
    }
}
