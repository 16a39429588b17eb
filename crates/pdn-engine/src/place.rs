//! Where each value of a plan lies in memory: slots that values share when their lives do not overlap, chosen before a
//! run, so that a run's memory is known beforehand and nothing is allocated while it lasts.

use crate::plan::{Plan, Value};
use crate::rows::Rows;
use pdn_kernels::RowShape;

/// Slots for a picture of one size.
#[derive(Debug)]
pub(crate) struct Placement {
    /// The slot of each value.
    pub(crate) slots: Vec<usize>,
    /// Numbers that each slot must hold.
    pub(crate) sizes: Vec<usize>,
}

impl Placement {
    pub(crate) fn new(plan: &Plan, height: usize, width: usize) -> Self {
        let mut placement = Self { slots: vec![usize::MAX; plan.values.len()], sizes: Vec::new() };
        let mut free: Vec<usize> = Vec::new();
        for step in &plan.steps {
            if let Some(value) = step.out {
                let rows = plan.rows_of(&plan.values[value], height, width);
                placement.slots[value] = placement.claim(&mut free, Rows::len_of(rows.0, rows.1));
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

impl Plan {
    /// Row shape and height of a value for a picture.
    pub(crate) fn rows_of(&self, value: &Value, height: usize, width: usize) -> (RowShape, usize) {
        (RowShape::new(value.channels, width * value.scale, self.pad), height * value.scale)
    }

    /// Bytes that running on a whole picture takes, beside the weights, the picture and the output.
    pub fn memory(&self, height: usize, width: usize) -> usize {
        Placement::new(self, height, width).bytes()
    }
}
