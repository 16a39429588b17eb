//! Placement of a plan's values in memory: values whose lifetimes do not overlap share slots, which are chosen before a
//! run. So a run's memory is known in advance and no layer allocates.

use crate::compile::program::Program;
use crate::compile::schedule::Bands;
use crate::compile::step::Value;
use crate::run::rows::Rows;
use pdn_kernels::Aligned;

/// Slots for the bands of a picture of one size.
#[derive(Debug)]
pub(crate) struct Placement {
    /// The slot of each value.
    slots: Vec<usize>,
    /// The size of each slot, in numbers.
    sizes: Vec<usize>,
    /// Numbers of all rows that are kept from band to band.
    kept: usize,
}

impl Placement {
    /// Assigns slots for bands of a picture of some height and width.
    pub(crate) fn new(program: &Program, bands: Bands, height: usize, width: usize) -> Self {
        let mut placement = Self { slots: vec![usize::MAX; program.values.len()], sizes: Vec::new(), kept: 0 };
        let mut free: Vec<usize> = Vec::new();
        for step in &program.steps {
            if let Some(value) = step.out {
                let (shape, height) = program.rows_of(value, height, width);
                let rows = program.values[value].extent.side(bands.rows).min(height);
                // The first group of rows may begin above the picture.
                let lead = step.group(program.precision) - 1;
                placement.slots[value] = placement.claim(&mut free, (rows + lead) * shape.len());
                placement.kept += program.kept(value, bands) * shape.len();
            }
            free.extend(step.frees.iter().map(|value| placement.slots[*value]));
        }
        placement
    }

    /// Returns the smallest free slot that is large enough, or else the largest one, grown, or else a new one.
    fn claim(&mut self, free: &mut Vec<usize>, size: usize) -> usize {
        let fits = |slot: usize| self.sizes[slot] >= size;
        let best = (0..free.len()).min_by_key(|i| match fits(free[*i]) {
            true => (0, self.sizes[free[*i]]),
            false => (1, usize::MAX - self.sizes[free[*i]]),
        });
        match best {
            Some(i) => {
                let slot = free.swap_remove(i);
                self.sizes[slot] = self.sizes[slot].max(size);
                slot
            }
            None => {
                self.sizes.push(size);
                self.sizes.len() - 1
            }
        }
    }

    /// Returns the bytes of the slots and of the kept rows.
    pub(crate) fn bytes(&self) -> usize {
        (self.sizes.iter().sum::<usize>() + self.kept) * size_of::<f32>()
    }
}

/// Memory for pictures, or columns of a picture, of one size, reused for each.
#[derive(Debug)]
pub(crate) struct Workspace {
    placement: Placement,
    slots: Vec<Aligned<f32>>,
    /// Every map, with the rows that it keeps from band to band.
    pub(crate) maps: Vec<Rows>,
    /// A row of zeros, as long as the longest row.
    pub(crate) nothing: Aligned<f32>,
    /// The bands, height and width that it is laid out for.
    size: (Bands, usize, usize),
}

impl Workspace {
    pub(crate) fn new(program: &Program, bands: Bands, height: usize, width: usize) -> Self {
        let placement = Placement::new(program, bands, height, width);
        let slots = placement.sizes.iter().map(|size| Aligned::new(0.0, *size)).collect();
        let map = |value: usize| {
            let (shape, rows) = program.rows_of(value, height, width);
            let Value { channels, format, .. } = program.values[value];
            Rows::new(shape, (channels, format), rows, program.kept(value, bands))
        };
        let maps: Vec<Rows> = (0..program.values.len()).map(map).collect();
        let longest = maps.iter().map(|rows| rows.shape.len()).max().unwrap_or(0);
        Self { placement, slots, maps, nothing: Aligned::new(0.0, longest), size: (bands, height, width) }
    }

    /// Returns whether the memory is laid out for this size.
    pub(crate) fn fits(&self, bands: Bands, height: usize, width: usize) -> bool {
        self.size == (bands, height, width)
    }

    /// Takes a value's slot; [`Self::put`] returns it once nothing reads the band any more.
    pub(crate) fn take(&mut self, value: usize) -> Aligned<f32> {
        std::mem::take(&mut self.slots[self.placement.slots[value]])
    }

    pub(crate) fn put(&mut self, value: usize, slot: Aligned<f32>) {
        self.slots[self.placement.slots[value]] = slot;
    }
}
