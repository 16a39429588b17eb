//! Where each value of a plan lies in memory: slots that values share when their lives do not overlap, chosen before a
//! run, so that a run's memory is known beforehand and nothing is allocated while it lasts.

use crate::rows::Rows;
use crate::step::Program;

/// Slots for a picture of one size.
#[derive(Debug)]
pub(crate) struct Placement {
    /// The slot of each value.
    slots: Vec<usize>,
    /// Numbers that each slot must hold.
    sizes: Vec<usize>,
}

impl Placement {
    pub(crate) fn new(program: &Program, height: usize, width: usize) -> Self {
        let mut placement = Self { slots: vec![usize::MAX; program.values.len()], sizes: Vec::new() };
        let mut free: Vec<usize> = Vec::new();
        for step in &program.steps {
            if let Some(value) = step.out {
                let (shape, height) = program.rows_of(value, height, width);
                placement.slots[value] = placement.claim(&mut free, Rows::len_of(shape, height));
            }
            free.extend(step.frees.iter().map(|value| placement.slots[*value]));
        }
        placement
    }

    /// The smallest free slot that is large enough, else the largest, grown, else a new one.
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

    /// Bytes that the slots take.
    pub(crate) fn bytes(&self) -> usize {
        self.sizes.iter().sum::<usize>() * size_of::<f32>()
    }
}

/// Memory for tiles of one size, used again for each.
#[derive(Debug)]
pub(crate) struct Workspace {
    placement: Placement,
    slots: Vec<Vec<f32>>,
    /// Rows of a tile.
    pub(crate) height: usize,
    /// Pixels in each.
    pub(crate) width: usize,
}

impl Workspace {
    pub(crate) fn new(program: &Program, height: usize, width: usize) -> Self {
        let placement = Placement::new(program, height, width);
        let slots = placement.sizes.iter().map(|size| vec![0.0; *size]).collect();
        Self { placement, slots, height, width }
    }

    /// Whether it is for tiles of this size.
    pub(crate) fn fits(&self, height: usize, width: usize) -> bool {
        (self.height, self.width) == (height, width)
    }

    /// A value's slot, to be given back with [`Self::put`] when nothing reads the value any more.
    pub(crate) fn take(&mut self, value: usize) -> Vec<f32> {
        std::mem::take(&mut self.slots[self.placement.slots[value]])
    }

    pub(crate) fn put(&mut self, value: usize, slot: Vec<f32>) {
        self.slots[self.placement.slots[value]] = slot;
    }
}
