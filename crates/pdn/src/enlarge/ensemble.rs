//! The mean over a picture's eight flips and rotations ("geometric self-ensemble", Lim et al. 2017, EDSR, section 3.4).

use pdn_engine::{Piece, Pixels, RunError, RunOptions, Session};

/// One of the eight transforms: flip horizontally, flip vertically, then transpose.
#[derive(Clone, Copy)]
struct Turn {
    mirrored: bool,
    upside_down: bool,
    transposed: bool,
}

impl Turn {
    fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|i| Self { mirrored: i & 1 > 0, upside_down: i & 2 > 0, transposed: i & 4 > 0 })
    }

    /// Maps a pixel of the transformed picture to its place in the original of this height and width.
    fn origin(self, (height, width): (usize, usize), (y, x): (usize, usize)) -> (usize, usize) {
        let (y, x) = if self.transposed { (x, y) } else { (y, x) };
        (if self.upside_down { height - 1 - y } else { y }, if self.mirrored { width - 1 - x } else { x })
    }
}

/// A transformed view of a picture.
struct Turned<'a> {
    picture: &'a dyn Pixels,
    turn: Turn,
}

impl Pixels for Turned<'_> {
    fn size(&self) -> (usize, usize, usize) {
        let (channels, height, width) = self.picture.size();
        if self.turn.transposed { (channels, width, height) } else { (channels, height, width) }
    }

    fn number(&self, channel: usize, y: usize, x: usize) -> f32 {
        let (_, height, width) = self.picture.size();
        let (y, x) = self.turn.origin((height, width), (y, x));
        self.picture.number(channel, y, x)
    }
}

/// Runs the network on all eight transforms and returns the mean of its numbers, interleaved.
pub(crate) fn run(
    network: &mut Session,
    picture: &dyn Pixels,
    options: &RunOptions,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Result<Vec<f32>, RunError> {
    let (_, height, width) = picture.size();
    let scale = network.plan().network().scale;
    let (height, width) = (height * scale, width * scale);
    let needed = (width * height).saturating_mul(12);
    if needed > options.memory {
        let why = "a self-ensemble holds the whole result in memory";
        return Err(RunError::Memory { needed: needed >> 20, limit: options.memory >> 20, why });
    }
    let mut mean = vec![0.0; width * height * 3];
    for (i, turn) in Turn::all().enumerate() {
        let turned = Turned { picture, turn };
        let mut part = |done: f64| progress((i as f64 + done) / 8.0);
        network.run_rows(&turned, options, &mut part, &mut |piece| add(&piece, turn, (height, width), &mut mean))?;
    }
    Ok(mean)
}

/// Adds an eighth of a piece at its original place.
fn add(piece: &Piece, turn: Turn, (height, width): (usize, usize), mean: &mut [f32]) {
    let mut row = vec![0.0; piece.columns().len()];
    for y in piece.rows() {
        for c in 0..3 {
            piece.read(c, y, &mut row);
            for (x, v) in piece.columns().zip(&row) {
                let (y, x) = turn.origin((height, width), (y, x));
                mean[(y * width + x) * 3 + c] += v / 8.0;
            }
        }
    }
}
