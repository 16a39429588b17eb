//! Chooses the storage format of each map: lines of bf16 if only tiled convolutions read it, or else float32.
//!
//! Tiles multiply lines as they are, so reading them rounds nothing, and a number takes two bytes instead of four.

use crate::compile::step::{Source, Step, Value, Work};
use pdn_kernels::{Format, LANES, Precision};

/// Chooses the format of each value, given the steps and the precision of their convolutions; the picture is read from
/// `output`.
pub(crate) fn choose(values: &mut [Value], steps: &[Step], precision: Precision, output: usize) {
    if !precision.keeps_lines() {
        return;
    }
    // Whether each value can be stored as lines, as far as is known.
    let mut can: Vec<bool> = values.iter().map(|value| value.channels.is_multiple_of(2 * LANES)).collect();
    can[output] = false;
    for step in steps {
        let (inputs, fused): (&[Source], _) = match &step.work {
            Work::Conv { inputs, fused, .. } => (inputs, fused),
            Work::MixedConv { input, fused, .. } => (std::slice::from_ref(input), fused),
            other => {
                other.reads().map(|(value, _)| value).chain(step.out).for_each(|value| can[value] = false);
                continue;
            }
        };
        let mut aligned = true;
        for source in inputs {
            can[source.value] &= aligned && is_whole(source, values);
            aligned &= source.channels.is_multiple_of(2 * LANES);
        }
        if let Some(add) = &fused.add {
            can[add.value] &= is_whole(add, values);
        }
    }
    for (value, _) in values.iter_mut().zip(can).filter(|(_, can)| *can) {
        value.format = Format::Lines;
    }
}

fn is_whole(source: &Source, values: &[Value]) -> bool {
    source.first_block == 0 && source.channels == values[source.value].channels
}
