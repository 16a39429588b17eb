//! Steps on a network's rows before rounding: numbers from 0 to 1, interleaved RGB, top to bottom.

use pdn_image::{Light, Picture, RowFilter, Sample};

/// A step that takes rows and returns those that are ready; after the last push it has returned them all.
pub(crate) trait Stage {
    fn push(&mut self, rows: Vec<f32>) -> Vec<f32>;
}

/// An exact resize, in linear light if tone curves are given.
pub(crate) struct Resize {
    filter: RowFilter,
    light: Option<Light>,
}

impl Resize {
    pub(crate) fn new(from: (usize, usize), to: (usize, usize), light: Option<Light>) -> Self {
        Self { filter: RowFilter::resize(from, to, 3), light }
    }
}

impl Stage for Resize {
    fn push(&mut self, mut rows: Vec<f32>) -> Vec<f32> {
        let Some(light) = &self.light else { return self.filter.push(&rows) };
        light.linear(&mut rows);
        let mut rows = self.filter.push(&rows);
        light.encoded(&mut rows);
        rows
    }
}

/// Replaces the low frequencies of the rows by those of the small picture: shrinks the rows to its size, blurs the
/// difference with a Gaussian, upscales it and adds it.
pub(crate) struct ColorFix<'a, S> {
    small: &'a Picture<S>,
    down: RowFilter,
    blur: RowFilter,
    up: RowFilter,
    /// How many numbers of the small picture have been compared.
    compared: usize,
    /// Rows whose correction is not known yet.
    waiting: Vec<f32>,
}

/// Standard deviation of the Gaussian, in pixels of the small picture: finer detail stays the network's.
const SIGMA: f64 = 4.0;

impl<'a, S: Sample> ColorFix<'a, S> {
    /// Creates the step for rows of a picture upscaled by `scale`.
    pub(crate) fn new(small: &'a Picture<S>, scale: usize) -> Self {
        let size = (small.width(), small.height());
        let large = (size.0 * scale, size.1 * scale);
        Self {
            small,
            down: RowFilter::resize(large, size, 3),
            blur: RowFilter::gaussian(size, SIGMA, 3),
            up: RowFilter::resize(size, large, 3),
            compared: 0,
            waiting: Vec::new(),
        }
    }
}

impl<S: Sample> Stage for ColorFix<'_, S> {
    fn push(&mut self, rows: Vec<f32>) -> Vec<f32> {
        let mut difference = self.down.push(&rows);
        self.waiting.extend(rows);
        let most = S::MAX.level();
        let own = self.small.rgb()[self.compared..].iter().map(|v| (v.level() / most) as f32);
        difference.iter_mut().zip(own).for_each(|(v, own)| *v = own - *v);
        self.compared += difference.len();
        let missing = self.up.push(&self.blur.push(&difference));
        let mut ready: Vec<f32> = self.waiting.drain(..missing.len()).collect();
        ready.iter_mut().zip(missing).for_each(|(v, missing)| *v += missing);
        ready
    }
}
